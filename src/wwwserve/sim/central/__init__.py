"""What a network is held against: one scheduler in front of the same engines, no nodes between.

Every scheduler sees each engine as it is at that instant, knows how fast it is, and nothing takes
time but the engines. What it may know of a request is what a node knows: its prompt within a tenth,
whose it is, what its user allows, and what earlier answers told of their lengths; only
`central-oracle` and `pool` are told how long the answer will be.

`trial` plays a scenario, `schedulers` decide, `lengths` say how long an answer may be, and `pace`
how fast an engine is. When an engine would be done with one more request is foreseen as by the
peers (`core.routing.Forecast`), only with the true pace.
"""

from wwwserve.sim.central.pool import Dispatcher, PoolScheduler
from wwwserve.sim.central.schedulers import RULES, CentralScheduler
from wwwserve.sim.central.trial import Central

__all__ = [
    "RULES",
    "Central",
    "CentralScheduler",
    "Dispatcher",
    "PoolScheduler",
]
