"""What a node has taken of others and spent on them, summed over the last minute, hour and day.

Rules:

- A sum is never less than what falls into its span: times are kept by whole grains, and a grain
  counts until all of it is past. So a cap compared with a sum holds for every span of that length,
  wherever it begins.
- Running requests count as the most they may come to, from the moment they are taken on.
- A day's sums outlive the process: the host keeps a log and gives them back as `PastUse`.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

from wwwserve.core.deciding import Counts, PastUse
from wwwserve.core.sessions import SessionId
from wwwserve.values.ids import NodeId
from wwwserve.values.limits import MEMBERS_MAX
from wwwserve.values.moments import SECOND, Moment

MINUTE_US: Final = 60 * SECOND
HOUR_US: Final = 60 * MINUTE_US
DAY_US: Final = 24 * HOUR_US
GRAINS: Final = 60
"""Grains of any span: a sum covers up to a sixtieth of it too much, and has as many terms."""
ACCOUNTS_MAX: Final = MEMBERS_MAX
"""Nodes told apart; those beyond share one account, so none of them is counted too low."""


class RollingSum:
    """The sum of what was added within the last span; amounts are never negative."""

    __slots__ = ("_entries", "_grain_us", "_span_us", "_total")

    def __init__(self, span_us: int) -> None:
        self._span_us = span_us
        self._grain_us = span_us // GRAINS
        self._entries: deque[tuple[int, int]] = deque()
        """The end of each grain and its amount, in order."""
        self._total = 0

    def add(self, amount: int, at: Moment) -> None:
        """So much happened; moments only ever grow."""
        end = at - at % self._grain_us + self._grain_us
        self._total += amount
        if self._entries and self._entries[-1][0] >= end:
            end, amount = self._entries[-1][0], self._entries.pop()[1] + amount
        self._entries.append((end, amount))

    def compute(self, now: Moment) -> int:
        """The sum."""
        while self._entries and self._entries[0][0] + self._span_us <= now:
            self._total -= self._entries.popleft()[1]
        return self._total

    def list_entries(self) -> Iterator[tuple[Moment, int]]:
        """The last instant of each grain, and its amount."""
        return ((Moment(end - 1), amount) for end, amount in self._entries)


class _Account:
    """What was taken of one node, or of all."""

    __slots__ = ("day_tokens", "minute_requests", "open_tokens")

    def __init__(self) -> None:
        self.minute_requests = RollingSum(MINUTE_US)
        self.day_tokens = RollingSum(DAY_US)
        self.open_tokens = 0
        """The most that running requests may come to."""

    def compute_requests(self, now: Moment) -> int:
        return self.minute_requests.compute(now)

    def compute_tokens(self, now: Moment) -> int:
        return self.day_tokens.compute(now) + self.open_tokens

    def is_empty(self, now: Moment) -> bool:
        return self.compute_requests(now) == 0 and self.compute_tokens(now) == 0


class Usage:
    """Other nodes' requests taken here, for all together and for each node."""

    def __init__(self, past: Iterable[PastUse] = ()) -> None:
        """`past` in order of time."""
        self._all = _Account()
        self._shared = _Account()
        """Of all nodes for which there is no account of their own."""
        self._accounts: dict[NodeId, _Account] = {}
        """The node last taken from comes last."""
        self._open: dict[SessionId, tuple[_Account, int]] = {}
        """Whose account a running request is on, and what it counts as."""
        for use in past:
            account = self._shared if use.asker is None else self._find_or_make(use.asker, use.at)
            for each in (self._all, account):
                each.day_tokens.add(use.tokens, use.at)

    def count(self, asker: NodeId, now: Moment) -> Counts:
        """What counts against a node's next request."""
        account = self._accounts.get(asker, self._shared)
        return Counts(
            minute_requests=self._all.compute_requests(now),
            minute_requests_asker=account.compute_requests(now),
            day_tokens=self._all.compute_tokens(now),
            day_tokens_asker=account.compute_tokens(now),
        )

    def take(self, session: SessionId, asker: NodeId, tokens: int, now: Moment) -> None:
        """A request was taken, and may come to so many tokens."""
        account = self._find_or_make(asker, now)
        self._open[session] = (account, tokens)
        for each in (self._all, account):
            each.minute_requests.add(1, now)
            each.open_tokens += tokens

    def end(self, session: SessionId, tokens: int, now: Moment) -> None:
        """A request is over, and came to so many tokens."""
        account, most = self._open.pop(session)
        for each in (self._all, account):
            each.open_tokens -= most
            each.day_tokens.add(tokens, now)

    def has(self, session: SessionId) -> bool:
        """Whether a request runs."""
        return session in self._open

    def list_past(self, now: Moment, shift_us: int) -> list[PastUse]:
        """The day's tokens for a process that comes after this one, `shift_us` added to moments.

        What runs now ends with this process, and counts as the most it may have come to.
        """
        accounts: list[tuple[NodeId | None, _Account]] = [
            *self._accounts.items(),
            (None, self._shared),
        ]
        for _, account in accounts:
            account.compute_tokens(now)
        past = [
            PastUse(asker, Moment(at + shift_us), amount)
            for asker, account in accounts
            for at, amount in (*account.day_tokens.list_entries(), (now, account.open_tokens))
            if amount
        ]
        return sorted(past, key=lambda use: use.at)

    def _find_or_make(self, asker: NodeId, now: Moment) -> _Account:
        """A node's account. While the shared one holds anything it may be this node's."""
        account = self._accounts.pop(asker, None)
        if account is None:
            if not (self._has_room(now) and self._shared.is_empty(now)):
                return self._shared
            account = _Account()
        self._accounts[asker] = account
        return account

    def _has_room(self, now: Moment) -> bool:
        """Whether one more account may be kept; the one least lately used makes room if empty."""
        if len(self._accounts) < ACCOUNTS_MAX:
            return True
        oldest = next(iter(self._accounts))
        if not self._accounts[oldest].is_empty(now):
            return False
        del self._accounts[oldest]
        return True
