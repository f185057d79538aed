"""Where other nodes are paid, nothing leaves unpaid and nothing is worked on for nothing.

A desk (`tests/unit/core/desk.py`) plays engines and other nodes, `tests/fakes/payments.py` the
prices; the effects are what the shell would carry out.
"""

import pytest

from tests.fakes.payments import COST, FakePayments
from tests.unit.core.desk import (
    Desk,
    facts,
    failed,
    member,
    node,
    offer,
    pick,
    pick_all,
    probe,
    probes,
    served,
    summary,
)
from wwwserve.core.effects import (
    AcceptOffer,
    DeclineOffer,
    Effect,
    EndRequest,
    Persist,
    RequestError,
    RequestErrorCode,
    SendMessage,
    StartLocal,
    StartRemote,
    StopSession,
)
from wwwserve.core.events import SubmitRequest
from wwwserve.core.facts import RequestQueued, WorkFinished
from wwwserve.core.lanes import Lane
from wwwserve.core.paying import WorkUnpaid
from wwwserve.core.requests.rules import REPROBE_PERIOD_US
from wwwserve.core.sessions import Role, Route, SessionId
from wwwserve.values.credits import MICROCREDITS_MAX
from wwwserve.values.refusals import DeclineReason, FailureKind
from wwwserve.wire import Quote
from wwwserve.wire.encoding import encode
from wwwserve.wire.ledger import FirmQuote, SealedWord

PRICE = b"a price"


def submit(
    desk: Desk,
    number: int = 1,
    *,
    route: Route = Route.NETWORK,
    cost_max: int = MICROCREDITS_MAX,
    price_max: int = MICROCREDITS_MAX,
) -> list[Effect]:
    event = SubmitRequest(
        summary(number), route, body_digest=b"d" * 32, cost_max=cost_max, price_max=price_max
    )
    return desk.tell(event)


def quote_all(desk: Desk, effects: list[Effect], payment: bytes = PRICE) -> list[Effect]:
    """Everybody asked is willing; node 1 is the soonest."""
    answers: list[Effect] = []
    for peer, asked in probes(effects).items():
        answers += desk.quote(asked, peer, finish_us=peer, payment=payment)
    return answers


def make_desk(payments: FakePayments, slots: int = 0) -> Desk:
    """A node that knows two others, and serves itself if it has slots."""
    desk = Desk(*([served(slots)] if slots else []), payments=payments)
    desk.meet(member(1), member(2))
    return desk


def get_error(effects: list[Effect]) -> RequestError:
    error = pick(effects, EndRequest).error
    assert error is not None
    return error


def test_an_offer_pays_and_leaves_once_its_hold_is_written_down() -> None:
    # [REQUESTS-PAID.1]
    payments = FakePayments(node(0))
    desk = make_desk(payments)
    effects = quote_all(desk, submit(desk))
    start = pick(effects, StartRemote)
    assert start.peer == node(1)
    assert (start.lane, start.offer.payment) == (Lane.FEED, b"hold 1")
    assert start.payment is not None
    assert start.payment.terms.payee == node(1)
    assert effects.index(pick(effects, Persist)) < effects.index(start)
    (order,) = payments.orders
    assert (order.session, order.executor, order.body_digest) == (
        start.session,
        node(1),
        b"d" * 32,
    )


def test_without_a_ledger_an_offer_waits_for_nothing() -> None:
    desk = Desk()
    desk.meet(member(1))
    start = pick(quote_all(desk, submit(desk), b""), StartRemote)
    assert (start.payment, start.lane, start.offer.payment) == (None, None, b"")


def test_a_request_tried_again_has_a_hold_of_its_own() -> None:
    # [REQUESTS-PAID.2]
    payments = FakePayments(node(0))
    desk = make_desk(payments)
    start = pick(quote_all(desk, submit(desk)), StartRemote)
    again = desk.tell(failed(start.session, FailureKind.BROKEN))
    second = pick([*again, *quote_all(desk, again)], StartRemote)
    assert second.peer == node(2)
    assert second.offer.payment == b"hold 2"
    assert [order.executor for order in payments.orders] == [node(1), node(2)]


def test_who_says_that_it_was_not_paid_is_left_but_not_blamed() -> None:
    # [REQUESTS-PAID.3]
    desk = make_desk(FakePayments(node(0)))
    start = pick(quote_all(desk, submit(desk)), StartRemote)
    again = desk.tell(failed(start.session, FailureKind.UNPAID))
    assert pick([*again, *quote_all(desk, again)], StartRemote).peer == node(2)
    # Another request goes there at once, as it would not to a node at fault.
    assert pick(quote_all(desk, submit(desk, 2)), StartRemote).peer == node(1)


@pytest.mark.parametrize(("left", "cost_max"), [(COST - 1, MICROCREDITS_MAX), (10**6, COST - 1)])
def test_who_cannot_pay_is_told_what_is_missing(left: int, cost_max: int) -> None:
    # [REQUESTS-PAID.4]
    desk = make_desk(FakePayments(node(0), credits_left=left))
    error = get_error(quote_all(desk, submit(desk, cost_max=cost_max)))
    assert error.code is RequestErrorCode.OUT_OF_CREDITS
    assert f"it costs {COST}" in error.detail
    assert error.retry_after_us > 0


def test_out_of_credits_a_request_runs_on_an_own_engine_or_waits_for_one() -> None:
    # [REQUESTS-PAID.4]
    desk = make_desk(FakePayments(node(0), credits_left=0), slots=1)
    pick(submit(desk, 1, route=Route.AUTO), StartLocal)
    effects = quote_all(desk, submit(desk, 2, route=Route.AUTO))
    assert facts(effects, RequestQueued)
    assert not desk.get_ends()


def test_what_only_waits_for_a_block_waits_and_is_not_told_to_earn_credits() -> None:
    # [REQUESTS-PAID.17]
    payments = FakePayments(node(0))
    desk = make_desk(payments)
    payments.is_busy = True
    effects = quote_all(desk, submit(desk))
    assert facts(effects, RequestQueued)
    payments.is_busy = False
    effects = desk.wait(REPROBE_PERIOD_US + REPROBE_PERIOD_US // 5)
    assert pick([*effects, *quote_all(desk, effects)], StartRemote).peer == node(1)
    assert not desk.get_ends()


def test_a_dear_node_is_passed_over_for_a_cheap_one() -> None:
    # [REQUESTS-PAID.5]
    payments = FakePayments(node(0))
    desk = make_desk(payments)
    asked = probes(submit(desk, price_max=50))
    effects = [
        *desk.quote(asked[1], 1, finish_us=1, payment=make_price(60)),
        *desk.quote(asked[2], 2, finish_us=2, payment=make_price(50)),
    ]
    assert pick(effects, StartRemote).peer == node(2)


def test_where_all_are_too_dear_the_user_is_told() -> None:
    # [REQUESTS-PAID.5]
    desk = make_desk(FakePayments(node(0)))
    effects = submit(desk, price_max=50)
    while probes(effects):
        effects = quote_all(desk, effects, make_price(60))
    error = get_error(effects)
    assert error.code is RequestErrorCode.OUT_OF_CREDITS
    assert "more for a million tokens" in error.detail


def test_a_quote_without_a_readable_price_is_no_bid() -> None:
    desk = make_desk(FakePayments(node(0)))
    asked = probes(submit(desk, price_max=50))
    effects = [
        *desk.quote(asked[1], 1, finish_us=1),
        *desk.quote(asked[2], 2, finish_us=2, payment=b"\xc1 nonsense"),
    ]
    assert pick(effects, StartRemote).peer == node(2)


def make_price(price: int) -> bytes:
    """A price as payments read it; nobody looks at the signature."""
    firm = FirmQuote(node(1), node(0), "org/small", 0, price // 2, price, 2, 1_000, 1_000)
    return encode(SealedWord(encode(firm), bytes(64)))


# -- for others ----------------------------------------------------------------------------------


def test_a_quote_has_a_price_and_an_accept_is_signed() -> None:
    # [REQUESTS-PAID.6]
    payments = FakePayments(node(0))
    desk = Desk(served(2), payments=payments)
    message = pick(desk.tell(probe(7)), SendMessage).message
    assert isinstance(message, Quote)
    assert message.payment == b"price for \x01"
    accepted = pick(desk.tell(offer(3)), AcceptOffer)
    assert accepted.accept.payment == b"accepted"
    assert accepted.payment is not None
    assert accepted.payment.terms.payer == node(1)


def test_who_has_nothing_to_pay_with_is_quoted_nothing() -> None:
    # [REQUESTS-PAID.6]
    payments = FakePayments(node(0))
    payments.refused.add(node(1))
    desk = Desk(served(2), payments=payments)
    message = pick(desk.tell(probe(7)), SendMessage).message
    assert isinstance(message, Quote)
    assert (message.decline, message.payment) == (DeclineReason.UNPAID, b"")


def test_an_offer_that_does_not_pay_is_declined() -> None:
    # [REQUESTS-PAID.7]
    payments = FakePayments(node(0))
    payments.unpaid.add(SessionId(Role.EXECUTOR, 3))
    desk = Desk(served(2), payments=payments)
    assert pick(desk.tell(offer(3)), DeclineOffer).decline.reason is DeclineReason.UNPAID
    assert desk.requests.works_count == 0


def test_a_hold_is_taken_on_only_where_there_is_room_for_its_work() -> None:
    # [REQUESTS-PAID.7]
    payments = FakePayments(node(0))
    desk = Desk(served(1), payments=payments)
    desk.tell(offer(1))
    desk.tell(offer(2))
    assert payments.admitted == [SessionId(Role.EXECUTOR, 1)]


def test_a_work_that_nobody_pays_ends_and_its_origin_hears_why() -> None:
    # [REQUESTS-PAID.8]
    desk = Desk(served(1), payments=FakePayments(node(0)))
    accepted = pick(desk.tell(offer(1)), AcceptOffer)
    effects = desk.tell(WorkUnpaid(accepted.session))
    assert pick(effects, StopSession) == StopSession(accepted.session, FailureKind.UNPAID)
    assert [fact.error for fact in facts(effects, WorkFinished)] == ["unpaid"]
    assert list(pick_all(desk.tell(offer(2)), AcceptOffer)), "its slot is free"
    assert desk.tell(WorkUnpaid(accepted.session)) == [], "and it ends once"


def test_an_engine_is_not_at_fault_for_a_work_that_was_not_paid() -> None:
    # [REQUESTS-PAID.8]
    desk = Desk(served(1), served(1, engine="other"), payments=FakePayments(node(0)))
    accepted = pick(desk.tell(offer(1)), AcceptOffer)
    effects = desk.tell(failed(accepted.session, FailureKind.UNPAID, is_delivered=True))
    assert [fact.error for fact in facts(effects, WorkFinished)] == ["unpaid"]
    assert not list(pick_all(effects, AcceptOffer)), "no other engine takes over"
