"""Each knob of a provider's policy does what it says, alone and at its edges.

The rules are pure functions, so each test is a table of cases and answers; the machine around them
is shown to draw once per request.
"""

import pytest
from msgspec.structs import astuple

from tests.unit.core.desk import node, summary
from wwwserve.core.deciding import Case, Counts, Question
from wwwserve.core.entropy import Entropy
from wwwserve.core.placing import Accepted, Declined, LoadView, PeerRequest, Queued, Verdict
from wwwserve.core.policy import Policy, decide, is_below_target
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.values.ids import NodeId
from wwwserve.values.model_names import ModelId
from wwwserve.values.moments import SECOND, Moment
from wwwserve.values.refusals import DeclineReason
from wwwserve.wire import ModelOffer

IDLE = LoadView(slots=4, used=0)
HALF = LoadView(slots=4, used=2)
BUSY = LoadView(slots=4, used=3)
FULL = LoadView(slots=4, used=4)
OFFER = ModelOffer("org/small")
NOW = Moment(7 * SECOND)
LIMITLESS = PolicySettings(completion_tokens_max=500)


def offered(load: LoadView = IDLE, **fields: object) -> Case:
    """Another node's request for the small model; fields of the case go before its summary's."""
    known = {"draw": 500, "asker": node(1), "offer": OFFER}
    of_case = {name: fields.pop(name) for name in list(fields) if name in Case.__struct_fields__}
    asked = summary(1, **fields)
    return Case(Question.OFFER, asked, NOW, load, **(known | of_case))  # type: ignore[arg-type]


def ask(settings: PolicySettings, load: LoadView = IDLE, **fields: object) -> Verdict:
    return decide(settings, offered(load, **fields))[0]


def own(settings: PolicySettings, load: LoadView | None, draw: int) -> Verdict:
    return decide(settings, Case(Question.OWN, summary(1), NOW, load, draw))[0]


def wait(settings: PolicySettings, draw: int) -> Verdict:
    return decide(settings, Case(Question.WAIT, summary(1), NOW, None, draw))[0]


def reason(settings: PolicySettings, load: LoadView = IDLE, **fields: object) -> DeclineReason:
    verdict = ask(settings, load, **fields)
    assert isinstance(verdict, Declined), verdict
    return verdict.reason


# -- own requests --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("load", "draw", "verdict"),
    [
        (IDLE, 0, Accepted()),
        (HALF, 0, Accepted()),
        (BUSY, 499, Declined(DeclineReason.BUSY)),
        (BUSY, 500, Accepted()),
        (FULL, 499, Declined(DeclineReason.BUSY)),
        (FULL, 500, Queued()),
        (None, 999, Declined(DeclineReason.ENGINE_DOWN)),
    ],
)
def test_a_share_of_own_requests_leaves_a_busy_node(
    load: LoadView | None, draw: int, verdict: Verdict
) -> None:
    settings = PolicySettings(offload_permille=500, target_utilisation_permille=700)
    assert own(settings, load, draw) == verdict


def test_with_offloading_off_nothing_leaves() -> None:
    settings = PolicySettings(offload_permille=0)
    assert own(settings, None, 0) == Queued()
    assert own(settings, FULL, 0) == Queued()


@pytest.mark.parametrize(
    ("load", "is_below"),
    [
        (LoadView(slots=10, used=6), True),
        (LoadView(slots=10, used=7), False),
        (LoadView(slots=10, used=0, kv_used_permille=699), True),
        (LoadView(slots=10, used=0, kv_used_permille=700), False),
        (LoadView(slots=10, used=0, kv_used_permille=None), True),
        (LoadView(slots=0, used=0), False),
    ],
)
def test_the_target_is_by_slots_and_by_cache_where_known(load: LoadView, *, is_below: bool) -> None:
    assert is_below_target(PolicySettings(), load) is is_below


def test_a_full_target_still_needs_a_slot() -> None:
    settings = PolicySettings(target_utilisation_permille=2000)
    assert not is_below_target(settings, FULL)


def test_a_share_of_those_without_a_place_waits() -> None:
    settings = PolicySettings(queue_permille=300)
    assert wait(settings, 299) == Queued()
    assert wait(settings, 300) == Declined(DeclineReason.BUSY)


# -- other nodes' requests -----------------------------------------------------------------------


def test_an_ordinary_offer_is_accepted() -> None:
    assert ask(PolicySettings()) == Accepted()


def test_a_share_of_offers_is_accepted() -> None:
    assert ask(PolicySettings(accept_permille=501)) == Accepted()
    assert reason(PolicySettings(accept_permille=500)) is DeclineReason.POLICY


@pytest.mark.parametrize(
    ("load", "verdict"),
    [
        (HALF, Accepted()),
        (BUSY, Declined(DeclineReason.BUSY)),
        (LoadView(slots=4, used=0, own_waiting=1), Declined(DeclineReason.BUSY)),
        # Beside own users a prompt of others is read at a time.
        (LoadView(slots=4, used=2, own_running=1, peer_unread=1), Declined(DeclineReason.BUSY)),
        (LoadView(slots=4, used=2, own_running=1, peer_unread=0), Accepted()),
        (LoadView(slots=4, used=2, own_running=0, peer_unread=2), Accepted()),
    ],
)
def test_own_requests_come_first(load: LoadView, verdict: Verdict) -> None:
    assert ask(PolicySettings(), load) == verdict


def test_without_own_first_every_free_slot_is_shared() -> None:
    settings = PolicySettings(own_first=False)
    assert ask(settings, BUSY) == Accepted()
    assert reason(settings, FULL) is DeclineReason.BUSY


def test_concurrency_caps_hold_for_all_and_for_each() -> None:
    settings = PolicySettings(concurrent_max=3, concurrent_per_peer_max=2)
    assert ask(settings, LoadView(slots=9, used=2, peer_running=2, asker_running=1)) == Accepted()
    for load in (
        LoadView(slots=9, used=3, peer_running=3),
        LoadView(slots=9, used=2, peer_running=2, asker_running=2),
    ):
        assert reason(settings, load) is DeclineReason.BUSY


@pytest.mark.parametrize(
    "settings",
    [
        PolicySettings(prompt_tokens_max=99),
        PolicySettings(completion_tokens_max=99),
        PolicySettings(body_bytes_max=999),
    ],
)
def test_size_caps_hold(settings: PolicySettings) -> None:
    assert reason(settings) is DeclineReason.TOO_LARGE


def test_an_answer_without_a_limit_counts_as_the_models_own() -> None:
    assert reason(LIMITLESS, completion_tokens_max=0) is DeclineReason.TOO_LARGE
    assert ask(PolicySettings(), completion_tokens_max=0) == Accepted()
    short = ModelOffer("org/small", context_tokens=400)
    assert ask(LIMITLESS, completion_tokens_max=0, offer=short) == Accepted()


def test_prompt_and_answer_together_have_a_cap() -> None:
    assert ask(PolicySettings(context_tokens_max=200)) == Accepted()
    assert reason(PolicySettings(context_tokens_max=199)) is DeclineReason.TOO_LARGE


@pytest.mark.parametrize(
    ("settings", "counts", "wanted"),
    [
        (PolicySettings(tokens_per_day_max=500), Counts(day_tokens=301), DeclineReason.POLICY),
        (
            PolicySettings(tokens_per_day_per_peer_max=500),
            Counts(day_tokens_asker=301),
            DeclineReason.POLICY,
        ),
        (PolicySettings(requests_per_minute_max=3), Counts(minute_requests=3), DeclineReason.RATE),
        (
            PolicySettings(requests_per_minute_per_peer_max=3),
            Counts(minute_requests_asker=3),
            DeclineReason.RATE,
        ),
    ],
)
def test_what_was_taken_so_far_counts(
    settings: PolicySettings, counts: Counts, wanted: DeclineReason
) -> None:
    assert reason(settings, counts=counts) is wanted
    one_less = Counts(*(max(value - 1, 0) for value in astuple(counts)))
    assert ask(settings, counts=one_less) == Accepted()


def test_slots_are_kept_free_for_own_users() -> None:
    settings = PolicySettings(own_first=False, reserve_concurrency=2)
    assert ask(settings, LoadView(slots=4, used=1)) == Accepted()
    assert reason(settings, HALF) is DeclineReason.BUSY


def test_a_machine_in_use_takes_nothing_where_only_idle_ones_should() -> None:
    settings = PolicySettings(idle_only=True, idle_for_us=60 * SECOND)
    assert reason(settings, idle_us=60 * SECOND - 1) is DeclineReason.CLOSED
    assert ask(settings, idle_us=60 * SECOND) == Accepted()
    assert ask(PolicySettings(), idle_us=0) == Accepted()


def test_outside_its_hours_a_node_takes_nothing() -> None:
    assert reason(PolicySettings(), closed_us=1) is DeclineReason.CLOSED


def test_lists_of_nodes_and_models_hold() -> None:
    small = ModelId("org/small")
    other = ModelId("org/other")
    assert ask(PolicySettings(allow_nodes=(node(1),), allow_models=(small,))) == Accepted()
    assert reason(PolicySettings(allow_nodes=(node(2),))) is DeclineReason.NOT_ALLOWED
    assert reason(PolicySettings(deny_nodes=(node(1),))) is DeclineReason.NOT_ALLOWED
    assert reason(PolicySettings(allow_models=(other,))) is DeclineReason.POLICY
    assert reason(PolicySettings(deny_models=(small,))) is DeclineReason.POLICY


# -- the machine ---------------------------------------------------------------------------------


def test_asking_again_does_not_wear_a_knob_out() -> None:
    # [POLICY-DRAW.1]
    policy = Policy(PolicySettings(accept_permille=500), Entropy(b"policy"))
    requests = [PeerRequest(node(1), summary(number), OFFER) for number in range(200)]
    first = [policy.decide_offer(request, IDLE, NOW) for request in requests]
    assert [policy.decide_offer(request, IDLE, NOW) for request in requests] == first
    assert 60 < sum(verdict == Accepted() for verdict in first) < 140


def test_a_new_policy_holds_from_the_next_decision() -> None:
    policy = Policy(PolicySettings(), Entropy(b"policy"))
    request = PeerRequest(node(1), summary(1), OFFER)
    assert policy.decide_offer(request, IDLE, NOW) == Accepted()
    policy.set(PolicySettings(accept_permille=0, deny_nodes=(node(3),)), NOW)
    assert policy.decide_offer(request, IDLE, NOW) == Declined(DeclineReason.POLICY)
    assert not policy.get_partners(summary(1), ()).admits(node(3))


def test_partners_are_whom_user_and_provider_both_allow() -> None:
    policy = Policy(PolicySettings(offload_nodes=(node(1), node(2))), Entropy(b"policy"))
    assert policy.get_partners(summary(1), ()).admits(node(1))
    assert not policy.get_partners(summary(1), ()).admits(node(3))
    both = policy.get_partners(summary(1), (node(2), node(3)))
    assert [both.admits(node(number)) for number in (1, 2, 3)] == [False, True, False]


@pytest.mark.parametrize("offload_nodes", [(), (node(1),)])
def test_a_private_request_is_for_those_its_user_names(offload_nodes: tuple[NodeId, ...]) -> None:
    policy = Policy(PolicySettings(offload_nodes=offload_nodes), Entropy(b"policy"))
    private = summary(1, is_private=True)
    assert not policy.get_partners(private, ()).admits(node(1))
    named = policy.get_partners(private, (node(1),))
    assert [named.admits(node(number)) for number in (1, 2)] == [True, False]
