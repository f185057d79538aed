"""A work whose engine fails before any output goes on on another; its origin sees one answer.

Two transports of this process are joined; the origin's side and the peer's decisions are the
test's, the engines are emulated ones behind real HTTP, one of which answers 500 to everything.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from tests.joined_links import get_id, make_loopback
from tests.link_owners import Recorder
from wwwserve.adapters.engines import (
    EmulatedSettings,
    EngineSettings,
    HttpEngine,
    open_http_engine,
    parse_fault,
)
from wwwserve.adapters.engines.emulated import open_emulated
from wwwserve.adapters.host import MonotonicClock
from wwwserve.core.effects import AcceptOffer
from wwwserve.core.events import Event, OfferReceived, StreamEnded, StreamFailed
from wwwserve.core.sessions import ServedModel
from wwwserve.enginemodel import find_profile
from wwwserve.node.bodies import BodyStore
from wwwserve.node.streams import Works
from wwwserve.ports.transport import Stream
from wwwserve.values.refusals import FailureKind
from wwwserve.wire import (
    OFFER_VERSION,
    Accept,
    BodyPart,
    Ended,
    Endpoint,
    Failed,
    ModelOffer,
    Offer,
    Output,
    RequestSummary,
    decode_frame,
    encode_frame,
)

PROFILE = find_profile("RTX-4090:Qwen3-0.6B")
MODEL = "qwen/qwen3-0.6b"
BODY = json.dumps(
    {"messages": [{"role": "user", "content": "Hello"}], "stream": True, "max_tokens": 8}
).encode()
WAIT_S = 20
"""Far above what it takes: a test that needs it all has failed."""


@dataclass
class Decider:
    """Plays the peer: which engines an offer is run on, one after another."""

    plan: list[str]
    works: Works | None = None
    heard: list[Event] = field(default_factory=list)
    failed_engines: list[str] = field(default_factory=list)
    is_over: asyncio.Event = field(default_factory=asyncio.Event)

    def hear(self, event: Event) -> None:
        self.heard.append(event)
        if isinstance(event, OfferReceived | StreamFailed) and self.plan:
            assert self.works is not None
            served = ServedModel(ModelOffer(MODEL), self.plan.pop(0), PROFILE.model, 1)
            self.works.accept(AcceptOffer(event.session, Accept(OFFER_VERSION, MODEL), served))
        elif isinstance(event, StreamEnded | StreamFailed):
            self.is_over.set()


@asynccontextmanager
async def open_engine(name: str, *faults: str) -> AsyncIterator[HttpEngine]:
    settings = EmulatedSettings(
        PROFILE, speedup=100, faults=tuple(parse_fault(fault) for fault in faults)
    )
    async with open_emulated(settings, lambda: None) as url:
        engine = open_http_engine(EngineSettings(name, url))
        try:
            yield engine
        finally:
            await engine.close()


async def serve(decider: Decider) -> list[object]:
    """Offer one request to an executor with a failing and a good engine; gives all it answered."""
    make = make_loopback()
    transports = make(1), make(2)
    origin, executor = Recorder(), Recorder()
    address = await transports[1].listen("127.0.0.1:0", executor.on_link)
    link = await transports[0].dial(address, get_id(2), origin.on_link)
    async with (
        asyncio.timeout(WAIT_S),
        open_engine("bad", "5xx") as bad,
        open_engine("good") as good,
        asyncio.TaskGroup() as tasks,
    ):
        decider.works = Works(
            engines={"bad": bad, "good": good},
            bodies=BodyStore(),
            clock=MonotonicClock(),
            tasks=tasks,
            deliver=decider.hear,
            on_engine_failed=decider.failed_engines.append,
            report_fault=lambda what, error: pytest.fail(f"{what}: {error!r}"),
        )
        stream = link.open_stream()
        summary = RequestSummary(bytes(16), Endpoint.CHAT, (MODEL,), 5, 8, len(BODY))
        await stream.send(encode_frame(Offer(OFFER_VERSION, summary, 1, MODEL)))
        await stream.send(encode_frame(BodyPart(BODY, is_last=True)))
        decider.works.on_stream(get_id(1), await executor.streams.get())
        frames = await read_all(stream)
        await decider.works.wait_none()
        await decider.is_over.wait()
    for transport in transports:
        await transport.close()
    return frames


async def read_all(stream: Stream) -> list[object]:
    frames: list[object] = []
    while (data := await stream.receive()) is not None:
        frames.append(decode_frame(data))
    return frames


async def test_an_origin_sees_one_answer_though_the_first_engine_failed() -> None:
    # [REQUESTS-ENGINES.3]
    decider = Decider(["bad", "good"])
    frames = await serve(decider)
    assert [type(frame) for frame in frames[:2]] == [Accept, Output]
    assert isinstance(frames[-1], Ended)
    assert frames[-1].usage.completion_tokens == 8
    text = b"".join(frame.data for frame in frames if isinstance(frame, Output))
    assert text.count(b"[DONE]") == 1
    assert decider.failed_engines == ["bad"]
    assert sum(isinstance(event, StreamFailed) for event in decider.heard) == 1


async def test_an_origin_hears_of_the_last_failure_once_no_engine_is_left() -> None:
    # [REQUESTS-ENGINES.3]
    decider = Decider(["bad", "bad"])
    frames = await serve(decider)
    assert [type(frame) for frame in frames] == [Accept, Failed]
    assert isinstance(frames[-1], Failed)
    assert frames[-1].kind is FailureKind.UNAVAILABLE
    failures = [event for event in decider.heard if isinstance(event, StreamFailed)]
    assert [failure.is_delivered for failure in failures] == [False, False]
