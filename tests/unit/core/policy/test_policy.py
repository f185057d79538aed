"""Each knob of a provider's policy does what it says, alone and at its edges.

The rules are pure functions, so each test is a table of loads and answers; the machine around them
is shown to draw once per request.
"""

import pytest

from tests.unit.core.desk import node, summary
from wwwserve.core.entropy import Entropy
from wwwserve.core.placing import Accepted, Declined, LoadView, PeerRequest, Queued, Verdict
from wwwserve.core.policy import Policy, decide_offer, decide_own, decide_wait, is_below_target
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.values.ids import NodeId
from wwwserve.values.model_names import ModelId
from wwwserve.values.refusals import DeclineReason
from wwwserve.wire import ModelOffer

IDLE = LoadView(slots=4, used=0)
HALF = LoadView(slots=4, used=2)
BUSY = LoadView(slots=4, used=3)
FULL = LoadView(slots=4, used=4)
OFFER = ModelOffer("org/small")
LIMITLESS = PolicySettings(completion_tokens_max=500)


def ask(settings: PolicySettings, load: LoadView = IDLE, **fields: object) -> Verdict:
    return decide_offer(settings, load, PeerRequest(node(1), summary(1, **fields), OFFER), draw=500)


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
    assert decide_own(settings, load, draw) == verdict


def test_with_offloading_off_nothing_leaves() -> None:
    settings = PolicySettings(offload_permille=0)
    assert decide_own(settings, None, 0) == Queued()
    assert decide_own(settings, FULL, 0) == Queued()


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
    assert decide_wait(settings, 299) == Queued()
    assert decide_wait(settings, 300) == Declined(DeclineReason.BUSY)


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
    request = PeerRequest(node(1), summary(1, completion_tokens_max=0), OFFER)
    assert decide_offer(LIMITLESS, IDLE, request, 0) == Declined(DeclineReason.TOO_LARGE)
    assert decide_offer(PolicySettings(), IDLE, request, 0) == Accepted()
    short = PeerRequest(request.asker, request.summary, ModelOffer("org/small", context_tokens=400))
    assert decide_offer(LIMITLESS, IDLE, short, 0) == Accepted()


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
    policy = Policy(PolicySettings(accept_permille=500), Entropy(b"policy"))
    requests = [PeerRequest(node(1), summary(number), OFFER) for number in range(200)]
    first = [policy.decide_offer(request, IDLE) for request in requests]
    assert [policy.decide_offer(request, IDLE) for request in requests] == first
    assert 60 < sum(verdict == Accepted() for verdict in first) < 140


def test_a_new_policy_holds_from_the_next_decision() -> None:
    policy = Policy(PolicySettings(), Entropy(b"policy"))
    request = PeerRequest(node(1), summary(1), OFFER)
    assert policy.decide_offer(request, IDLE) == Accepted()
    policy.set(PolicySettings(accept_permille=0, deny_nodes=(node(3),)))
    assert policy.decide_offer(request, IDLE) == Declined(DeclineReason.POLICY)
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
