"""The central schedulers: one queue, fresh forecasts of all engines, and a rule for each name.

| name | a request is sent | who goes first | lengths |
|---|---|---|---|
| `central-fresh` | at once, to the best engine | who came first | one mean |
| `central-pull` | when an engine has room, to the best of those | who came first | one mean |
| `central-length` | when the best engine has room | the shortest | by client |
| `central-defer` | the same, and if nobody there becomes late | the earliest deadline | by client |
| `central-oracle` | when the best engine has room | the shortest | the truth |

The best engine is the one where it is expected to finish the soonest. With `central-defer`, who
will miss the deadline goes last. Deadlines are those of the scenario's first objective, for the
length that is expected.
"""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from wwwserve.enginemodel import Demand, EngineProfile
from wwwserve.sim.central.forecast import Forecast, Load, Pace, Prospect
from wwwserve.sim.central.jobs import Job, Station
from wwwserve.sim.central.lengths import ClientLengths, Lengths, MeanLengths, TrueLengths
from wwwserve.sim.objectives import Objective, ObjectiveKind
from wwwserve.values.moments import SECOND

LOOKED_AT_MAX = 32
"""Waiting requests considered at one instant; the others wait for the next."""
DEFERRED_US_MAX = 1_800 * SECOND
"""Who has waited so long goes before everybody else, late or not."""
_FAR_US = float("inf")


class Binding(Enum):
    """When a request is bound to an engine."""

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
        "central-length, told the true lengths: what nobody can know",
        Binding.WHEN_BEST,
        Order.SHORTEST,
        TrueLengths,
    ),
}
"""Every central scheduler by its name."""


@dataclass(slots=True, eq=False)
class _Outlook:
    """An engine at this instant, with what has been promised to it."""

    station: Station
    forecast: Forecast


@dataclass(frozen=True, slots=True)
class _Choice:
    """The engine where a request finishes the soonest."""

    engine: int
    prospect: Prospect
    has_room: bool


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
        paces = {station.profile: Pace(station.profile) for station in stations}
        self._paces = [paces[station.profile] for station in stations]
        self._objective = objective
        self._reference = reference
        self._lengths = rule.create_lengths()
        self._waiting: list[tuple[float, int, Job]] = []
        """A heap: its place in the order, and its number."""
        self._late: list[tuple[float, int, Job]] = []
        """A heap of those who will miss their deadline: the shortest first."""

    def arrive(self, job: Job) -> None:
        """See `Scheduler`."""
        heapq.heappush(self._waiting, (self._compute_key(job), job.number, job))

    def leave(self, job: Job, made_tokens: int) -> None:
        """See `Scheduler`."""
        for queue in (self._waiting, self._late):
            kept = [entry for entry in queue if entry[2] is not job]
            if len(kept) < len(queue):
                queue[:] = kept
                heapq.heapify(queue)
        if made_tokens:
            self._lengths.learn(job, made_tokens)

    def place(self, now_us: int) -> list[tuple[Job, int]]:
        """See `Scheduler`."""
        if not self._waiting and not self._late:
            return []
        outlooks = [
            _Outlook(station, self._foretell(station, pace, now_us))
            for station, pace in zip(self._stations, self._paces, strict=True)
        ]
        placed = self._place_waiting(outlooks, now_us)
        if self._late and not self._waiting:
            placed += self._place_late(outlooks, now_us)
        return placed

    # -- the queue ---------------------------------------------------------------------------------

    def _place_waiting(self, outlooks: Sequence[_Outlook], now_us: int) -> list[tuple[Job, int]]:
        placed: list[tuple[Job, int]] = []
        held: list[tuple[float, int, Job]] = []
        while self._waiting and len(held) < LOOKED_AT_MAX:
            entry = heapq.heappop(self._waiting)
            job = entry[2]
            choice = self._choose(job, outlooks)
            if self._is_hopeless(job, choice, now_us):
                heapq.heappush(self._late, (self._lengths.predict(job, 0), job.number, job))
                continue
            if self._may_go(job, choice, outlooks):
                placed.append((job, choice.engine))
            else:
                held.append(entry)
                if self._rule.binding is Binding.WHEN_ROOM:
                    break
            # Who holds out for an engine is counted there before anybody behind it.
            outlooks[choice.engine].forecast.admit(self._weigh(job, 0))
        for entry in held:
            heapq.heappush(self._waiting, entry)
        return placed

    def _place_late(self, outlooks: Sequence[_Outlook], now_us: int) -> list[tuple[Job, int]]:
        """Let who is late anyway use what nobody else needs."""
        placed: list[tuple[Job, int]] = []
        for _ in range(min(LOOKED_AT_MAX, len(self._late))):
            job = self._late[0][2]
            choice = self._choose(job, outlooks)
            has_waited = now_us - job.arrival_us > DEFERRED_US_MAX
            if not (choice.has_room and (has_waited or self._harms_none(job, choice, outlooks))):
                break
            heapq.heappop(self._late)
            placed.append((job, choice.engine))
            outlooks[choice.engine].forecast.admit(self._weigh(job, 0))
        return placed

    def _compute_key(self, job: Job) -> float:
        match self._rule.order:
            case Order.ARRIVAL:
                return float(job.number)
            case Order.SHORTEST:
                return self._lengths.predict(job, 0)
            case Order.DEADLINE:
                return self._compute_due_us(job, self._lengths.predict(job, 0))

    def _may_go(self, job: Job, choice: _Choice, outlooks: Sequence[_Outlook]) -> bool:
        if self._rule.binding is Binding.AT_ONCE:
            return True
        if not choice.has_room:
            return False
        return self._rule.order is not Order.DEADLINE or self._harms_none(job, choice, outlooks)

    def _harms_none(self, job: Job, choice: _Choice, outlooks: Sequence[_Outlook]) -> bool:
        if self._rule.order is not Order.DEADLINE:
            return True
        load = self._weigh(job, 0)
        forecast = outlooks[choice.engine].forecast
        return not forecast.count_harmed(load.context_tokens, load.remaining_tokens)

    def _is_hopeless(self, job: Job, choice: _Choice, now_us: int) -> bool:
        if self._rule.order is not Order.DEADLINE or now_us - job.arrival_us > DEFERRED_US_MAX:
            return False
        is_first_wanted = self._objective.kind is ObjectiveKind.FIRST_SECONDS
        prospect = choice.prospect
        end_us = prospect.first_us if is_first_wanted else prospect.finish_us
        return end_us > self._compute_due_us(job, self._lengths.predict(job, 0))

    # -- one request on one engine -----------------------------------------------------------------

    def _choose(self, job: Job, outlooks: Sequence[_Outlook]) -> _Choice:
        load = self._weigh(job, 0)
        wanted = (load.context_tokens, load.remaining_tokens)
        able = [
            index for index, outlook in enumerate(outlooks) if job.model in outlook.station.models
        ]
        roomy = [index for index in able if outlooks[index].forecast.has_room(*wanted)]
        if self._rule.binding is Binding.WHEN_ROOM and roomy:
            able = roomy
        best: tuple[int, Prospect] | None = None
        for index in able:
            give_up_us = best[1].finish_us if best else _FAR_US
            prospect = outlooks[index].forecast.foresee(*wanted, give_up_us)
            if prospect is not None and (best is None or prospect.finish_us < best[1].finish_us):
                best = (index, prospect)
        assert best is not None, f"somebody serves {job.model}"
        return _Choice(*best, has_room=best[0] in roomy)

    def _foretell(self, station: Station, pace: Pace, now_us: int) -> Forecast:
        loads = [self._weigh(job, station.read_made(job)) for job in station.jobs.values()]
        return Forecast(pace, now_us, loads)

    def _weigh(self, job: Job, made_tokens: int) -> Load:
        expected = self._lengths.predict(job, made_tokens)
        return Load(
            context_tokens=job.prompt_tokens + made_tokens,
            remaining_tokens=expected - made_tokens,
            is_begun=made_tokens > 0,
            due_us=self._compute_due_us(job, expected),
        )

    def _compute_due_us(self, job: Job, expected_tokens: float) -> float:
        demand = Demand(job.prompt_tokens, max(1, round(expected_tokens)))
        return job.arrival_us + self._objective.get_bound_us(demand, self._reference)
