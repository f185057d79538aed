"""The central schedulers: one queue, fresh forecasts of all engines, and a rule for each name.

| name | a request is sent | who goes first | lengths |
|---|---|---|---|
| `alone` | at once, to the engine of its own node | who came first | none needed |
| `central-fresh` | at once, to the soonest engine | who came first | one mean |
| `central-pull` | when an engine has room, to the soonest of those | who came first | one mean |
| `central-length` | when the best engine has room | the shortest | by client |
| `central-defer` | the same, and if nobody there becomes late | the earliest deadline | by client |
| `central-oracle` | as `central-defer` | the earliest deadline | the truth |

The soonest engine is the one where it is expected to finish first. The best one is where that and
what it costs those who run there come to the least: on a GPU with a large batch, one more request
is cheap for itself and dear for the others. With `central-defer`, who will miss the deadline goes
last, and uses what nobody else needs. Deadlines are those of the scenario's first objective, for
the length that is expected.
"""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from msgspec.structs import replace

from wwwserve.core.routing import Forecast, Load, Prospect
from wwwserve.enginemodel import Demand, EngineProfile
from wwwserve.sim.central.lengths import ClientLengths, Lengths, MeanLengths, TrueLengths
from wwwserve.sim.central.pace import ExactPace
from wwwserve.sim.central.stations import Station
from wwwserve.sim.jobs import Job
from wwwserve.sim.objectives import Objective, ObjectiveKind
from wwwserve.values.moments import SECOND

LOOKED_AT_MAX = 32
"""Waiting requests considered at one instant; the others wait for the next."""
DEFERRED_US_MAX = 1_800 * SECOND
"""Who has waited so long goes before everybody else, late or not."""
_FAR_US = float("inf")


class Binding(Enum):
    """When a request is bound to an engine."""

    AT_HOME = "at once, where it came in"
    AT_ONCE = "at once"
    WHEN_ROOM = "when any engine has room"
    WHEN_BEST = "when the best engine has room"


class Order(Enum):
    """Which of those who wait goes first."""

    ARRIVAL = "arrival"
    SHORTEST = "shortest"
    DEADLINE = "deadline"


@dataclass(frozen=True, slots=True)
class Rule:
    """One scheduler: what it does differently from the others."""

    about: str
    binding: Binding
    order: Order
    create_lengths: Callable[[], Lengths]


RULES = {
    "alone": Rule(
        "no network at all: every engine has its own users, who wait as long as it takes",
        Binding.AT_HOME,
        Order.ARRIVAL,
        MeanLengths,
    ),
    "central-fresh": Rule(
        "one scheduler: each request at once where it is expected to finish the soonest",
        Binding.AT_ONCE,
        Order.ARRIVAL,
        MeanLengths,
    ),
    "central-pull": Rule(
        "one scheduler, one queue: an engine with room takes who came first",
        Binding.WHEN_ROOM,
        Order.ARRIVAL,
        MeanLengths,
    ),
    "central-length": Rule(
        "one scheduler, one queue: the shortest expected answer first, lengths learned by client",
        Binding.WHEN_BEST,
        Order.SHORTEST,
        ClientLengths,
    ),
    "central-defer": Rule(
        "one scheduler, one queue: the earliest deadline first, and last who will miss it anyway",
        Binding.WHEN_BEST,
        Order.DEADLINE,
        ClientLengths,
    ),
    "central-oracle": Rule(
        "central-defer, told the true lengths: what nobody can know",
        Binding.WHEN_BEST,
        Order.DEADLINE,
        TrueLengths,
    ),
}
"""Every central scheduler by its name."""


@dataclass(frozen=True, slots=True)
class _Choice:
    """The engine for a request."""

    engine: int
    prospect: Prospect
    has_room: bool
    load: Load
    """What it is there."""


class CentralScheduler:
    """Places requests by a rule."""

    def __init__(
        self,
        rule: Rule,
        stations: Sequence[Station],
        objective: Objective,
        reference: EngineProfile,
    ) -> None:
        self._rule = rule
        self._stations = list(stations)
        paces = {station.profile: ExactPace(station.profile) for station in stations}
        self._paces = [paces[station.profile] for station in stations]
        self._objective = objective
        self._reference = reference
        self._lengths = rule.create_lengths()
        self._is_timed = rule.order is Order.DEADLINE
        self._places: dict[int, int] = {}
        """The engines of those that were sent."""
        self._forecasts: list[Forecast | None] = [None] * len(self._stations)
        """None where something happened that has to be looked at."""
        self._waiting: list[tuple[float, int, Job]] = []
        """A heap: its place in the order, and its number."""
        self._late: list[tuple[float, int, Job]] = []
        """A heap of those who will miss their deadline: the shortest first."""

    def arrive(self, job: Job) -> None:
        """See `Scheduler`."""
        heapq.heappush(self._waiting, (self._compute_key(job), job.number, job))

    def leave(self, job: Job, made_tokens: int) -> None:
        """See `Scheduler`."""
        place = self._places.pop(job.number, None)
        if place is not None:
            self._forecasts[place] = None
        else:
            self._forget(job)
        if made_tokens:
            self._lengths.learn(job, made_tokens)

    def place(self, now_us: int) -> list[tuple[Job, int]]:
        """See `Scheduler`."""
        if not self._waiting and not self._late:
            return []
        forecasts = [self._foretell(engine, now_us) for engine in range(len(self._stations))]
        placed = self._place_waiting(forecasts, now_us)
        if self._late and not self._waiting:
            placed += self._place_late(forecasts, now_us)
        self._places |= {job.number: engine for job, engine in placed}
        return placed

    def _forget(self, job: Job) -> None:
        """Nobody waits for it any more."""
        for queue in (self._waiting, self._late):
            queue[:] = [entry for entry in queue if entry[2] is not job]
            heapq.heapify(queue)

    # -- the queue ---------------------------------------------------------------------------------

    def _place_waiting(self, forecasts: Sequence[Forecast], now_us: int) -> list[tuple[Job, int]]:
        placed: list[tuple[Job, int]] = []
        held: list[tuple[float, int, Job]] = []
        while self._waiting and len(held) < LOOKED_AT_MAX:
            entry = heapq.heappop(self._waiting)
            job = entry[2]
            choice = self._choose(job, forecasts)
            if self._is_hopeless(job, choice, now_us):
                heapq.heappush(self._late, (self._lengths.predict(job, 0), job.number, job))
                continue
            if self._may_go(job, choice, forecasts):
                placed.append((job, choice.engine))
            else:
                held.append(entry)
                self._forecasts[choice.engine] = None
                if self._rule.binding is Binding.WHEN_ROOM:
                    break
            # Who holds out for an engine is counted there before anybody behind it.
            forecasts[choice.engine].admit(choice.load)
        for entry in held:
            heapq.heappush(self._waiting, entry)
        return placed

    def _place_late(self, forecasts: Sequence[Forecast], now_us: int) -> list[tuple[Job, int]]:
        """Let who is late anyway use what nobody else needs."""
        placed: list[tuple[Job, int]] = []
        for _ in range(min(LOOKED_AT_MAX, len(self._late))):
            job = self._late[0][2]
            choice = self._choose(job, forecasts)
            has_waited = now_us - job.arrival_us > DEFERRED_US_MAX
            if not (choice.has_room and (has_waited or self._harms_none(choice, forecasts))):
                break
            heapq.heappop(self._late)
            placed.append((job, choice.engine))
            forecasts[choice.engine].admit(choice.load)
        return placed

    def _compute_key(self, job: Job) -> float:
        match self._rule.order:
            case Order.ARRIVAL:
                return float(job.number)
            case Order.SHORTEST:
                return self._lengths.predict(job, 0)
            case Order.DEADLINE:
                return self._compute_due_us(job, self._lengths.predict(job, 0))

    def _may_go(self, job: Job, choice: _Choice, forecasts: Sequence[Forecast]) -> bool:
        if self._rule.binding in {Binding.AT_HOME, Binding.AT_ONCE}:
            return True
        if not choice.has_room:
            return False
        return not self._is_timed or self._harms_none(choice, forecasts)

    def _harms_none(self, choice: _Choice, forecasts: Sequence[Forecast]) -> bool:
        if not self._is_timed:
            return True
        return not forecasts[choice.engine].count_harmed(choice.load)

    def _is_hopeless(self, job: Job, choice: _Choice, now_us: int) -> bool:
        if not self._is_timed or now_us - job.arrival_us > DEFERRED_US_MAX:
            return False
        is_first_wanted = self._objective.kind is ObjectiveKind.FIRST_SECONDS
        prospect = choice.prospect
        end_us = prospect.first_us if is_first_wanted else prospect.finish_us
        return end_us > self._compute_due_us(job, self._lengths.predict(job, 0))

    # -- one request on one engine -----------------------------------------------------------------

    def _choose(self, job: Job, forecasts: Sequence[Forecast]) -> _Choice:
        plain = self._weigh(job, 0)
        able = [
            engine for engine, station in enumerate(self._stations) if job.model in station.models
        ]
        if self._rule.binding is Binding.AT_HOME:
            able = [job.home]
        roomy = [engine for engine in able if forecasts[engine].has_room(plain)]
        if self._rule.binding is Binding.WHEN_ROOM and roomy:
            able = roomy
        best: tuple[int, Prospect, Load] | None = None
        least_us = _FAR_US
        for engine in able:
            wanted = replace(plain, cached_tokens=self._read_cached(job, engine))
            burden_us = 0.0
            if self._rule.binding is Binding.WHEN_BEST:
                burden_us = forecasts[engine].compute_burden_us(wanted)
            prospect = forecasts[engine].foresee(wanted, least_us - burden_us)
            if prospect is not None and prospect.finish_us + burden_us < least_us:
                best, least_us = (engine, prospect, wanted), prospect.finish_us + burden_us
        assert best is not None, f"somebody serves {job.model}"
        engine, prospect, load = best
        return _Choice(engine, prospect, has_room=engine in roomy, load=load)

    def _read_cached(self, job: Job, engine: int) -> int:
        """What the engine's cache holds of a prompt, as far as the prompt is taken to go."""
        return min(self._stations[engine].read_cached(job.truth), job.prompt_tokens)

    def _foretell(self, engine: int, now_us: int) -> Forecast:
        known = self._forecasts[engine]
        if known is not None and known.move(now_us):
            return known
        station = self._stations[engine]
        loads = [self._weigh_sent(job, engine) for job in station.jobs.values()]
        pace = self._paces[engine]
        fresh = self._forecasts[engine] = Forecast(pace, pace.room, now_us, loads)
        return fresh

    def _weigh_sent(self, job: Job, engine: int) -> Load:
        made_tokens = self._stations[engine].read_made(job)
        return self._weigh(job, made_tokens, 0 if made_tokens else self._read_cached(job, engine))

    def _weigh(self, job: Job, made_tokens: int, cached_tokens: int = 0) -> Load:
        expected = self._lengths.predict(job, made_tokens)
        return Load(
            context_tokens=job.prompt_tokens + made_tokens,
            remaining_tokens=expected - made_tokens,
            is_begun=made_tokens > 0,
            due_us=self._compute_due_us(job, expected) if self._is_timed else _FAR_US,
            cached_tokens=cached_tokens,
        )

    def _compute_due_us(self, job: Job, expected_tokens: float) -> float:
        demand = Demand(job.prompt_tokens, max(1, round(expected_tokens)))
        return job.arrival_us + self._objective.get_bound_us(demand, self._reference)
