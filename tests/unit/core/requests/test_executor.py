"""Other nodes' requests run here only when engine, room and policy allow, and always end.

A desk (`tests/unit/core/desk.py`) plays the engine and the asking nodes, event by event.
"""

import pytest
from msgspec.structs import replace

from tests.unit.core.desk import (
    MODEL,
    Desk,
    ended,
    facts,
    failed,
    node,
    offer,
    pick,
    pick_all,
    probe,
    reading,
    served,
    summary,
)
from wwwserve.core.effects import AcceptOffer, DeclineOffer, Effect, SendMessage, StartLocal
from wwwserve.core.engines import EngineHealth
from wwwserve.core.events import (
    Depart,
    Departure,
    EngineRead,
    FirstOutput,
    OfferCancelled,
    StreamEnded,
    StreamFailed,
)
from wwwserve.core.facts import WorkDeclined, WorkFinished, WorkStarted
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.core.requests.rules import PROBES_BURST_MAX
from wwwserve.values.limits import ENGINE_STALE_US
from wwwserve.values.model_names import ModelId
from wwwserve.values.moments import SECOND
from wwwserve.values.refusals import DeclineReason
from wwwserve.wire import Quote, Room, Usage

GENEROUS = PolicySettings(own_first=False)


def quote(effects: list[Effect]) -> Quote:
    message = pick(effects, SendMessage).message
    assert isinstance(message, Quote)
    return message


def get_reason(effects: list[Effect]) -> DeclineReason:
    return pick(effects, DeclineOffer).decline.reason


def test_a_quote_says_what_the_engine_saves_of_a_prompt() -> None:
    # [REQUESTS-PREFIX.2]
    desk = Desk(served(2), policy=GENEROUS)
    asked = summary(1, prompt_tokens=2_000, prefixes=(b"begin" * 3, b"more" * 4))
    fresh = quote(desk.tell(probe(7, asked)))
    assert fresh.saved_prompt_tokens == 0
    for number, cached_tokens in ((1, 0), (2, 512)):
        session = pick(desk.tell(offer(number, asked)), AcceptOffer).session
        desk.tell(FirstOutput(session))
        desk.tell(StreamEnded(session, Usage(2_000, 50, cached_tokens), bytes(32)))
    again = quote(desk.tell(probe(8, asked)))
    assert again.saved_prompt_tokens == 512
    other = quote(desk.tell(probe(9, summary(2, prompt_tokens=2_000, prefixes=(b"x" * 16,)))))
    assert other.saved_prompt_tokens == 0
    assert again.first_token_us <= other.first_token_us


def test_a_willing_node_quotes_accepts_and_reports_the_work() -> None:
    # [REQUESTS-EXECUTOR.1]
    desk = Desk(served(2))
    answer = quote(desk.tell(probe(7)))
    assert answer.decline is None
    assert answer.model == MODEL
    assert 0 < answer.first_token_us < answer.finish_us
    effects = desk.tell(offer(7))
    accepted = pick(effects, AcceptOffer)
    assert facts(effects, WorkStarted)[0].origin == node(1)
    desk.tell(FirstOutput(accepted.session))
    desk.pass_time(SECOND)
    fact = facts(desk.tell(ended(accepted.session)), WorkFinished)[0]
    assert (fact.error, fact.completion_tokens, fact.total_us) == ("", 50, SECOND)


def test_an_engine_that_is_not_ready_takes_no_work() -> None:
    # [REQUESTS-EXECUTOR.2]
    desk = Desk(served(2), is_read=False)
    assert get_reason(desk.tell(offer(1))) is DeclineReason.ENGINE_DOWN
    for health in (EngineHealth.LOADING, EngineHealth.UNAVAILABLE):
        desk.tell(EngineRead("gpu", reading(health)))
        assert get_reason(desk.tell(offer(1))) is DeclineReason.ENGINE_DOWN
        assert quote(desk.tell(probe(1))).decline is DeclineReason.ENGINE_DOWN
    desk.tell(EngineRead("gpu", reading()))
    desk.pass_time(ENGINE_STALE_US)
    assert get_reason(desk.tell(offer(1))) is DeclineReason.ENGINE_DOWN


def test_beside_own_users_one_prompt_of_others_is_read_at_a_time() -> None:
    """[REQUESTS-EXECUTOR.10]: who is turned away meanwhile hears when it has been read."""
    desk = Desk(served(8))
    desk.submit(1)
    first = pick(desk.tell(offer(1)), AcceptOffer).session
    assert quote(desk.tell(probe(2, peer=2))).decline is DeclineReason.BUSY
    assert get_reason(desk.tell(offer(2, peer=2))) is DeclineReason.BUSY
    told = desk.tell(FirstOutput(first))
    assert [(one.peer, type(one.message)) for one in pick_all(told, SendMessage)] == [
        (node(2), Room)
    ]
    second = pick(desk.tell(offer(3, peer=2)), AcceptOffer).session
    # One that ends before any output is read no more, either.
    assert get_reason(desk.tell(offer(4))) is DeclineReason.BUSY
    desk.tell(failed(second))
    pick(desk.tell(offer(5)), AcceptOffer)


def test_without_own_users_prompts_of_others_are_read_together() -> None:
    desk = Desk(served(8))
    for number in range(1, 4):
        pick(desk.tell(offer(number)), AcceptOffer)


def test_a_quote_reserves_nothing_and_no_offer_goes_over_the_slots() -> None:
    # [REQUESTS-EXECUTOR.3]
    desk = Desk(served(2), policy=GENEROUS)
    for number in range(1, 4):
        assert quote(desk.tell(probe(number))).decline is None
    assert pick(desk.tell(offer(1)), AcceptOffer).model.slots == 2
    assert list(pick_all(desk.tell(offer(2)), AcceptOffer))
    effects = desk.tell(offer(3))
    assert get_reason(effects) is DeclineReason.BUSY
    assert facts(effects, WorkDeclined)[0].is_probe is False


def test_slots_others_use_directly_are_not_offered() -> None:
    # [REQUESTS-EXECUTOR.4]
    desk = Desk(served(2), policy=GENEROUS)
    desk.tell(EngineRead("gpu", reading(running=2)))
    assert get_reason(desk.tell(offer(1))) is DeclineReason.BUSY


def test_a_reading_that_still_counts_a_finished_run_blocks_nothing() -> None:
    desk = Desk(served(1), policy=GENEROUS)
    first = pick(desk.tell(offer(1)), AcceptOffer)
    desk.tell(ended(first.session))
    desk.tell(EngineRead("gpu", reading(running=1)))
    assert list(pick_all(desk.tell(offer(2)), AcceptOffer))


def test_a_quote_is_for_the_answer_its_origin_states() -> None:
    # [REQUESTS-LENGTHS.4] an asker compares quotes of several nodes, which know it differently
    stated = summary(1, completion_tokens_expected=50, completion_tokens_max=0)
    fresh, experienced = (Desk(served(2), policy=GENEROUS) for _ in range(2))
    for number in range(1, 41):
        for desk, peer in ((fresh, 2), (experienced, 1)):
            asked = replace(stated, request=summary(number).request)
            session = pick(desk.tell(offer(number, asked, peer=peer)), AcceptOffer).session
            desk.tell(FirstOutput(session))
            desk.tell(StreamEnded(session, Usage(100, 500), bytes(32)))
    assert quote(experienced.tell(probe(99, stated))) == quote(fresh.tell(probe(99, stated)))


def test_own_requests_come_first() -> None:
    # [REQUESTS-EXECUTOR.5]
    desk = Desk(served(2))
    desk.submit(1)
    desk.submit(2)
    desk.submit(3)
    assert get_reason(desk.tell(offer(10))) is DeclineReason.BUSY
    starts = list(pick_all(desk.log, StartLocal))
    desk.tell(ended(starts[0].session))
    assert len(list(pick_all(desk.log, StartLocal))) == 3


@pytest.mark.parametrize("end", ["ended", "failed", "cancelled"])
def test_every_end_frees_the_slot_once(end: str) -> None:
    # [REQUESTS-EXECUTOR.6]
    desk = Desk(served(1), policy=GENEROUS)
    session = pick(desk.tell(offer(1)), AcceptOffer).session
    events: dict[str, StreamEnded | StreamFailed | OfferCancelled] = {
        "ended": ended(session),
        "failed": failed(session),
        "cancelled": OfferCancelled(session),
    }
    assert facts(desk.tell(events[end]), WorkFinished)
    for late in events.values():
        assert desk.tell(late) == []
    assert list(pick_all(desk.tell(offer(2)), AcceptOffer))


def test_a_slot_freed_by_a_peers_work_goes_to_an_own_request_that_waits() -> None:
    desk = Desk(served(1), policy=GENEROUS)
    session = pick(desk.tell(offer(1)), AcceptOffer).session
    desk.submit(5)
    pick(desk.tell(ended(session)), StartLocal)


def test_a_draining_node_declines_until_it_resumes() -> None:
    desk = Desk(served(1))
    desk.tell(Depart(Departure.DRAIN))
    assert get_reason(desk.tell(offer(1))) is DeclineReason.DRAINING
    desk.tell(Depart(Departure.RESUME))
    assert list(pick_all(desk.tell(offer(2)), AcceptOffer))


def test_an_offer_of_another_version_or_an_unquoted_model_is_unsupported() -> None:
    desk = Desk(served(1))
    assert get_reason(desk.tell(offer(1, version=2))) is DeclineReason.UNSUPPORTED
    absent = summary(2, models=("org/other",))
    assert get_reason(desk.tell(offer(2, absent))) is DeclineReason.MODEL_ABSENT


def test_what_does_not_fit_is_declined_with_its_reason() -> None:
    desk = Desk(served(1, context_tokens=1000, capabilities=("chat",)))
    long = summary(1, prompt_tokens=2000)
    assert get_reason(desk.tell(offer(1, long))) is DeclineReason.TOO_LARGE
    tools = summary(2, needs=("tools",))
    assert get_reason(desk.tell(offer(2, tools))) is DeclineReason.UNSUPPORTED


def test_the_reason_that_passes_soonest_is_given() -> None:
    big = served(1, model="org/big", engine="other")
    desk = Desk(
        served(1), big, policy=PolicySettings(own_first=False, deny_models=(ModelId(MODEL),))
    )
    wanted = summary(2, models=(MODEL, "org/big"))
    assert quote(desk.tell(probe(1, wanted))).model == "org/big"
    desk.tell(offer(1, summary(1, models=("org/big",))))
    assert quote(desk.tell(probe(2, wanted))).decline is DeclineReason.BUSY


def test_a_peer_that_probes_too_fast_is_told_so_and_others_are_not_harmed() -> None:
    # [REQUESTS-EXECUTOR.7]
    desk = Desk(served(2))
    answers = [quote(desk.tell(probe(number))) for number in range(PROBES_BURST_MAX + 1)]
    assert answers[-2].decline is None
    assert answers[-1].decline is DeclineReason.RATE
    assert quote(desk.tell(probe(1, peer=2))).decline is None
    desk.pass_time(SECOND)
    desk.tell(EngineRead("gpu", reading()))
    assert quote(desk.tell(probe(1))).decline is None


def test_an_offer_repeated_on_a_running_session_changes_nothing() -> None:
    desk = Desk(served(2))
    pick(desk.tell(offer(1)), AcceptOffer)
    assert desk.tell(offer(1)) == []


def test_quotes_learn_from_runs() -> None:
    # [REQUESTS-EXECUTOR.8]
    desk = Desk(served(4))
    before = quote(desk.tell(probe(1))).finish_us
    for number in range(2, 40):
        session = pick(desk.tell(offer(number)), AcceptOffer).session
        desk.pass_time(1_000)
        desk.tell(FirstOutput(session))
        desk.pass_time(9_000)
        desk.tell(ended(session, completion_tokens=10))
    assert quote(desk.tell(probe(1))).finish_us < before // 10
