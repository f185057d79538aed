"""The paper's stake rule and the ledger it moves: stake as an advertisement of idleness.

In the prototype every second, and here: what a node has staked follows a score of its load,
whatever it has earned. The ledger is one object that all nodes see at once, as in all of the
paper's experiments.
"""

from wwwserve.sim.baselines.sites import TARGET_PERMILLE, EngineUse

INITIAL_CREDITS = 10_000
"""As in the prototype's configurations; nothing is staked at first."""
STAKE_STEP_MAX = 2
"""Credits staked or taken back at once."""
LOAD_SCORE_MAX = 4
"""An engine at a quarter of the target or below; one point less for each quarter more."""
QUEUE_SCORE = -2
"""While a request waits at the node."""


class StakeBoard:
    """Free and staked credits of all nodes."""

    def __init__(self, nodes: int) -> None:
        self._free = [INITIAL_CREDITS] * nodes
        self._staked = [0] * nodes

    def get_free(self, node: int) -> int:
        """What a node can spend."""
        return self._free[node]

    def get_staked(self, node: int) -> int:
        """A node's weight when executors are drawn."""
        return self._staked[node]

    def adjust(self, node: int, target: int) -> None:
        """Bring a node's stake nearer to its target by at most `STAKE_STEP_MAX`."""
        missing = target - self._staked[node]
        moved = max(-STAKE_STEP_MAX, min(missing, STAKE_STEP_MAX, self._free[node]))
        self._free[node] -= moved
        self._staked[node] += moved

    def pay(self, payer: int, payee: int) -> None:
        """One credit for an answer; who has none pays none."""
        if self._free[payer]:
            self._free[payer] -= 1
            self._free[payee] += 1


def compute_target_stake(use: EngineUse, *, has_queue: bool) -> int:
    """The credits a node wants staked: 0 to `LOAD_SCORE_MAX`."""
    if use.waiting:
        load_score = 0
    else:
        quarters = -(-use.usage_permille * LOAD_SCORE_MAX // TARGET_PERMILLE)
        load_score = max(0, LOAD_SCORE_MAX + 1 - max(1, quarters))
    return max(0, load_score + (QUEUE_SCORE if has_queue else 0))
