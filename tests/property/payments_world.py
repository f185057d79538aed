"""A town of nodes that pay each other: real payments, meters and ledger; pretend keys and wallets.

Requests run between a payer and an executor over two pipes. What is on its way arrives when a test
says so; either end may die, fall silent or lie at any moment. Afterwards `settle` lets everything
come to its end, and `payments_walk` compares, in micro-credits, what was delivered with what was
paid.
"""

from dataclasses import dataclass, field
from typing import cast

from tests.fakes.honest_wallet import HonestWallet
from tests.property.ledger_world import Anyone, Pen, name
from tests.property.payments_stream import (
    DIGEST,
    MODEL,
    Stream,
    make_summary,
    make_town_genesis,
)
from wwwserve.core.chain import Chain, LedgerView
from wwwserve.core.effects import ExtendPayment, Persist, ReleaseOutput, Report, TakeExtension
from wwwserve.core.entropy import Entropy
from wwwserve.core.events import (
    DeadlineReached,
    ExtensionReceived,
    FirstOutput,
    HoldRunsOut,
    PaymentProgressed,
    StreamEnded,
    StreamFailed,
    StreamOpened,
)
from wwwserve.core.ledger import Ledger
from wwwserve.core.ledger_facts import HoldSettled, LedgerFact
from wwwserve.core.paying import PayeeTerms, PayerTerms, PayOrder, Unpayable, WorkUnpaid
from wwwserve.core.payments import (
    BlockApplied,
    ClaimHold,
    CountsDiffer,
    ForwardHold,
    HoldOver,
    KeepPreimage,
    PayeeMeter,
    PayerMeter,
    Payments,
    PaymentsEffect,
    PaymentsEvent,
    PaymentsSetup,
    ProveFork,
    SubmitHold,
)
from wwwserve.core.sessions import Role, SessionId
from wwwserve.values.credits import MICROCREDITS_MAX
from wwwserve.values.moments import MILLISECOND, Moment
from wwwserve.values.refusals import DeclineReason, FailureKind
from wwwserve.wire import Quote, RequestSummary, Usage
from wwwserve.wire.ledger import (
    FeedOpener,
    OpenedFeed,
    SealedFeed,
    compute_genesis_id,
    seal_block,
)
from wwwserve.wire.paying import OpenedHold, open_paid_offer
from wwwserve.wire.requests import Unit


@dataclass
class _Chain:
    """As much of a chain as the ledger's view asks for."""

    ledger: Ledger
    fork: None = None


@dataclass
class Node:
    """One member."""

    number: int
    wallet: HonestWallet
    payments: Payments
    is_alive: bool = True
    refused: list[str] = field(default_factory=list)
    effects: list[PaymentsEffect] = field(default_factory=list)


class Town:
    """The ledger, its members and their streams."""

    def __init__(self) -> None:
        self.genesis = make_town_genesis()
        self.network_id = compute_genesis_id(self.genesis)
        self.ledger = Ledger.from_genesis(self.genesis)
        self.view = LedgerView(cast("Chain", _Chain(self.ledger)))
        self.opener = FeedOpener(Anyone(), Anyone(), self.network_id, puzzle_memory_log2=1)
        self.now = Moment(1_000_000)
        self.pool: dict[bytes, OpenedFeed] = {}
        """Feed blocks that wait to be ordered."""
        self.settled: dict[bytes, HoldSettled] = {}
        self.streams: list[Stream] = []
        self.dead: set[int] = set()
        """Who died at least once."""
        self.is_stalled = False
        self.nodes = {number: self.make_node(number) for number in range(2, 8)}

    def make_node(self, number: int) -> Node:
        pen = Pen(name(number))
        wallet = HonestWallet(pen, self.view)
        setup = PaymentsSetup(pen, Entropy(b"%d" % number))
        payments = Payments(setup, ledger=self.view, wallet=wallet)
        node = Node(number, wallet, payments)
        payments.handle(BlockApplied(()), self.now)
        return node

    # -- one request -----------------------------------------------------------------------------

    def ask(self, executor: int, payer: int) -> Quote:
        """An executor's quote."""
        sealed = self.nodes[executor].payments.quote(name(payer), MODEL, 50_000)
        return Quote(1, decline=None, model=MODEL, payment=sealed)

    def offer(
        self, payer: int, executor: int, summary: RequestSummary, number: int
    ) -> tuple[OpenedHold, PayerTerms] | Unpayable:
        """A payer's hold for an executor's quote, as it reaches it."""
        node, quote = self.nodes[payer], self.ask(executor, payer)
        weighed = node.payments.weigh(name(executor), quote, summary, MICROCREDITS_MAX)
        if isinstance(weighed, Unpayable):
            return weighed
        session = SessionId(Role.ORIGIN, number)
        order = PayOrder(session, name(executor), quote, summary, DIGEST, MICROCREDITS_MAX)
        payment = node.payments.pay(order, self.now)
        assert payment is not None
        return self.open(payment.frame, payer), payment.terms

    def open(self, frame: bytes, payer: int) -> OpenedHold:
        return open_paid_offer(frame, payer=name(payer), opener=self.opener)

    def admit(
        self, executor: int, payer: int, summary: RequestSummary, hold: OpenedHold, number: int
    ) -> PayeeTerms | DeclineReason | None:
        node = self.nodes[executor]
        session = SessionId(Role.EXECUTOR, number)
        answer = node.payments.admit(session, name(payer), summary, MODEL, hold, self.now)
        self.carry(node, node.payments.take_effects())
        return answer

    def start(
        self, payer: int, executor: int, *, prompt_tokens: int = 100, completion_max: int = 0
    ) -> Stream | None:
        """A request, offered and answered; None if it was not taken."""
        number = len(self.streams) + 1_000
        summary = make_summary(prompt_tokens=prompt_tokens, completion_max=completion_max)
        if self.nodes[executor].payments.refuse(name(payer)) is not None:
            return None
        offered = self.offer(payer, executor, summary, number)
        if isinstance(offered, Unpayable):
            return None
        hold, terms = offered
        answer = self.admit(executor, payer, summary, hold, number)
        run = SessionId(Role.ORIGIN, number)
        if not isinstance(answer, PayeeTerms):
            failed = StreamFailed(
                run, FailureKind.DECLINED, 0, "", is_delivered=False, decline=DeclineReason.UNPAID
            )
            self.tell(payer, failed)
            self.tell(payer, PaymentProgressed(run, terms.terms.hold_id, 0, b"", is_last=True))
            return None
        stream = Stream(
            payer=payer,
            executor=executor,
            number=number,
            sender=PayerMeter(terms),
            receiver=PayeeMeter(answer),
            is_released=answer.is_covered,
            holds=[terms.terms.hold_id],
            first=terms.terms.first,
            unit=terms.terms.unit,
            unit_tokens=terms.terms.unit_tokens,
        )
        self.streams.append(stream)
        self.tell(payer, StreamOpened(run))
        self.send(stream, stream.sender.release(0, has_output=False))
        return stream

    def send(self, stream: Stream, unit: Unit | None) -> None:
        if unit is not None and stream.is_paying:
            stream.frames.append(unit)

    # -- its steps -------------------------------------------------------------------------------

    def deliver(self, stream: Stream) -> None:
        """The executor sends a token, if it is paid well enough."""
        if not stream.is_working or not stream.is_released or stream.is_executor_over:
            return
        if stream.receiver.may_deliver(max(stream.delivered, 0)):
            stream.delivered += 1
            stream.outputs.append(stream.delivered)
            if stream.delivered == 0:
                self.tell(stream.executor, FirstOutput(stream.work))

    def arrive(self, stream: Stream) -> None:
        """A token reaches the payer, who pays."""
        if not stream.outputs or stream.is_payer_over:
            return
        stream.arrived = stream.outputs.popleft()
        if stream.is_paying:
            self.send(stream, stream.sender.release(stream.arrived, has_output=True))
            if stream.sender.is_low and not stream.is_low_told:
                stream.is_low_told = True
                self.tell(stream.payer, HoldRunsOut(stream.run, stream.arrived))

    def pay(self, stream: Stream) -> None:
        """A unit or another hold reaches the executor."""
        if not stream.frames or stream.is_executor_over or stream.has_waited:
            return
        frame = stream.frames.popleft()
        if isinstance(frame, Unit):
            stream.receiver.take(frame)
            self.tell_depth(stream)
            return
        hold = self.open(frame.frame, stream.payer)
        self.tell_depth(stream)
        stream.has_waited = True
        self.tell(stream.executor, ExtensionReceived(stream.work, hold))

    def tell_depth(self, stream: Stream, *, is_last: bool = False) -> None:
        meter = stream.receiver
        preimage = meter.preimage if meter.paid else b""
        hold_id = meter.terms.hold_id
        event = PaymentProgressed(stream.work, hold_id, meter.paid, preimage, is_last)
        self.tell(stream.executor, event)

    def finish(self, stream: Stream, *, stated: int | None = None) -> None:
        """The executor has said all: the payer settles, once everything has arrived."""
        if not stream.is_working or not stream.is_released or stream.is_executor_over:
            return
        tokens = max(stream.delivered, 0)
        stream.is_working = False
        usage = Usage(100, tokens)
        self.tell(stream.executor, StreamEnded(stream.work, usage, DIGEST))
        while stream.outputs and not stream.is_payer_over:
            self.arrive(stream)
        if not stream.is_payer_over:
            counted = min(tokens if stated is None else stated, max(stream.arrived, 0))
            if stream.is_paying:
                self.send(stream, stream.sender.settle(counted))
            self.tell(stream.payer, StreamEnded(stream.run, usage, DIGEST))
            self.close_payer(stream)

    def close_payer(self, stream: Stream) -> None:
        """The origin pays no more."""
        if stream.is_payer_over:
            return
        stream.is_payer_over = True
        meter = stream.sender
        depth, hold_id = meter.released if stream.is_paying else 0, meter.terms.hold_id
        event = PaymentProgressed(stream.run, hold_id, depth, meter.preimage, is_last=True)
        self.tell(stream.payer, event)

    def close_executor(self, stream: Stream) -> None:
        """The executor waits for no unit any more."""
        if stream.is_executor_over:
            return
        self.tell_depth(stream, is_last=True)
        stream.is_executor_over = True

    def kill(self, number: int) -> None:
        """A node dies and comes back at once: of its payments nothing is left, but its wallet."""
        self.dead.add(number)
        for stream in self.streams:
            if stream.payer == number:
                stream.is_payer_over, stream.is_paying = True, False
            if stream.executor == number and not stream.is_executor_over:
                stream.is_executor_over = True
                self.nodes[number].wallet.claimable[stream.receiver.terms.hold_id] = None
        node = self.nodes[number]
        kept = node.wallet
        self.nodes[number] = self.make_node(number)
        self.nodes[number].wallet = kept
        setup = PaymentsSetup(Pen(name(number)), Entropy(b"again %d" % number))
        self.nodes[number].payments = Payments(setup, ledger=self.view, wallet=kept)
        kept.claimable = {key: None for key in kept.claimable if key in kept.kept}

    # -- the machines ----------------------------------------------------------------------------

    def tell(self, number: int, event: PaymentsEvent) -> None:
        node = self.nodes[number]
        self.carry(node, node.payments.handle(event, self.now))

    def carry(self, node: Node, effects: list[PaymentsEffect]) -> None:
        for effect in effects:
            node.effects.append(effect)
            match effect:
                case KeepPreimage() | ClaimHold() | HoldOver():
                    node.wallet.handle(effect)
                case SubmitHold(hold_id):
                    self.submit(node.wallet.signed[hold_id])
                case ForwardHold(feed):
                    self.pool[feed.feed_id] = feed
                case Report(fact):
                    node.refused.append(getattr(fact, "rule", ""))
                case Persist() | CountsDiffer() | ProveFork():
                    pass
                case _:
                    self.carry_to_stream(effect)

    def carry_to_stream(
        self, effect: ReleaseOutput | ExtendPayment | TakeExtension | WorkUnpaid
    ) -> None:
        stream = self.find(effect.session)
        match effect:
            case ReleaseOutput():
                stream.is_released = True
            case TakeExtension(_, payment):
                stream.receiver.extend(payment)
                stream.is_released, stream.has_waited = payment.is_covered, False
            case ExtendPayment(_, _, payment):
                stream.sender.extend(payment)
                stream.is_low_told = False
                stream.holds.append(payment.terms.hold_id)
                stream.frames.append(effect)
                self.send(stream, stream.sender.release(stream.arrived, has_output=True))
            case WorkUnpaid():
                stream.is_working = False
                self.close_executor(stream)

    def find(self, session: SessionId) -> Stream:
        return next(stream for stream in self.streams if stream.number == session.number)

    # -- the log ---------------------------------------------------------------------------------

    def submit(self, feed: SealedFeed) -> None:
        opened = self.opener.open(feed)
        self.pool[opened.feed_id] = opened

    def block(self, dt_ms: int = 100) -> tuple[LedgerFact, ...]:
        """Time passes, and unless the log stands still, the next block is made."""
        self.now = Moment(self.now + dt_ms * MILLISECOND)
        if self.is_stalled:
            for number in self.nodes:
                self.tell(number, DeadlineReached())
            return ()
        for node in self.nodes.values():
            claims = node.wallet.flush() if self.is_clear(node) else None
            if claims is not None:
                self.submit(claims)
        feeds = tuple(sorted(self.pool.values(), key=lambda feed: feed.header.seq))
        self.pool = {}
        ids = tuple(feed.feed_id for feed in feeds)
        sealed = seal_block(self.ledger.make_header(dt_ms, ids), ids, Pen(name(0)), self.network_id)
        facts = self.ledger.apply_block(sealed, feeds)
        assert self.compute_total() == self.genesis.supply
        for fact in facts:
            if isinstance(fact, HoldSettled):
                assert fact.hold_id not in self.settled
                self.settled[fact.hold_id] = fact
        for number in self.nodes:
            self.tell(number, BlockApplied(facts, feeds))
        return facts

    def is_clear(self, node: Node) -> bool:
        """Whether nothing this node has signed is on its way to the log without being there."""
        account = self.ledger.accounts[name(node.number)]
        last = node.wallet.last
        waiting = {
            feed.header.seq for feed in self.pool.values() if feed.account == name(node.number)
        }
        return last is None or set(range(account.seq + 1, last[0] + 1)) <= waiting

    def compute_total(self) -> int:
        """All credits there are."""
        total = self.ledger.log.pool + sum(hold.locked for hold in self.ledger.holds.values())
        for account in self.ledger.accounts.values():
            total += account.avail + account.bond + account.lent + account.audit
            total += sum(amount for _, amount in account.unbonding)
        return total

    # -- the end ---------------------------------------------------------------------------------

    def settle(self) -> None:
        """Everything comes to its end: what is on its way arrives, what is kept is claimed."""
        self.is_stalled = False
        for stream in self.streams:
            while stream.frames and not stream.is_executor_over and not stream.has_waited:
                self.pay(stream)
            self.close_executor(stream)
            self.close_payer(stream)
        for _ in range(30):
            self.block(500)

    def paid(self, stream: Stream) -> int:
        """What the executor got for a stream."""
        facts = [self.settled[hold_id] for hold_id in stream.holds if hold_id in self.settled]
        return sum(fact.paid for fact in facts)
