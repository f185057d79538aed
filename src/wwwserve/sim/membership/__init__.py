"""Crowds: membership alone, at hundreds of nodes, and what can be measured of it.

`crowd` is the world, `traffic` and `standing` are what is watched, `trials` are the questions.
"""

from wwwserve.sim.membership.crowd import Crowd, CrowdPlan
from wwwserve.sim.membership.traffic import Reading, Traffic, compute_kinds
from wwwserve.sim.membership.trials import (
    Crash,
    Doubts,
    Idle,
    measure_crash,
    measure_idle,
    measure_newcomer,
    measure_partition,
    measure_spread,
    pick_hosts,
    settle,
    watch_doubts,
)

__all__ = [
    "Crash",
    "Crowd",
    "CrowdPlan",
    "Doubts",
    "Idle",
    "Reading",
    "Traffic",
    "compute_kinds",
    "measure_crash",
    "measure_idle",
    "measure_newcomer",
    "measure_partition",
    "measure_spread",
    "pick_hosts",
    "settle",
    "watch_doubts",
]
