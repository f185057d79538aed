"""A pretend engine: slots, a queue, a speed, and everything an engine can do wrong.

A request takes its prompt's prefill, then its answer's tokens, each at the engine's speed for one
slot. The engine may be loading, down or hung; it may refuse a request, break one before its first
token or mid-way. What it reports of itself is true.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from wwwserve.core.engines import EngineHealth, EngineModel, EngineReading
from wwwserve.core.entropy import Entropy
from wwwserve.sim.plans import EnginePlan
from wwwserve.sim.truth import UserRequest
from wwwserve.sim.world import Action, World
from wwwserve.values.limits import PROGRESS_PERIOD_US
from wwwserve.values.moments import MILLISECOND, SECOND
from wwwserve.values.refusals import FailureKind
from wwwserve.wire import Usage

ENGINE_NAME = "pretend"
CAPABILITIES = ("chat", "completions", "tools")
ENGINE_QUEUE_MAX = 64
"""Requests an engine queues by itself; one more is refused as a real one's 503."""
_OVERHEAD_US = 2 * MILLISECOND
"""What a request costs besides its tokens: parsing, tokenising, scheduling."""


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
    """A 4xx after the prompt was read."""
    UNAVAILABLE = "unavailable"
    BROKEN_BEFORE = "broken before the first token"
    BROKEN_MIDWAY = "broken mid-way"


@dataclass(slots=True, eq=False)
class Run:
    """One request inside an engine."""

    request: UserRequest
    listener: Listener
    fate: _Fate
    is_alive: bool = True
    first_us: int = 0


class PretendEngine:
    """One engine; it outlives the node's process in front of it."""

    __slots__ = (
        "_entropy",
        "_models",
        "_plan",
        "_queue",
        "_running",
        "_world",
        "health",
        "is_hung",
        "is_reliable",
    )

    def __init__(
        self, world: World, plan: EnginePlan, models: tuple[str, ...], entropy: Entropy
    ) -> None:
        """`models` are the engine's own names for what it serves."""
        self._world = world
        self._plan = plan
        self._models = tuple(EngineModel(name, plan.context_tokens) for name in models)
        self._entropy = entropy
        self._running: list[Run] = []
        self._queue: deque[Run] = deque()
        self.health = EngineHealth.READY
        self.is_hung = False
        """Takes requests, says it is well, and answers nothing."""
        self.is_reliable = False
        """Healed: what the plan says about failures no longer holds."""
        if plan.load_us:
            self.go_down(for_us=0)

    @property
    def running(self) -> int:
        """Requests being worked on."""
        return len(self._running)

    @property
    def slots(self) -> int:
        """Requests it works on at once."""
        return self._plan.slots

    def read_state(self) -> EngineReading:
        """What a node's adapter would read from it now."""
        if self.health is not EngineHealth.READY:
            return EngineReading(self.health, detail=f"the pretend engine is {self.health.value}")
        return EngineReading(
            EngineHealth.READY,
            models=self._models,
            running=len(self._running),
            waiting=len(self._queue),
            slots=self._plan.slots,
            capabilities=CAPABILITIES,
            software="pretend",
        )

    def start(self, request: UserRequest, listener: Listener) -> Run:
        """Take a request on; nothing is told to `listener` before the current instant is over."""
        run = Run(request, listener, self._draw_fate(request))
        if self.health is not EngineHealth.READY or len(self._queue) >= ENGINE_QUEUE_MAX:
            run.fate = _Fate.UNAVAILABLE
            self._world.after(_OVERHEAD_US, lambda: self._end_early(run))
        elif len(self._running) < self._plan.slots:
            self._begin(run)
        else:
            self._queue.append(run)
        return run

    def stop(self, run: Run) -> None:
        """Stop working on it; nothing more is told of it. Harmless after its end."""
        if run.is_alive:
            self._release(run)

    def go_down(self, *, for_us: int) -> None:
        """The engine dies under all it runs, is away for a while, then loads its model."""
        self.health = EngineHealth.UNAVAILABLE
        for run in [*self._running, *self._queue]:
            run.is_alive = False
            kind = FailureKind.BROKEN if run.first_us else FailureKind.UNAVAILABLE
            self._world.after(0, _fail(run, kind, 0, "the engine dropped the connection"))
        self._running.clear()
        self._queue.clear()
        self._world.after(for_us, self._load)

    def _load(self) -> None:
        self.health = EngineHealth.LOADING
        self._world.after(self._plan.load_us, self._be_ready)

    def _be_ready(self) -> None:
        self.health = EngineHealth.READY

    def _draw_fate(self, request: UserRequest) -> _Fate:
        if request.is_wrong:
            return _Fate.WRONG
        failure_permille = 0 if self.is_reliable else self._plan.failure_permille
        if failure_permille and self._entropy.chance(failure_permille):
            return self._entropy.pick((_Fate.UNAVAILABLE, _Fate.BROKEN_BEFORE, _Fate.BROKEN_MIDWAY))
        return _Fate.WHOLE

    def _begin(self, run: Run) -> None:
        self._running.append(run)
        if self.is_hung:
            return
        prefill_us = compute_prefill_us(self._plan, run.request.prompt_tokens)
        if run.fate in {_Fate.WHOLE, _Fate.BROKEN_MIDWAY}:
            self._world.after(prefill_us, lambda: self._give_first_output(run))
        else:
            self._world.after(prefill_us // 2, lambda: self._end_early(run))

    def _end_early(self, run: Run) -> None:
        if not run.is_alive:
            return
        self._release(run)
        match run.fate:
            case _Fate.WRONG:
                run.listener.on_failure(FailureKind.REJECTED, 400, "the request is wrong")
            case _Fate.BROKEN_BEFORE:
                run.listener.on_failure(FailureKind.BROKEN, 500, "the engine failed")
            case _:
                run.listener.on_failure(FailureKind.UNAVAILABLE, 503, "the engine has no room")

    def _give_first_output(self, run: Run) -> None:
        if not run.is_alive:
            return
        run.first_us = self._world.now_us
        decode_us = compute_decode_us(self._plan, run.request.completion_tokens)
        if run.fate is _Fate.BROKEN_MIDWAY:
            self._world.after(decode_us // 2, lambda: self._break(run))
        else:
            self._world.after(decode_us, lambda: self._end(run))
        if decode_us > PROGRESS_PERIOD_US:
            self._world.after(PROGRESS_PERIOD_US, lambda: self._give_progress(run))
        run.listener.on_first_output()

    def _give_progress(self, run: Run) -> None:
        if not run.is_alive or self.is_hung:
            return
        spent_us = self._world.now_us - run.first_us
        tokens = 1 + spent_us * self._plan.decode_tokens_per_s // SECOND
        self._world.after(PROGRESS_PERIOD_US, lambda: self._give_progress(run))
        run.listener.on_progress(min(tokens, run.request.completion_tokens))

    def _break(self, run: Run) -> None:
        if run.is_alive and not self.is_hung:
            self._release(run)
            run.listener.on_failure(FailureKind.BROKEN, 0, "the engine broke off mid-way")

    def _end(self, run: Run) -> None:
        if run.is_alive and not self.is_hung:
            self._release(run)
            request = run.request
            run.listener.on_end(Usage(request.prompt_tokens, request.completion_tokens))

    def _release(self, run: Run) -> None:
        run.is_alive = False
        if run in self._running:
            self._running.remove(run)
        elif run in self._queue:
            self._queue.remove(run)
        while self._queue and len(self._running) < self._plan.slots:
            self._begin(self._queue.popleft())


def compute_prefill_us(plan: EnginePlan, prompt_tokens: int) -> int:
    """Time from a free slot to the first token."""
    return _OVERHEAD_US + prompt_tokens * SECOND // plan.prefill_tokens_per_s


def compute_decode_us(plan: EnginePlan, completion_tokens: int) -> int:
    """Time from the first token to the last."""
    return (completion_tokens - 1) * SECOND // plan.decode_tokens_per_s


def _fail(run: Run, kind: FailureKind, status: int, detail: str) -> Action:
    return lambda: run.listener.on_failure(kind, status, detail)
