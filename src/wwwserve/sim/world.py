"""Virtual time: one clock, one heap of things to come, and a digest of everything peers asked for.

Ties in time are broken by a sequence number, so a run is a function of its seed alone.
"""

import hashlib
import heapq
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from wwwserve.core.effects import (
    AcceptOffer,
    AnswerOrder,
    CloseLink,
    DeclineOffer,
    Dial,
    Effect,
    EndRequest,
    ExtendPayment,
    OpenFeed,
    Persist,
    PublishBlock,
    RecallSession,
    ReleaseOutput,
    Report,
    SendMessage,
    StartLocal,
    StartRemote,
    StopSession,
    TakeExtension,
)
from wwwserve.core.entropy import Entropy
from wwwserve.values.moments import NEVER, Moment

Action = Callable[[], None]

_PPM = 1_000_000
_ENCODER = msgspec.msgpack.Encoder(order="deterministic")
_EFFECT_TAGS: dict[type, bytes] = {
    kind: bytes([tag])
    for tag, kind in enumerate(
        (
            SendMessage,
            Dial,
            CloseLink,
            Persist,
            StartLocal,
            StartRemote,
            StopSession,
            EndRequest,
            AcceptOffer,
            DeclineOffer,
            Report,
            PublishBlock,
            OpenFeed,
            AnswerOrder,
            ReleaseOutput,
            ExtendPayment,
            TakeExtension,
            RecallSession,
        )
    )
}


class World:
    """The clock, what is to come, and the running digest over every effect in order."""

    __slots__ = ("_digest", "_heap", "_sequence", "entropy", "event_count", "now_us")

    def __init__(self, entropy: Entropy) -> None:
        """`entropy` decides every chance of the world that is not a peer's own."""
        self.entropy = entropy
        self.now_us = 0
        self.event_count = 0
        """Events told to peers so far."""
        self._heap: list[tuple[int, int, Action]] = []
        self._sequence = 0
        self._digest = hashlib.blake2b(digest_size=16)

    def at(self, moment_us: int, action: Action) -> None:
        """Do `action` at an instant, which must not be past."""
        assert moment_us >= self.now_us, "the past cannot be arranged"
        self._sequence += 1
        heapq.heappush(self._heap, (moment_us, self._sequence, action))

    def after(self, span_us: int, action: Action) -> None:
        """Do `action` in `span_us` microseconds; 0 means next, after what is due already."""
        self.at(self.now_us + span_us, action)

    def run_until(self, moment_us: int) -> None:
        """Let everything due up to `moment_us` happen; the clock then stands there."""
        heap = self._heap
        while heap and heap[0][0] <= moment_us:
            self.now_us, _, action = heapq.heappop(heap)
            action()
        self.now_us = max(self.now_us, moment_us)

    def record(self, host: int, effect: Effect) -> None:
        """Make an effect of a peer part of the digest."""
        stamp = self.now_us.to_bytes(8, "big") + host.to_bytes(2, "big")
        self._digest.update(stamp + _EFFECT_TAGS[type(effect)] + _ENCODER.encode(effect))

    def get_digest(self) -> str:
        """The digest so far, in hexadecimal; equal runs have equal digests at every instant."""
        return self._digest.hexdigest()


@dataclass(frozen=True, slots=True)
class PretendClock:
    """One machine's monotonic clock: its own origin, and its own slightly wrong speed."""

    origin_us: int = 0
    drift_ppm: int = 0
    """Microseconds gained in a second of true time; quartz stays within 200."""

    def read(self, true_us: int) -> Moment:
        """What this clock shows at a true instant."""
        return Moment(self.origin_us + true_us + true_us * self.drift_ppm // _PPM)

    def find(self, shown: Moment) -> int:
        """The first true instant at which this clock shows `shown` or later."""
        if shown >= NEVER:
            return NEVER
        true_us = max(0, (shown - self.origin_us) * _PPM // (_PPM + self.drift_ppm) - 1)
        while self.read(true_us) < shown:
            true_us += 1
        return true_us
