"""A pretend engine: the model of a GPU in virtual time, and everything an engine can do wrong.

How long things take, who waits and what the cache holds is `wwwserve.enginemodel`, the same code as
behind the emulated server. Around it the engine may be loading, down or hung; it may refuse a
request, break one before its first token or mid-way. What it reports of itself is true.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from wwwserve.core.engines import EngineHealth, EngineModel, EngineReading
from wwwserve.core.entropy import Entropy
from wwwserve.enginemodel import BatchingEngine, Demand, EngineProfile, SequenceId
from wwwserve.sim.plans import EnginePlan
from wwwserve.sim.profiles import compute_context_tokens, get_profile
from wwwserve.sim.truth import UserRequest
from wwwserve.sim.world import Action, World
from wwwserve.values.limits import PROGRESS_PERIOD_US
from wwwserve.values.moments import MILLISECOND, NEVER, Moment
from wwwserve.values.refusals import FailureKind, Refusal, Severity
from wwwserve.wire import Usage

ENGINE_NAME = "pretend"
CAPABILITIES = ("chat", "completions", "tools")
_REFUSAL_US = 2 * MILLISECOND
"""What it takes to read a request and say no."""
_PERMILLE = 1000


class Listener(Protocol):
    """What an engine tells whoever called it about one run."""

    def on_first_output(self) -> None:
        """The first bytes came."""
        ...

    def on_progress(self, completion_tokens: int) -> None:
        """So many tokens came so far; at most four times a second."""
        ...

    def on_end(self, usage: Usage) -> None:
        """The answer is whole."""
        ...

    def on_failure(self, kind: FailureKind, status: int, detail: str) -> None:
        """It came to nothing, or broke."""
        ...


class _Fate(Enum):
    WHOLE = "whole"
    WRONG = "wrong"
    """A 4xx once it was read."""
    TOO_LONG = "longer than the cache"
    UNAVAILABLE = "unavailable"
    BROKEN_BEFORE = "broken before the first token"
    BROKEN_MIDWAY = "broken mid-way"


@dataclass(slots=True, eq=False)
class Run:
    """One request inside an engine."""

    name: SequenceId
    request: UserRequest
    listener: Listener
    fate: _Fate
    is_alive: bool = True
    has_begun: bool = False
    """Its first token was made."""
    cached_tokens: int = 0
    """Of its prompt, those the cache had."""
    told: int = 0
    """Tokens its listener has heard of."""


class PretendEngine:
    """One engine; it outlives the node's process in front of it."""

    __slots__ = (
        "_entropy",
        "_model",
        "_models",
        "_plan",
        "_profile",
        "_runs",
        "_started",
        "_wake_us",
        "_world",
        "health",
        "is_hung",
        "is_reliable",
        "spoke_us",
        "tells_progress",
    )

    def __init__(
        self, world: World, plan: EnginePlan, models: tuple[str, ...], entropy: Entropy
    ) -> None:
        """`models` are the engine's own names for what it serves. Raises `BadInput`."""
        self._world = world
        self._plan = plan
        self._profile: EngineProfile = get_profile(plan)
        context_tokens = compute_context_tokens(plan, self._profile)
        self._models = tuple(EngineModel(name, context_tokens) for name in models)
        self._entropy = entropy
        self._model = BatchingEngine(self._profile)
        self._runs: dict[SequenceId, Run] = {}
        self._started = 0
        self._wake_us: int = NEVER
        self.health = EngineHealth.READY
        self.is_hung = False
        """Takes requests, says it is well, and answers nothing."""
        self.is_reliable = False
        """Healed: what the plan says about failures no longer holds."""
        self.spoke_us = 0
        """When it last made a token, as far as anybody looked."""
        self.tells_progress = True
        """Listeners hear of tokens as they come, not only of the first and the last."""
        if plan.load_us:
            self.go_down(for_us=0)

    @property
    def running(self) -> int:
        """Requests it has taken on and not finished, those it has queued included."""
        return len(self._runs)

    def read_state(self) -> EngineReading:
        """What a node's adapter would read from it now."""
        if self.health is not EngineHealth.READY:
            return EngineReading(self.health, detail=f"the pretend engine is {self.health.value}")
        self._advance()
        load = self._model.read_load()
        return EngineReading(
            EngineHealth.READY,
            models=self._models,
            running=load.running,
            waiting=load.waiting,
            kv_used_permille=load.kv_blocks_used * _PERMILLE // load.kv_blocks,
            kv_tokens=self._model.context_tokens_max if self._plan.profile else None,
            # An engine that stands for a GPU tells what vLLM tells: its cache, not its slots.
            slots=None if self._plan.profile else self._profile.max_num_seqs,
            capabilities=CAPABILITIES,
            software="pretend",
        )

    def start(self, request: UserRequest, listener: Listener) -> Run:
        """Take a request on; nothing is told to `listener` before the current instant is over."""
        self._started += 1
        run = Run(SequenceId(self._started), request, listener, self._draw_fate(request))
        if run.fate not in {_Fate.WRONG, _Fate.UNAVAILABLE}:
            self._submit(run)
        if run.fate in {_Fate.WRONG, _Fate.TOO_LONG, _Fate.UNAVAILABLE}:
            self._world.after(_REFUSAL_US, lambda: self._refuse(run))
        return run

    def stop(self, run: Run) -> None:
        """Stop working on it; nothing more is told of it. Harmless after its end."""
        if run.is_alive:
            self._advance()
        if run.is_alive:
            self._release(run)
            self._model.cancel(run.name)
            self._arm()

    def catch_up(self) -> None:
        """Tell everything that has happened until this instant, news or not."""
        self._advance()

    def count_made(self, run: Run) -> int:
        """Tokens of an answer that were made when the engine caught up last; 0 once it is over."""
        return self._model.count_made(run.name)

    def count_cached(self, demand: Demand) -> int:
        """Tokens of such a prompt that it would not have to read now."""
        return self._model.count_cached(demand)

    def go_down(self, *, for_us: int) -> None:
        """The engine dies under all it runs, is away for a while, then loads its model."""
        self.health = EngineHealth.UNAVAILABLE
        for run in self._runs.values():
            run.is_alive = False
            kind = FailureKind.BROKEN if run.has_begun else FailureKind.UNAVAILABLE
            self._world.after(0, _fail(run, kind, 0, "the engine dropped the connection"))
        self._runs.clear()
        self._model = BatchingEngine(self._profile)
        self._wake_us = NEVER
        self._world.after(for_us, self._load)

    def _load(self) -> None:
        self.health = EngineHealth.LOADING
        self._world.after(self._plan.load_us, self._be_ready)

    def _be_ready(self) -> None:
        self.health = EngineHealth.READY

    # -- one request -------------------------------------------------------------------------------

    def _draw_fate(self, request: UserRequest) -> _Fate:
        if self.health is not EngineHealth.READY:
            return _Fate.UNAVAILABLE
        if request.is_wrong:
            return _Fate.WRONG
        failure_permille = 0 if self.is_reliable else self._plan.failure_permille
        if failure_permille and self._entropy.chance(failure_permille):
            return self._entropy.pick((_Fate.UNAVAILABLE, _Fate.BROKEN_BEFORE, _Fate.BROKEN_MIDWAY))
        return _Fate.WHOLE

    def _submit(self, run: Run) -> None:
        tokens = {_Fate.BROKEN_BEFORE: 1, _Fate.BROKEN_MIDWAY: run.request.completion_tokens // 2}
        wanted = max(1, tokens.get(run.fate, run.request.completion_tokens))
        self._advance()
        try:
            demand = Demand(run.request.prompt_tokens, wanted, run.request.thread)
            self._model.submit(run.name, demand, Moment(self._world.now_us))
        except Refusal as refusal:
            may_fit_later = refusal.severity is Severity.IGNORE
            run.fate = _Fate.UNAVAILABLE if may_fit_later else _Fate.TOO_LONG
            return
        self._runs[run.name] = run
        self._arm()

    def _refuse(self, run: Run) -> None:
        if not run.is_alive:
            return
        run.is_alive = False
        match run.fate:
            case _Fate.WRONG:
                run.listener.on_failure(FailureKind.REJECTED, 400, "the request is wrong")
            case _Fate.TOO_LONG:
                run.listener.on_failure(FailureKind.REJECTED, 400, "longer than the context")
            case _:
                run.listener.on_failure(FailureKind.UNAVAILABLE, 503, "the engine has no room")

    def _release(self, run: Run) -> None:
        run.is_alive = False
        self._runs.pop(run.name, None)

    # -- the model's time --------------------------------------------------------------------------

    def _arm(self) -> None:
        """See that the next news is not missed."""
        news_us = max(self._model.find_news(), self._world.now_us)
        if self.is_hung or news_us >= self._wake_us:
            return
        self._wake_us = news_us
        self._world.at(news_us, lambda: self._wake(news_us))

    def _wake(self, news_us: int) -> None:
        if news_us == self._wake_us:
            self._wake_us = NEVER
            self._advance()
            self._arm()

    def _advance(self) -> None:
        """Tell what has happened in the model until now."""
        if self.is_hung:
            return
        for iteration in self._model.advance(Moment(self._world.now_us)):
            self.spoke_us = self._world.now_us
            for name, cached in zip(iteration.first, iteration.cached_tokens, strict=True):
                self._give_first(name, cached)
            for name in iteration.finished:
                self._finish(name)

    def _give_first(self, name: SequenceId, cached_tokens: int) -> None:
        run = self._runs.get(name)
        if run is None:
            return
        run.has_begun = True
        run.cached_tokens = run.request.cached_tokens = cached_tokens
        if run.fate is not _Fate.BROKEN_BEFORE:
            if self.tells_progress:
                self._world.after(PROGRESS_PERIOD_US, lambda: self._give_progress(run))
            run.listener.on_first_output()

    def _give_progress(self, run: Run) -> None:
        if run.is_alive:
            self._advance()
        if run.is_alive and not self.is_hung:
            self._world.after(PROGRESS_PERIOD_US, lambda: self._give_progress(run))
            made = self._model.count_made(run.name)
            # A stream that lost its place in the cache is silent until it has one again.
            if made > run.told:
                run.told = made
                self.spoke_us = self._world.now_us
                run.listener.on_progress(made)

    def _finish(self, name: SequenceId) -> None:
        run = self._runs.get(name)
        if run is None:
            return
        self._release(run)
        request = run.request
        match run.fate:
            case _Fate.BROKEN_BEFORE:
                run.listener.on_failure(FailureKind.BROKEN, 500, "the engine failed")
            case _Fate.BROKEN_MIDWAY:
                run.listener.on_failure(FailureKind.BROKEN, 0, "the engine broke off mid-way")
            case _:
                run.listener.on_end(
                    Usage(request.prompt_tokens, request.completion_tokens, run.cached_tokens)
                )


def _fail(run: Run, kind: FailureKind, status: int, detail: str) -> Action:
    return lambda: run.listener.on_failure(kind, status, detail)
