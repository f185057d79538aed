"""What runs on one own engine for this node, as far as it is known: its batch.

A batch hears when each run begins, makes tokens and ends. From that it tells how fast the engine
is (`PaceLearner`), and from what is still to come of each run, when the engine will have done with
all of them (`Forecast`). Prompts that are yet to come will be read in between: as much of its time
as went to prompts lately is taken to be gone.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from wwwserve.core.placing import START, RunBegun
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
QUIET_WAIT_US = 10 * SECOND
"""An engine that is never found without a prompt for so long is measured while it reads."""
READING_LIFE_US = 60 * SECOND
"""What was read counts, as it ages, for how much will be: e times less after each of these."""
READING_SHARE_MAX = 0.6
"""Part of an engine's time that reading is taken to cost at most: one that reads more is behind,
and by how much says its queue."""


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
    marked_prompts: int = 0
    """Prompts that were done with by then."""
    expected_tokens: float = 0.0
    """What its answer was expected to come to when that was predicted last."""

    @property
    def context_tokens(self) -> int:
        """What it holds in the engine's cache."""
        return self.begun.summary.prompt_tokens + self.made_tokens


@dataclass(slots=True)
class _Made:
    """Tokens that runs made in times of theirs, all added up."""

    tokens: int = 0
    spent_us: int = 0
    sequences: int = 0
    """For each token, how many ran then."""
    context_tokens: float = 0.0
    """For each token, what those held."""

    def add(self, tokens: int, spent_us: int, sequences: int, context_tokens: float) -> None:
        """One run made so many in so long, beside so much."""
        self.tokens += tokens
        self.spent_us += spent_us
        self.sequences += tokens * sequences
        self.context_tokens += tokens * context_tokens


@dataclass(slots=True)
class _Window:
    """What was counted since the last sample of one model's pace."""

    began_at: Moment
    quiet: _Made = field(default_factory=_Made)
    """While no prompt was read: only the engine knows when it reads which part of one."""
    whole: _Made = field(default_factory=_Made)
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
        self._prompts_over = 0
        """Prompts that were read or given up so far."""
        self._reading_rate = 0.0
        """Tokens of prompts read in a microsecond, as a mean in which older times count less,"""
        self._reading_at = START
        """as it was then."""
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
        self._unread_tokens -= run.own_tokens
        self._prompts_over += 1
        self._sequences += 1
        run.made_tokens = 1
        self._context_tokens += run.context_tokens
        run.first_at = run.marked_at = now
        run.marked_prompts = self._prompts_over
        self._reading_rate = self._get_reading_rate(now) + run.own_tokens / READING_LIFE_US
        self._reading_at = now
        self._get_learner(run.begun.model, run.begun.slots).learn_first(
            self._sequences, self._context_tokens, run.unread_tokens, now - run.began_at
        )
        window = self._windows.setdefault(run.begun.model, _Window(now))
        window.read_tokens += run.own_tokens

    def note_tokens(self, session: SessionId, tokens: int, now: Moment) -> None:
        """A run has made so many tokens by now."""
        run = self._runs[session]
        if run.marked_at is None or tokens <= run.made_tokens:
            return
        window = self._windows[run.begun.model]
        made = tokens - run.made_tokens
        beside = made, now - run.marked_at, self._sequences, self._context_tokens + made / 2
        window.whole.add(*beside)
        if not self._unread_tokens and run.marked_prompts == self._prompts_over:
            window.quiet.add(*beside)
        self._context_tokens += made
        run.made_tokens, run.marked_at = tokens, now
        run.marked_prompts = self._prompts_over
        span_us = now - window.began_at
        if span_us >= SAMPLE_US and window.quiet.tokens >= SAMPLE_TOKENS_MIN:
            self._sample(run.begun.model, window.quiet, 0, now)
        elif span_us >= QUIET_WAIT_US and window.whole.tokens >= SAMPLE_TOKENS_MIN:
            # What a token costs, beside what is read for each of them by all.
            self._sample(run.begun.model, window.whole, window.read_tokens, now)

    def end(self, session: SessionId) -> BatchRun:
        """A run is over; gives what was known of it."""
        if not self._is_large:
            self._known = None
        run = self._runs.pop(session)
        if run.first_at is None:
            self._unread_tokens -= run.own_tokens
            self._prompts_over += 1
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
            share = min(self._get_reading_rate(now) * pace.prefill_us, READING_SHARE_MAX)
            pace = pace.slow_down(share)
            forecast = Forecast(pace, room, now, [*loads, *foreign])
            known = self._known = _Known(model, len(foreign), now, forecast)
        known.forecast.room = room
        return known.forecast

    @property
    def _is_large(self) -> bool:
        return len(self._runs) >= LARGE_RUNS

    # -- how it learns ---------------------------------------------------------------------------

    def _get_reading_rate(self, now: Moment) -> float:
        return self._reading_rate * math.exp((self._reading_at - now) / READING_LIFE_US)

    def _sample(self, model: ModelId, made: _Made, read_tokens: int, now: Moment) -> None:
        """One iteration, as it was on average in a window that is over."""
        iteration_us = max(made.spent_us / made.tokens, ITERATION_MIN_US)
        iterations = max((now - self._windows[model].began_at) / iteration_us, 1.0)
        self._get_learner(model, 1).learn_iteration(
            made.sequences / made.tokens,
            made.context_tokens / made.tokens,
            read_tokens / iterations,
            iteration_us,
        )
        self._windows[model] = _Window(now)

    def _get_learner(self, model: ModelId, slots: int) -> PaceLearner:
        if model not in self._learners:
            if len(self._learners) >= MODELS_LEARNED_MAX:
                del self._learners[next(iter(self._learners))]
            self._learners[model] = PaceLearner(slots)
        return self._learners[model]

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
