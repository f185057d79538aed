"""What a policy did, in the words in which a host writes it down: one record a line.

A diary begins with a `Life` and a policy, and each process adds another `Life`. From its records
the counts of a day are known again after a restart (`Remembered`), and its decisions can be made
anew (`replaying`). Records hold sizes, nodes and models of requests; never a prompt.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from wwwserve.core.deciding import (
    Case,
    IncomeSetAside,
    PastSpending,
    PastUse,
    PolicyInForce,
    RequestDecided,
    SpendingCounted,
    StakeCase,
    StakeDecided,
    UseCounted,
)
from wwwserve.core.placing import Accepted, Declined, Queued, Verdict
from wwwserve.core.policy.usage import DAY_US, RollingSum, Usage
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.core.sessions import SessionId
from wwwserve.values.moments import Moment
from wwwserve.values.refusals import DeclineReason


class Life(msgspec.Struct, frozen=True, tag="life"):
    """A process began; what ran before it is over."""

    at: Moment
    wall_us: int
    """The calendar at that moment, in microseconds since 1970."""


class InForce(msgspec.Struct, frozen=True, tag="policy"):
    """From now on these settings hold."""

    at: Moment
    settings: PolicySettings


class Decided(msgspec.Struct, frozen=True, tag="decided"):
    """An answer about a request."""

    case: Case
    answer: str
    """`accepted`, `queued`, or the name of a reason to decline."""
    rule: str
    guest_fault: str = ""


class Used(msgspec.Struct, frozen=True, tag="used"):
    """Another node's request was taken, or is over."""

    counted: UseCounted


class Spent(msgspec.Struct, frozen=True, tag="spent"):
    """An own user's request is paid for elsewhere, or is over."""

    session: SessionId
    at: Moment
    microcredits: int
    is_over: bool


class Staked(msgspec.Struct, frozen=True, tag="staked"):
    """Another answer about the node's own stake."""

    case: StakeCase
    seats: int
    """To stake; to take out, if below nothing."""
    rule: str


class SetAside(msgspec.Struct, frozen=True, tag="set-aside"):
    """So much of the income is to be staked from now on, with so many orders taken off."""

    at: Moment
    microcredits: int
    orders: int = 0


class Carried(msgspec.Struct, frozen=True, tag="carried"):
    """What the records before this one said, should they not be kept any more."""

    life: Life
    """The process that goes on."""
    use: tuple[PastUse, ...]
    spending: tuple[PastSpending, ...]
    set_aside: int = 0
    """Micro-credits of income that are to be staked."""
    orders: int = 0
    """How many orders have been taken off them."""


Record = Life | InForce | Decided | Used | Spent | Staked | SetAside | Carried

_DECODER: Final[msgspec.json.Decoder[Record]] = msgspec.json.Decoder(Record)


class Remembered:
    """The counts of a day, from records in order."""

    def __init__(self) -> None:
        self._usage = Usage()
        self._spending: dict[SessionId, int] = {}
        """The most of what is not over yet."""
        self._paid = RollingSum(DAY_US)
        self._last = Moment(0)
        self._life: Life | None = None
        self.set_aside = 0
        """Micro-credits of income that are to be staked."""
        self.orders = 0
        """How many orders have been taken off them."""

    @property
    def life(self) -> Life | None:
        """The process whose records come now."""
        return self._life

    def read(self, record: Record) -> None:
        """Take in the next record."""
        match record:
            case Life():
                self._begin(record)
            case Used(counted):
                self._last = counted.at
                self._count(counted)
            case Spent():
                self._last = record.at
                self._spend(record)
            case SetAside(microcredits=microcredits, orders=orders):
                self.set_aside, self.orders = microcredits, orders
            case Carried(life, use, spending, set_aside, orders) if self._life is None:
                self._set(use, spending)
                self._life, self.set_aside, self.orders = life, set_aside, orders
            case Carried():
                pass  # What it carries was read.
            case InForce() | Decided() | Staked():
                pass

    def list_use(self, shift_us: int = 0) -> tuple[PastUse, ...]:
        """Tokens taken; what runs counts as the most it may come to, and moments are shifted."""
        return tuple(self._usage.list_past(self._last, shift_us))

    def list_spending(self, shift_us: int = 0) -> tuple[PastSpending, ...]:
        """Micro-credits spent, likewise."""
        self._paid.compute(self._last)
        still = ((self._last, most) for most in self._spending.values())
        return tuple(
            PastSpending(Moment(at + shift_us), amount)
            for at, amount in (*self._paid.list_entries(), *still)
        )

    def _spend(self, spent: Spent) -> None:
        self._spending.pop(spent.session, None)
        if spent.is_over:
            self._paid.add(spent.microcredits, spent.at)
        else:
            self._spending[spent.session] = spent.microcredits

    def _count(self, counted: UseCounted) -> None:
        if not counted.is_over:
            self._usage.take(counted.session, counted.asker, counted.tokens, counted.at)
        elif self._usage.has(counted.session):
            self._usage.end(counted.session, counted.tokens, counted.at)

    def _begin(self, life: Life) -> None:
        """The clock of the new process shows another time; what ran is over by now, not sooner."""
        shift_us = compute_shift(self._life, life)
        self._last = max(self._last, Moment(life.at - shift_us))
        self._set(self.list_use(shift_us), self.list_spending(shift_us))
        self._life, self._last = life, life.at

    def _set(self, use: Iterable[PastUse], spending: Iterable[PastSpending]) -> None:
        self._usage, self._paid, self._spending = Usage(use), RollingSum(DAY_US), {}
        for spent in spending:
            self._paid.add(spent.microcredits, spent.at)


def compute_shift(before: Life | None, life: Life) -> int:
    """What to add to a moment of one process for that instant on the clock of the next.

    The calendar joins them; one that was set back counts as no time at all, so nothing is younger
    than it is by more than that.
    """
    if before is None:
        return 0
    return (life.at - life.wall_us) - (before.at - before.wall_us)


def make_record(fact: object) -> Record | None:
    """What a diary says of a fact; None if the fact is none of the policy's."""
    match fact:
        case RequestDecided(case, verdict, rule, guest_fault):
            return Decided(case, make_answer(verdict), rule, guest_fault)
        case UseCounted():
            return Used(fact)
        case SpendingCounted(session, at, microcredits, is_over):
            return Spent(session, at, microcredits, is_over)
        case StakeDecided(case, seats, rule):
            return Staked(case, seats, rule)
        case IncomeSetAside(at, microcredits, orders):
            return SetAside(at, microcredits, orders)
        case PolicyInForce(at, settings):
            return InForce(at, settings)
        case _:
            return None


def encode_record(record: Record) -> bytes:
    """A record as a line of JSON, without its end."""
    return msgspec.json.encode(record)


def read_record(line: bytes) -> Record:
    """The record in a line; raises `ValueError` if it is none."""
    return _DECODER.decode(line)


def make_answer(verdict: Verdict) -> str:
    """An answer as a word."""
    match verdict:
        case Accepted():
            return "accepted"
        case Queued():
            return "queued"
        case Declined(reason):
            return reason.name.lower()


def read_answer(word: str) -> Verdict:
    """The answer that a word stands for; raises `KeyError` for a word that is none."""
    match word:
        case "accepted":
            return Accepted()
        case "queued":
            return Queued()
        case _:
            return Declined(DeclineReason[word.upper()])
