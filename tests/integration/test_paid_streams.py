"""What each side of a paid stream has at its end, to the unit, however it ends.

The data planes of two nodes (`tests/paid_pair.py`) with real links, signatures and hash chains.
`FIRST` is what the prompt costs, `UNIT` each 32 tokens after it.
"""

import asyncio
import json

import pytest

from tests.integration.world import read_all, read_into, wait_until
from tests.paid_pair import (
    FIRST,
    MODEL,
    UNIT,
    UNIT_TOKENS,
    PaidPair,
    make_body,
    make_hold,
    open_pair,
)
from wwwserve.core.effects import ExtendPayment, StopSession, TakeExtension
from wwwserve.core.events import (
    ExtensionReceived,
    FirstOutput,
    HoldRunsOut,
    OfferCancelled,
    OfferReceived,
    PaymentProgressed,
    StreamEnded,
    StreamFailed,
)
from wwwserve.core.lanes import Lane
from wwwserve.core.paying import AHEAD
from wwwserve.node.streams.paying import OPENED_AT_ONCE_BYTES_MAX
from wwwserve.ports.peer_handle import RequestFailed
from wwwserve.values.refusals import FailureKind
from wwwserve.wire import Unit, encode_frame


def count_tokens(events: bytes) -> int:
    """Words in a stream; the first event may have an empty one beside its role."""
    return events.count(b'"content":"') - events.count(b'"content":""')


def get_last(pair: PaidPair, *, by_origin: bool) -> PaymentProgressed:
    """The last word on a session's money, of which there is exactly one."""
    told = pair.list_paid(by_origin=by_origin)
    assert [news.is_last for news in told] == [False] * (len(told) - 1) + [True]
    return told[-1]


def get_paid(news: PaymentProgressed) -> tuple[bytes, int, bytes]:
    return news.hold_id, news.depth, news.preimage


async def settle(pair: PaidPair) -> tuple[PaymentProgressed, PaymentProgressed]:
    """Both sides' last words, once the executor waits for nothing any more."""
    async with asyncio.timeout(10):
        await pair.works.wait_none()
    return get_last(pair, by_origin=True), get_last(pair, by_origin=False)


def find_failure(pair: PaidPair, *, by_origin: bool) -> FailureKind | None:
    told = pair.at_origin if by_origin else pair.at_executor
    return next((event.kind for event in told if isinstance(event, StreamFailed)), None)


@pytest.mark.parametrize("lead", [2, AHEAD])
@pytest.mark.parametrize(
    ("tokens", "depth"), [(1, 1), (15, 1), (16, 2), (32, 2), (47, 2), (48, 3), (1_000, 32)]
)
async def test_a_whole_answer_is_paid_to_the_unit(tokens: int, depth: int, lead: int) -> None:
    # [REQUESTS-PAID.9]
    body = make_body(tokens=tokens)
    async with open_pair() as pair:
        hold = make_hold(body, lead_units=lead)
        reply = pair.ask(hold, body=body)
        events = await read_all(reply)
        assert count_tokens(events) == tokens
        mine, theirs = await settle(pair)
    # Who pays ahead has shown the unit under way, and the one after it.
    assert mine.depth == (2 + tokens // UNIT_TOKENS if lead == AHEAD else depth)
    assert get_paid(mine) == get_paid(theirs)
    assert reply.info.cost == FIRST + (mine.depth - 1) * UNIT
    assert any(isinstance(event, StreamEnded) for event in pair.at_executor)


async def test_an_unpaid_stream_is_what_it_was() -> None:
    body = make_body(tokens=40)
    async with open_pair() as pair:
        pair.replies.find_till = lambda: None
        reply = pair.ask(None, body=body)
        events = await read_all(reply)
        await pair.works.wait_none()
        assert reply.info.cost is None
        assert b"wwwserve" not in events
        assert not pair.list_paid(by_origin=True)
        assert not pair.list_paid(by_origin=False)


async def test_a_user_who_leaves_has_paid_for_what_came() -> None:
    # [REQUESTS-PAID.9]
    body = make_body(tokens=10_000, pace_us=500)
    async with open_pair() as pair:
        hold = make_hold(body, units_max=512)
        reply = pair.ask(hold, body=body)
        received = b""
        while count_tokens(received) < 100:
            received += await reply.read() or b""
        tokens = count_tokens(received)
        reply.cancel()
        mine, theirs = await settle(pair)
        await wait_until(lambda: pair.engine.counts.running == 0)
    assert mine.depth == 1 + tokens // UNIT_TOKENS
    assert mine.depth - 1 <= theirs.depth <= mine.depth
    assert reply.info.cost == FIRST + (mine.depth - 1) * UNIT
    assert any(isinstance(event, OfferCancelled) for event in pair.at_executor)


async def test_an_executor_that_dies_keeps_what_it_delivered() -> None:
    # [REQUESTS-PAID.9]
    body = make_body(tokens=10_000, pace_us=500)
    async with open_pair() as pair:
        reply = pair.ask(make_hold(body, units_max=512), body=body)
        received = b""
        while count_tokens(received) < 100:
            received += await reply.read() or b""
        pair.works.stop_all()
        pieces = [received]
        with pytest.raises(RequestFailed):
            await read_into(pieces, reply)
        mine, theirs = await settle(pair)
    tokens = count_tokens(b"".join(pieces))
    assert mine.depth == 1 + tokens // UNIT_TOKENS
    assert theirs.depth <= mine.depth


async def test_an_engine_that_fails_before_a_word_costs_nothing() -> None:
    body = make_body(fail="before")
    async with open_pair() as pair:
        reply = pair.ask(make_hold(body), body=body)
        with pytest.raises(RequestFailed):
            await read_all(reply)
        mine, theirs = await settle(pair)
    assert (mine.depth, theirs.depth, reply.info.cost) == (0, 0, 0)


async def test_who_stops_paying_gets_no_more_than_the_lead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # [REQUESTS-PAID.10]
    monkeypatch.setattr("wwwserve.node.streams.paying.PAYMENT_WAIT_US", 100_000)
    monkeypatch.setattr("wwwserve.node.streams.paying.Purse._send_unit", lambda _purse, _unit: None)
    body = make_body(tokens=10_000)
    async with open_pair() as pair:
        reply = pair.ask(make_hold(body, units_max=512), body=body)
        pieces: list[bytes] = []
        with pytest.raises(RequestFailed, match="UNPAID"):
            await read_into(pieces, reply)
        _, theirs = await settle(pair)
        assert pair.engine.counts.running == 0
    assert theirs.depth == 0
    tokens = count_tokens(b"".join(pieces))
    assert tokens <= 3 * UNIT_TOKENS, "the prompt and the units of the lead, and one piece"
    assert find_failure(pair, by_origin=True) is FailureKind.UNPAID
    assert find_failure(pair, by_origin=False) is FailureKind.UNPAID


async def test_who_pays_nothing_ahead_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    # [REQUESTS-PAID.10]
    monkeypatch.setattr("wwwserve.node.streams.paying.PAYMENT_WAIT_US", 100_000)
    monkeypatch.setattr("wwwserve.node.streams.paying.Purse._send_unit", lambda _purse, _unit: None)
    body = make_body(tokens=100)
    async with open_pair() as pair:
        reply = pair.ask(make_hold(body, lead_units=AHEAD), body=body)
        pieces: list[bytes] = []
        with pytest.raises(RequestFailed, match="UNPAID"):
            await read_into(pieces, reply)
        await settle(pair)
    assert pieces == []


async def test_output_is_held_until_the_hold_is_final() -> None:
    # [REQUESTS-PAID.11]
    body = make_body(tokens=100)
    async with open_pair() as pair:
        reply = pair.ask(make_hold(body), body=body, is_covered=False)
        reading = asyncio.create_task(read_all(reply))
        await wait_until(lambda: pair.engine.counts.finished == 1)
        await wait_until(lambda: any(isinstance(one, FirstOutput) for one in pair.at_executor))
        assert not any(isinstance(one, FirstOutput) for one in pair.at_origin)
        (offered,) = [one for one in pair.at_executor if isinstance(one, OfferReceived)]
        pair.works.release(offered.session)
        assert count_tokens(await reading) == 100
        mine, theirs = await settle(pair)
    assert get_paid(mine) == get_paid(theirs)


async def test_a_work_whose_hold_never_is_final_ends_as_unpaid() -> None:
    # [REQUESTS-PAID.8]
    body = make_body(tokens=100)
    async with open_pair() as pair:
        reply = pair.ask(make_hold(body), body=body, is_covered=False)
        reading = asyncio.create_task(read_all(reply))
        await wait_until(lambda: pair.engine.counts.finished == 1)
        (offered,) = [one for one in pair.at_executor if isinstance(one, OfferReceived)]
        pair.stop_at_executor(StopSession(offered.session, FailureKind.UNPAID))
        with pytest.raises(RequestFailed, match="UNPAID"):
            await reading
        mine, _ = await settle(pair)
    assert mine.depth == 0


@pytest.mark.parametrize("unit", [Unit(1, b"x" * 32), Unit(1_000, b"x" * 32)])
async def test_a_unit_that_pays_nothing_breaks_the_stream(
    unit: Unit, monkeypatch: pytest.MonkeyPatch
) -> None:
    # [REQUESTS-PAID.12]
    body = make_body(tokens=10_000, pace_us=500)
    async with open_pair() as pair:
        monkeypatch.setattr(
            "wwwserve.node.streams.paying.Purse._send_unit",
            lambda purse, _: purse._send(encode_frame(unit)),  # noqa: SLF001
        )
        reply = pair.ask(make_hold(body, units_max=512), body=body)
        with pytest.raises(RequestFailed, match="BROKEN"):
            await read_all(reply)
        _, theirs = await settle(pair)
    assert theirs.depth == 0
    assert any(isinstance(event, OfferCancelled) for event in pair.at_executor)


@pytest.mark.parametrize("kind", ["another request", "not a payment", "longer, and no payment"])
async def test_a_hold_for_something_else_breaks_the_stream(kind: str) -> None:
    # [REQUESTS-PAID.7]
    body = make_body(tokens=5)
    other = make_hold(make_body(tokens=6)).frame
    frames = {
        "another request": other,
        "not a payment": b"\xc1",
        "longer, and no payment": b"\xc1" * 10_000,
    }
    async with open_pair() as pair:
        reply = pair.ask(make_hold(body), body=body, frame=frames[kind])
        with pytest.raises(RequestFailed, match="BROKEN"):
            await read_all(reply)
        await pair.works.wait_none()
        assert not any(isinstance(one, OfferReceived) for one in pair.at_executor)
        assert get_last(pair, by_origin=True).depth == 0


async def test_an_extended_hold_goes_on_where_the_first_ended() -> None:
    # [REQUESTS-PAID.13]
    body = make_body(tokens=200, pace_us=500)
    async with open_pair() as pair:
        first = make_hold(body, number=1, units_max=4)
        second = make_hold(body, number=2, units_max=16)
        reply = pair.ask(first, body=body)
        reading = asyncio.create_task(read_all(reply))
        await wait_until(lambda: any(isinstance(one, HoldRunsOut) for one in pair.at_origin))
        session = pair.get_session()
        pair.replies.extend(ExtendPayment(session, second.frame, second.payer, Lane.FEED))
        await wait_until(lambda: any(isinstance(e, ExtensionReceived) for e in pair.at_executor))
        (offered,) = [one for one in pair.at_executor if isinstance(one, ExtensionReceived)]
        assert offered.hold.hold_id == second.terms.hold_id
        pair.works.extend(TakeExtension(offered.session, second.payee))
        assert count_tokens(await reading) == 200
        mine, theirs = await settle(pair)
        before = [news for news in pair.list_paid(by_origin=True) if not news.is_last]
    assert get_paid(mine) == get_paid(theirs)
    assert mine.hold_id == second.terms.hold_id
    assert [news.hold_id for news in before] == [first.terms.hold_id]
    (paid,) = before
    told = pair.at_executor[: pair.at_executor.index(offered)]
    shown = [news for news in told if isinstance(news, PaymentProgressed)][-1]
    assert get_paid(shown) == get_paid(paid), "all of the first is known before it is claimed"
    units = paid.depth - 1 + mine.depth
    assert units == (2 * 200 + UNIT_TOKENS) // (2 * UNIT_TOKENS)


async def test_an_extension_that_takes_long_to_open_breaks_the_stream() -> None:
    # [LEDGER-OPEN.1]
    body = make_body(tokens=200, pace_us=500)
    async with open_pair() as pair:
        second = make_hold(body, number=2)
        reply = pair.ask(make_hold(body, units_max=4), body=body)
        reading = asyncio.create_task(read_all(reply))
        await wait_until(lambda: any(isinstance(one, HoldRunsOut) for one in pair.at_origin))
        frame = second.frame + bytes(OPENED_AT_ONCE_BYTES_MAX)
        pair.replies.extend(ExtendPayment(pair.get_session(), frame, second.payer, Lane.FEED))
        with pytest.raises(RequestFailed, match="BROKEN"):
            await reading
        await settle(pair)
    assert not any(isinstance(one, ExtensionReceived) for one in pair.at_executor)


async def test_an_accept_for_another_hold_is_not_believed() -> None:
    # [REQUESTS-PAID.14]
    body = make_body(tokens=5)
    async with open_pair() as pair:
        hold, other = make_hold(body), make_hold(body, number=2)
        reply = pair.ask(hold, body=body)
        pair.payee = other.payee
        with pytest.raises(RequestFailed, match="BROKEN"):
            await read_all(reply)
        assert get_last(pair, by_origin=True).depth == 0


async def test_without_a_good_final_the_last_unit_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # [REQUESTS-PAID.14]
    monkeypatch.setattr("wwwserve.node.streams.paying.FINAL_UNIT_WAIT_US", 50_000)
    body = make_body(tokens=60)
    async with open_pair() as pair:
        monkeypatch.setattr(
            "wwwserve.node.streams.paying.Till.seal_final", lambda *_: b"\xc1 not signed"
        )
        events = await read_all(pair.ask(make_hold(body), body=body))
        assert count_tokens(events) == 60, "the answer is whole all the same"
        mine, theirs = await settle(pair)
    assert (mine.depth, theirs.depth) == (2, 2), "of the three it would have been"


async def test_the_engine_is_free_before_the_last_unit_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # [REQUESTS-PAID.15]
    monkeypatch.setattr("wwwserve.node.streams.paying.FINAL_UNIT_WAIT_US", 200_000)
    monkeypatch.setattr("wwwserve.node.streams.paying.Purse.settle", lambda _purse, _tokens: None)
    body = make_body(tokens=60)
    async with open_pair() as pair:
        await read_all(pair.ask(make_hold(body), body=body))
        await wait_until(lambda: any(isinstance(one, StreamEnded) for one in pair.at_executor))
        assert pair.works.count == 1, "it still waits for its last unit"
        assert not any(news.is_last for news in pair.list_paid(by_origin=False))
        _, theirs = await settle(pair)
    assert theirs.depth == 2


async def test_no_token_is_paid_without_a_byte_of_text(monkeypatch: pytest.MonkeyPatch) -> None:
    # [REQUESTS-PAID.18]
    usage = {"prompt_tokens": 7, "completion_tokens": 100_000}
    monkeypatch.setattr("wwwserve.adapters.engines.mock_answers._usage", lambda _: usage)
    body = make_body(tokens=100)
    async with open_pair() as pair:
        reply = pair.ask(make_hold(body, units_max=512), body=body)
        events = (await read_all(reply)).decode().split("\n\n")
        mine, theirs = await settle(pair)
        ends = [one for one in pair.at_origin + pair.at_executor if isinstance(one, StreamEnded)]
    chunks = [json.loads(event[6:]) for event in events if event.startswith("data: {")]
    deltas = [choice["delta"] for chunk in chunks for choice in chunk["choices"]]
    text = "".join(delta.get("content") or "" for delta in deltas).encode()
    assert [end.text_bytes for end in ends] == [len(text)] * 2
    assert get_paid(mine) == get_paid(theirs)
    assert mine.depth == 1 + (2 * len(text) + UNIT_TOKENS) // (2 * UNIT_TOKENS)


async def test_a_user_learns_what_a_stream_cost() -> None:
    # [REQUESTS-PAID.16]
    body = make_body(tokens=40)
    async with open_pair() as pair:
        reply = pair.ask(make_hold(body), body=body, shows_usage=True)
        events = (await read_all(reply)).decode().split("\n\n")
        await settle(pair)
    assert reply.info.cost == FIRST + UNIT
    assert events[-3:] == [": x-wwwserve-cost 0.000107", "data: [DONE]", ""]
    usage = json.loads(events[-4].removeprefix("data: "))
    assert usage["usage"]["x-wwwserve-cost"] == pytest.approx(0.000107)
    assert usage["usage"]["completion_tokens"] == 40
    assert usage["model"] == MODEL
