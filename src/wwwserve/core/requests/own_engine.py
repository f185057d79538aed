"""One own engine: its latest reading, what this node has it do, and how much more it takes.

An engine that tells its slots takes so many. One that does not (vLLM, TGI) runs what its key-value
cache holds. What that will hold soon is what it held when it was read, and what all that was sent
since is expected to come to, less all that ended since. Both the cache and the `Allowance` bound
it; where the cache is not told, the allowance alone does.
"""

from dataclasses import dataclass, field

from wwwserve.core.engines import REQUEST_TOKENS_USUAL, EngineHealth, EngineReading
from wwwserve.core.requests.allowance import Allowance
from wwwserve.core.requests.state import START
from wwwserve.core.sessions import Role
from wwwserve.values.limits import ENGINE_STALE_US
from wwwserve.values.moments import MILLISECOND, SECOND, Moment, after

KV_FULL_PERMILLE = 900
"""A cache so full takes no further request: what runs in it still grows, and an engine without a
free block throws a request out and begins it anew."""
AVOIDED_FIRST_US = 500 * MILLISECOND
"""After a failure other engines go first for so long; twice as long after each further failure."""
AVOIDED_MAX_US = 30 * SECOND
"""Longest time a failing engine comes last: then it may show that it is well."""
_DOUBLINGS_MAX = 16
_USUAL_SHIFT = 3
"""The usual size of a request follows each one answered by an eighth."""
_PERMILLE = 1000


@dataclass(slots=True)
class OwnEngine:
    """One engine as last read, and what this node has it do."""

    allowance: Allowance | None = None
    """None: it tells its slots, or its operator does."""
    reading: EngineReading | None = None
    read_at: Moment | None = None
    own_running: int = 0
    peer_running: int = 0
    peer_unread: int = 0
    """Of these, such whose prompts it has not read to the end."""
    foreign: int = 0
    """Requests others sent it directly, as of the last reading."""
    started_at: int = 0
    """The number of the latest start on it among those of all engines."""
    usual_tokens: int = REQUEST_TOKENS_USUAL
    """Size of a request answered here, prompt and answer, on average."""
    moved_at: Moment | None = None
    """When it last brought something of an answer, or its end."""
    _peak: int = 0
    """Most this node had running there since the last reading."""
    _tokens: int = 0
    """What all that runs there for this node is expected to come to."""
    _tokens_read: int = 0
    """The same at the last reading."""
    _failures: int = 0
    """In a row."""
    _avoided_until: Moment = field(default=START)

    @property
    def running(self) -> int:
        """Requests this node has running there."""
        return self.own_running + self.peer_running

    @property
    def used(self) -> int:
        """Requests running there, as far as is known."""
        return self.running + self.foreign

    # -- what happens to it ----------------------------------------------------------------------

    def set_reading(self, reading: EngineReading, now: Moment) -> None:
        """It was read."""
        self.reading = reading
        self.read_at = now
        if reading.running is None:
            self.foreign = 0
        else:
            # Against the most that was ours lately: a reading may be older than our last count.
            at_engine = reading.running + (reading.waiting or 0)
            self.foreign = max(at_engine - self._peak, 0)
        if self.allowance is not None:
            if reading.health is EngineHealth.READY:
                self.allowance.look(reading, now)
            else:
                self.allowance.reset()
        self._peak = self.running
        self._tokens_read = self._tokens

    def start(self, role: Role, tokens: int) -> None:
        """One more request runs, expected to come to so many tokens."""
        if role is Role.ORIGIN:
            self.own_running += 1
        else:
            self.peer_running += 1
            self.peer_unread += 1
        self._peak = max(self._peak, self.running)
        self._tokens += tokens
        if self.allowance is not None:
            self.allowance.note_start()

    def end(self, role: Role, tokens: int) -> None:
        """One that was started with these is over."""
        if role is Role.ORIGIN:
            self.own_running -= 1
        else:
            self.peer_running -= 1
        self._tokens -= tokens
        assert min(self.own_running, self.peer_running, self._tokens) >= 0, self
        assert 0 <= self.peer_unread <= self.peer_running, self

    def note_refusal(self) -> None:
        """A request for it is turned away, or waits."""
        if self.allowance is not None:
            self.allowance.note_refusal(self.used)

    def note_failure(self, now: Moment) -> None:
        """It failed a request: for a while it comes last."""
        if now < self._avoided_until:
            # All that ran on an engine that died fails together: that is one failure.
            return
        span_us = min(AVOIDED_FIRST_US << min(self._failures, _DOUBLINGS_MAX), AVOIDED_MAX_US)
        self._failures += 1
        self._avoided_until = after(now, span_us)

    def note_success(self, tokens: int) -> None:
        """It answered a request, of so many tokens by its own count; 0 = untold."""
        if tokens:
            # What was expected may be another node's word, and large words would leave no room.
            usual = self.usual_tokens + ((tokens - self.usual_tokens) >> _USUAL_SHIFT)
            self.usual_tokens = max(usual, 1)
        self._failures = 0
        self._avoided_until = START

    # -- what it is asked ------------------------------------------------------------------------

    def get_fresh(self, now: Moment) -> EngineReading | None:
        """The reading, unless it is so old that it says nothing."""
        is_fresh = self.read_at is not None and now < after(self.read_at, ENGINE_STALE_US)
        return self.reading if is_fresh else None

    def is_avoided(self, now: Moment) -> bool:
        """Whether it failed so lately that others go first."""
        return now < self._avoided_until

    def compute_slots(self, tokens: int) -> int:
        """Requests it could have running at once, were each further one of so many tokens.

        Less than the usual size counts as that: where small ones may pass, a usual one that waits
        would never find room. An engine with nothing to do takes one, however large.
        """
        assert self.allowance is not None, "an engine that tells its slots is not asked"
        allowed = self.allowance.count
        held = self._compute_held()
        capacity = self.reading.kv_tokens if self.reading is not None else None
        if held is None or not capacity:
            is_full = (self.get_kv_permille() or 0) >= KV_FULL_PERMILLE
            return max(min(allowed, self.used) if is_full else allowed, 1)
        free = max(capacity * KV_FULL_PERMILLE // _PERMILLE - held, 0)
        return max(min(allowed, self.used + free // max(tokens, self.usual_tokens)), 1)

    def get_allowed(self) -> int:
        """Requests it is trusted with at once, however small."""
        return self.allowance.count if self.allowance is not None else 0

    def get_kv_tokens(self) -> int | None:
        """Tokens its cache may be filled with; None where it does not tell."""
        if self.reading is None or not self.reading.kv_tokens:
            return None
        return self.reading.kv_tokens * KV_FULL_PERMILLE // _PERMILLE

    def get_kv_permille(self) -> int | None:
        """Share of its cache in use, with what was sent and ended since it was read."""
        if self.reading is None:
            return None
        held, capacity = self._compute_held(), self.reading.kv_tokens
        if held is None or not capacity:
            return self.reading.kv_used_permille
        return min(held * _PERMILLE // capacity, _PERMILLE)

    def _compute_held(self) -> int | None:
        """Tokens its cache is expected to hold; None where it does not tell."""
        reading = self.reading
        if reading is None or not reading.kv_tokens or reading.kv_used_permille is None:
            return None
        held = reading.kv_tokens * reading.kv_used_permille // _PERMILLE
        return max(held + self._tokens - self._tokens_read, 0)
