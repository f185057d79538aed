"""The model of an engine on this machine's clock: one task wakes at its deadlines, and no other.

Virtual time runs `speedup` times as fast as real time. However late the task wakes, the model
computes what had happened by then, so a slow machine makes tokens come in bunches, never slower on
average; `lag_us_max` tells how late the latest was.
"""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Never

from wwwserve.enginemodel import (
    BatchingEngine,
    Demand,
    EngineLoad,
    EngineProfile,
    Iteration,
    SequenceId,
)
from wwwserve.values.moments import NEVER, SECOND, Moment
from wwwserve.values.refusals import Refusal

_NS_PER_US = 1_000


@dataclass(slots=True, eq=False)
class PacedRun:
    """One request in the engine: how many of its tokens are made, all its sequences together."""

    total: int
    made: int = 0
    sequences: tuple[SequenceId, ...] = ()
    _waiter: asyncio.Future[None] | None = field(default=None, init=False)

    async def wait_beyond(self, count: int) -> int:
        """Wait until more than `count` tokens are made; gives how many are. For one waiter."""
        assert count < self.total
        while self.made <= count:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self.made

    def add_token(self) -> None:
        """One more is made."""
        self.made += 1
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


@dataclass(slots=True)
class PaceCounts:
    """What an engine has done so far."""

    prompt_tokens: int = 0
    generated_tokens: int = 0
    lag_us_max: int = 0
    """The longest this machine was behind, in real time."""


class PacedEngine:
    """A batching engine that runs while `drive` does."""

    def __init__(self, profile: EngineProfile, speedup: float) -> None:
        self.counts = PaceCounts()
        self._model = BatchingEngine(profile)
        self._speedup = speedup
        self._origin_ns = time.monotonic_ns()
        self._runs: dict[SequenceId, PacedRun] = {}
        self._sequences_started = 0
        self._is_wanted = asyncio.Event()

    @property
    def context_tokens_max(self) -> int:
        """Prompt and answer together that one sequence may have."""
        return self._model.context_tokens_max

    async def drive(self) -> Never:
        """Advance the model for ever."""
        while True:
            deadline = self._model.next_deadline()
            if deadline == NEVER:
                self._is_wanted.clear()
                await self._is_wanted.wait()
                continue
            # Nothing can move a deadline forward: an iteration that has begun takes its time.
            await asyncio.sleep(max(0.0, (deadline - self._get_now()) / SECOND / self._speedup))
            now = self._get_now()
            lag_us = round((now - deadline) / self._speedup)
            self.counts.lag_us_max = max(self.counts.lag_us_max, lag_us)
            for iteration in self._model.advance(now):
                self._deliver(iteration)

    def start(self, demands: tuple[Demand, ...]) -> PacedRun:
        """Take a request on; raises `Refusal` when it cannot fit or too many wait."""
        first = self._sequences_started
        self._sequences_started += len(demands)
        names = tuple(SequenceId(first + index) for index in range(len(demands)))
        run = PacedRun(sum(demand.output_tokens for demand in demands), sequences=names)
        now = self._get_now()
        try:
            for name, demand in zip(names, demands, strict=True):
                self._model.submit(name, demand, now)
                self._runs[name] = run
                self.counts.prompt_tokens += demand.prompt_tokens
        except Refusal:
            self.stop(run)
            raise
        self._is_wanted.set()
        return run

    def stop(self, run: PacedRun) -> None:
        """Stop working on a request; harmless after its end."""
        for name in run.sequences:
            self._model.cancel(name)
            self._runs.pop(name, None)

    def read_load(self) -> EngineLoad:
        """What it is doing now."""
        return self._model.read_load()

    def _deliver(self, iteration: Iteration) -> None:
        for name in (*iteration.first, *iteration.further):
            self.counts.generated_tokens += 1
            # A request that was stopped while the model caught up has no run any more.
            if (run := self._runs.get(name)) is not None:
                run.add_token()
        for name in iteration.finished:
            self._runs.pop(name, None)

    def _get_now(self) -> Moment:
        real_us = (time.monotonic_ns() - self._origin_ns) // _NS_PER_US
        return Moment(round(real_us * self._speedup))
