"""Many production peers in a pretend world: virtual time, seeded faults, and checkers.

A run is a function of its scenario, strategy and seed: same seed, same digest over every effect.
`sim.streams` lists what a shell owes a peer, `docs/faults.md` what the world can do to it.
"""

from wwwserve.sim.central import Dispatcher
from wwwserve.sim.fuzz import create_fuzz_scenario, run_fuzz
from wwwserve.sim.hosts import AnyPeer, Host
from wwwserve.sim.measures import Measures, measure
from wwwserve.sim.membership import (
    Crash,
    Crowd,
    CrowdPlan,
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
from wwwserve.sim.plans import EnginePlan, LengthPlan, NetworkPlan, Scenario
from wwwserve.sim.profiles import get_profile
from wwwserve.sim.report import create_csv, create_report_json, create_table
from wwwserve.sim.runs import STRATEGIES, RunResult, Verdict, run_scenario
from wwwserve.sim.scenarios import SCENARIOS, apply_settings, list_keys, parse_scenario
from wwwserve.sim.traces import Supply, compute_load, fit_trace, parse_trace, prepare_trace
from wwwserve.sim.truth import Outcome, UserRequest
from wwwserve.sim.workload import Arrival, draw_requests, draw_typical

__all__ = [
    "SCENARIOS",
    "STRATEGIES",
    "AnyPeer",
    "Arrival",
    "Crash",
    "Crowd",
    "CrowdPlan",
    "Dispatcher",
    "EnginePlan",
    "Host",
    "Idle",
    "LengthPlan",
    "Measures",
    "NetworkPlan",
    "Outcome",
    "RunResult",
    "Scenario",
    "Supply",
    "UserRequest",
    "Verdict",
    "apply_settings",
    "compute_load",
    "create_csv",
    "create_fuzz_scenario",
    "create_report_json",
    "create_table",
    "draw_requests",
    "draw_typical",
    "fit_trace",
    "get_profile",
    "list_keys",
    "measure",
    "measure_crash",
    "measure_idle",
    "measure_newcomer",
    "measure_partition",
    "measure_spread",
    "parse_scenario",
    "parse_trace",
    "pick_hosts",
    "prepare_trace",
    "run_fuzz",
    "run_scenario",
    "settle",
    "watch_doubts",
]
