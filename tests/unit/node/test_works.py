"""Another node's request holds a slot only while its origin makes room for the answer.

Two transports of this process are joined; the origin's side is the test's, and takes nothing.
"""

import asyncio

import pytest

from tests.joined_links import FULL, get_id, make_loopback
from tests.link_owners import Recorder
from wwwserve.adapters.host import MonotonicClock
from wwwserve.core.effects import AcceptOffer
from wwwserve.core.events import Event, OfferCancelled, OfferReceived
from wwwserve.core.sessions import ServedModel
from wwwserve.node.bodies import BodyStore
from wwwserve.node.streams import Works, delivery, works
from wwwserve.ports.transport import Link, ResetCode, StreamEnded
from wwwserve.values.limits import LINK_WINDOW_BYTES, STREAM_WINDOW_BYTES
from wwwserve.wire import (
    OFFER_VERSION,
    Accept,
    BodyPart,
    Endpoint,
    ModelOffer,
    Offer,
    Progress,
    RequestSummary,
    decode_frame,
    encode_frame,
)

MODEL = "org/small"


def send_some(link: Link) -> None:
    """Send on a new stream of our own as much as there is credit and room for now."""
    stream = link.open_stream()
    for frame in (FULL, bytes(1024), b""):
        while stream.try_send(frame):
            pass


async def test_an_origin_that_takes_no_answer_holds_no_slot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(works, "ACCEPT_WAIT_US", 1_000)
    heard: list[Event] = []
    make = make_loopback()
    transports = make(1), make(2)
    origin, executor = Recorder(), Recorder()
    address = await transports[1].listen("127.0.0.1:0", executor.on_link)
    link = await transports[0].dial(address, get_id(2), origin.on_link)
    async with asyncio.TaskGroup() as tasks:
        table = Works(
            engines={},
            bodies=BodyStore(),
            clock=MonotonicClock(),
            tasks=tasks,
            deliver=heard.append,
            on_engine_failed=lambda _: None,
            report_fault=lambda what, error: None,
        )
        stream = link.open_stream()
        summary = RequestSummary(bytes(16), Endpoint.CHAT, (MODEL,), 5, 0, 2)
        await stream.send(encode_frame(Offer(OFFER_VERSION, summary, 1, MODEL)))
        await stream.send(encode_frame(BodyPart(b"{}", is_last=True)))
        theirs = await executor.streams.get()
        there = await executor.links.get()
        await exhaust(there, link, executor)
        table.on_stream(get_id(1), theirs)
        (offered,) = heard
        assert isinstance(offered, OfferReceived)
        served = ServedModel(ModelOffer(MODEL), "engine", "small", 1)
        table.accept(AcceptOffer(offered.session, Accept(OFFER_VERSION, MODEL), served))
        await table.wait_none()
    assert heard[1:] == [OfferCancelled(offered.session)]
    with pytest.raises(StreamEnded) as ended:
        await stream.receive()
    assert ended.value.code is ResetCode.REFUSED
    for transport in transports:
        await transport.close()


async def test_an_origin_hears_that_a_silent_run_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "ALIVE_PERIOD_US", 1_000)
    make = make_loopback()
    transports = make(1), make(2)
    origin, executor = Recorder(), Recorder()
    address = await transports[1].listen("127.0.0.1:0", executor.on_link)
    link = await transports[0].dial(address, get_id(2), origin.on_link)
    stream = link.open_stream()
    summary = RequestSummary(bytes(16), Endpoint.CHAT, (MODEL,), 5, 0, 2)
    await stream.send(encode_frame(Offer(OFFER_VERSION, summary, 1, MODEL)))
    sender = delivery.Delivery(await executor.streams.get())
    with sender.telling(lambda: 7):
        for _ in range(3):
            told = await stream.receive()
            assert told is not None
            assert decode_frame(told) == Progress(7)
    for transport in transports:
        await transport.close()


async def exhaust(there: Link, link: Link, executor: Recorder) -> None:
    """Let the executor's end run out of credit: what it sends arrives, and nobody takes it."""
    for _ in range(2 * LINK_WINDOW_BYTES // STREAM_WINDOW_BYTES):
        send_some(there)
        assert link.send_message(b"so far?")
        await executor.messages.get()
