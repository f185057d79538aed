"""One network at three sizes: what membership and asking cost a node must not grow with it.

Every tenth node has users, a fifth more than it can serve; the others have none. All start within
`_START_US`, each told of the first one; then news of each other is told to the end, and users come.
"""

from wwwserve.sim.plans import NodePlan, Scenario, WorkloadPlan
from wwwserve.values.moments import SECOND

_SIZES = {"scale-10": 10, "scale-100": 100, "scale-1k": 1_000}
_START_US = 40 * SECOND
_JOIN_US = 240 * SECOND
"""Of a thousand that start at once each record is old news after 230 s; all sizes have as long."""
_USERS_EVERY = 10


def _create(name: str, size: int) -> Scenario:
    nodes = {
        f"node-{number}": NodePlan(
            share=1 if number % _USERS_EVERY == 1 else 0,
            start_us=(number - 1) * _START_US // size,
        )
        for number in range(1, size + 1)
    }
    return Scenario(
        name=name,
        about=f"{size} nodes, a tenth of them with more users than they can serve",
        nodes=nodes,
        # A tenth of the nodes, each at 1.2 times what it can do.
        workload=WorkloadPlan(load_permille=120),
        join_us=_JOIN_US,
        duration_us=60 * SECOND,
    )


SCALE = tuple(_create(name, size) for name, size in _SIZES.items())
