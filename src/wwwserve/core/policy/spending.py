"""What own requests cost elsewhere, within the last hour and day, against the provider's budgets.

A hold counts as the most it can pay until it is known what it paid. A session may have several
holds, one after the other; when its last payment is told, all of them are over.
"""

from collections.abc import Iterable
from typing import Final

from wwwserve.core.deciding import PastSpending
from wwwserve.core.paying import HoldTerms
from wwwserve.core.policy.usage import DAY_US, HOUR_US, RollingSum
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.core.sessions import SessionId
from wwwserve.values.limits import REQUESTS_OPEN_MAX
from wwwserve.values.moments import Moment

SESSIONS_MAX: Final = 2 * REQUESTS_OPEN_MAX
"""Paid sessions that are not over; of more, the oldest counts as having paid all it may."""


class Spending:
    """The micro-credits that own requests have cost, and may still."""

    def __init__(self, past: Iterable[PastSpending] = ()) -> None:
        """`past` is what was paid before this process began, in order of time."""
        self._hour = RollingSum(HOUR_US)
        self._day = RollingSum(DAY_US)
        self._holds: dict[SessionId, dict[bytes, tuple[HoldTerms, int]]] = {}
        """Of each session that is not over: its holds, and what each has paid."""
        self._locked = 0
        self._forgotten = 0
        """What sessions may have come to that are remembered no more; counted with the next end."""
        for spent in past:
            self._add(spent.microcredits, spent.at)

    def note_hold(self, session: SessionId, terms: HoldTerms) -> int:
        """A hold was signed; the answer is the most that all of its session's can pay."""
        if session not in self._holds and len(self._holds) >= SESSIONS_MAX:
            self._forgotten += self._release(next(iter(self._holds)), is_known=False)
        holds = self._holds.setdefault(session, {})
        holds[terms.hold_id] = (terms, 0)
        self._locked += compute_most(terms)
        return sum(compute_most(each) for each, _ in holds.values())

    def note_paid(self, session: SessionId, hold_id: bytes, depth: int) -> None:
        """A hold is paid so deep."""
        holds = self._holds.get(session, {})
        if hold_id in holds:
            terms, paid = holds[hold_id]
            holds[hold_id] = (terms, max(paid, terms.compute_pay(depth)))

    def end(self, session: SessionId, now: Moment) -> int:
        """Nothing of a session's is paid any more; the answer is what it came to."""
        spent = self._release(session, is_known=True) + self._forgotten
        self._forgotten = 0
        if spent:
            self._add(spent, now)
        return spent

    def compute_hour(self, now: Moment) -> int:
        """Micro-credits within the last hour."""
        return self._hour.compute(now) + self._locked + self._forgotten

    def compute_day(self, now: Moment) -> int:
        """Micro-credits within the last 24 hours."""
        return self._day.compute(now) + self._locked + self._forgotten

    def describe_excess(self, settings: PolicySettings, most: int, now: Moment) -> str:
        """Why a request that may cost so much is beyond a budget; empty if it is not."""
        if self.compute_hour(now) + most > settings.offload_credits_per_hour_max:
            return "the provider's budget for an hour is used up"
        if self.compute_day(now) + most > settings.offload_credits_per_day_max:
            return "the provider's budget for a day is used up"
        return ""

    def _release(self, session: SessionId, *, is_known: bool) -> int:
        """Forget a session's holds; the answer is what they paid, or all they may if not known."""
        holds = self._holds.pop(session, {}).values()
        self._locked -= sum(compute_most(terms) for terms, _ in holds)
        return sum(paid if is_known else compute_most(terms) for terms, paid in holds)

    def _add(self, amount: int, at: Moment) -> None:
        self._hour.add(amount, at)
        self._day.add(amount, at)


def compute_most(terms: HoldTerms) -> int:
    """The most a hold can pay."""
    return terms.compute_pay(terms.units_max)
