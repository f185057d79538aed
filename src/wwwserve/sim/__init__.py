"""Many production peers in a pretend world: virtual time, seeded faults, and checkers.

A run is a function of its scenario, strategy and seed: same seed, same digest over every effect.
`sim.streams` lists what a shell owes a peer, `docs/faults.md` what the world can do to it.
"""

from wwwserve.sim.central import Dispatcher
from wwwserve.sim.diaries import KeepLine
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
from wwwserve.sim.objectives import tell_first
from wwwserve.sim.plans import EnginePlan, LengthPlan, NetworkPlan, PolicyValue, Scenario
from wwwserve.sim.profiles import get_profile, seat_nodes, share_seats
from wwwserve.sim.reports import (
    Interval,
    SavedRequest,
    SavedRun,
    choose_best,
    compute_interval,
    create_csv,
    create_page,
    create_report_json,
    create_run_changes_table,
    create_saved_tables,
    create_table,
    describe_costs,
    parse_saved,
    parse_saved_requests,
)
from wwwserve.sim.runs import RunResult, Verdict, run_scenario
from wwwserve.sim.scenarios import (
    ORDINARY,
    SCENARIOS,
    apply_settings,
    list_keys,
    parse_scenario,
)
from wwwserve.sim.strategies import (
    STRATEGIES,
    BestStrategy,
    NetworkStrategy,
    create_trial,
    list_played,
)
from wwwserve.sim.traces import Ground, compute_load, fit_trace, parse_trace, prepare_ground
from wwwserve.sim.truth import Outcome, UserRequest
from wwwserve.sim.workload import Arrival, draw_requests, draw_typical

__all__ = [
    "ORDINARY",
    "SCENARIOS",
    "STRATEGIES",
    "AnyPeer",
    "Arrival",
    "BestStrategy",
    "Crash",
    "Crowd",
    "CrowdPlan",
    "Dispatcher",
    "EnginePlan",
    "Ground",
    "Host",
    "Idle",
    "Interval",
    "KeepLine",
    "LengthPlan",
    "Measures",
    "NetworkPlan",
    "NetworkStrategy",
    "Outcome",
    "PolicyValue",
    "RunResult",
    "SavedRequest",
    "SavedRun",
    "Scenario",
    "UserRequest",
    "Verdict",
    "apply_settings",
    "choose_best",
    "compute_interval",
    "compute_load",
    "create_csv",
    "create_fuzz_scenario",
    "create_page",
    "create_report_json",
    "create_run_changes_table",
    "create_saved_tables",
    "create_table",
    "create_trial",
    "describe_costs",
    "draw_requests",
    "draw_typical",
    "fit_trace",
    "get_profile",
    "list_keys",
    "list_played",
    "measure",
    "measure_crash",
    "measure_idle",
    "measure_newcomer",
    "measure_partition",
    "measure_spread",
    "parse_saved",
    "parse_saved_requests",
    "parse_scenario",
    "parse_trace",
    "pick_hosts",
    "prepare_ground",
    "run_fuzz",
    "run_scenario",
    "seat_nodes",
    "settle",
    "share_seats",
    "tell_first",
    "watch_doubts",
]
