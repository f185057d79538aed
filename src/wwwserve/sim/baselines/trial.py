"""A scenario played by nodes that follow a baseline's rule; nobody joins, leaves or fails."""

from collections.abc import Sequence

from wwwserve.sim.baselines.nodes import Lines, Node
from wwwserve.sim.baselines.sites import Baseline, Parcel
from wwwserve.sim.jobs import Job
from wwwserve.sim.plain_trial import PlainTrial
from wwwserve.sim.plans import Scenario
from wwwserve.sim.truth import Outcome
from wwwserve.sim.workload import Arrival
from wwwserve.sim.world import Action
from wwwserve.values.moments import SECOND

_EQUAL_SEATS = 1
"""Of every node, where the plan names no seats."""


class BaselineTrial(PlainTrial):
    """The nodes of a scenario, each with its engine and a rule."""

    def __init__(self, scenario: Scenario, seed: int, baseline: Baseline) -> None:
        """Nothing happens before `start`. Raises `BadInput` for a plan that cannot be."""
        super().__init__(scenario, seed)
        plans = scenario.nodes.values()
        is_seated = any(plan.seats for plan in plans)
        self.seats = [plan.seats if is_seated else _EQUAL_SEATS for plan in plans]
        self.lines = Lines(self.world, scenario.network, len(scenario.nodes))
        self.nodes = [
            Node(number, self, self.engines[number], plan, self.entropy.split(f"rule {name}"))
            for number, (name, plan) in enumerate(scenario.nodes.items())
        ]
        self._baseline = baseline
        self._parcels: list[Parcel] = []
        """Of all requests so far; their jobs count them."""

    # -- requests come and end -------------------------------------------------------------------

    def prepare(self, trace: Sequence[Arrival] | None) -> None:
        """See `PlainTrial`; no rule is told what will come."""
        for node, rule in zip(self.nodes, self._baseline.create_rules(self.nodes), strict=True):
            node.follow(rule)

    def place(self, job: Job) -> None:
        """See `PlainTrial`."""
        parcel = Parcel(job, [job.home])
        self._parcels.append(parcel)
        self._take(parcel)

    def withdraw(self, job: Job) -> None:
        """See `PlainTrial`; the word takes the way that the request took."""
        parcel = self._parcels[job.number]
        parcel.is_over = True
        self._stop_from(parcel, 0)

    def carry_back(self, job: Job, action: Action) -> None:
        """See `PlainTrial`; hop by hop."""
        parcel = self._parcels[job.number]
        self._carry(parcel, len(parcel.path) - 1, action)

    def leave_engine(self, job: Job) -> None:
        """See `PlainTrial`; its node hears of it when all that ends now has ended."""
        node = self.nodes[self._parcels[job.number].path[-1]]
        del node.runs[job.number]
        self.world.after(0, node.rule.notice_end)

    def note_over(self, job: Job, outcome: Outcome) -> None:
        """See `PlainTrial`."""
        if outcome is Outcome.ANSWERED:
            self.nodes[job.home].rule.notice_answer(self._parcels[job.number])

    # -- what nodes ask for ----------------------------------------------------------------------

    def run_here(self, parcel: Parcel) -> None:
        """See `Surroundings`."""
        node = self.nodes[parcel.path[-1]]
        node.runs[parcel.job.number] = (parcel, self.run(parcel.job, node.number))

    def pass_on(self, parcel: Parcel, number: int) -> None:
        """See `Surroundings`; its body takes time too."""
        sender = parcel.path[-1]
        parcel.path.append(number)
        self.frame_count += 1
        body_bytes = self.get_request(parcel.job).prompt_tokens * self.scenario.body_bytes_per_token
        self.lines.carry(
            sender,
            number,
            lambda: self._take(parcel),
            extra_us=body_bytes * SECOND // self.scenario.network.bytes_per_s,
        )

    def _carry(self, parcel: Parcel, place: int, action: Action) -> None:
        if place == 0:
            action()
            return
        sender, receiver = parcel.path[place], parcel.path[place - 1]
        self.frame_count += 1
        self.lines.carry(sender, receiver, lambda: self._carry(parcel, place - 1, action))

    def _take(self, parcel: Parcel) -> None:
        if not parcel.is_over:
            self.nodes[parcel.path[-1]].take(parcel)

    def _stop_from(self, parcel: Parcel, place: int) -> None:
        """Let the word that nobody waits follow a request to where it runs, if it does."""
        if place + 1 < len(parcel.path):
            self.frame_count += 1
            sender, receiver = parcel.path[place : place + 2]
            self.lines.carry(sender, receiver, lambda: self._stop_from(parcel, place + 1))
            return
        node = self.nodes[parcel.path[place]]
        if parcel.job.number in node.runs:
            _, run = node.runs[parcel.job.number]
            node.engine.stop(run)
            if parcel.job.number in node.runs:
                self.leave_engine(parcel.job)
