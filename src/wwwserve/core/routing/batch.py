"""What runs on one own engine for this node, as far as it is known: its batch.

A batch hears when each run begins, makes tokens and ends. From that it tells how fast the engine
is (`PaceLearner`), and from what is still to come of each run, when the engine will have done with
all of them (`Forecast`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wwwserve.core.placing import RunBegun
from wwwserve.core.routing.forecast import Forecast, Load, Room
from wwwserve.core.routing.pace import ITERATION_MIN_US, PaceLearner
from wwwserve.core.sessions import SessionId
from wwwserve.values.model_names import ModelId
from wwwserve.values.moments import MILLISECOND, SECOND, Moment

MODELS_LEARNED_MAX = 64
"""Models of an engine with a pace of their own; the longest known makes room."""
SAMPLE_US = 500 * MILLISECOND
"""Time over which tokens are counted for one sample of an engine's pace."""
SAMPLE_TOKENS_MIN = 8
"""Tokens in a sample, or counting in whole ones would blur it."""
FORECAST_LIFE_US = 1 * SECOND
"""Age from which a forecast is made anew: what is expected of each run changes as it goes on."""
LARGE_RUNS = 64
"""Runs from which one that ends matters little to the others: until a forecast of so many is made
anew anyway, it counts on."""
PREDICTED_MAX = 256
"""Answers whose lengths are predicted anew for one forecast, so that no call is long; of more runs
each has its turn in one of the next."""
_FIRST_ITERATIONS = 1.5
"""A prompt waits for half an iteration on average, and its last piece is read in a whole one."""
_FIRST_WEIGHT = 1 / 16
"""What the time to a first token counts for beside a sample of many iterations."""


@dataclass(slots=True)
class BatchRun:
    """One run of a batch."""

    begun: RunBegun
    began_at: Moment
    own_tokens: int
    """Of its prompt, what the engine has to read."""
    unread_tokens: int
    """What the engine has to read before its first token, others' prompts included."""
    first_at: Moment | None = None
    made_tokens: int = 0
    marked_at: Moment | None = None
    """When its tokens were counted last."""
    expected_tokens: float = 0.0
    """What its answer was expected to come to when that was predicted last."""

    @property
    def context_tokens(self) -> int:
        """What it holds in the engine's cache."""
        return self.begun.summary.prompt_tokens + self.made_tokens


@dataclass(slots=True)
class _Window:
    """What was counted since the last sample of one model's pace."""

    began_at: Moment
    sequences: int
    context_tokens: int
    """What ran when it began."""
    spent_us: int = 0
    """Time over which runs made tokens, added up."""
    made_tokens: int = 0
    read_tokens: int = 0
    """Of prompts that were read to their end."""


@dataclass(slots=True)
class _Known:
    """A forecast that is kept, and what it is about."""

    model: ModelId
    """At whose pace."""
    foreign: int
    made_at: Moment
    forecast: Forecast

    def is_for(self, model: ModelId, foreign: int) -> bool:
        """Whether it is about this question."""
        return (self.model, self.foreign) == (model, foreign)

    def move(self, now: Moment, *, is_large: bool) -> bool:
        """Go on to `now`; False if it holds no longer."""
        if now - self.made_at >= FORECAST_LIFE_US:
            return False
        if is_large:
            self.forecast.follow(now)
            return True
        return self.forecast.move(now)


PredictTokens = Callable[[BatchRun], float]
"""What a whole answer is expected to come to."""


class Batch:
    """All runs on one engine, in the order in which they began."""

    def __init__(self, predict_tokens: PredictTokens) -> None:
        self._predict_tokens = predict_tokens
        self._runs: dict[SessionId, BatchRun] = {}
        self._windows: dict[ModelId, _Window] = {}
        self._learners: dict[ModelId, PaceLearner] = {}
        self._unread_tokens = 0
        """Of prompts whose runs have no token yet."""
        self._sequences = 0
        self._context_tokens = 0
        """What the runs that have one are, and hold."""
        self._known: _Known | None = None
        """None: something happened that was not foreseen."""
        self._turn = 0
        """Which runs' answers are predicted anew next."""

    def __len__(self) -> int:
        return len(self._runs)

    # -- what it is told -------------------------------------------------------------------------

    def begin(self, begun: RunBegun, saved_tokens: int, now: Moment) -> None:
        """A run begins; of its prompt the engine is said to hold `saved_tokens`."""
        own_tokens = max(begun.summary.prompt_tokens - saved_tokens, 0)
        self._unread_tokens += own_tokens
        run = BatchRun(begun, now, own_tokens, self._unread_tokens)
        run.expected_tokens = self._predict_tokens(run)
        self._runs[begun.session] = run
        if self._known is not None and self._known.move(now, is_large=self._is_large):
            self._known.forecast.admit(_describe(run))
        else:
            self._known = None

    def note_first(self, session: SessionId, now: Moment) -> None:
        """A run's first token came: its prompt is read."""
        run = self._runs[session]
        if run.first_at is not None:
            return
        run.first_at = run.marked_at = now
        run.made_tokens = 1
        self._unread_tokens -= run.own_tokens
        self._sequences += 1
        self._context_tokens += run.context_tokens
        running = self._open_window(now)
        features = (
            _FIRST_ITERATIONS,
            _FIRST_ITERATIONS * running.sequences,
            _FIRST_ITERATIONS * running.context_tokens,
            float(run.unread_tokens),
        )
        learner = self._get_learner(run.begun.model, run.begun.slots)
        learner.learn(features, now - run.began_at, _FIRST_WEIGHT)
        window = self._windows.setdefault(run.begun.model, running)
        window.read_tokens += run.own_tokens

    def note_tokens(self, session: SessionId, tokens: int, now: Moment) -> None:
        """A run has made so many tokens by now."""
        run = self._runs[session]
        if run.marked_at is None or tokens <= run.made_tokens:
            return
        window = self._windows[run.begun.model]
        window.spent_us += now - run.marked_at
        window.made_tokens += tokens - run.made_tokens
        self._context_tokens += tokens - run.made_tokens
        run.made_tokens, run.marked_at = tokens, now
        if now - window.began_at >= SAMPLE_US and window.made_tokens >= SAMPLE_TOKENS_MIN:
            self._sample(run.begun.model, window, now)

    def end(self, session: SessionId) -> BatchRun:
        """A run is over; gives what was known of it."""
        if not self._is_large:
            self._known = None
        run = self._runs.pop(session)
        if run.first_at is None:
            self._unread_tokens -= run.own_tokens
        else:
            self._sequences -= 1
            self._context_tokens -= run.context_tokens
        if not self._runs:
            # Time in which nobody waited for tokens says nothing of its pace.
            self._windows.clear()
        return run

    # -- what it is asked ------------------------------------------------------------------------

    def foretell(
        self, model: ModelId, room: Room, foreign: Sequence[Load], now: Moment
    ) -> Forecast:
        """The engine from now on at its pace with a model, these of others on it as well.

        The caller asks and does not admit to it: it is kept for the next who asks.
        """
        known = self._known
        is_kept = known is not None and known.is_for(model, len(foreign))
        if known is None or not is_kept or not known.move(now, is_large=self._is_large):
            self._predict_some()
            loads = [_describe(run) for run in self._runs.values()]
            pace = self._get_learner(model, room.slots).get()
            forecast = Forecast(pace, room, now, [*loads, *foreign])
            known = self._known = _Known(model, len(foreign), now, forecast)
        known.forecast.room = room
        return known.forecast

    @property
    def _is_large(self) -> bool:
        return len(self._runs) >= LARGE_RUNS

    # -- how it learns ---------------------------------------------------------------------------

    def _sample(self, model: ModelId, window: _Window, now: Moment) -> None:
        """One iteration, as it was on average in a window that is over."""
        iteration_us = max(window.spent_us / window.made_tokens, ITERATION_MIN_US)
        iterations = max((now - window.began_at) / iteration_us, 1.0)
        following = self._windows[model] = self._open_window(now)
        features = (
            1.0,
            (window.sequences + following.sequences) / 2,
            (window.context_tokens + following.context_tokens) / 2,
            window.read_tokens / iterations,
        )
        self._get_learner(model, 1).learn(features, iteration_us, 1.0)

    def _get_learner(self, model: ModelId, slots: int) -> PaceLearner:
        if model not in self._learners:
            if len(self._learners) >= MODELS_LEARNED_MAX:
                del self._learners[next(iter(self._learners))]
            self._learners[model] = PaceLearner(slots)
        return self._learners[model]

    def _open_window(self, now: Moment) -> _Window:
        return _Window(now, self._sequences, self._context_tokens)

    def _predict_some(self) -> None:
        """Predict the answers of all runs, or of those whose turn it is."""
        turns = -(-len(self._runs) // PREDICTED_MAX)
        self._turn += 1
        for place, run in enumerate(self._runs.values()):
            if turns <= 1 or (place + self._turn) % turns == 0:
                run.expected_tokens = self._predict_tokens(run)


def _describe(run: BatchRun) -> Load:
    return Load(
        context_tokens=run.context_tokens,
        remaining_tokens=max(run.expected_tokens - run.made_tokens, 1.0),
        is_begun=run.first_at is not None,
        due_us=run.begun.due_at,
        cached_tokens=run.begun.summary.prompt_tokens - run.own_tokens,
    )
