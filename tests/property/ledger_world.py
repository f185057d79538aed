"""A ledger and the reference beside it, told the same, compared after every block.

Keys are pretend and signatures always good: what is signed is tested elsewhere. Everything is
chosen by small whole numbers, so that Hypothesis, a seeded generator or a hand can drive it.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from tests.property.ledger_reference import Reference, read_reference
from wwwserve.core.ledger import (
    NO_CLOSE,
    Account,
    FeedApplied,
    FeedVoid,
    Ledger,
    LedgerFact,
    OpenHold,
    OpRefused,
)
from wwwserve.values.credits import CREDIT
from wwwserve.values.ids import NodeId
from wwwserve.values.ledger_parameters import TINY_LEDGER
from wwwserve.wire import encode
from wwwserve.wire.ledger import (
    AccountFlag,
    Circulation,
    Door,
    FeedOpener,
    Genesis,
    GenesisAccount,
    Op,
    OpenedBlock,
    OpenedFeed,
    SealedFeed,
    compute_genesis_held,
    compute_genesis_id,
    seal_block,
    seal_feed,
)

PEOPLE: Final = 8
"""Keys: 0 the sequencer, 1 the treasury of a private network, the rest members and strangers."""


def name(number: int) -> NodeId:
    """The key of somebody; in an order of its own, so that nothing rests on who came first."""
    return NodeId(hashlib.sha256(b"key %d" % number).digest())


@dataclass(frozen=True)
class Pen:
    """Signs without a secret."""

    node_id: NodeId

    def sign(self, message: bytes) -> bytes:
        return hashlib.sha512(self.node_id + message).digest()


class Anyone:
    """Checks what a `Pen` signed, and that a key does not begin with a zero."""

    def is_signed_by(self, node_id: NodeId, message: bytes, signature: bytes) -> bool:
        return signature == hashlib.sha512(node_id + message).digest()

    def is_sound_key(self, key: bytes) -> bool:
        return key[0] != 0


def make_genesis(circulation: Circulation = Circulation.PRIVATE, pool: int = 8) -> Genesis:
    """A small network with every door open."""
    treasury = AccountFlag.TREASURY if circulation is Circulation.PRIVATE else 0
    genesis = Genesis(
        format=1,
        name="tiny",
        salt=bytes(32),
        peer_parameters=bytes(32),
        parameters=TINY_LEDGER,
        sequencer=name(0),
        circulation=circulation,
        doors=(Door.SPONSOR, Door.EARN, Door.FAUCET, Door.DEV),
        supply=1_000 * CREDIT,
        accounts=(
            GenesisAccount(name(0), 2 * CREDIT),
            GenesisAccount(name(1), 3 * CREDIT, flags=treasury),
            GenesisAccount(name(2), 40 * CREDIT, seats=2),
            GenesisAccount(name(3), 12 * CREDIT, seats=1),
            GenesisAccount(name(4), CREDIT // 5),
        ),
    )
    return replace(genesis, supply=compute_genesis_held(genesis) + pool * CREDIT)


@dataclass
class World:
    """Two ledgers that should be one."""

    genesis: Genesis = field(default_factory=make_genesis)
    pending: list[OpenedFeed] = field(default_factory=list)
    facts: tuple[LedgerFact, ...] = ()

    def __post_init__(self) -> None:
        self.rules = read_reference()
        self.network_id = compute_genesis_id(self.genesis)
        self.ledger = Ledger.from_genesis(self.genesis)
        self.reference: Reference = self.rules.make_state(self.genesis, self.network_id)
        self.opener = FeedOpener(Anyone(), Anyone(), self.network_id, puzzle_memory_log2=1)
        self.heads: dict[int, tuple[int, bytes]] = {}
        self.blocks: list[tuple[OpenedBlock, tuple[OpenedFeed, ...]]] = []
        self.changes: list[dict[bytes, bytes | None]] = []
        self.compare()

    # -- saying something ------------------------------------------------------------------------

    @property
    def time_ms(self) -> int:
        return self.ledger.log.time_ms

    def next_word(self, author: int) -> tuple[int, bytes]:
        """Number and predecessor of somebody's next feed block, pending ones counted in."""
        if author in self.heads:
            return self.heads[author]
        account = self.ledger.accounts.get(name(author))
        return (account.seq + 1, account.head) if account else (0, bytes(32))

    def write(
        self, author: int, *ops: Op, seq: int, previous: bytes, until_ms: int | None = None
    ) -> SealedFeed:
        """A feed block, signed, not yet told to anybody."""
        until = self.time_ms + TINY_LEDGER.feed_life_ms if until_ms is None else until_ms
        return seal_feed(
            ops,
            seq=seq,
            previous=previous,
            valid_until_ms=until,
            signer=Pen(name(author)),
            network_id=self.network_id,
        )

    def say(self, author: int, *ops: Op, until_ms: int | None = None) -> OpenedFeed:
        """Have somebody's next feed block in the next block."""
        seq, previous = self.next_word(author)
        sealed = self.write(author, *ops, seq=seq, previous=previous, until_ms=until_ms)
        self.heads[author] = (seq + 1, sealed.compute_id())
        return self.put(sealed)

    def put(self, sealed: SealedFeed) -> OpenedFeed:
        """Have any feed block in the next block."""
        opened = self.opener.open(sealed)
        self.pending.append(opened)
        return opened

    def pen(self, author: int) -> Pen:
        """With what somebody signs."""
        return Pen(name(author))

    # -- blocks ----------------------------------------------------------------------------------

    def make_block(self, dt_ms: int) -> OpenedBlock:
        """The next block, with all that is pending."""
        feed_ids = tuple(feed.feed_id for feed in self.pending)
        header = self.ledger.make_header(dt_ms, feed_ids)
        return seal_block(header, feed_ids, Pen(name(0)), self.network_id)

    def close(self, dt_ms: int = 100) -> tuple[LedgerFact, ...]:
        """Make the next block, apply it on both sides, and compare everything."""
        block, feeds = self.make_block(dt_ms), tuple(self.pending)
        self.pending, self.heads = [], {}
        self.facts = self.ledger.apply_block(block, feeds)
        self.blocks.append((block, feeds))
        self.changes.append(dict(self.ledger.last_changes))
        self.reference, outcomes = self.rules.apply_block(self.reference, block, feeds)
        assert read_outcomes(self.facts) == outcomes
        self.compare()
        return self.facts

    def wait(self, span_ms: int) -> None:
        """Let time pass in empty blocks."""
        while span_ms > 0:
            step = min(span_ms, TINY_LEDGER.height_ms_max)
            self.close(step)
            span_ms -= step

    def compare(self) -> None:
        """Both sides hold the same, to the credit; and what they hold adds up."""
        # [LEDGER-MODEL.1], [LEDGER-CONSERVED.1], [LEDGER-CONSERVED.2]
        assert read_core(self.ledger) == read_state(self.reference)
        assert self.rules.compute_total(self.reference) == self.genesis.supply
        seats = {key: seats for key, seats in self.reference["snapshot"].items() if seats}
        assert dict(self.ledger.seats) == seats
        assert least_amount(self.ledger) >= 0


def read_outcomes(facts: tuple[LedgerFact, ...]) -> list[list[int] | None]:
    """For each feed block of a block: the places of its refused ops, or None if it was void."""
    outcomes: list[list[int] | None] = []
    for fact in facts:
        match fact:
            case FeedApplied():
                outcomes.append([])
            case FeedVoid():
                outcomes.append(None)
            case OpRefused(position=position):
                last = outcomes[-1]
                assert last is not None
                last.append(position)
            case _:
                pass
    return outcomes


def read_core(ledger: Ledger) -> Reference:
    """What the ledger holds, in words both sides share."""
    log = ledger.log
    return {
        "pool": log.pool,
        "height": log.height,
        "time": log.time_ms,
        "epoch": log.epoch,
        "head": log.head,
        "beacon": log.beacon,
        "beacons": [log.epoch_beacon_before, log.epoch_beacon],
        "halted": log.halt is not None,
        "newcomers": log.newcomers,
        "accounts": {
            key: _read_account(account, log.epoch) for key, account in ledger.accounts.items()
        },
        "holds": {key: _read_hold(hold) for key, hold in ledger.holds.items()},
        "allowances": dict(ledger.allowances),
    }


def read_state(state: Reference) -> Reference:
    """What the reference holds, in the same words."""
    same = ("pool", "height", "time", "epoch", "head", "beacon", "beacons", "halted", "allowances")
    accounts = {key: _read_reference_account(state, key) for key in state["accounts"]}
    return {
        **{key: state[key] for key in same},
        "newcomers": sum(1 for account in accounts.values() if account["newcomer"]),
        "accounts": accounts,
        "holds": {key: _read_reference_hold(hold) for key, hold in state["holds"].items()},
    }


def _read_account(account: Account, epoch: int) -> Reference:
    newcomer, sponsorship = account.newcomer, account.sponsorship
    return {
        "seq": account.seq,
        "head": account.head,
        "avail": account.avail,
        "bond": account.bond,
        "lent": account.lent,
        "unbonding": list(account.unbonding),
        "holds": (account.holds_out, account.holds_in),
        "door": account.door,
        "sponsor": (sponsorship.sponsor, sponsorship.amount) if sponsorship else None,
        "newcomer": newcomer and (newcomer.until_ms, newcomer.debt, sorted(newcomer.failed_by)),
        "registered": account.registration is not None,
        "ops": account.ops_used if account.ops_epoch == epoch else 0,
        "fined": account.fined_seq,
        "keep": account.keep_until_ms,
    }


def _read_reference_account(state: Reference, key: bytes) -> Reference:
    account = state["accounts"][key]
    newcomer, holds = account["newcomer"], state["holds"].values()
    same = ("seq", "head", "avail", "bond", "lent", "unbonding", "fined", "keep")
    return {
        **{field: account[field] for field in same},
        "holds": (
            sum(1 for hold in holds if hold["payer"] == key),
            sum(1 for hold in holds if hold["payee"] == key),
        ),
        "door": int(account["door"] or 0),
        "sponsor": account["sponsor"] and (account["sponsor"], account["sponsored"]),
        "newcomer": newcomer
        and (newcomer["until"], newcomer["debt"], sorted(newcomer["failed_by"])),
        "registered": account["registration"] is not None,
        "ops": account["ops"].get(state["epoch"], 0),
    }


def _read_hold(hold: OpenHold) -> Reference:
    is_closed = hold.close_depth != NO_CLOSE
    return {
        "parties": (hold.payer, hold.payee),
        "locked": hold.locked,
        "ttl": hold.ttl_ms,
        "close": (hold.close_depth, hold.close_due_ms) if is_closed else None,
        "terms": (hold.first, hold.unit, hold.units_max, hold.anchor, hold.flags),
        "is_seated": hold.is_payer_seated,
    }


def _read_reference_hold(hold: Reference) -> Reference:
    op = hold["op"]
    return {
        "parties": (hold["payer"], hold["payee"]),
        "locked": hold["locked"],
        "ttl": hold["ttl"],
        "close": hold["close"],
        "terms": (op.first, op.unit, op.units_max, op.anchor, op.flags),
        "is_seated": hold["is_seated"],
    }


def least_amount(ledger: Ledger) -> int:
    """The smallest of all amounts there are."""
    amounts = [ledger.log.pool]
    for account in ledger.accounts.values():
        amounts += [account.avail, account.bond, account.lent, account.audit]
        amounts += [amount for _, amount in account.unbonding]
        amounts += [account.holds_out, account.holds_in]
        amounts.append(account.newcomer.debt if account.newcomer else 0)
    return min([*amounts, *(hold.locked for hold in ledger.holds.values())])


def encode_feed(feed: OpenedFeed) -> bytes:
    """A feed block as evidence carries it."""
    return encode(feed.signed.sealed)


def strip_ops(feed: OpenedFeed) -> bytes:
    """The same without its ops."""
    return encode(replace(feed.signed.sealed, ops=b""))
