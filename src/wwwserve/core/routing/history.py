"""What this node remembers of others as executors: failures, sends on the way, promises kept.

All of it is this node's own experience, so nobody can spoil another's name with it.
"""

from collections import deque
from dataclasses import dataclass, field

from wwwserve.core.placing import FirstTokenLate, RunMeasured
from wwwserve.values.ids import NodeId
from wwwserve.values.limits import MEMBERS_MAX, QUOTE_LIFE_US
from wwwserve.values.moments import MILLISECOND, SECOND, Moment, after

PENALTY_FIRST_US = 500 * MILLISECOND
"""A node that failed is left alone so long; twice as long after each further failure."""
PENALTY_MAX_US = 30 * SECOND
"""Longest time a failing node is left alone: then it may show that it is well."""
SENDS_REMEMBERED_MAX = 64
"""Sends to one node counted against its quotes; more make no difference to a choice."""

START = Moment(0)
"""Before any moment a host's clock shows."""

PROMISE_FADE_US = 5 * SECOND
"""What was learned of a node's punctuality counts half after so long without news: it was learned
under another load, and a node that is never chosen could not mend its name."""

_PERMILLE = 1000
_PROMISE_MIN_PERMILLE = 250
_PROMISE_MAX_PERMILLE = 8_000
_PROMISE_SHIFT = 4
_FADES_MAX = 16


@dataclass(slots=True)
class _Experience:
    """What is remembered of one node."""

    failures: int = 0
    """In a row."""
    avoided_until: Moment = START
    sends: deque[Moment] = field(default_factory=lambda: deque(maxlen=SENDS_REMEMBERED_MAX))
    promise_permille: int = _PERMILLE
    """How long its runs took, in thousandths of what it had quoted."""
    promised_at: Moment = START
    """When that was learned."""

    def get_promise_permille(self, now: Moment) -> int:
        """The same, as far as it has not faded."""
        fades = min(max(now - self.promised_at, 0) // PROMISE_FADE_US, _FADES_MAX)
        excess = self.promise_permille - _PERMILLE
        return _PERMILLE + (excess >> fades if excess > 0 else -(-excess >> fades))

    def note_promise(self, permille: int, now: Moment) -> None:
        """A run took so long, in thousandths of what had been quoted."""
        ratio = max(_PROMISE_MIN_PERMILLE, min(permille, _PROMISE_MAX_PERMILLE))
        known = self.get_promise_permille(now)
        self.promise_permille = known + ((ratio - known) >> _PROMISE_SHIFT)
        self.promised_at = now


class History:
    """Own experience with every executor tried, at most `MEMBERS_MAX`; the oldest makes room."""

    def __init__(self) -> None:
        self._nodes: dict[NodeId, _Experience] = {}

    def add_send(self, node: NodeId, now: Moment) -> None:
        """An offer left for a node."""
        self._get_or_add(node).sends.append(now)

    def add_failure(self, node: NodeId, now: Moment) -> None:
        """A node took a request and did not do it: leave it alone for a while."""
        experience = self._get_or_add(node)
        if now < experience.avoided_until:
            # All runs of a node that died fail together: that is one failure.
            return
        span_us = min(PENALTY_FIRST_US << min(experience.failures, 16), PENALTY_MAX_US)
        experience.failures += 1
        experience.avoided_until = after(now, span_us)

    def add_success(self, run: RunMeasured, now: Moment) -> None:
        """A node did what it promised: its failures are forgotten, its punctuality noted.

        Its quote was for an answer of the expected length; that a longer one took longer is not the
        node's fault.
        """
        experience = self._get_or_add(run.node)
        experience.failures = 0
        experience.avoided_until = START
        if run.quoted_us > 0:
            decode_us = max(run.total_us - run.first_output_us, 0)
            if run.expected_tokens:
                decode_us = decode_us * run.expected_tokens // max(run.completion_tokens, 1)
            ratio = (run.first_output_us + decode_us) * _PERMILLE // run.quoted_us
            experience.note_promise(ratio, now)

    def add_late(self, late: FirstTokenLate, now: Moment) -> None:
        """A node kept a request waiting until it was taken back.

        What it promised took at least as long as was waited; and it did not do what it took.
        """
        ratio = late.waited_us * _PERMILLE // max(late.expected_us, 1)
        self._get_or_add(late.node).note_promise(ratio, now)
        self.add_failure(late.node, now)

    def is_avoided(self, node: NodeId, now: Moment) -> bool:
        """Whether a node failed so lately that it is left alone."""
        experience = self._nodes.get(node)
        return experience is not None and now < experience.avoided_until

    def count_sends(self, node: NodeId, since: Moment, now: Moment) -> int:
        """Offers sent to a node since then, which its quote of then does not know of."""
        experience = self._nodes.get(node)
        if experience is None:
            return 0
        sends = experience.sends
        while sends and after(sends[0], QUOTE_LIFE_US) <= now:
            sends.popleft()
        return sum(1 for sent in sends if sent >= since)

    def scale(self, node: NodeId, quoted_us: int, now: Moment) -> int:
        """What a node's quote has meant so far."""
        experience = self._nodes.get(node)
        permille = _PERMILLE if experience is None else experience.get_promise_permille(now)
        return quoted_us * permille // _PERMILLE

    def _get_or_add(self, node: NodeId) -> _Experience:
        if node not in self._nodes:
            if len(self._nodes) >= MEMBERS_MAX:
                del self._nodes[next(iter(self._nodes))]
            self._nodes[node] = _Experience()
        return self._nodes[node]
