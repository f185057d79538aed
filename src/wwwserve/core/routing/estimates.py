"""How long own runs take, learned from how long they took; whole numbers throughout.

A run is an overhead, a prefill in proportion to the prompt, and a decode in proportion to the
answer. Decode slows down as an engine works on more at once, so it is learned for each power of two
of runs at once. All averages are exponential, an eighth (lengths: a sixteenth) of each newcomer.
Speeds are learned of each engine, lengths of each model, wherever it ran.
"""

from bisect import bisect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from wwwserve.core.placing import Estimate, LoadView, RunMeasured
from wwwserve.values.model_names import ModelId
from wwwserve.values.moments import SECOND
from wwwserve.wire import Endpoint, RequestSummary

MODELS_LEARNED_MAX = 256
"""Models (and models on engines) with an estimate of their own; the longest known makes room."""

OVERHEAD_COLD_US = 20_000
"""Before any run: time to a first token that no prompt explains."""
PREFILL_COLD_NS = 200_000
"""Before any run: 5 000 prompt tokens a second, a good GPU. A stranger is given the benefit of the
doubt: one that seemed slow would never be tried, and its first run corrects it."""
DECODE_COLD_NS = 10_000_000
"""Before any run: 100 tokens a second, for the same reason."""
COMPLETION_COLD_TOKENS = 256
"""Before any run: the length of a chat answer."""

ESTIMATE_MAX_US = 24 * 3600 * SECOND
"""Nothing is expected to take longer; so a quote stays a number that can travel, whatever was asked
and learned."""
_SHORT_PROMPT_TOKENS = 64
"""Below this the first token's time is overhead; above it, prefill can be told from it."""
_BATCHING_SLOTS_MIN = 16
"""An engine that takes so many at once computes them together: shared out, its speed would be of
use to nobody."""
_BATCHING_STEPS = 8
"""It slows down by one of so many parts each time its runs double, until that was measured."""
_SPEED_SHIFT = 3
_LENGTH_SHIFT = 4
_NS = 1_000

K = TypeVar("K")
V = TypeVar("V")


@dataclass(slots=True)
class ModelSpeed:
    """What was learned of one model on one engine."""

    overhead_us: int = OVERHEAD_COLD_US
    prefill_ns: int = PREFILL_COLD_NS
    decode_ns: dict[int, int] = field(default_factory=dict)
    """Per token, by the power of two of runs at once."""
    runs: int = 0


class Estimates:
    """What this node expects of its own engines."""

    def __init__(self) -> None:
        self._speeds: dict[tuple[str, ModelId], ModelSpeed] = {}
        self._lengths: dict[ModelId, int] = {}
        """Tokens of a model's answers, on average."""

    def learn_speed(self, run: RunMeasured) -> None:
        """A run here took so long."""
        place = (run.engine, run.model)
        speed = self._speeds.get(place)
        if speed is None:
            _make_room(self._speeds)
            speed = self._speeds[place] = ModelSpeed()
        is_first = speed.runs == 0
        speed.runs += 1
        if run.prompt_tokens < _SHORT_PROMPT_TOKENS:
            speed.overhead_us = _move(speed.overhead_us, run.first_output_us, is_first=is_first)
        else:
            prefill_us = max(run.first_output_us - speed.overhead_us, 0)
            sample_ns = prefill_us * _NS // run.prompt_tokens
            speed.prefill_ns = _move(speed.prefill_ns, sample_ns, is_first=is_first)
        if run.completion_tokens > 1:
            decode_us = max(run.total_us - run.first_output_us, 0)
            sample_ns = decode_us * _NS // (run.completion_tokens - 1)
            level = _level(run.concurrency)
            known_ns = speed.decode_ns.get(level)
            speed.decode_ns[level] = (
                sample_ns if known_ns is None else _move(known_ns, sample_ns, is_first=False)
            )

    def learn_length(self, run: RunMeasured) -> None:
        """An answer of a model, from wherever it came, was so long."""
        if run.completion_tokens <= 0:
            return
        if run.model not in self._lengths:
            _make_room(self._lengths)
        known = self._get_length(run.model)
        self._lengths[run.model] = known + ((run.completion_tokens - known) >> _LENGTH_SHIFT)

    def predict_tokens(self, summary: RequestSummary, model: ModelId) -> int:
        """What a request will come to: its prompt and its answer."""
        return summary.prompt_tokens + self._predict_completion(summary, model)

    def estimate(self, summary: RequestSummary, model: ModelId, load: LoadView) -> Estimate:
        """When a request would begin and finish here, its turn in the queue included."""
        speed = self._speeds.get((load.engine, model)) or ModelSpeed()
        tokens = self._predict_completion(summary, model)
        running = min(load.used, load.slots) + (1 if load.has_room else 0)
        decode_ns = _compute_decode_ns(speed.decode_ns, _level(running), load.slots)
        prefill_us = speed.overhead_us + summary.prompt_tokens * speed.prefill_ns // _NS
        service_us = prefill_us + tokens * decode_ns // _NS
        wait_us = 0
        if not load.has_room:
            # All slots are taken: one frees about every service time over slots.
            ahead = load.used - load.slots + load.own_waiting + 1
            wait_us = ahead * service_us // max(load.slots, 1)
        return Estimate(
            first_token_us=min(wait_us + prefill_us, ESTIMATE_MAX_US),
            finish_us=min(wait_us + service_us, ESTIMATE_MAX_US),
        )

    def _predict_completion(self, summary: RequestSummary, model: ModelId) -> int:
        """The running mean of the model's answers, never more than the user allows."""
        if summary.endpoint is Endpoint.EMBEDDINGS:
            return 0
        length = self._get_length(model)
        return min(length, summary.completion_tokens_max or length)

    def _get_length(self, model: ModelId) -> int:
        return self._lengths.get(model, COMPLETION_COLD_TOKENS)


def _compute_decode_ns(known: Mapping[int, int], level: int, slots: int) -> int:
    """Time per token at a level of runs at once: measured, or from the levels that were."""
    if not known:
        return DECODE_COLD_NS
    if level in known:
        return known[level]
    levels = sorted(known)
    above = bisect(levels, level)
    if above in {0, len(levels)}:
        return _extrapolate(known, levels[min(above, len(levels) - 1)], level, slots)
    low, high = levels[above - 1], levels[above]
    return known[low] + (known[high] - known[low]) * (level - low) // (high - low)


def _extrapolate(known: Mapping[int, int], measured: int, wanted: int, slots: int) -> int:
    """Time per token at a level beyond all that were measured, from the nearest."""
    decode_ns = known[measured]
    if slots >= _BATCHING_SLOTS_MIN:
        steps = _BATCHING_STEPS + abs(wanted - measured)
        if wanted > measured:
            return decode_ns * steps // _BATCHING_STEPS
        return decode_ns * _BATCHING_STEPS // steps
    # Between batching for free (no change) and sharing (in proportion) the middle is assumed.
    return decode_ns * ((1 << measured) + (1 << wanted)) // (2 << measured)


def _make_room(learned: dict[K, V]) -> None:
    """Forget the longest known of as many as may be."""
    if len(learned) >= MODELS_LEARNED_MAX:
        del learned[next(iter(learned))]


def _level(running: int) -> int:
    """The power of two nearest above, as its exponent: 1, 2, 3-4, 5-8 ... share a level."""
    return (max(running, 1) - 1).bit_length()


def _move(value: int, sample: int, *, is_first: bool) -> int:
    """An average moved towards a sample; the first one replaces the default."""
    return sample if is_first else value + ((sample - value) >> _SPEED_SHIFT)
