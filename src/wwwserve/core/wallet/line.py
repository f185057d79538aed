"""The feed blocks that were signed and are not in the log yet, each following the one before.

Rules, of which the rest of the wallet may be sure:

1. No two different feed blocks of one number are signed unless the ledger clock here has passed the
   last instant of the first: then it is not in the log, and never will be.
2. A feed block is written down together with the news that it is the last.
3. If the ledger shows a word of this account that is not known here (a restored backup, a copied or
   lost disk), or a machine crash may have lost one, nothing is signed for the life of a feed block
   after the log is known: whatever was signed and forgotten is then in the log, or expired.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from wwwserve.core.deciding import StakeOrder
from wwwserve.core.ledger_view import AccountView, AsksLedger
from wwwserve.core.wallet.budget import Expense, compute_expense
from wwwserve.core.wallet.places import (
    LAST_PLACE,
    STAKE_PLACE,
    Last,
    feed_place,
    read_feeds,
    read_last,
)
from wwwserve.values.ids import NodeId
from wwwserve.values.moments import Moment
from wwwserve.wire import Signer, encode
from wwwserve.wire.ledger import (
    NO_DIGEST,
    Hold,
    Op,
    SealedFeed,
    compute_hold_id,
    read_feed,
    seal_feed,
)

LINE_LENGTH_MAX: Final = 64
"""Feed blocks signed and not in the log: the sequencer lets no more of one account wait. At four
blocks a second, so many times four requests can be sent away to be paid."""
_NO_SEQ: Final = -1
"""Counts as the last number of a key without an account: its first word has number 0."""

_AT_ONCE: Final = Moment(0)

Changes = dict[bytes, bytes | None]
"""Keys of the `FEED` lane with their new values; None removes."""


@dataclass(slots=True)
class Signed:
    """A feed block of this node's that waits for the log."""

    seq: int
    feed_id: bytes
    previous: bytes
    valid_until_ms: int
    sealed: SealedFeed
    ops: tuple[Op, ...]
    expense: Expense
    hold_id: bytes | None
    """The hold it opens, if it does: always its first op."""
    order: int | None = None
    """The operator's order it carries out, if it does."""
    submit_at: Moment = _AT_ONCE
    """When it is brought to the sequencer next."""
    is_submitted: bool = False
    """Whether it was brought there before."""


class _OwnWords:
    """Knows this node's own signatures: the same key over the same bytes makes the same one."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def is_signed_by(self, node_id: NodeId, message: bytes, signature: bytes) -> bool:
        return node_id == self._signer.node_id and signature == self._signer.sign(message)


@dataclass(frozen=True, slots=True)
class LedgerMoment:
    """What of the ledger decides about signing, after one whole block.

    Asked in the middle of a block, the ledger may be past an instant whose words it has not all
    taken in.
    """

    height: int
    time_ms: int
    account: AccountView | None


@dataclass(frozen=True, slots=True)
class Synced:
    """What became of feed blocks since the line last looked at the ledger."""

    done: tuple[Signed, ...]
    """These are in the log."""
    lost: tuple[Signed, ...]
    """Another word of the account has their number, signed by who knows whom."""


class Line:
    """Signs, remembers what was signed, and says when nothing may be."""

    __slots__ = (
        "_base", "_blocks", "_changes", "_is_dead", "_known_head", "_last", "_ledger", "_signer",
        "_time_ms", "version",
    )  # fmt: skip

    def __init__(
        self, signer: Signer, ledger: AsksLedger, stored: Mapping[bytes, bytes], *, has_lost: bool
    ) -> None:
        """Go on from what is on disk; `has_lost`: a machine crash may have taken the newest of it.

        Raises `Refusal` if what is stored is not this key's, or of another network.
        """
        self._signer = signer
        self._ledger = ledger
        self._changes: Changes = {}
        self.version = 0
        """Another one for each change of `blocks` or `is_dead`."""
        self._base = (_NO_SEQ, NO_DIGEST)
        """Number and id of the account's last word in the log."""
        self._known_head = NO_DIGEST
        """The last of them that was looked into."""
        self._blocks = [self._open(sealed) for sealed in read_feeds(stored)]
        self._last = read_last(stored) or Last(_NO_SEQ, NO_DIGEST, 0)
        self._time_ms = 0
        """The ledger clock after the block that was looked into last."""
        self._is_dead = False
        """Whether none of the blocks can enter the log any more."""
        if has_lost and not self._last.has_lost:
            self._note(replace(self._last, has_lost=True))

    # -- what may be known -----------------------------------------------------------------------

    @property
    def blocks(self) -> Sequence[Signed]:
        """What waits; the first of them is the next to enter the log. Not to be changed."""
        return self._blocks

    @property
    def seq(self) -> int:
        """The last number signed, or in the log; -1 before the first."""
        return self._blocks[-1].seq if self._blocks else self._base[0]

    @property
    def is_dead(self) -> bool:
        """Whether the blocks cannot enter the log any more, and others take their place."""
        return self._is_dead

    @property
    def silence(self) -> str:
        """Why no number may be used now; empty if one may."""
        if self._last.has_lost:
            return "the log, to know all that this account has said"
        left_ms = self._last.silent_until_ms - self._time_ms
        if self._last.silent_until_ms and left_ms >= 0:
            return (
                f"the ledger clock to move another {left_ms + 1} ms: until then something may enter"
                " the log that was signed before and is not in it"
            )
        return ""

    @property
    def has_changes(self) -> bool:
        """Whether something is to be written."""
        return bool(self._changes)

    def find(self, feed_id: bytes) -> Signed | None:
        """A feed block that waits, by its id."""
        return next((block for block in self._blocks if block.feed_id == feed_id), None)

    def find_hold(self, hold_id: bytes) -> Signed | None:
        """The feed block that waits and opens a hold."""
        return next((block for block in self._blocks if block.hold_id == hold_id), None)

    # -- following the log -----------------------------------------------------------------------

    def sync(self, view: LedgerMoment, applied: Sequence[bytes], *, is_caught_up: bool) -> Synced:
        """Compare with the ledger, in which the blocks of these ids are new."""
        self._time_ms, account = view.time_ms, view.account
        heads, lowest_seq = self._list_known()
        self._base = (account.seq, account.head) if account else (_NO_SEQ, NO_DIGEST)
        synced = self._take_passed(applied)
        seq, head = self._base
        if synced.lost or (head not in heads and seq >= lowest_seq):
            self._note(replace(self._last, has_lost=True))
        self._known_head = head
        if is_caught_up:
            self._look_back()
        if self._blocks and self._blocks[0].valid_until_ms < self._time_ms:
            self._die()
        return synced

    def _list_known(self) -> tuple[tuple[bytes, ...], int]:
        """Ids that the account's last word may have, and the number below which any will do.

        Below it lies what was signed and forgotten: the log here is behind.
        """
        known = (NO_DIGEST, self._known_head, self._last.feed_id)
        if not self._blocks:
            return known, self._last.seq
        first = self._blocks[0]
        return (*known, first.previous, *(block.feed_id for block in self._blocks)), first.seq - 1

    def _take_passed(self, applied: Sequence[bytes]) -> Synced:
        """Take off the blocks whose numbers are used up."""
        seq, head = self._base
        passed = [block for block in self._blocks if block.seq <= seq]
        self._blocks = self._blocks[len(passed) :]
        self.version += 1
        ids = [block.feed_id for block in passed]
        # Each names the one before; so with the last of them all are in the log.
        followed = ids.index(head) + 1 if head in ids else 0
        done = [
            block
            for index, block in enumerate(passed)
            if index < followed or block.feed_id in applied
        ]
        for block in passed:
            self._changes[feed_place(block.seq)] = None
        self._is_dead = self._is_dead and bool(self._blocks)
        return Synced(tuple(done), tuple(block for block in passed if block not in done))

    def _look_back(self) -> None:
        """Find what was signed and is not in the log, which is all at hand."""
        seq, head = self._base
        if self._last.has_lost:
            until_ms = self._time_ms + self._ledger.parameters.feed_life_ms
            silent = replace(self._last, silent_until_ms=until_ms, has_lost=False)
            if not self._blocks:
                silent = replace(silent, seq=seq, feed_id=head, valid_until_ms=0)
            self._note(silent)
        if self._blocks:
            first = self._blocks[0]
            if (first.seq - 1, first.previous) != (seq, head):
                self._die()
        elif self._last.seq > seq and self._last.feed_id != head:
            self._fall_silent(self._last.valid_until_ms)

    def _die(self) -> None:
        self._is_dead = True
        self.version += 1
        self._fall_silent(self._blocks[-1].valid_until_ms)

    def _fall_silent(self, until_ms: int) -> None:
        if until_ms > self._last.silent_until_ms:
            self._note(replace(self._last, silent_until_ms=until_ms))

    # -- signing ---------------------------------------------------------------------------------

    def sign(self, ops: tuple[Op, ...], order: int | None = None) -> Signed:
        """Sign the account's next word; whether it may be is for the caller to know."""
        assert not self.silence
        assert not self._is_dead
        assert len(self._blocks) < LINE_LENGTH_MAX
        seq, until_ms = self.seq + 1, self._time_ms + self._ledger.parameters.feed_life_ms
        previous = self._blocks[-1].feed_id if self._blocks else self._base[1]
        sealed = seal_feed(
            ops,
            seq=seq,
            previous=previous,
            valid_until_ms=until_ms,
            signer=self._signer,
            network_id=self._ledger.network_id,
        )
        block = self._describe(sealed, ops, (seq, previous, until_ms))
        block.order = order
        self._blocks.append(block)
        self.version += 1
        self._changes[feed_place(block.seq)] = encode(sealed)
        self._note(Last(block.seq, block.feed_id, block.valid_until_ms))
        return block

    def note_stake_order(self, order: StakeOrder) -> None:
        """What was signed last carries this out: both are written in one."""
        self._changes[STAKE_PLACE] = encode(order)

    def take_dead(self) -> tuple[Signed, ...]:
        """Take off all blocks, none of which can enter the log any more; others may now be signed.

        Only while there is no `silence`.
        """
        assert self._is_dead
        assert not self.silence
        dead, self._blocks, self._is_dead = tuple(self._blocks), [], False
        self.version += 1
        for block in dead:
            self._changes[feed_place(block.seq)] = None
        self._note(Last(*self._base, 0))
        return dead

    def take_changes(self) -> Changes:
        """What is to be written."""
        changes, self._changes = self._changes, {}
        return changes

    def _note(self, last: Last) -> None:
        self._last = last
        self._changes[LAST_PLACE] = encode(last)

    def _open(self, sealed: SealedFeed) -> Signed:
        signed = read_feed(sealed, _OwnWords(self._signer), self._ledger.network_id)
        header = signed.header
        place = (header.seq, header.previous, header.valid_until_ms)
        return self._describe(sealed, signed.ops, place)

    def _describe(
        self, sealed: SealedFeed, ops: tuple[Op, ...], place: tuple[int, bytes, int]
    ) -> Signed:
        """What the line knows of a feed block; `place`: its number, predecessor, last instant."""
        seq, previous, valid_until_ms = place
        own, op = self._signer.node_id, ops[0]
        return Signed(
            seq=seq,
            feed_id=sealed.compute_id(),
            previous=previous,
            valid_until_ms=valid_until_ms,
            sealed=sealed,
            ops=ops,
            expense=compute_expense(ops, self._ledger.parameters),
            hold_id=compute_hold_id(own, seq, op.n) if isinstance(op, Hold) else None,
        )
