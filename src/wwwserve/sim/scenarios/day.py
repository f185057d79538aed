"""A day of eight providers in four time zones, with policies of every kind.

Users follow the sun: in each zone the night is quiet and the evening is busy. Three kinds of nodes:
machines at home, shared while nobody uses them; machines of an office, with hours and a load curve;
servers that are always open, each within other caps. The world begins on Monday at 00:00 UTC and
lasts 24 hours.

Engines are plain ones with two slots, so that a day is played in minutes.
"""

from wwwserve.sim.plans import (
    EnginePlan,
    LengthPlan,
    NetworkPlan,
    NodePlan,
    OwnerUse,
    Piece,
    PolicyValue,
    Scenario,
    WorkloadPlan,
)
from wwwserve.sim.scenarios.policy import list_hours
from wwwserve.values.moments import MILLISECOND, SECOND

_HOUR_US = 3_600 * SECOND
_DAY_HOURS = 24
_WEEK_US = 7 * _DAY_HOURS * _HOUR_US
_ZONES = {"lisbon": 0, "delhi": 5, "tokyo": 9, "denver": -6}
"""Hours east of UTC, in whole hours."""
_BUSY = (2, 1, 1, 1, 1, 2, 3, 5, 7, 8, 9, 9, 8, 8, 9, 9, 8, 8, 9, 10, 10, 9, 6, 4)
"""How busy users are in each hour of their own day; 10 is the evening."""
_BUSY_MEAN = sum(_BUSY) / _DAY_HOURS
_ENGINE = EnginePlan(slots=2, prefill_tokens_per_s=2_000, decode_tokens_per_s=20)
_PERMILLE = 1_000


def _list_evenings(hours_east: int) -> tuple[OwnerUse, ...]:
    """When the owner of a home machine sits at it: 19:00 to 23:00 of their own day."""
    first = 19 - hours_east
    evenings = ((first + 24 * day, first + 4 + 24 * day) for day in (-1, 0, 1))
    return tuple(
        OwnerUse(from_us=max(0, begin) * _HOUR_US, until_us=end * _HOUR_US)
        for begin, end in evenings
        if end > 0 and begin < _DAY_HOURS
    )


_HOME: dict[str, PolicyValue] = {"idle_only": True, "idle_for_us": 60 * SECOND}
_OFFICE: dict[str, PolicyValue] = {
    "hours": list_hours(18, 8),
    "load_curve": ((500, 800), (800, 1_000), (1_000, 1_500)),
}
_DELHI_SERVER: dict[str, PolicyValue] = {
    "tokens_per_day_max": 1_000_000,
    "tokens_per_day_per_peer_max": 300_000,
    "completion_tokens_max": 2_000,
}
_TOKYO_SERVER: dict[str, PolicyValue] = {
    "own_first": False,
    "reserve_concurrency": 1,
    "accept_permille": 700,
    "deny_nodes": ("denver-server",),
}
_DENVER_SERVER: dict[str, PolicyValue] = {
    "own_first": False,
    "requests_per_minute_max": 2,
    "requests_per_minute_per_peer_max": 1,
    "concurrent_per_peer_max": 1,
    "prompt_tokens_max": 1_500,
    "offload_permille": 800,
    "offload_nodes": ("lisbon-office", "tokyo-office", "delhi-server"),
}


def _create_node(zone: str, share: int, policy: dict[str, PolicyValue]) -> NodePlan:
    return NodePlan(
        share=share,
        engine=_ENGINE,
        local_zero_us=_ZONES[zone] * _HOUR_US % _WEEK_US,
        owner_use=_list_evenings(_ZONES[zone]) if policy is _HOME else (),
        policy=policy,
        drift_ppm=100,
    )


_NODES = {
    "lisbon-home": _create_node("lisbon", 1, _HOME),
    "lisbon-office": _create_node("lisbon", 3, _OFFICE),
    "delhi-home": _create_node("delhi", 1, _HOME),
    "delhi-server": _create_node("delhi", 3, _DELHI_SERVER),
    "tokyo-office": _create_node("tokyo", 2, _OFFICE),
    "tokyo-server": _create_node("tokyo", 2, _TOKYO_SERVER),
    "denver-office": _create_node("denver", 2, _OFFICE),
    "denver-server": _create_node("denver", 2, _DENVER_SERVER),
}


def _create_hour(hour: int) -> Piece:
    """How much is asked in an hour, and how much of it at each node."""
    busy = {zone: _BUSY[(hour + east) % _DAY_HOURS] for zone, east in _ZONES.items()}
    return Piece(
        until_us=(hour + 1) * _HOUR_US,
        rate_permille=round(sum(busy.values()) / len(busy) / _BUSY_MEAN * _PERMILLE),
        shares=tuple(busy[name.split("-")[0]] * plan.share for name, plan in _NODES.items()),
    )


DAY = Scenario(
    name="day",
    about="24 hours of 8 providers in 4 time zones, with policies of every kind",
    nodes=_NODES,
    network=NetworkPlan(latency_us=80 * MILLISECOND, latency_us_min=5 * MILLISECOND),
    workload=WorkloadPlan(
        load_permille=350,
        prompt_tokens=LengthPlan(low=20, median=400, p90=1_200, high=3_000),
        completion_tokens=LengthPlan(low=50, median=500, p90=1_200, high=2_000),
        pieces=tuple(_create_hour(hour) for hour in range(_DAY_HOURS)),
    ),
    duration_us=_DAY_HOURS * _HOUR_US,
    drain_us=_HOUR_US,
)
