"""When an engine will be done with what it has, and with one more request.

A fluid picture of continuous batching: all running sequences make a token in each iteration, an
iteration takes what the engine's pace says of so many sequences and so much context, and whoever
waits is admitted in order once there is room. Requests that may still come are not in it.
"""

from bisect import insort
from collections.abc import Sequence
from copy import copy
from typing import Protocol

import msgspec

GROWTH_SHARE = 0.5
"""Part of an answer that must have room at its start: while it grows, others end."""
FOR_EVER = float("inf")


class Pace(Protocol):
    """How long an engine's iterations take, for the batches one asks about."""

    @property
    def context_us(self) -> float:
        """What each token of context adds to an iteration that reads it."""
        ...

    def get_base_us(self, sequences: int) -> float:
        """One iteration of so many sequences without any context."""
        ...

    def compute_prefill_us(self, tokens: int, cached_tokens: int = 0) -> float:
        """What reading a prompt, but for what is cached, adds to the iterations it is read in."""
        ...


class Room(msgspec.Struct, frozen=True):
    """What an engine holds at once."""

    slots: int
    kv_tokens: float = FOR_EVER
    """Tokens of context, for all sequences together."""


class Load(msgspec.Struct, frozen=True):
    """One request as an engine has it: what it holds, what is to come, and by when it is wanted."""

    context_tokens: float
    remaining_tokens: float
    is_begun: bool = False
    due_us: float = FOR_EVER
    cached_tokens: int = 0
    """Of a context that is not begun: what the engine need not read."""


class Prospect(msgspec.Struct, frozen=True):
    """What would become of one more request."""

    start_us: float
    first_us: float
    finish_us: float


class Forecast:
    """One engine from an instant on; `admit` adds to it, `foresee` only asks."""

    def __init__(self, pace: Pace, room: Room, now_us: int, loads: Sequence[Load]) -> None:
        """`loads` in the order in which they were sent to the engine."""
        self._pace = pace
        self.room = room
        """What it holds at once; who asks may know better by now."""
        self._now_us = now_us
        self._time_us = float(now_us)
        self._steps = 0.0
        """Iterations since it was made."""
        self._origin = 0.0
        """Of them, those until now: the others have yet to come."""
        self._ends: list[tuple[float, float, float]] = []
        """Of who runs: the step of its last token, its context at step 0, and when it is due."""
        self._contexts = 0.0
        """The sum of those contexts."""
        self._is_timed = False
        """Whether anybody in it is due at all."""
        # Where all have room nobody waits for anybody: then one sorting does for all.
        is_roomy = room.kv_tokens == FOR_EVER and len(loads) <= room.slots
        waiting: list[Load] = []
        for load in loads:
            if load.is_begun or is_roomy:
                self._ends.append((load.remaining_tokens, load.context_tokens, load.due_us))
                self._contexts += load.context_tokens
                self._is_timed |= load.due_us < FOR_EVER
                self._time_us += 0.0 if load.is_begun else self._compute_prefill_us(load)
            else:
                waiting.append(load)
        self._ends.sort()
        for load in waiting:
            self.admit(load)

    def move(self, now_us: int) -> bool:
        """Go on to a later instant; False if somebody waits or ends by then: then look anew."""
        self._now_us = now_us
        late_us = now_us - self._time_us
        if late_us <= 0:
            return self._steps == self._origin
        if self._ends:
            count = len(self._ends)
            held = self._contexts + count * self._steps
            each_us = self._pace.get_base_us(count) + self._pace.context_us * held
            self._steps += late_us / each_us
            if self._steps >= self._ends[0][0]:
                return False
        self._time_us = float(now_us)
        self._origin = self._steps
        return True

    def follow(self, now_us: int) -> None:
        """Go on to a later instant, and take all who were to end by then for ended."""
        self._now_us = now_us
        while self._ends:
            count, end = len(self._ends), self._ends[0][0]
            span_us = self._compute_span_us(count, self._contexts, self._steps, end)
            if self._time_us + span_us > now_us:
                break
            self._end_first()
        late_us = now_us - self._time_us
        if late_us <= 0:
            return
        if self._ends:
            count = len(self._ends)
            held = self._contexts + count * self._steps
            each_us = self._pace.get_base_us(count) + self._pace.context_us * held
            self._steps = min(self._steps + late_us / each_us, self._ends[0][0])
        self._time_us = float(now_us)
        self._origin = self._steps

    def copy(self) -> "Forecast":
        """The same, to be asked about somebody who comes after others."""
        other = copy(self)
        other._ends = self._ends.copy()  # noqa: SLF001 - one of its own kind
        return other

    @property
    def has_waited(self) -> bool:
        """Whether the last one admitted has to wait until others end."""
        return self._time_us > self._now_us and self._steps > self._origin

    def has_room(self, load: Load) -> bool:
        """Whether one more would start at once."""
        return not self.has_waited and self._fits(load, 0, self._contexts)

    def admit(self, load: Load) -> None:
        """Let one more in, when there is room for it."""
        while self._ends and not self._fits(load, 0, self._contexts):
            self._end_first()
        self._time_us += self._compute_prefill_us(load)
        context = load.context_tokens - self._steps
        self._is_timed |= load.due_us < FOR_EVER
        insort(self._ends, (self._steps + load.remaining_tokens, context, load.due_us))
        self._contexts += context

    def foresee(self, load: Load, give_up_us: float = FOR_EVER) -> Prospect | None:
        """What would become of one more; None if it would end after `give_up_us`."""
        time_us, steps, contexts = self._time_us, self._steps, self._contexts
        ends, gone = self._ends, 0
        count = len(ends)
        while gone < count and not self._fits(load, gone, contexts):
            end, context, _ = ends[gone]
            time_us += self._compute_span_us(count - gone, contexts, steps, end)
            steps, contexts, gone = end, contexts - context, gone + 1
            if time_us > give_up_us:
                return None
        start_us = time_us
        time_us += self._compute_prefill_us(load)
        first_us = time_us + self._pace.get_base_us(count - gone + 1)
        last = steps + load.remaining_tokens
        contexts += load.context_tokens - steps
        while gone < count and ends[gone][0] < last and time_us <= give_up_us:
            end, context, _ = ends[gone]
            time_us += self._compute_span_us(count - gone + 1, contexts, steps, end)
            steps, contexts, gone = end, contexts - context, gone + 1
        time_us += self._compute_span_us(count - gone + 1, contexts, steps, last)
        return Prospect(start_us, first_us, time_us) if time_us <= give_up_us else None

    def compute_burden_us(self, load: Load) -> float:
        """How much later those that run end, all added up, because one more runs beside them."""
        prefill_us, slower_us = self._compute_drag_us(load)
        last = self._steps + load.remaining_tokens
        shared = sum([min(last, end) for end, _, _ in self._ends])
        shared -= len(self._ends) * self._steps
        return len(self._ends) * prefill_us + slower_us * shared

    def count_harmed(self, load: Load) -> int:
        """How many of those that run would be late, and only because one more runs beside them."""
        if not self._is_timed:
            return 0
        prefill_us, slower_us = self._compute_drag_us(load)
        begin, remaining, count = self._steps, load.remaining_tokens, len(self._ends)
        time_us, steps, contexts, harmed = self._time_us, self._steps, self._contexts, 0
        for gone, (end, context, due_us) in enumerate(self._ends):
            time_us += self._compute_span_us(count - gone, contexts, steps, end)
            if time_us <= due_us < FOR_EVER:
                shared = min(remaining, end - begin)
                harmed += time_us + prefill_us + slower_us * shared > due_us
            steps, contexts = end, contexts - context
        return harmed

    def _compute_drag_us(self, load: Load) -> tuple[float, float]:
        """What one more costs the others: once, and in each iteration they share with it."""
        pace, count = self._pace, len(self._ends)
        slower_us = pace.get_base_us(count + 1) - pace.get_base_us(count)
        slower_us += pace.context_us * (load.context_tokens + load.remaining_tokens / 2)
        return self._compute_prefill_us(load), slower_us

    def _compute_prefill_us(self, load: Load) -> float:
        return self._pace.compute_prefill_us(round(load.context_tokens), load.cached_tokens)

    def _fits(self, load: Load, gone: int, contexts: float) -> bool:
        """Whether it fits beside those that run, without the first `gone` of them."""
        running = len(self._ends) - gone
        if not running:
            return True
        step = self._ends[gone - 1][0] if gone else self._steps
        held = contexts + running * step
        wanted = load.context_tokens + GROWTH_SHARE * load.remaining_tokens
        return running < self.room.slots and held + wanted <= self.room.kv_tokens

    def _end_first(self) -> None:
        end, context, _ = self._ends.pop(0)
        count = len(self._ends) + 1
        self._time_us += self._compute_span_us(count, self._contexts, self._steps, end)
        self._steps, self._contexts = end, self._contexts - context

    def _compute_span_us(self, sequences: int, contexts: float, begin: float, end: float) -> float:
        """Time from one step to another while so many run."""
        held = contexts + sequences * (begin + end) / 2
        each_us = self._pace.get_base_us(sequences) + self._pace.context_us * held
        return each_us * (end - begin)
