"""How well this node itself hears: who is slow must not take others for silent (Lifeguard, 3.1)."""

from typing import Final

HEALTH_SCORE_MAX: Final = 8
"""The worst score: probes then have nine times their usual time (memberlist's default)."""


class Health:
    """A score from 0, in good health, up to a bound; it stretches the times given to others.

    It changes once with each probe, when that is over: however many lies a node has to refute,
    they count as one, and a probe that is answered makes up for them [GOSSIP-HEALTH.3].
    """

    __slots__ = ("_has_refuted", "score")

    def __init__(self) -> None:
        """In good health until the world says otherwise."""
        self.score = 0
        self._has_refuted = False

    def on_refuted(self) -> None:
        """Others doubted this node: it may have been too slow to answer them."""
        self._has_refuted = True

    def apply_probe(self, misses: int) -> None:
        """A probe is over: -1 for an answer, else how many words were missing that should be."""
        score = self.score + misses + self._has_refuted
        self.score = min(HEALTH_SCORE_MAX, max(0, score))
        self._has_refuted = False

    def stretch(self, span_us: int) -> int:
        """A time given to others, as long as it has to be in this health."""
        return span_us * (1 + self.score)
