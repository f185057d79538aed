"""A stranger with an account: it pays as a node would, or as no node would, and is paid likewise.

Everything it signs is good unless a test spoils it. One key may stand behind several strangers,
each with a link of its own, so that one account can promise the same to many nodes at once.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from msgspec.structs import replace

from tests.integration.paid_market import Market
from tests.integration.stranger import MODEL, Stranger
from tests.integration.world import wait_until
from wwwserve.core.payments.prices import plan_hold
from wwwserve.core.pricing import Prices
from wwwserve.ports.transport import ResetCode, Stream, StreamEnded
from wwwserve.values.refusals import DeclineReason, FailureKind
from wwwserve.wire import (
    OFFER_VERSION,
    Accept,
    BodyPart,
    Decline,
    Endpoint,
    Failed,
    Offer,
    Output,
    Probe,
    Quote,
    RequestSummary,
    Unit,
    decode_frame,
    encode,
    encode_frame,
)
from wwwserve.wire.chain import FEED_HOPS_MAX, FeedTold
from wwwserve.wire.ledger import (
    FirmQuote,
    Hold,
    Op,
    SealedFeed,
    compute_hold_id,
    compute_link,
    seal_feed,
)
from wwwserve.wire.paying import (
    PaidOffer,
    compute_quote_hash,
    compute_request_commitment,
    read_quote,
    seal_payment,
)

PROMPT_TOKENS = 5
SALT = b"s" * 32
EXPECTED_TOKENS = 512
DEADLINE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Pledge:
    """A hold, as it is offered."""

    hold: Hold
    hold_id: bytes
    feed: SealedFeed
    quote: FirmQuote
    links: tuple[bytes, ...]
    """By depth; the first is the anchor."""

    @property
    def frame(self) -> bytes:
        """`Offer.payment`."""
        return encode(PaidOffer(self.feed, 0, self.quote, SALT))

    @property
    def locked(self) -> int:
        return self.compute_pay(self.hold.units_max)

    def compute_pay(self, depth: int) -> int:
        return self.hold.first + (depth - 1) * self.hold.unit if depth else 0

    def show(self, depth: int) -> Unit:
        return Unit(depth, self.links[depth])


@dataclass(slots=True)
class Taken:
    """All that came on a stream."""

    is_accepted: bool = False
    decline: DeclineReason | None = None
    output: bytearray = field(default_factory=bytearray)
    failure: FailureKind | None = None
    reset: ResetCode | None = None
    tokens: int = 0


Pay = Callable[[int], Unit | None]
"""What is shown when so many tokens have come; called first when the offer is accepted."""


def pay_nothing(_: int) -> None:
    """Show no unit, ever."""


def pay_ahead(pledge: Pledge) -> Pay:
    """Show every unit one before it is earned."""
    shown = 0

    def pay(tokens: int) -> Unit | None:
        nonlocal shown
        depth = min(2 + tokens // pledge.hold.unit_tokens, pledge.hold.units_max)
        if depth <= shown:
            return None
        shown = depth
        return pledge.show(depth)

    return pay


def make_body(**mock: Any) -> bytes:
    """A chat request whose engine behaves as `mock` says."""
    messages = [{"role": "user", "content": "Hello"}]
    return json.dumps({"model": MODEL, "messages": messages, "mock": mock}).encode()


def summarise(body: bytes) -> RequestSummary:
    return RequestSummary(bytes(16), Endpoint.CHAT, (MODEL,), PROMPT_TOKENS, 0, len(body))


class PaidStranger(Stranger):
    """A hostile member of a market."""

    def __init__(self, market: Market, number: int = 99) -> None:
        super().__init__(market.world, number, market.network_id)
        self.market = market
        self.lead_units = 2
        """In its own quotes."""
        self.prices = Prices(prompt=1, completion=1)
        """The same; so low that everybody wants it."""
        self.taken: list[Offer] = []
        """Offers made to it."""

    # -- as a payer ------------------------------------------------------------------------------

    async def ask(self, body: bytes) -> FirmQuote:
        """What the node it is linked with asks of it."""
        before = len(self.quotes)
        self.say(Probe(before + 1, summarise(body)))
        await wait_until(lambda: len(self.quotes) > before)
        quote = self.quotes[-1]
        assert quote.decline is None, quote.decline
        return read_quote(quote.payment)

    def sign(self, *ops: Op, seq: int = 0, network_id: bytes = b"") -> SealedFeed:
        """Its next feed block; `seq` counts from there on."""
        account, ledger = self.market.find(self.node_id), self.market.ledger
        return seal_feed(
            ops,
            seq=account.seq + 1 + seq,
            previous=account.head,
            valid_until_ms=ledger.time_ms + ledger.parameters.feed_life_ms,
            signer=self.key,
            network_id=network_id or self.network_id,
        )

    def pledge(
        self, quote: FirmQuote, body: bytes, *, seq: int = 0, network_id: bytes = b"", **hold: Any
    ) -> Pledge:
        """A hold for a quote, good but for what `hold` says of it."""
        parameters = self.market.ledger.parameters
        prices = Prices(quote.prompt_price, quote.completion_price)
        plan = plan_hold(prices, PROMPT_TOKENS, EXPECTED_TOKENS, EXPECTED_TOKENS, parameters)
        links = [hashlib.sha256(b"end" + encode(quote) + bytes([seq])).digest()]
        for _ in range(plan.units_max):
            links.insert(0, compute_link(links[0]))
        digest = hashlib.sha256(body).digest()
        op = Hold(
            n=1,
            payee=quote.executor,
            first=plan.first,
            unit=plan.unit,
            units_max=plan.units_max,
            unit_tokens=plan.unit_tokens,
            anchor=links[0],
            req_commit=compute_request_commitment(MODEL, SALT, digest),
            quote_hash=compute_quote_hash(quote),
            deadline_ms=DEADLINE_MS,
            seed_epoch=self.market.ledger.epoch,
        )
        op = replace(op, **hold)
        number = self.market.find(self.node_id).seq + 1 + seq
        hold_id = compute_hold_id(self.node_id, number, op.n)
        feed = self.sign(op, seq=seq, network_id=network_id)
        return Pledge(op, hold_id, feed, quote, tuple(links))

    async def offer(self, payment: bytes, body: bytes) -> Stream:
        """Offer a request to the node it is linked with."""
        assert self.link is not None
        stream = self.link.open_stream()
        offer = Offer(OFFER_VERSION, summarise(body), 1, MODEL, payment)
        await stream.send(encode_frame(offer))
        await stream.send(encode_frame(BodyPart(body, is_last=True)))
        return stream

    async def run(self, payment: bytes, body: bytes, pay: Pay = pay_nothing) -> Taken:
        """Offer a request, pay as `pay` says, and take all that comes."""
        return await take(await self.offer(payment, body), pay)

    def tell(self, feed: SealedFeed) -> None:
        """Bring a feed block to the node it is linked with."""
        self.say(FeedTold(feed, FEED_HOPS_MAX))

    # -- as a payee ------------------------------------------------------------------------------

    def make_quote(self, probe: Probe) -> Quote:
        """Irresistible."""
        assert self.link is not None
        ledger = self.market.ledger
        firm = FirmQuote(
            executor=self.node_id,
            peer=self.link.peer,
            model=MODEL,
            prompt_tokens=0,
            prompt_price=self.prices.prompt,
            completion_price=self.prices.completion,
            lead_units=self.lead_units,
            first_token_ms=1,
            expiry_ms=ledger.time_ms + 60_000,
        )
        return Quote(
            probe.probe,
            decline=None,
            model=MODEL,
            first_token_us=1,
            finish_us=2,
            expiry_us=10_000_000,
            payment=seal_payment(firm, self.key, self.network_id),
        )

    async def _take_offer(self, stream: Stream) -> None:
        while True:
            data = await stream.receive()
            assert data is not None
            frame = decode_frame(data)
            if isinstance(frame, Offer):
                self.taken.append(frame)
            if isinstance(frame, BodyPart) and frame.is_last:
                break
        await self.execute(stream)


async def take(stream: Stream, pay: Pay) -> Taken:
    """Everything an executor says, paid as `pay` says."""
    taken = Taken()
    try:
        while (data := await stream.receive()) is not None:
            frame = decode_frame(data)
            _note(taken, frame)
            unit = pay(taken.tokens) if isinstance(frame, Accept | Output) else None
            if unit is not None:
                await stream.send(encode_frame(unit))
    except StreamEnded as ended:
        taken.reset = ended.code
    return taken


def _note(taken: Taken, frame: object) -> None:
    match frame:
        case Accept():
            taken.is_accepted = True
        case Decline(reason):
            taken.decline = reason
        case Output(data):
            taken.output += data
            taken.tokens += data.count(b'"content":"') - data.count(b'"content":""')
        case Failed(kind):
            taken.failure = kind
        case _:
            pass
