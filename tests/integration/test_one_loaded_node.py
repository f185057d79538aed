"""All users at one node of four: the network does what a pool of its engines would, as simulated.

Four `wwwserve up` in front of four emulated GPUs get the requests of the scenario
`overloaded-origin`, all at one of them, which alone could answer a quarter. The same client then
sends them straight to the engines as an ideal dispatcher would. The simulator plays them as well.

The times are those of the GPUs, so they do not depend on this machine as long as it keeps up. If it
did not (the client, an engine or a node was late), only that nobody was refused or let down is
known: the rest is tried once more with slower GPUs, and then the test says that it could not tell.
`wwwserve bench network` prints the same numbers, at three loads.
"""

import sys

import pytest

from wwwserve.bench.emulated_network import LATE_S_MAX
from wwwserve.bench.network import Played, create_scenario, list_shares, play

LOAD_PERMILLE = 700
"""Of the pool: nearly three times what the one node could do. Nearer to the pool's limit, who
happens to be tried first moves the attainment by several points, in the simulator as well:
docs/benchmarks.md has loads 0.9 and 1.1 too."""
SEED = 1
SPEEDUPS = (3, 2)
"""How much faster than the real GPUs, first and if this machine was too busy for that."""
POOL_SHARE_MIN = 0.95
DIFFERENCE_MAX = 0.03
"""Between processes and simulator, in any share: three points."""


@pytest.mark.alone
@pytest.mark.slow
async def test_one_loaded_node_of_four_does_what_a_pool_would() -> None:
    played = await play_in_time()
    processes, simulated = (
        list_shares(found) for found in (played.network, played.simulated_network)
    )
    ratio = played.network.completed_in_time / played.pool.completed_in_time
    sys.stdout.write(f"{ratio:.1%} of the pool; {processes}, simulated {simulated}\n")
    assert ratio >= POOL_SHARE_MIN
    for name, share in processes.items():
        assert abs(share - simulated[name]) <= DIFFERENCE_MAX, name


async def play_in_time() -> Played:
    """A run during which nobody waited for the machine."""
    late_s = []
    for speedup in SPEEDUPS:
        played = await play(create_scenario(LOAD_PERMILLE, speedup), SEED)
        assert played.network.failed == played.network.refused == 0
        if played.late_s <= LATE_S_MAX:
            return played
        late_s.append(f"{played.late_s:.2f}")
    reason = f"client, engines or nodes were {' and '.join(late_s)} s late"
    pytest.skip(f"this machine was too busy to tell: {reason}, at most {LATE_S_MAX} are allowed")
