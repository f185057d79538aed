"""What the user of one request hopes for: by what it says itself, by its key, or by the node."""

from collections.abc import Mapping

from msgspec.structs import replace

from wwwserve.core.placing import Objective
from wwwserve.frontends.gateway.controls import OBJECTIVE_CONTROL, Controls
from wwwserve.frontends.gateway.errors import refuse_field
from wwwserve.ports.keys import KeyRules

DEFAULT = "default"
"""The objective of whoever chooses none."""


def find_objective(
    objectives: Mapping[str, Objective], rules: KeyRules, controls: Controls
) -> Objective | None:
    """What is hoped for; None = as soon as possible.

    A time in the request replaces that of its objective, whose other terms hold. A key whose
    objective is not there any more has the default one. Raises `Refused` (400) for a name in the
    request that is none.
    """
    if controls.objective and controls.objective not in objectives:
        known = ", ".join(objectives) or "nothing: this node has no objectives"
        raise refuse_field(OBJECTIVE_CONTROL, f"no such objective here; there is {known}", "none")
    default = objectives.get(DEFAULT)
    chosen = objectives.get(controls.objective or rules.objective, default)
    if not controls.objective_us:
        return chosen
    return replace(
        chosen or Objective(0),
        base_us=controls.objective_us,
        prompt_token_ns=0,
        completion_token_ns=0,
        is_first_token=False,
    )
