"""Which feed blocks may wait for a block: those that would count after all that waits before them.

A void feed block changes nothing, so it costs its author nothing, and everybody has to keep it. So
whoever orders the log takes in only what follows from the state and from what already waits, and
is paid for even if all of that spends as much as it can.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from wwwserve.core.ledger import Account, Ledger
from wwwserve.values.ledger_parameters import LedgerParameters
from wwwserve.values.refusals import Refusal, Severity
from wwwserve.wire.ledger import (
    NO_DIGEST,
    Bond,
    Door,
    Hold,
    Join,
    Op,
    OpenedFeed,
    PuzzleBits,
    Sponsor,
    Transfer,
)

ACCOUNT_WAITING_MAX: Final = 64
"""Feed blocks of one account that wait at once: a sixteenth of a block."""
STRANGERS_WAITING_MAX: Final = 64
"""First words of keys without an account that wait at once: nobody knows what they are worth."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    feed_id: bytes
    seq: int
    ops: int
    spends_max: int
    """Fee and all that its ops may take from the account's free credits."""


class Admission:
    """Who has what waiting."""

    __slots__ = ("_ledger", "_strangers", "_waiting")

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._waiting: dict[bytes, deque[_Waiting]] = {}
        self._strangers = 0

    def admit(self, opened: OpenedFeed) -> None:
        """Let a feed block wait; raises `Refusal` if it would be void, or too much waits."""
        account = self._ledger.accounts.get(opened.account)
        line = self._waiting.get(opened.account)
        if account is None:
            self._validate_stranger(opened, line)
            fee = self._ledger.parameters.op_fee
            self._strangers += 1
        elif line:
            fee = self._validate_next(opened, account, line)
        else:
            fee = self._ledger.check_feed(opened)
        spends = fee + sum(compute_spending(op, self._ledger.parameters) for op in opened.ops)
        waiting = _Waiting(opened.feed_id, opened.header.seq, len(opened.ops), spends)
        self._waiting.setdefault(opened.account, deque()).append(waiting)

    def withdraw(self, opened: OpenedFeed) -> None:
        """Forget the feed block admitted last for its account: the engine had no room for it."""
        line = self._waiting[opened.account]
        assert line[-1].feed_id == opened.feed_id
        line.pop()
        self._tidy(opened)

    def on_final(self, feeds: tuple[OpenedFeed, ...]) -> None:
        """Forget what is in the log now, before it is applied."""
        for opened in feeds:
            line = self._waiting.get(opened.account)
            if line and line[0].feed_id == opened.feed_id:
                line.popleft()
                self._tidy(opened)

    def _tidy(self, opened: OpenedFeed) -> None:
        if not self._waiting[opened.account]:
            del self._waiting[opened.account]
        if opened.header.seq == 0:
            self._strangers -= 1

    # -- what is refused -------------------------------------------------------------------------

    def _validate_next(self, opened: OpenedFeed, account: Account, line: deque[_Waiting]) -> int:
        """A feed block after others that wait: gives its fee."""
        header, last = opened.header, line[-1]
        if len(line) >= ACCOUNT_WAITING_MAX:
            detail = f"{ACCOUNT_WAITING_MAX} of this account's wait already"
            raise Refusal("pool-account", detail, Severity.IGNORE)
        if header.seq != last.seq + 1 or header.previous != last.feed_id:
            raise Refusal("feed-seq", f"number {header.seq} where {last.seq + 1} is next")
        self._validate_time(header.valid_until_ms)
        fee = self._compute_fee(opened, account, sum(waiting.ops for waiting in line))
        left = account.avail - sum(waiting.spends_max for waiting in line)
        if fee > left:
            detail = "what waits before it may spend all; say it again when that is in the log"
            raise Refusal("pool-funds", detail, Severity.IGNORE)
        return fee

    def _validate_time(self, until_ms: int) -> None:
        now_ms = self._ledger.log.time_ms
        if not now_ms <= until_ms <= now_ms + 2 * self._ledger.parameters.epoch_ms:
            raise Refusal("feed-expired", f"valid until {until_ms}, and it is {now_ms}")

    def _compute_fee(self, opened: OpenedFeed, account: Account, waiting_ops: int) -> int:
        parameters, log = self._ledger.parameters, self._ledger.log
        seats = self._ledger.seats.get(opened.account, 0)
        allowance = max(parameters.rate_ops, seats * parameters.rate_ops_per_seat)
        used = account.ops_used if account.ops_epoch == log.epoch else 0
        factor = 1 + (used + waiting_ops) // allowance
        if factor > parameters.rate_fee_factor_max:
            raise Refusal("feed-rate", f"over {parameters.rate_fee_factor_max} x {allowance} ops")
        return factor * parameters.op_fee * len(opened.ops)

    def _validate_stranger(self, opened: OpenedFeed, line: deque[_Waiting] | None) -> None:
        """The first word of a key without an account: it must at least have done its work."""
        header, op = opened.header, opened.ops[0]
        if line or self._strangers >= STRANGERS_WAITING_MAX:
            raise Refusal("pool-full", "too many first words wait", Severity.IGNORE)
        if len(opened.ops) != 1 or not isinstance(op, Join) or op.door is Door.SPONSOR:
            raise Refusal("account-unknown", "there is no such account")
        if header.seq != 0 or header.previous != NO_DIGEST:
            raise Refusal("feed-seq", "the first word of a key has number 0")
        if op.door not in self._ledger.constitution.doors:
            raise Refusal("join-door", f"door {op.door} is closed here")
        self._validate_time(header.valid_until_ms)
        proof, wanted = opened.proofs[0], self._ledger.parameters.puzzle_bits
        has_worked = isinstance(proof, PuzzleBits) and proof.count >= wanted
        if op.door is not Door.DEV and not has_worked:
            raise Refusal("join-puzzle", f"the puzzle needs {wanted} zero bits")


def compute_spending(op: Op, parameters: LedgerParameters) -> int:
    """The most an op can take of its account's free credits, beside its fee."""
    match op:
        case Hold():
            return op.first + (op.units_max - 1) * op.unit
        case Transfer():
            return op.amount
        case Bond():
            return op.seats * parameters.seat_price
        case Sponsor():
            return parameters.balance_min
        case _:
            return 0
