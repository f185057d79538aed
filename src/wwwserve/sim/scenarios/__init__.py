"""What there is to run: the built-in scenarios by name, and how one is read and changed."""

from wwwserve.sim.scenarios.chat import CHAT
from wwwserve.sim.scenarios.day import DAY
from wwwserve.sim.scenarios.join_leave import JOIN_LEAVE
from wwwserve.sim.scenarios.ordinary import ORDINARY
from wwwserve.sim.scenarios.paper import PAPER
from wwwserve.sim.scenarios.policy import POLICY
from wwwserve.sim.scenarios.scale import SCALE
from wwwserve.sim.scenarios.settings import apply_settings, list_keys, parse_scenario
from wwwserve.sim.scenarios.traced import TRACED

_ALL = (
    *ORDINARY,
    *PAPER,
    *TRACED,
    *SCALE,
    JOIN_LEAVE,
    CHAT,
    *POLICY,
    DAY,
)
SCENARIOS = {scenario.name: scenario for scenario in _ALL}
"""Everything `wwwserve sim list` shows."""

__all__ = ["ORDINARY", "SCENARIOS", "apply_settings", "list_keys", "parse_scenario"]
