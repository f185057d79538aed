"""A wallet as payments ask for it: it signs in order, keeps what it is told, and claims at once."""

import hashlib
from dataclasses import dataclass, field

from wwwserve.core.effects import Persist
from wwwserve.core.holding import HoldDraft, SignedHold
from wwwserve.core.lanes import Lane
from wwwserve.core.ledger_view import AsksLedger
from wwwserve.core.payments import ClaimHold, HoldOver, KeepPreimage
from wwwserve.values.moments import Moment
from wwwserve.wire import Signer
from wwwserve.wire.ledger import (
    NO_DIGEST,
    Claim,
    Close,
    Hold,
    Op,
    SealedFeed,
    compute_hold_id,
    compute_link,
    seal_feed,
)


@dataclass
class HonestWallet:
    """`AsksWallet` for one key of a pretend ledger; fees and the minimum are left to spare."""

    signer: Signer
    ledger: AsksLedger
    is_ready: bool = True
    is_busy: bool = False
    locked: dict[int, int] = field(default_factory=dict)
    """What unsettled feed blocks lock, by number."""
    kept: dict[bytes, KeepPreimage] = field(default_factory=dict)
    claimable: dict[bytes, None] = field(default_factory=dict)
    closable: dict[bytes, int] = field(default_factory=dict)
    links: dict[bytes, bytes] = field(default_factory=dict)
    signed: dict[bytes, SealedFeed] = field(default_factory=dict)
    last: tuple[int, bytes] | None = None
    count: int = 0

    @property
    def spendable(self) -> int:
        account = self.ledger.find_account(self.signer.node_id)
        if account is None:
            return 0
        self.locked = {seq: much for seq, much in self.locked.items() if seq > account.seq}
        fees = 20 * self.ledger.parameters.op_fee * self.ledger.parameters.rate_fee_factor_max
        return max(account.spendable - sum(self.locked.values()) - fees, 0)

    def sign_hold(self, draft: HoldDraft, now: Moment) -> SignedHold:
        assert self.is_ready
        assert draft.locked <= self.spendable
        seq, _ = self._next()
        self.count += 1
        chain = [hashlib.sha256(b"%d" % self.count + self.signer.node_id).digest()]
        for _ in range(draft.units_max):
            chain.append(compute_link(chain[-1]))
        links = b"".join(reversed(chain))
        hold = Hold(
            n=self.count,
            payee=draft.payee,
            first=draft.first,
            unit=draft.unit,
            units_max=draft.units_max,
            unit_tokens=draft.unit_tokens,
            anchor=links[:32],
            req_commit=draft.req_commit,
            quote_hash=draft.quote_hash,
            deadline_ms=draft.deadline_ms,
            seed_epoch=self.ledger.epoch,
            flags=draft.flags,
        )
        hold_id = compute_hold_id(self.signer.node_id, seq, hold.n)
        feed = self.sign(hold)
        self.locked[seq] = draft.locked
        self.links[hold_id] = links
        self.signed[hold_id] = feed
        number = self.count
        return SignedHold(hold_id, feed, 0, links, (Persist(Lane.FEED, number, ((b"x", b"y"),)),))

    def sign(self, *ops: Op) -> SealedFeed:
        """The account's next feed block."""
        seq, previous = self._next()
        feed = seal_feed(
            ops,
            seq=seq,
            previous=previous,
            valid_until_ms=self.ledger.time_ms + self.ledger.parameters.feed_life_ms,
            signer=self.signer,
            network_id=self.ledger.network_id,
        )
        self.last = (seq, feed.compute_id())
        return feed

    def handle(self, effect: KeepPreimage | ClaimHold | HoldOver) -> None:
        """What payments ask of it."""
        match effect:
            case KeepPreimage(hold_id, depth):
                known = self.kept.get(hold_id)
                if known is None or known.depth < depth:
                    self.kept[hold_id] = effect
            case ClaimHold(hold_id):
                self.claimable[hold_id] = None
            case HoldOver(hold_id, depth):
                self.closable[hold_id] = depth

    def flush(self) -> SealedFeed | None:
        """Claims and closes of holds that are open, in one feed block."""
        claims = [key for key in self.claimable if self.ledger.find_hold(key) is not None]
        closes = [key for key in self.closable if self.ledger.find_hold(key) is not None]
        ops: list[Op] = []
        for key in claims[:30]:
            kept = self.kept[key]
            ops.append(Claim(key, kept.depth, kept.preimage))
            del self.claimable[key]
        for key in closes[:30]:
            depth = self.closable.pop(key)
            ops.append(Close(key, depth, self.links[key][32 * depth : 32 * depth + 32]))
        return self.sign(*ops) if ops else None

    def _next(self) -> tuple[int, bytes]:
        account = self.ledger.find_account(self.signer.node_id)
        seq, head = (account.seq, account.head) if account else (0, NO_DIGEST)
        if self.last is None or self.last[0] <= seq:
            self.last = (seq, head)
        return self.last[0] + 1, self.last[1]
