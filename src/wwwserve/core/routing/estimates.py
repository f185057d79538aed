"""How long own runs take, learned from how long they took; whole numbers throughout.

A run is an overhead, a prefill in proportion to the prompt, and a decode in proportion to the
answer. Decode slows down as an engine works on more at once, so it is learned for each power of two
of runs at once. All averages are exponential, an eighth (lengths: a sixteenth) of each newcomer.
"""

from dataclasses import dataclass, field

from wwwserve.core.placing import Estimate, LoadView, RunMeasured
from wwwserve.values.model_names import ModelId
from wwwserve.values.moments import SECOND
from wwwserve.wire import Endpoint, RequestSummary

MODELS_LEARNED_MAX = 256
"""Models with an estimate of their own; the longest known makes room."""

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
_SPEED_SHIFT = 3
_LENGTH_SHIFT = 4
_NS = 1_000


@dataclass(slots=True)
class ModelSpeed:
    """What was learned of one model."""

    overhead_us: int = OVERHEAD_COLD_US
    prefill_ns: int = PREFILL_COLD_NS
    decode_ns: dict[int, int] = field(default_factory=dict)
    """Per token, by the power of two of runs at once."""
    completion_tokens: int = COMPLETION_COLD_TOKENS
    runs: int = 0


class Estimates:
    """What this node expects of its own engines."""

    def __init__(self) -> None:
        self._speeds: dict[ModelId, ModelSpeed] = {}

    def learn_speed(self, run: RunMeasured) -> None:
        """A run here took so long."""
        speed = self._get_or_add(run.model)
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
        if run.completion_tokens > 0:
            speed = self._get_or_add(run.model)
            speed.completion_tokens += (
                run.completion_tokens - speed.completion_tokens
            ) >> _LENGTH_SHIFT

    def estimate(self, summary: RequestSummary, model: ModelId, load: LoadView) -> Estimate:
        """When a request would begin and finish here, its turn in the queue included."""
        speed = self._speeds.get(model) or ModelSpeed()
        tokens = _predict_completion(summary, speed)
        running = min(load.used, load.slots) + (1 if load.has_room else 0)
        decode_ns = _get_decode_ns(speed, max(running, 1))
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

    def _get_or_add(self, model: ModelId) -> ModelSpeed:
        if model not in self._speeds:
            if len(self._speeds) >= MODELS_LEARNED_MAX:
                del self._speeds[next(iter(self._speeds))]
            self._speeds[model] = ModelSpeed()
        return self._speeds[model]


def _predict_completion(summary: RequestSummary, speed: ModelSpeed) -> int:
    """The running mean of the model's answers, never more than the user allows."""
    if summary.endpoint is Endpoint.EMBEDDINGS:
        return 0
    bound = summary.completion_tokens_max or speed.completion_tokens
    return min(speed.completion_tokens, bound)


def _get_decode_ns(speed: ModelSpeed, running: int) -> int:
    """Time per token with so many runs at once, from the nearest number that was measured."""
    level = _level(running)
    if not speed.decode_ns:
        return DECODE_COLD_NS
    nearest = min(speed.decode_ns, key=lambda known: (abs(known - level), known))
    decode_ns = speed.decode_ns[nearest]
    # Between batching for free (no change) and sharing (in proportion) the middle is assumed.
    measured, wanted = 1 << nearest, 1 << level
    return decode_ns * (measured + wanted) // (2 * measured)


def _level(running: int) -> int:
    """The power of two nearest above, as its exponent: 1, 2, 3-4, 5-8 ... share a level."""
    return (max(running, 1) - 1).bit_length()


def _move(value: int, sample: int, *, is_first: bool) -> int:
    """An average moved towards a sample; the first one replaces the default."""
    return sample if is_first else value + ((sample - value) >> _SPEED_SHIFT)
