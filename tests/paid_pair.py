"""Two nodes' data planes with real links, keys and holds between them; the test is both peers.

The origin's half is a `Replies`, the executor's a `Works` before a mock engine. What either would
tell its peer is written down, and answered as the simplest peer would.
"""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from tests.joined_links import get_id, get_key, make_loopback
from wwwserve.adapters.engines import MockEngineServer, MockSettings
from wwwserve.adapters.host import LibsodiumVerifier, MonotonicClock
from wwwserve.core.effects import (
    AcceptOffer,
    EndRequest,
    RequestError,
    RequestErrorCode,
    StartRemote,
    StopSession,
)
from wwwserve.core.events import (
    CancelRequest,
    Event,
    OfferReceived,
    PaymentProgressed,
    StreamEnded,
    StreamFailed,
)
from wwwserve.core.lanes import Lane
from wwwserve.core.paying import HoldTerms, PayeeTerms, PayerTerms
from wwwserve.core.sessions import Role, ServedModel, SessionId
from wwwserve.node.bodies import BodyStore
from wwwserve.node.config import EngineConfig, EngineKind
from wwwserve.node.engine_table import EngineTable
from wwwserve.node.engines import open_engine
from wwwserve.node.streams import NodeReply, Replies, Till, Works
from wwwserve.ports.peer_handle import UserRequest
from wwwserve.ports.transport import CloseReason, Link, Stream
from wwwserve.values.ids import RequestId
from wwwserve.values.limits import ACCEPT_WAIT_US
from wwwserve.values.model_names import ModelId
from wwwserve.wire import (
    OFFER_VERSION,
    Accept,
    Endpoint,
    ModelOffer,
    Offer,
    RequestSummary,
)
from wwwserve.wire.encoding import encode
from wwwserve.wire.ledger import (
    FeedOpener,
    FirmQuote,
    Hold,
    HoldAccept,
    compute_hold_id,
    compute_link,
    seal_feed,
)
from wwwserve.wire.paying import (
    PaidOffer,
    compute_quote_hash,
    compute_request_commitment,
    seal_payment,
)

PAYER, PAYEE = get_key(1), get_key(2)
LEDGER = b"l" * 32
MODEL = "org/small"
FIRST, UNIT, UNIT_TOKENS = 100, 7, 32
SALT = b"s" * 32


@dataclass(frozen=True, slots=True)
class PaidHold:
    """One hold, as each side has it."""

    frame: bytes
    payer: PayerTerms
    payee: PayeeTerms

    @property
    def terms(self) -> HoldTerms:
        return self.payer.terms


def make_hold(
    body: bytes, *, number: int = 1, units_max: int = 64, lead_units: int = 2
) -> PaidHold:
    """A hold for a request of this body, signed by its payer and accepted by its payee."""
    links = [hashlib.sha256(b"secret %d" % number).digest()]
    for _ in range(units_max):
        links.insert(0, compute_link(links[0]))
    quote = FirmQuote(PAYEE.node_id, PAYER.node_id, MODEL, 0, 1, 1, lead_units, 1_000, 10_000)
    digest = hashlib.sha256(body).digest()
    hold = Hold(
        n=number,
        payee=PAYEE.node_id,
        first=FIRST,
        unit=UNIT,
        units_max=units_max,
        unit_tokens=UNIT_TOKENS,
        anchor=links[0],
        req_commit=compute_request_commitment(MODEL, SALT, digest),
        quote_hash=compute_quote_hash(quote),
        deadline_ms=60_000,
        seed_epoch=0,
    )
    feed = seal_feed(
        (hold,),
        seq=number,
        previous=bytes(32),
        valid_until_ms=120_000,
        signer=PAYER,
        network_id=LEDGER,
    )
    hold_id = compute_hold_id(PAYER.node_id, number, number)
    terms = HoldTerms(
        hold_id=hold_id,
        payer=PAYER.node_id,
        payee=PAYEE.node_id,
        first=FIRST,
        unit=UNIT,
        units_max=units_max,
        unit_tokens=UNIT_TOKENS,
        anchor=links[0],
        lead_units=lead_units,
    )
    accept = seal_payment(HoldAccept(hold_id, 60_000), PAYEE, LEDGER)
    return PaidHold(
        encode(PaidOffer(feed, 0, quote, SALT)),
        PayerTerms(terms, b"".join(links), SALT),
        PayeeTerms(terms, is_covered=True, salt=SALT, accept=accept),
    )


@dataclass(slots=True, eq=False)
class _Owner:
    """Owns a link; streams go to the works, if there are any."""

    works: Works | None = None

    def on_link(self, link: Link) -> "_Owner":
        return self

    def on_link_message(self, link: Link, payload: bytes) -> None:
        """Nobody says anything."""

    def on_link_stream(self, link: Link, stream: Stream) -> None:
        assert self.works is not None
        self.works.on_stream(link.peer, stream)

    def on_link_closed(self, link: Link, reason: CloseReason) -> None:
        """Its streams know."""


@dataclass(slots=True, eq=False)
class PaidPair:
    """Both data planes."""

    engine: MockEngineServer
    link: Link
    replies: Replies
    works: Works
    at_origin: list[Event] = field(default_factory=list)
    at_executor: list[Event] = field(default_factory=list)
    payee: PayeeTerms | None = None
    """What the executor's peer admits the next offer to."""
    number: int = 0
    engine_name: str = ""

    # -- the peers -------------------------------------------------------------------------------

    def hear_origin(self, event: Event) -> None:
        """As the origin's peer, which tries nothing twice."""
        self.at_origin.append(event)
        request = RequestId(self.number.to_bytes(16, "big"))
        match event:
            case StreamEnded():
                self.replies.end(EndRequest(request, None))
            case StreamFailed(session, kind):
                error = RequestError(RequestErrorCode.FAILED, kind.name, session=session)
                self.replies.end(EndRequest(request, error))
            case CancelRequest():
                session = self.get_session()
                self.replies.stop(session)
                error = RequestError(RequestErrorCode.CANCELLED, "the user went away")
                self.replies.end(EndRequest(request, error))
            case _:
                pass

    def hear_executor(self, event: Event) -> None:
        """As the executor's peer, which takes every offer."""
        self.at_executor.append(event)
        if isinstance(event, OfferReceived):
            served = ServedModel(ModelOffer(MODEL), self.engine_name, "mock-model", 4)
            payment = self.payee
            accept = Accept(OFFER_VERSION, MODEL, payment.accept if payment else b"")
            self.works.accept(AcceptOffer(event.session, accept, served, payment))

    def get_session(self) -> SessionId:
        """The origin's newest session."""
        return SessionId(Role.ORIGIN, self.number)

    # -- what a test does ------------------------------------------------------------------------

    def ask(
        self,
        hold: PaidHold | None,
        *,
        body: bytes,
        frame: bytes | None = None,
        is_covered: bool = True,
        **wishes: Any,
    ) -> NodeReply:
        """Have a request answered by the executor, paid with a hold."""
        self.number += 1
        request_id = RequestId(self.number.to_bytes(16, "big"))
        wanted = UserRequest(
            endpoint=Endpoint.CHAT,
            models=(ModelId(MODEL),),
            public_model=MODEL,
            body=body,
            prompt_tokens=5,
            is_streamed=True,
            **wishes,
        )
        reply = self.replies.open(request_id, wanted)
        payment = hold.frame if hold is not None else b""
        self.payee = replace(hold.payee, is_covered=is_covered) if hold is not None else None
        summary = RequestSummary(request_id, Endpoint.CHAT, (MODEL,), 5, 0, len(body))
        self.replies.start_remote(
            StartRemote(
                session=self.get_session(),
                request=request_id,
                peer=PAYEE.node_id,
                offer=Offer(OFFER_VERSION, summary, 1, MODEL, payment if frame is None else frame),
                accept_wait_us=ACCEPT_WAIT_US,
                payment=hold.payer if hold is not None else None,
                lane=Lane.FEED,
            )
        )
        return reply

    def stop_at_executor(self, effect: StopSession) -> None:
        """As the executor's peer asks."""
        self.works.stop(effect.session, effect.failure)

    def list_paid(self, *, by_origin: bool) -> list[PaymentProgressed]:
        """What one side's peer was told of its holds."""
        told = self.at_origin if by_origin else self.at_executor
        return [event for event in told if isinstance(event, PaymentProgressed)]


def make_body(**mock: Any) -> bytes:
    """A chat request whose engine behaves as `mock` says."""
    messages = [{"role": "user", "content": "Hello"}]
    return json.dumps({"model": MODEL, "messages": messages, "mock": mock}).encode()


@asynccontextmanager
async def open_pair(**engine: Any) -> AsyncIterator[PaidPair]:
    """Two data planes, linked, before a mock engine."""
    verifier = LibsodiumVerifier()
    opener = FeedOpener(verifier, verifier, LEDGER, 4)
    clock = MonotonicClock()
    make = make_loopback()
    transports = make(1), make(2)
    there = _Owner()
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        mock = await stack.enter_async_context(MockEngineServer(MockSettings(**engine)))
        opened = open_engine(EngineConfig(url=mock.url, kind=EngineKind.OPENAI, slots=4))
        engines = EngineTable()
        stack.push_async_callback(engines.close)
        engines.put(opened)
        address = await transports[1].listen("127.0.0.1:0", there.on_link)
        link = await transports[0].dial(address, get_id(2), _Owner().on_link)
        for transport in transports:
            stack.push_async_callback(transport.close)

        def find_till(number: int) -> Till:
            return Till(get_key(number), opener)

        def hear_origin(event: Event) -> None:
            pair.hear_origin(event)

        def hear_executor(event: Event) -> None:
            pair.hear_executor(event)

        faults: list[BaseException] = []
        works = Works(
            engines=engines,
            bodies=BodyStore(),
            clock=clock,
            tasks=tasks,
            deliver=hear_executor,
            on_engine_failed=lambda _: None,
            report_fault=lambda _, error: faults.append(error),
            find_till=lambda: find_till(2),
        )
        replies = Replies(
            own=PAYER.node_id,
            engines={},
            bodies=BodyStore(),
            clock=clock,
            tasks=tasks,
            deliver=hear_origin,
            get_link=lambda _: link,
            on_engine_failed=lambda _: None,
            find_till=lambda: find_till(1),
        )
        pair = PaidPair(mock, link, replies, works)
        pair.engine_name = opened.name
        there.works = works
        yield pair
        assert faults == []
        works.stop_all()
        await works.wait_none()
