"""What a user may hope for, by name, and whether one request met it.

| name | met when the answer is whole |
|---|---|
| `2x` | within twice the time an idle reference engine takes for it, and a second |
| `300s` | within so many seconds |
| `ttft_5s` | at any time, but its first output came within so many seconds |
"""

import re
from dataclasses import dataclass
from enum import Enum

from wwwserve.core import placing
from wwwserve.enginemodel import Demand, EngineProfile, compute_alone_us
from wwwserve.sim.plans import Scenario
from wwwserve.sim.profiles import get_reference
from wwwserve.sim.truth import Outcome, UserRequest
from wwwserve.values.moments import SECOND
from wwwserve.values.refusals import BadInput

_USUAL_TOKENS = 1_000
"""Where the time an idle engine takes is read off as a line: it is very nearly one."""
_NAME = re.compile(r"(?P<ttft>ttft_)?(?P<number>[1-9][0-9]{0,6})(?P<unit>x|s)")


class ObjectiveKind(Enum):
    """What of a request is held against the number."""

    TIMES_UNLOADED = "x"
    SECONDS = "s"
    FIRST_SECONDS = "ttft_s"


@dataclass(frozen=True, slots=True)
class Objective:
    """One objective."""

    name: str
    kind: ObjectiveKind
    number: int

    def get_bound_us(self, demand: Demand, reference: EngineProfile) -> int:
        """How long a request may take in all, or to its first output if that is what counts."""
        if self.kind is ObjectiveKind.TIMES_UNLOADED:
            return self.number * compute_alone_us(reference, demand) + SECOND
        return self.number * SECOND

    def is_met(self, request: UserRequest, reference: EngineProfile) -> bool:
        """Whether a request that has ended met it; one without a whole answer met nothing."""
        if request.outcome is not Outcome.ANSWERED:
            return False
        if self.kind is ObjectiveKind.FIRST_SECONDS:
            return request.ttft_us <= self.number * SECOND
        demand = Demand(request.prompt_tokens, request.completion_tokens)
        return request.e2e_us <= self.get_bound_us(demand, reference)


def tell_peers(objective: Objective, reference: EngineProfile) -> placing.Objective:
    """An objective in the words in which users tell it to their node: a line, as near as may be."""
    if objective.kind is not ObjectiveKind.TIMES_UNLOADED:
        is_first_token = objective.kind is ObjectiveKind.FIRST_SECONDS
        return placing.Objective(objective.number * SECOND, is_first_token=is_first_token)
    base_us, longer_us, larger_us = (
        objective.get_bound_us(demand, reference)
        for demand in (
            Demand(1, 1),
            Demand(1, 1 + _USUAL_TOKENS),
            Demand(1 + _USUAL_TOKENS, 1),
        )
    )
    return placing.Objective(
        base_us=base_us,
        prompt_token_ns=(larger_us - base_us) * 1_000 // _USUAL_TOKENS,
        completion_token_ns=(longer_us - base_us) * 1_000 // _USUAL_TOKENS,
    )


def tell_first(scenario: Scenario) -> placing.Objective | None:
    """The first of a scenario's objectives, as users tell it; None if they tell none."""
    if not scenario.is_objective_told:
        return None
    return tell_peers(parse_objective(scenario.objectives[0]), get_reference(scenario))


def parse_objective(name: str) -> Objective:
    """The objective called `name`. Raises `BadInput`."""
    found = _NAME.fullmatch(name)
    if found is None or (found["ttft"] and found["unit"] == "x"):
        raise BadInput("objectives", name, "2x, 300s or ttft_5s, any number", "correct the name")
    if found["unit"] == "x":
        kind = ObjectiveKind.TIMES_UNLOADED
    else:
        kind = ObjectiveKind.FIRST_SECONDS if found["ttft"] else ObjectiveKind.SECONDS
    return Objective(name, kind, int(found["number"]))
