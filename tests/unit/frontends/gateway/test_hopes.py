"""What a request hopes for is its own word, else its key's, else the node's default."""

import pytest

from wwwserve.core.placing import Objective, OnMiss
from wwwserve.frontends.gateway.controls import Controls, read_controls
from wwwserve.frontends.gateway.errors import Refused
from wwwserve.frontends.gateway.hopes import find_objective
from wwwserve.ports.keys import KeyRules
from wwwserve.values.moments import SECOND

CHAT = Objective(SECOND, completion_token_ns=40_000_000, on_miss=OnMiss.REFUSE)
BATCH = Objective(600 * SECOND)
ALL = {"chat": CHAT, "default": BATCH}
NOBODY = KeyRules(name="")
CHATTER = KeyRules(name="chatter", objective="chat")


def test_without_any_word_it_is_the_default_or_nothing() -> None:
    assert find_objective(ALL, NOBODY, Controls()) is BATCH
    assert find_objective({}, CHATTER, Controls()) is None


def test_a_key_has_its_own_and_a_request_may_choose_another() -> None:
    assert find_objective(ALL, CHATTER, Controls()) is CHAT
    chosen = read_controls({"X-WWWserve-Objective": "default"}, {})
    assert find_objective(ALL, CHATTER, chosen) is BATCH


def test_a_key_whose_objective_is_gone_has_the_default() -> None:
    assert find_objective({"default": BATCH}, CHATTER, Controls()) is BATCH


def test_a_time_replaces_the_time_and_not_what_a_miss_means() -> None:
    timed = read_controls({"x-wwwserve-objective-ms": "2500"}, {})
    found = find_objective(ALL, CHATTER, timed)
    assert found is not None
    assert found.compute_bound_us(1_000, 1_000) == 2_500_000
    assert found.on_miss is OnMiss.REFUSE


def test_an_unknown_name_is_refused_and_the_known_ones_are_told() -> None:
    with pytest.raises(Refused, match="chat, default") as refused:
        find_objective(ALL, NOBODY, Controls(objective="fast"))
    assert refused.value.status == 400
