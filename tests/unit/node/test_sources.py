"""An answer of another node is waited for as long as it makes sense, and no longer.

Two transports of this process are joined; the executor's side is the test's.
"""

import asyncio

import pytest

from tests.joined_links import get_id, make_loopback
from tests.link_owners import Recorder
from wwwserve.node.streams import sources
from wwwserve.ports.transport import Stream, StreamEnded
from wwwserve.values.limits import ACCEPT_WAIT_US
from wwwserve.values.refusals import FailureKind
from wwwserve.wire import (
    OFFER_VERSION,
    Accept,
    Endpoint,
    Offer,
    Progress,
    RequestSummary,
    encode_frame,
)

MODEL = "org/small"
PAUSE_S = 0.02


async def say_alive(stream: Stream) -> None:
    """Take an offer, and then say for ever that it goes on."""
    await stream.send(encode_frame(Accept(OFFER_VERSION, MODEL)))
    while True:
        try:
            await stream.send(encode_frame(Progress(0)))
        except StreamEnded:
            return
        await asyncio.sleep(PAUSE_S)


async def read_on(source: sources.RemoteSource) -> None:
    while True:
        assert await source.read() == b""


async def test_an_executor_that_only_says_it_lives_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # It speaks ten times in each of the first: the second ends this.
    monkeypatch.setattr(sources, "STALL_US", 200_000)
    monkeypatch.setattr(sources, "STARVED_US", 400_000)
    make = make_loopback()
    transports = make(1), make(2)
    origin, executor = Recorder(), Recorder()
    address = await transports[1].listen("127.0.0.1:0", executor.on_link)
    link = await transports[0].dial(address, get_id(2), origin.on_link)
    summary = RequestSummary(bytes(16), Endpoint.CHAT, (MODEL,), 5, 0, 2)
    offer = Offer(OFFER_VERSION, summary, 1, MODEL)
    source = sources.RemoteSource(lambda: link, offer, b"{}", ACCEPT_WAIT_US)
    opening = asyncio.ensure_future(source.read())
    talking = asyncio.ensure_future(say_alive(await executor.streams.get()))
    assert await opening == b""
    with pytest.raises(sources.SourceFailed) as failed:
        await read_on(source)
    assert failed.value.kind is FailureKind.TIMEOUT
    await talking
    for transport in transports:
        await transport.close()
