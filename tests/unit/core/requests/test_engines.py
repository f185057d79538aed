"""Several engines of one node: each gets its share, and what one fails another does.

A desk (`tests/unit/core/desk.py`) plays the engines and the other nodes, event by event.
"""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from tests.unit.core.desk import (
    MODEL,
    Desk,
    ended,
    facts,
    failed,
    member,
    node,
    offer,
    pick,
    pick_all,
    probe,
    probes,
    reading,
    served,
)
from wwwserve.core.effects import (
    AcceptOffer,
    DeclineOffer,
    Effect,
    EndRequest,
    SendMessage,
    StartLocal,
    StartRemote,
)
from wwwserve.core.engines import EngineHealth
from wwwserve.core.events import (
    Depart,
    Departure,
    EngineRead,
    FirstOutput,
    SetModels,
    StreamProgressed,
)
from wwwserve.core.facts import RequestQueued, WorkFinished
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.core.requests.own_engine import AVOIDED_FIRST_US, AVOIDED_MAX_US
from wwwserve.core.requests.rules import RETRY_HERE_US
from wwwserve.core.sessions import Role, Route, ServedModel
from wwwserve.values.limits import ENGINE_POLL_US, ENGINE_STALE_US
from wwwserve.values.moments import SECOND
from wwwserve.values.refusals import FailureKind
from wwwserve.wire import Quote

GENEROUS = PolicySettings(
    own_first=False, target_utilisation_permille=1000, concurrent_per_peer_max=1_000
)


def weigh(model: ServedModel, weight: int) -> ServedModel:
    return replace(model, weight=weight)


def get_engine(effects: list[Effect]) -> str:
    """The engine the one run or work that was started is on."""
    started = [effect for effect in effects if isinstance(effect, StartLocal | AcceptOffer)]
    assert len(started) == 1, effects
    return started[0].model.engine


def fill(desk: Desk, count: int) -> Counter[str]:
    """Submit so many at once; gives how many run on each engine."""
    found = [desk.submit(number, Route.LOCAL) for number in range(1, count + 1)]
    return Counter(get_engine(effects) for effects in found)


# -- which engine ----------------------------------------------------------------------------------


def test_work_is_spread_by_weight_and_slots() -> None:
    # [REQUESTS-ENGINES.1]
    desk = Desk(weigh(served(8, engine="a"), 3), served(8, engine="b"), policy=GENEROUS)
    assert fill(desk, 8) == {"a": 6, "b": 2}
    desk = Desk(served(12, engine="a"), served(4, engine="b"), policy=GENEROUS)
    assert fill(desk, 8) == {"a": 6, "b": 2}


def test_weight_gives_way_where_there_is_no_room() -> None:
    # [REQUESTS-ENGINES.1]
    desk = Desk(weigh(served(2, engine="a"), 100), served(8, engine="b"), policy=GENEROUS)
    assert fill(desk, 10) == {"a": 2, "b": 8}
    assert facts(desk.submit(11, Route.LOCAL), RequestQueued)


def test_idle_engines_that_are_alike_take_turns() -> None:
    desk = Desk(served(2, engine="a"), served(2, engine="b"))
    engines = []
    for number in range(1, 5):
        start = pick(desk.submit(number), StartLocal)
        engines.append(start.model.engine)
        desk.tell(ended(start.session))
    assert engines == ["a", "b", "a", "b"]


def test_the_first_model_a_user_names_goes_before_the_emptier_engine() -> None:
    desk = Desk(served(4, engine="a"), served(4, engine="b", model="org/other"))
    for number in range(1, 3):
        assert get_engine(desk.submit(number, models=(MODEL, "org/other"))) == "a"


def test_offers_and_quotes_are_for_the_engine_with_room() -> None:
    # [REQUESTS-ENGINES.1]
    desk = Desk(served(1, engine="a"), served(1, engine="b"), policy=GENEROUS)
    assert get_engine(desk.tell(offer(1))) == "a"
    quoted = pick(desk.tell(probe(2)), SendMessage).message
    assert isinstance(quoted, Quote)
    assert quoted.decline is None
    assert get_engine(desk.tell(offer(2))) == "b"
    assert list(pick_all(desk.tell(offer(3)), DeclineOffer))


def test_an_engine_that_lacks_an_ability_is_passed_over() -> None:
    # [REQUESTS-ENGINES.6]
    plain = served(4, engine="a", capabilities=("chat",), context_tokens=1_000)
    able = served(1, engine="b", capabilities=("chat", "tools"), context_tokens=10_000)
    desk = Desk(plain, able, policy=GENEROUS)
    assert get_engine(desk.submit(1, needs=("tools",), prompt_tokens=10)) == "b"
    start = pick(desk.submit(2, Route.LOCAL, prompt_tokens=10), StartLocal)
    assert start.model.engine == "a"
    assert facts(desk.submit(3, Route.LOCAL, prompt_tokens=5_000), RequestQueued)


@pytest.mark.parametrize("health", [EngineHealth.LOADING, EngineHealth.UNAVAILABLE])
def test_an_engine_that_is_away_leaves_the_others_serving(health: EngineHealth) -> None:
    # [REQUESTS-ENGINES.5]
    desk = Desk(served(1, engine="a"), served(1, engine="b"), policy=GENEROUS)
    desk.tell(EngineRead("a", reading(health)))
    assert get_engine(desk.submit(1)) == "b"
    desk = Desk(served(1, engine="a"), served(1, engine="b"), policy=GENEROUS)
    desk.tell(EngineRead("a", reading(health)))
    assert get_engine(desk.tell(offer(1))) == "b"


def test_what_runs_on_an_engine_that_is_taken_away_ends_there() -> None:
    # [REQUESTS-ENGINES.5]
    desk = Desk(served(1, engine="a"), served(1, engine="b"), policy=GENEROUS)
    first = pick(desk.submit(1), StartLocal)
    theirs = pick(desk.tell(offer(1)), AcceptOffer)
    assert {first.model.engine, theirs.model.engine} == {"a", "b"}
    desk.tell(SetModels((served(1, engine="c"),)))
    desk.tell(EngineRead("c", reading()))
    assert get_engine(desk.submit(2)) == "c"
    assert pick(desk.tell(ended(first.session)), EndRequest).error is None
    assert facts(desk.tell(ended(theirs.session)), WorkFinished)[0].error == ""
    desk.pass_time(ENGINE_STALE_US)
    desk.tell(EngineRead("c", reading()))
    assert [view.name for view in desk.requests.get_engines(desk.now)] == ["c"]


# -- own users' requests ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [FailureKind.UNAVAILABLE, FailureKind.BROKEN, FailureKind.TIMEOUT])
def test_what_one_engine_fails_goes_on_at_once_on_another(kind: FailureKind) -> None:
    # [REQUESTS-ENGINES.2]
    desk = Desk(served(1, engine="a"), served(1, engine="b"))
    first = pick(desk.submit(), StartLocal)
    second = pick(desk.tell(failed(first.session, kind)), StartLocal)
    assert (first.model.engine, second.model.engine) == ("a", "b")
    assert pick(desk.tell(ended(second.session)), EndRequest).error is None


def test_when_all_own_engines_failed_it_the_network_is_asked_and_else_it_waits() -> None:
    # [REQUESTS-ENGINES.2]
    desk = Desk(served(1, engine="a"), served(1, engine="b"))
    desk.meet(member(1))
    first = pick(desk.submit(), StartLocal)
    second = pick(desk.tell(failed(first.session)), StartLocal)
    asked = probes(desk.tell(failed(second.session)))
    remote = pick(desk.quote(asked[1], 1, finish_us=1_000), StartRemote)
    assert remote.peer == node(1)

    alone = Desk(served(1, engine="a"), served(1, engine="b"))
    first = pick(alone.submit(), StartLocal)
    second = pick(alone.tell(failed(first.session)), StartLocal)
    assert facts(alone.tell(failed(second.session)), RequestQueued)
    again = pick(alone.wait(RETRY_HERE_US + ENGINE_POLL_US), StartLocal)
    assert again.model.engine in {"a", "b"}


def test_an_engine_does_not_get_back_what_it_just_failed_though_it_alone_has_room() -> None:
    # [REQUESTS-ENGINES.2]
    desk = Desk(served(1, engine="a"), served(1, engine="b"))
    mine = [pick(desk.submit(number, Route.LOCAL), StartLocal) for number in (1, 2)]
    assert facts(desk.tell(failed(mine[0].session)), RequestQueued)
    desk.tell(EngineRead("a", reading()))
    assert not list(pick_all(desk.wait(RETRY_HERE_US - SECOND // 2), StartLocal))
    assert get_engine(desk.tell(ended(mine[1].session))) == "b"


def test_part_of_an_answer_that_was_seen_is_not_begun_anew_elsewhere() -> None:
    desk = Desk(served(1, engine="a"), served(1, engine="b"))
    first = pick(desk.submit(), StartLocal)
    effects = desk.tell(failed(first.session, FailureKind.BROKEN, is_delivered=True))
    assert pick(effects, EndRequest).error is not None


def test_an_engine_that_fails_comes_last_for_longer_each_time_until_it_succeeds() -> None:
    # [REQUESTS-ENGINES.4]
    desk = Desk(weigh(served(9, engine="bad"), 9), served(9, engine="good"))

    def ask(number: int) -> str:
        """Where the next request goes first; `bad` fails it."""
        start = pick(desk.submit(number), StartLocal)
        if start.model.engine == "bad":
            effects = desk.tell(failed(start.session))
            start_again = pick(effects, StartLocal)
            desk.tell(ended(start_again.session))
            return "bad"
        desk.tell(ended(start.session))
        return "good"

    tried = [desk.now] if ask(1) == "bad" else []
    for number in range(2, 400):
        desk.wait(AVOIDED_FIRST_US, reading_every_us=AVOIDED_FIRST_US)
        if ask(number) == "bad":
            tried.append(desk.now)
    spans = [later - earlier for earlier, later in pairwise(tried)]
    assert spans[:3] == [AVOIDED_FIRST_US, 2 * AVOIDED_FIRST_US, 4 * AVOIDED_FIRST_US]
    assert spans[-1] == max(spans) == AVOIDED_MAX_US

    desk.wait(AVOIDED_MAX_US)
    start = pick(desk.submit(999), StartLocal)
    assert start.model.engine == "bad"
    desk.tell(ended(start.session))
    assert get_engine(desk.submit(1_000)) == "bad"


def test_an_engine_that_fails_is_still_used_when_no_other_has_room() -> None:
    # [REQUESTS-ENGINES.4]
    desk = Desk(served(2, engine="a"), served(1, engine="b"), policy=GENEROUS)
    first = pick(desk.submit(1), StartLocal)
    assert first.model.engine == "a"
    assert get_engine(desk.tell(failed(first.session))) == "b"
    assert get_engine(desk.submit(2)) == "a"


# -- other nodes' requests -------------------------------------------------------------------------


def test_a_work_goes_on_on_another_engine_and_its_origin_hears_nothing() -> None:
    # [REQUESTS-ENGINES.3]
    desk = Desk(served(1, engine="a"), served(1, engine="b"), policy=GENEROUS)
    first = pick(desk.tell(offer(7)), AcceptOffer)
    effects = desk.tell(failed(first.session))
    second = pick(effects, AcceptOffer)
    assert (first.model.engine, second.model.engine) == ("a", "b")
    assert (first.session, first.accept) == (second.session, second.accept)
    assert not facts(effects, WorkFinished)
    assert desk.requests.works_count == 1
    assert facts(desk.tell(ended(second.session)), WorkFinished)[0].error == ""
    views = desk.requests.get_engines(desk.now)
    assert [view.peer_running for view in views] == [0, 0]


def test_each_engine_gets_a_work_once_and_then_it_has_failed() -> None:
    # [REQUESTS-ENGINES.3]
    desk = Desk(*(served(2, engine=name) for name in "abc"), policy=GENEROUS)
    started = [pick(desk.tell(offer(7)), AcceptOffer)]
    started += [pick(desk.tell(failed(started[0].session)), AcceptOffer) for _ in range(2)]
    assert sorted(one.model.engine for one in started) == ["a", "b", "c"]
    effects = desk.tell(failed(started[0].session))
    assert facts(effects, WorkFinished)[0].error == "unavailable"
    assert not list(pick_all(effects, AcceptOffer))
    assert all(view.peer_running == 0 for view in desk.requests.get_engines(desk.now))


@pytest.mark.parametrize(
    "kind", [FailureKind.REJECTED, FailureKind.INTERNAL, FailureKind.CANCELLED]
)
def test_what_is_not_the_engines_fault_ends_a_work(kind: FailureKind) -> None:
    desk = Desk(served(1, engine="a"), served(1, engine="b"), policy=GENEROUS)
    first = pick(desk.tell(offer(7)), AcceptOffer)
    assert facts(desk.tell(failed(first.session, kind)), WorkFinished)[0].error == kind.name.lower()


@pytest.mark.parametrize("is_told", [True, False])
def test_a_work_of_which_something_was_sent_is_not_begun_anew(*, is_told: bool) -> None:
    desk = Desk(served(1, engine="a"), served(1, engine="b"), policy=GENEROUS)
    first = pick(desk.tell(offer(7)), AcceptOffer)
    if is_told:
        desk.tell(FirstOutput(first.session))
        desk.tell(StreamProgressed(first.session, 3))
    effects = desk.tell(failed(first.session, FailureKind.BROKEN, is_delivered=not is_told))
    assert facts(effects, WorkFinished)[0].error == "broken"


def test_a_work_is_moved_also_at_its_peers_limit_and_on_a_draining_node() -> None:
    # [REQUESTS-ENGINES.3]
    limited = replace(GENEROUS, concurrent_max=1, concurrent_per_peer_max=1)
    desk = Desk(served(1, engine="a"), served(1, engine="b"), policy=limited)
    first = pick(desk.tell(offer(7)), AcceptOffer)
    desk.tell(Depart(Departure.DRAIN))
    assert get_engine(desk.tell(failed(first.session))) == "b"
    assert desk.requests.works_count == 1


def test_a_work_is_not_moved_to_an_engine_that_is_full_or_away() -> None:
    # [REQUESTS-ENGINES.3]
    desk = Desk(served(1, engine="a"), served(1, engine="b"), policy=GENEROUS)
    sessions = [pick(desk.tell(offer(number)), AcceptOffer).session for number in (1, 2)]
    assert facts(desk.tell(failed(sessions[0])), WorkFinished)
    desk.tell(ended(sessions[1]))
    desk.tell(EngineRead("b", reading(EngineHealth.UNAVAILABLE)))
    desk.wait(AVOIDED_FIRST_US)
    session = pick(desk.tell(offer(3)), AcceptOffer).session
    assert session.role is Role.EXECUTOR
    assert facts(desk.tell(failed(session)), WorkFinished)
