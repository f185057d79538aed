"""What a provider lets its own users' requests cost, and when it takes others'.

A desk plays engines and other nodes; the policy is the real one.
"""

from tests.fakes.payments import MOST, FakePayments
from tests.unit.core.desk import (
    Desk,
    ended,
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
    summary,
)
from tests.unit.core.requests.test_paid import get_error, make_desk, make_price, quote_all, submit
from tests.unit.core.test_peer import make_setup
from wwwserve.core.deciding import PolicyFact, RequestDecided, SpendingCounted, UseCounted
from wwwserve.core.effects import (
    AcceptOffer,
    DeclineOffer,
    Effect,
    Report,
    RequestErrorCode,
    StartRemote,
)
from wwwserve.core.events import (
    EngineRead,
    MachineRead,
    OfferCancelled,
    PaymentProgressed,
    SetPolicy,
    Started,
)
from wwwserve.core.peer import Peer
from wwwserve.core.policy_settings import CurvePoint, PolicySettings
from wwwserve.core.sessions import Role, SessionId
from wwwserve.values.moments import SECOND, Moment
from wwwserve.values.refusals import DeclineReason, FailureKind

IDLE = PolicySettings(idle_only=True, idle_for_us=60 * SECOND)


def paid_desk(policy: PolicySettings) -> Desk:
    desk = Desk(policy=policy, payments=FakePayments(node(0)))
    desk.meet(member(1), member(2))
    return desk


def send(desk: Desk, number: int) -> list[Effect]:
    """A request, and everybody's quote if they are asked; they hold for a moment."""
    effects = submit(desk, number)
    return [*effects, *quote_all(desk, effects)]


def pay(desk: Desk, session: SessionId, number: int, depth: int) -> None:
    hold_id = number.to_bytes(32, "big")
    event = PaymentProgressed(session, hold_id, depth, b"", is_last=True)
    desk.policy.note_payment(event, desk.now)


def test_an_hours_budget_is_never_passed_and_comes_back() -> None:
    # [POLICY-BUDGET.1]
    desk = paid_desk(PolicySettings(offload_credits_per_hour_max=2 * MOST))
    first = pick(send(desk, 1), StartRemote)
    second = pick(send(desk, 2), StartRemote)
    error = get_error(send(desk, 3))
    assert error.code is RequestErrorCode.OUT_OF_CREDITS
    assert "budget for an hour" in error.detail
    # What they really paid leaves room for another one; an hour later all of it is there again.
    pay(desk, first.session, 1, depth=1)
    pay(desk, second.session, 2, depth=1)
    pick(send(desk, 4), StartRemote)
    assert "budget" in get_error(send(desk, 5)).detail
    facts = [fact for fact in desk.policy.take_facts() if isinstance(fact, SpendingCounted)]
    assert [(fact.microcredits, fact.is_over) for fact in facts] == [
        (MOST, False),
        (MOST, False),
        (10, True),
        (10, True),
        (MOST, False),
    ]
    desk.pass_time(2 * 3600 * SECOND)
    pick(send(desk, 6), StartRemote)


def test_nothing_goes_to_a_node_that_is_too_dear_for_the_provider() -> None:
    desk = paid_desk(PolicySettings(offload_price_max=50))
    asked = probes(submit(desk))
    effects = [
        *desk.quote(asked[1], 1, finish_us=1, payment=make_price(60)),
        *desk.quote(asked[2], 2, finish_us=2, payment=make_price(50)),
    ]
    assert pick(effects, StartRemote).peer == node(2)


def test_without_a_budget_nothing_is_held_back() -> None:
    desk = make_desk(FakePayments(node(0)))
    for number in range(20):
        pick(send(desk, number), StartRemote)


# -- other nodes' requests -----------------------------------------------------------------------


def test_a_minutes_cap_counts_what_was_taken_and_nothing_else() -> None:
    desk = Desk(served(9), policy=PolicySettings(own_first=False, requests_per_minute_max=2))
    for number in (1, 2):
        session = pick(desk.tell(offer(number)), AcceptOffer).session
        desk.tell(ended(session))
    for number in (3, 4):
        declined = pick(desk.tell(offer(number)), DeclineOffer).decline
        assert declined.reason is DeclineReason.RATE
    desk.pass_time(62 * SECOND)
    desk.tell(EngineRead("gpu", reading()))
    pick(desk.tell(offer(5)), AcceptOffer)


def test_every_end_of_a_work_frees_its_tokens() -> None:
    desk = Desk(served(9), policy=PolicySettings(own_first=False, tokens_per_day_max=200))
    for number in (1, 2):
        session = pick(desk.tell(offer(number)), AcceptOffer).session
        assert pick(desk.tell(offer(9)), DeclineOffer).decline.reason is DeclineReason.POLICY
        desk.tell(ended(session) if number == 1 else failed(session))
        desk.pass_time(25 * 3600 * SECOND)
        desk.tell(EngineRead("gpu", reading()))
    facts = [fact for fact in desk.policy.take_facts() if isinstance(fact, UseCounted)]
    assert [fact.is_over for fact in facts] == [False, True, False, True]
    assert facts[0].tokens == 200
    assert facts[1].tokens < 200


def test_a_work_goes_on_when_its_engine_fails_whatever_the_policy_says_by_then() -> None:
    desk = Desk(served(2, engine="a"), served(2, engine="b"))
    taken = pick(desk.tell(offer(1)), AcceptOffer)
    desk.policy.set(PolicySettings(accept_permille=0, deny_nodes=(node(1),)), desk.now)
    again = pick(desk.tell(failed(taken.session, FailureKind.BROKEN)), AcceptOffer)
    assert {taken.model.engine, again.model.engine} == {"a", "b"}


# -- an idle machine -----------------------------------------------------------------------------


def decided(effects: list[Effect]) -> list[PolicyFact]:
    facts = [effect.fact for effect in pick_all(effects, Report)]
    return [fact for fact in facts if isinstance(fact, RequestDecided)]


def test_a_peer_takes_work_only_while_its_host_says_that_nobody_is_there() -> None:
    # [POLICY-IDLE.1]
    peer, now = Peer(make_setup(1, slots=4, policy=IDLE)), Moment(7 * SECOND)
    peer.handle(Started(), now)

    def ask(number: int) -> AcceptOffer | DeclineOffer:
        peer.handle(EngineRead("gpu", reading()), now)
        effects = peer.handle(offer(number, peer=2), now)
        assert len(decided(effects)) == 1
        return next(one for one in effects if isinstance(one, AcceptOffer | DeclineOffer))

    untold = ask(1)
    assert isinstance(untold, DeclineOffer)
    assert untold.decline.reason is DeclineReason.CLOSED
    assert untold.decline.retry_after_us == IDLE.idle_for_us
    for _ in range(13):
        now = Moment(now + 5 * SECOND)
        peer.handle(MachineRead(100), now)
    taken = ask(2)
    assert isinstance(taken, AcceptOffer)
    # The work itself makes the machine busy, which is not held against it.
    peer.handle(MachineRead(990), now)
    assert isinstance(ask(3), AcceptOffer)
    for session in (2, 3):
        peer.handle(ended(SessionId(Role.EXECUTOR, session)), now)
    peer.handle(MachineRead(990), now)
    assert isinstance(ask(4), DeclineOffer)


def test_another_policy_is_told_with_the_facts() -> None:
    peer, now = Peer(make_setup(1)), Moment(7 * SECOND)
    peer.handle(Started(), now)
    (fact,) = [
        effect.fact
        for effect in peer.handle(SetPolicy(IDLE), now)
        if isinstance(effect, Report) and isinstance(effect.fact, PolicyFact)
    ]
    assert getattr(fact, "settings", None) == IDLE


# -- what is asked -------------------------------------------------------------------------------


def test_quotes_ask_by_the_load_at_that_moment() -> None:
    # [POLICY-ASK.1]
    curve = (CurvePoint(0, 800), CurvePoint(500, 1000), CurvePoint(1000, 2000))
    payments = FakePayments(node(0))
    desk = Desk(
        served(4), policy=PolicySettings(own_first=False, load_curve=curve), payments=payments
    )
    for number in range(4):
        desk.tell(probe(number))
        pick(desk.tell(offer(number)), AcceptOffer)
    assert payments.asks == [800, 900, 1000, 1500]


def test_what_its_origin_gives_up_before_the_first_word_counts_its_prompt() -> None:
    # [REQUESTS-EXECUTOR.11]
    desk = Desk(served(), policy=PolicySettings(tokens_per_day_max=2_500))
    for number in (1, 2):
        work = pick(desk.tell(offer(number, summary(prompt_tokens=1_000))), AcceptOffer)
        desk.tell(OfferCancelled(work.session))
    pick(desk.tell(offer(3, summary(prompt_tokens=1_000))), DeclineOffer)
