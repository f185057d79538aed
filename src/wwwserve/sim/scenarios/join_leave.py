"""A network under load whose nodes come and go: cleanly, killed, and cut off.

Three nodes have users, more than they can serve; the others have none of their own. Every two
minutes something happens:

| at | what happens |
|---|---|
| 2 min | `new` starts for the first time, told of one node |
| 4 min | `leaver` leaves in order |
| 6 min | `killed` is killed, and starts again after a minute |
| 8 min | `cut` is cut off from everybody, for a minute |

All have the same engine, so what the network can do changes with their number alone. Half of the
requests are streamed: an answer of which its user has seen a part cannot begin anew elsewhere.
"""

from wwwserve.sim.plans import EnginePlan, Fault, LengthPlan, NodePlan, Scenario, WorkloadPlan
from wwwserve.values.moments import SECOND

_MODEL = ("Qwen/Qwen3-8B",)
_ENGINE = EnginePlan(profile="RTX-4090:Qwen3-8B")
_MINUTE = 60 * SECOND
_GRACE_US = 30 * SECOND
"""As long as a real node lets what runs come to its end."""


def _create_node(share: int = 0, start_us: int = 0) -> NodePlan:
    return NodePlan(share=share, engine=_ENGINE, models=_MODEL, start_us=start_us)


JOIN_LEAVE = Scenario(
    name="join-leave",
    about="a node joins, one leaves, one is killed and comes back, one is cut off, under load",
    nodes={
        **{f"front-{number}": _create_node(share=1) for number in (1, 2, 3)},
        "leaver": _create_node(),
        "killed": _create_node(),
        "cut": _create_node(),
        "new": _create_node(start_us=2 * _MINUTE),
    },
    workload=WorkloadPlan(
        load_permille=650,
        plain_permille=500,
        prompt_tokens=LengthPlan(low=100, median=300, p90=800, high=1_500),
        # Answers of like lengths: what changes is the network, not who asks.
        completion_tokens=LengthPlan(low=100, median=250, p90=500, high=750),
    ),
    faults=(
        Fault(at_us=4 * _MINUTE, kind="leave", node="leaver", for_us=_GRACE_US),
        Fault(at_us=6 * _MINUTE, kind="kill", node="killed", for_us=_MINUTE),
        Fault(at_us=8 * _MINUTE, kind="isolate", node="cut", for_us=_MINUTE),
    ),
    duration_us=10 * _MINUTE,
)
