"""Two wallets, the real ledger, a sequencer that may forget, and everything that can go wrong.

Driven by small whole numbers, by Hypothesis or a seeded generator. After every command: no two
feed blocks of one number were ever seen that would be a fork, and what each wallet believes is
what its ledger says. `settle` lets all come to rest, and compares what was promised.
"""

from dataclasses import dataclass, field
from typing import Final

from tests.fakes.wallet_node import FeedDisk, WalletNode
from tests.property.ledger_world import Anyone, Pen, make_genesis, name
from wwwserve.core.chain import Admission
from wwwserve.core.holding import HoldDraft, SignedHold
from wwwserve.core.ledger import FeedVoid, Ledger, LedgerFact, OpRefused
from wwwserve.core.wallet import ClaimHold, HoldOver, KeepPreimage, SignOps, SubmitHold
from wwwserve.values.credits import CREDIT
from wwwserve.values.ledger_parameters import TINY_LEDGER
from wwwserve.values.moments import MILLISECOND
from wwwserve.values.refusals import Refusal
from wwwserve.wire import encode
from wwwserve.wire.chain import strip_list
from wwwserve.wire.ledger import (
    Bond,
    Circulation,
    Evidence,
    EvidenceKind,
    FeedOpener,
    Op,
    OpenedBlock,
    OpenedFeed,
    SealedFeed,
    Transfer,
    Unbond,
    compute_genesis_id,
    seal_block,
    seal_feed,
)

ALICE: Final = 2
BOB: Final = 3
LIFE_MS: Final = TINY_LEDGER.feed_life_ms
SPANS_MS: Final = (20, 50, 100, 300, 900, LIFE_MS // 2, LIFE_MS, LIFE_MS + 100)
UNITS: Final = 8
DISTURBANCES: Final = frozenset({"claim-depth", "hold-unknown", "close-twice"})
"""Rules that refuse an op because its payee or the clock was quicker."""

TOO_LATE: Final = frozenset({"feed-expired", "feed-seq", "feed-previous"})
"""Rules by which a word is void that the sequencer let wait for too long, and all behind it."""


@dataclass
class Deal:
    """A hold, and how far it was paid."""

    signed: SignedHold
    payer: int
    payee: int
    depth: int = 0
    kept_depth: int = -1
    """What its payee's disk is known to have."""


@dataclass
class WalletWorld:
    """Everything that happens, happens here."""

    nodes: dict[int, WalletNode] = field(default_factory=dict)
    deals: list[Deal] = field(default_factory=list)
    pool: list[OpenedFeed] = field(default_factory=list)
    blocks: list[tuple[OpenedBlock, tuple[OpenedFeed, ...]]] = field(default_factory=list)
    facts: list[LedgerFact] = field(default_factory=list)
    turned_away: list[str] = field(default_factory=list)
    """Rules by which the sequencer let a word not wait."""
    at: int = 0
    orders: int = 0

    def __post_init__(self) -> None:
        self.genesis = make_genesis(Circulation.OPEN)
        self.network_id = compute_genesis_id(self.genesis)
        self.opener = FeedOpener(Anyone(), Anyone(), self.network_id, puzzle_memory_log2=1)
        self.ledger = Ledger.from_genesis(self.genesis)
        self.admission = Admission(self.ledger)
        self.seen: dict[tuple[int, int], dict[bytes, int]] = {}
        """Every feed block that left its node: last instants by account and number, and by id."""
        self.words: dict[bytes, SealedFeed] = {}
        self.is_linked = {ALICE: True, BOB: True}
        self.backups: dict[int, dict[bytes, bytes]] = {}
        self.copies = 0
        """How often words were lost or forgotten that others may know."""
        for number in (ALICE, BOB):
            self.start(number, FeedDisk(), Ledger.from_genesis(self.genesis))

    # -- nodes -----------------------------------------------------------------------------------

    def start(
        self, number: int, disk: FeedDisk, ledger: Ledger, *, is_clean_boot: bool = True
    ) -> None:
        before = self.nodes.get(number)
        node = WalletNode(
            number,
            Pen(name(number)),
            ledger,
            lambda sealed: self.on_shown(number, sealed),
            lambda sealed: self.on_brought(number, sealed),
            disk=disk,
            at=self.at,
            is_clean_boot=is_clean_boot,
        )
        if before is not None:
            node.signed, node.settled = before.signed, before.settled
            node.refused, node.is_quick = before.refused, before.is_quick
        self.nodes[number] = node
        self.tell_head(number)

    def tell_head(self, number: int) -> None:
        if self.is_linked[number]:
            self.nodes[number].hear(self.ledger.log.height)
            self.catch_up(number)

    def catch_up(self, number: int) -> None:
        node = self.nodes[number]
        if self.is_linked[number]:
            for block, feeds in self.blocks[node.ledger.log.height :]:
                node.apply(block, feeds)

    # -- what others see -------------------------------------------------------------------------

    def on_brought(self, number: int, sealed: SealedFeed) -> None:
        """A feed block is on its way to the sequencer."""
        if self.is_linked[number]:
            self.submit(self.opener.open(sealed))

    def on_shown(self, number: int, sealed: SealedFeed) -> None:
        """A feed block is out in the world: it must be no fork of anything that ever was."""
        opened = self.opener.open(sealed)
        header, feed_id = opened.header, opened.feed_id
        others = self.seen.setdefault((number, header.seq), {})
        for other_id, until_ms in others.items():
            apart_ms = abs(until_ms - header.valid_until_ms)
            assert other_id == feed_id or apart_ms > LIFE_MS, "two words of one number"
        others[feed_id] = header.valid_until_ms
        self.words[feed_id] = sealed

    def submit(self, opened: OpenedFeed) -> None:
        if opened.feed_id in {other.feed_id for other in self.pool}:
            return
        try:
            self.admission.admit(opened)
        except Refusal as refusal:
            self.turned_away.append(refusal.rule)
            return
        self.pool.append(opened)

    # -- commands --------------------------------------------------------------------------------

    def open_hold(self, who: int, size: int) -> None:
        payer, payee = (ALICE, BOB) if who % 3 else (BOB, ALICE)
        wallet = self.nodes[payer].wallet
        unit = (100, 20_000, CREDIT // 4)[size % 3]
        draft = HoldDraft(
            payee=name(payee),
            first=unit,
            unit=unit,
            units_max=UNITS,
            unit_tokens=4,
            req_commit=b"r" * 32,
            quote_hash=b"q" * 32,
            deadline_ms=1_000,
        )
        if wallet.is_ready and draft.locked <= wallet.spendable:
            self.deals.append(Deal(self.nodes[payer].sign_hold(draft), payer, payee))

    def answer(self, which: int) -> None:
        """The offer was accepted, or declined: its feed block may go."""
        if deal := self.pick(which):
            self.nodes[deal.payer].tell(SubmitHold(deal.signed.hold_id))

    def forward(self, which: int) -> None:
        """The payee brings the payer's feed block to the sequencer."""
        deal = self.pick(which)
        if deal and self.is_linked[deal.payee] and deal.signed.feed.compute_id() in self.words:
            self.submit(self.opener.open(deal.signed.feed))

    def keep(self, payee: int, signed: SignedHold, depth: int) -> None:
        """A payee receives a preimage."""
        preimage = signed.links[32 * depth :][:32]
        self.nodes[payee].tell(KeepPreimage(signed.hold_id, depth, preimage, 100 * depth))

    def put_copy(self, number: int, op: Op) -> None:
        """Another machine with the key of a node says something."""
        account = self.ledger.accounts[name(number)]
        sealed = seal_feed(
            (op,),
            seq=account.seq + 1,
            previous=account.head,
            valid_until_ms=self.ledger.log.time_ms + LIFE_MS,
            signer=Pen(name(number)),
            network_id=self.network_id,
        )
        self.copies += 1
        self.submit(self.opener.open(sealed))

    def halt(self) -> None:
        """The sequencer is shown to have signed two histories."""
        headers = [self.ledger.make_header(dt_ms, ()) for dt_ms in (1, 2)]
        first, second = (
            encode(strip_list(seal_block(header, (), Pen(name(0)), self.network_id).sealed))
            for header in headers
        )
        self.put_copy(4, Evidence(EvidenceKind.SEQUENCER, first, second))
        self.close_block(20, len(self.pool))

    def pay(self, which: int, units: int) -> None:
        deal = self.pick(which)
        if deal is None or deal.signed.feed.compute_id() not in self.words:
            return
        deal.depth = min(deal.depth + units % 4, UNITS)
        self.keep(deal.payee, deal.signed, deal.depth)

    def finish(self, which: int) -> None:
        """A stream is over on both sides."""
        if deal := self.pick(which):
            self.nodes[deal.payee].tell(ClaimHold(deal.signed.hold_id))
            self.nodes[deal.payer].tell(HoldOver(deal.signed.hold_id, deal.depth))

    def order(self, who: int, what: int) -> None:
        self.orders += 1
        ops = (Transfer(name(4), 700 + what), Bond(1), Unbond(1))[what % 3]
        self.nodes[(ALICE, BOB)[who % 2]].tell(SignOps(self.orders, (ops,)))

    def wait(self, span: int) -> None:
        """Own time passes; no block comes."""
        self.at += SPANS_MS[span % len(SPANS_MS)] * MILLISECOND
        for node in list(self.nodes.values()):
            node.run(self.at)

    def make_block(self, span: int, kept: int) -> None:
        """The sequencer makes a block of what waits, or of a first part of it."""
        count = len(self.pool) if kept % 4 else kept % (len(self.pool) + 1)
        self.close_block(SPANS_MS[span % len(SPANS_MS)], count)

    def close_block(self, dt_ms: int, count: int) -> None:
        """A block with the first so many that wait."""
        feeds, self.pool = tuple(self.pool[:count]), self.pool[count:]
        ids = tuple(feed.feed_id for feed in feeds)
        header = self.ledger.make_header(dt_ms, ids)
        block = seal_block(header, ids, Pen(name(0)), self.network_id)
        self.admission.on_final(feeds)
        self.facts += self.ledger.apply_block(block, feeds)
        self.blocks.append((block, feeds))
        for number in self.nodes:
            self.tell_head(number)

    def forget_pool(self) -> None:
        """The sequencer restarts: what waited is gone."""
        self.pool = []
        self.admission = Admission(self.ledger)

    def cut(self, who: int) -> None:
        self.is_linked[(ALICE, BOB)[who % 2]] = False

    def heal(self, who: int) -> None:
        number = (ALICE, BOB)[who % 2]
        self.is_linked[number] = True
        self.tell_head(number)

    def slow_disk(self, who: int) -> None:
        self.nodes[(ALICE, BOB)[who % 2]].is_quick = False

    def finish_writes(self, who: int) -> None:
        node = self.nodes[(ALICE, BOB)[who % 2]]
        node.is_quick = True
        node.finish_writes()

    def kill(self, who: int, kept: int) -> None:
        """The process ends at any step, and another begins."""
        number = (ALICE, BOB)[who % 2]
        node = self.nodes[number]
        node.end(kept % (len(node.unfinished) + 1))
        self.start(number, node.disk, node.ledger, is_clean_boot=node.has_noted_boot)

    def lose_power(self, who: int, lost: int) -> None:
        """The machine went down: the newest finished writes may be gone with it."""
        number = (ALICE, BOB)[who % 2]
        node = self.nodes[number]
        node.end(0)
        node.disk.lose(lost % 4)
        # A tenth of a second of words may be lost with the machine, and with them their orders.
        self.copies += 1
        self.start(number, node.disk, node.ledger, is_clean_boot=False)

    def back_up(self, who: int) -> None:
        number = (ALICE, BOB)[who % 2]
        self.backups[number] = dict(self.nodes[number].disk.values)

    def restore(self, who: int) -> None:
        """An old copy of the lane, or none at all, is put in place; the log is whole.

        What was signed since and has not entered the log would be known to nobody, so the host has
        to say that the machine did not go down in order; once that has expired it need not.
        """
        number = (ALICE, BOB)[who % 2]
        node = self.nodes[number]
        node.end(0)
        self.copies += 1
        self.catch_up(number)
        node.end(0)
        time_ms, seq = self.ledger.log.time_ms, self.ledger.accounts[name(number)].seq
        is_clean = not any(
            owner == number and said > seq and max(untils.values()) >= time_ms
            for (owner, said), untils in self.seen.items()
        )
        disk = FeedDisk(self.backups.get(number, {}))
        self.start(number, disk, node.ledger, is_clean_boot=is_clean)

    def pick(self, which: int) -> Deal | None:
        return self.deals[-1 - which % min(len(self.deals), 6)] if self.deals else None

    # -- what must hold --------------------------------------------------------------------------

    def check(self) -> None:
        """What each wallet believes is what its ledger says, less all that waits."""
        for number, node in self.nodes.items():
            view, account = node.wallet.get_view(), node.ledger.accounts[name(number)]
            assert view.avail == account.avail
            assert 0 <= view.spendable <= max(account.avail - TINY_LEDGER.balance_min, 0)
            assert view.is_ready == (not view.waits_for)
            assert view.is_ready or not view.spendable
            locked = sum(
                hold.locked for hold in node.ledger.holds.values() if hold.payer == name(number)
            )
            assert view.held >= locked
            assert view.waiting or view.held == locked

    def settle(self) -> None:
        """Everything heals; all that was promised is kept."""
        for who in (0, 1):
            self.finish_writes(who)
            self.heal(who)
        for which in range(len(self.deals)):
            deal = self.deals[which]
            self.nodes[deal.payee].tell(ClaimHold(deal.signed.hold_id))
            self.nodes[deal.payer].tell(HoldOver(deal.signed.hold_id, deal.depth))
        for _ in range(40):
            self.wait(6)
            self.make_block(5, 1)
        for node in self.nodes.values():
            view = node.wallet.get_view()
            assert view.is_ready, view.waits_for
            assert not view.waiting
        self.check()
        self.check_orders()
        self.check_refusals()

    def check_orders(self) -> None:
        """An order that was acknowledged is in the log, or its author was told otherwise."""
        applied = {feed.feed_id for _, feeds in self.blocks for feed in feeds}
        void = {fact.feed_id for fact in self.facts if isinstance(fact, FeedVoid)}
        for node in self.nodes.values():
            for order, feed_id in node.signed.items():
                if order in node.settled:
                    assert node.settled[order].feed_id in applied - void
                elif not self.copies and order not in node.refused:
                    assert self.is_said(feed_id), "an acknowledged order is lost"

    def is_said(self, feed_id: bytes) -> bool:
        """Whether the ops of a feed block are in the log, under whatever number."""
        ops = self.words[feed_id].ops
        return any(feed.signed.sealed.ops == ops for _, feeds in self.blocks for feed in feeds)

    def check_refusals(self) -> None:
        """Nothing was signed that the ledger refuses, but where somebody was quicker."""
        assert set(self.turned_away) <= TOO_LATE | {"pool-account"}
        for fact in self.facts:
            if isinstance(fact, OpRefused):
                assert fact.rule in DISTURBANCES or self.copies, fact
            if isinstance(fact, FeedVoid):
                assert fact.rule in TOO_LATE or self.copies, fact
