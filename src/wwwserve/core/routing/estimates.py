"""How long own runs take, learned from how long they took; whole numbers throughout.

A run is an overhead, a prefill in proportion to the prompt, and a decode in proportion to the
answer. All slow down as an engine works on more at once, so each is learned as a `Curve`. Speeds
are learned of each engine, lengths of each model, wherever it ran. Lengths are remembered for long:
what a node that empties answers last is what takes longest, and would be taken for the usual.
"""

from dataclasses import dataclass, field
from typing import TypeVar

from wwwserve.core.placing import Estimate, LoadView, RunMeasured
from wwwserve.core.routing.curve import Curve
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
_LENGTH_RUNS_COLD = 8
"""Answers that what is assumed of a length counts for."""
_LENGTH_RUNS_MAX = 256
"""Answers a mean length is made of; older ones fade."""
_LENGTH_SHIFT = 10
"""Means are kept in fractions of a token, or rounding would pull them down."""
_NS = 1_000

K = TypeVar("K")
V = TypeVar("V")


@dataclass(slots=True)
class ModelSpeed:
    """What was learned of one model on one engine."""

    overhead_us: Curve = field(default_factory=lambda: Curve(OVERHEAD_COLD_US))
    prefill_ns: Curve = field(default_factory=lambda: Curve(PREFILL_COLD_NS))
    """Per token of the prompt."""
    decode_ns: Curve = field(default_factory=lambda: Curve(DECODE_COLD_NS))
    """Per token of the answer."""


@dataclass(slots=True)
class Length:
    """What was learned of the answers of one model."""

    mean: int = COMPLETION_COLD_TOKENS << _LENGTH_SHIFT
    runs: int = _LENGTH_RUNS_COLD

    @property
    def tokens(self) -> int:
        """Tokens of an answer, on average."""
        return self.mean >> _LENGTH_SHIFT

    def learn(self, tokens: int) -> None:
        """An answer was so long."""
        self.runs = min(self.runs + 1, _LENGTH_RUNS_MAX)
        self.mean += ((tokens << _LENGTH_SHIFT) - self.mean) // self.runs


class Estimates:
    """What this node expects of its own engines."""

    def __init__(self) -> None:
        self._speeds: dict[tuple[str, ModelId], ModelSpeed] = {}
        self._lengths: dict[ModelId, Length] = {}

    def learn_speed(self, run: RunMeasured) -> None:
        """A run here took so long."""
        place = (run.engine, run.model)
        speed = self._speeds.get(place)
        if speed is None:
            _make_room(self._speeds)
            speed = self._speeds[place] = ModelSpeed()
        read_tokens = run.prompt_tokens - run.cached_tokens
        if read_tokens < _SHORT_PROMPT_TOKENS:
            speed.overhead_us.learn(run.concurrency, run.first_output_us)
        else:
            overhead_us = speed.overhead_us.read(run.concurrency, run.concurrency_end)
            prefill_us = max(run.first_output_us - overhead_us, 0)
            speed.prefill_ns.learn(run.concurrency, prefill_us * _NS // read_tokens)
        if run.completion_tokens > 1:
            decode_us = max(run.total_us - run.first_output_us, 0)
            # One that began alone may have had much company later.
            runs = (run.concurrency + run.concurrency_end) // 2
            speed.decode_ns.learn(runs, decode_us * _NS // (run.completion_tokens - 1))

    def learn_length(self, run: RunMeasured) -> None:
        """An answer of a model, from wherever it came, was so long."""
        if run.completion_tokens <= 0:
            return
        length = self._lengths.get(run.model)
        if length is None:
            _make_room(self._lengths)
            length = self._lengths[run.model] = Length()
        length.learn(run.completion_tokens)

    def predict_length(self, model: ModelId, bound: int) -> int:
        """Tokens of an answer of which the user allows so many; 0 = any number."""
        known = self._lengths.get(model)
        tokens = known.tokens if known is not None else COMPLETION_COLD_TOKENS
        return min(tokens, bound or tokens)

    def predict_tokens(self, summary: RequestSummary, model: ModelId) -> int:
        """What a request will come to: its prompt and its answer."""
        return summary.prompt_tokens + self._predict_completion(summary, model)

    def estimate(
        self, summary: RequestSummary, model: ModelId, load: LoadView, saved_tokens: int = 0
    ) -> Estimate:
        """When a request would begin and finish here, its turn in the queue included.

        `saved_tokens` of its prompt are held by the engine already and need not be read.
        """
        speed = self._speeds.get((load.engine, model)) or ModelSpeed()
        tokens = self._predict_completion(summary, model)
        running = min(load.used, load.slots) + (1 if load.has_room else 0)
        prefill_ns = speed.prefill_ns.read(running, load.slots)
        overhead_us = speed.overhead_us.read(running, load.slots)
        read_us = (summary.prompt_tokens - saved_tokens) * prefill_ns // _NS
        prefill_us = overhead_us + read_us
        decode_ns = speed.decode_ns.read(running, load.slots)
        service_us = prefill_us + tokens * decode_ns // _NS
        wait_us = 0
        if not load.has_room:
            # All slots are taken: one frees about every service time over slots.
            ahead = load.used - load.slots + load.own_waiting + 1
            wait_us = ahead * service_us // max(load.slots, 1)
        return Estimate(
            first_token_us=min(wait_us + prefill_us, ESTIMATE_MAX_US),
            finish_us=min(wait_us + service_us, ESTIMATE_MAX_US),
            burden_us=min(
                (running - 1) * read_us + _compute_drag_us(speed, tokens, running, load),
                ESTIMATE_MAX_US,
            ),
            saved_prompt_tokens=saved_tokens,
        )

    def _predict_completion(self, summary: RequestSummary, model: ModelId) -> int:
        if summary.endpoint is Endpoint.EMBEDDINGS:
            return 0
        return self.predict_length(model, summary.completion_tokens_max)


def _compute_drag_us(speed: ModelSpeed, tokens: int, running: int, load: LoadView) -> int:
    """What the others lose while an answer is made, once its prompt is read, for which they wait.

    Each token is later by what one more run slows all of them down.
    """
    others = running - 1
    twice_ns = speed.decode_ns.read(2 * running, load.slots)
    slower_ns = max(twice_ns - speed.decode_ns.read(running, load.slots), 0) // max(running, 1)
    # Those that run are half-way on average: they share about half of an answer with it.
    return others * slower_ns * tokens // (2 * _NS)


def _make_room(learned: dict[K, V]) -> None:
    """Forget the longest known of as many as may be."""
    if len(learned) >= MODELS_LEARNED_MAX:
        del learned[next(iter(learned))]
