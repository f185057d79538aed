"""What a provider's settings do to a network: the paper's policy figures, and more of them.

Engines are plain ones with a few slots, so that what is seen is the policy and not a GPU. An asker
has no engine to speak of: all its users' requests go to the network. The world begins on Monday at
00:00 UTC.

| name | differs from node to node | is to respond |
|---|---|---|
| `policy-stake` | seats, 1 to 10 | work done for the asker |
| `policy-accept` | `accept_frequency`, 1/4 to 1 | work done for the asker |
| `policy-offload` | `offload_frequency`, 0 to 1 | own users' requests that leave |
| `policy-hours` | hours, in three time zones | work done for the asker, none while closed |
| `policy-own-first` | `own_first` | what own users wait |
| `policy-income` | `income_share`, in a network that pays | seats, and work for the asker |
"""

from msgspec.structs import replace

from wwwserve.sim.plans import (
    EnginePlan,
    LedgerPlan,
    LengthPlan,
    NetworkPlan,
    NodePlan,
    PolicyValue,
    Scenario,
    WorkloadPlan,
)
from wwwserve.values.moments import MILLISECOND, SECOND

_HOUR_US = 3_600 * SECOND
_WEEK_US = 7 * 24 * _HOUR_US
_HOUR_MINUTES = 60
_DAY_MINUTES = 24 * _HOUR_MINUTES
_LINES = NetworkPlan(latency_us=25 * MILLISECOND, latency_us_min=25 * MILLISECOND)
_PERMILLE = 1_000
_QUARTERS = (250, 500, 750, 1_000)
_CHATS = LengthPlan(low=20, median=300, p90=1_000, high=2_000)
_ANSWERS = LengthPlan(low=20, median=300, p90=700, high=1_200)
_ALIKE = LengthPlan(low=100, median=100, p90=100, high=100)
"""Requests of one size, so that all nodes learn the same of themselves and seats decide."""
_TINY = EnginePlan(slots=1, prefill_tokens_per_s=100, decode_tokens_per_s=1)
"""Of an asker: it counts for nothing in the pooled throughput."""
_GPU = EnginePlan(profile="RTX-4090:Qwen3-8B")
_ASKER = NodePlan(share=1, engine=_TINY, policy={"accept_permille": 0}, seats=1)


def _create(
    name: str, about: str, nodes: dict[str, NodePlan], workload: WorkloadPlan, duration_us: int
) -> Scenario:
    return Scenario(
        name=name,
        about=about,
        nodes=nodes,
        network=_LINES,
        workload=workload,
        duration_us=duration_us,
        drain_us=_HOUR_US,
    )


def _ask_the_network(load_permille: int) -> WorkloadPlan:
    """Every request goes to the network."""
    return WorkloadPlan(
        load_permille=load_permille,
        prompt_tokens=_CHATS,
        completion_tokens=_ANSWERS,
        network_permille=_PERMILLE,
    )


# Loaded well: of few requests chance would tell as much as seats.
_STAKE = _create(
    "policy-stake",
    "10 equal nodes with 1 to 10 seats, all users at one that has no engine to speak of",
    {
        "asker": _ASKER,
        **{f"seats-{seats:02}": NodePlan(seats=seats) for seats in range(1, 11)},
    },
    replace(_ask_the_network(400), prompt_tokens=_ALIKE, completion_tokens=_ALIKE),
    900 * SECOND,
)

_ACCEPT = _create(
    "policy-accept",
    "4 equal nodes that accept a quarter, a half, three quarters and all of what is offered",
    {
        "asker": _ASKER,
        **{
            f"accepts-{share}": NodePlan(seats=1, policy={"accept_permille": share})
            for share in _QUARTERS
        },
    },
    _ask_the_network(500),
    1_800 * SECOND,
)


_OFFLOAD = _create(
    "policy-offload",
    "5 loaded nodes that send away none to all of what they cannot do at once, and 3 without users",
    {
        **{
            f"offloads-{share}": NodePlan(share=1, policy={"offload_permille": share})
            for share in (0, *_QUARTERS)
        },
        **{f"idle-{number}": NodePlan() for number in range(1, 4)},
    },
    WorkloadPlan(load_permille=550, prompt_tokens=_CHATS, completion_tokens=_ANSWERS),
    1_800 * SECOND,
)


def list_hours(start_hour: int, end_hour: int) -> PolicyValue:
    """Hours of every day, in minutes of the week; an end below the start is on the next day."""
    span = (end_hour - start_hour) % 24 * _HOUR_MINUTES
    starts = (day * _DAY_MINUTES + start_hour * _HOUR_MINUTES for day in range(7))
    return tuple((start, start + span) for start in starts)


def _open_in_zone(zone_hours: int, hours: PolicyValue) -> NodePlan:
    """A node so many hours east of UTC, whose clock is not quite right."""
    return NodePlan(
        seats=1,
        policy={"hours": hours},
        local_zero_us=zone_hours * _HOUR_US % _WEEK_US,
        drift_ppm=200,
    )


_HOURS = _create(
    "policy-hours",
    "3 nodes in three time zones, each open for another of three hours, beside one that always is",
    {
        "asker": _ASKER,
        "always": NodePlan(seats=1),
        "zone-0-from-0-to-1": _open_in_zone(0, list_hours(0, 1)),
        "zone-2-from-3-to-4": _open_in_zone(2, list_hours(3, 4)),
        "zone-minus-5-from-21-to-0": _open_in_zone(-5, list_hours(21, 0)),
        "never-told": NodePlan(seats=1, policy={"hours": list_hours(0, 23)}),
    },
    _ask_the_network(100),
    3 * _HOUR_US,
)

_OWN_FIRST = replace(
    _create(
        "policy-own-first",
        "an owner whose users ask for two fifths of the engine, beside one with far too many users",
        {
            "owner": NodePlan(share=2, engine=_GPU, policy={"offload_permille": 0}),
            "crowded": NodePlan(share=7, engine=_GPU),
        },
        WorkloadPlan(load_permille=900, prompt_tokens=_CHATS, completion_tokens=_ANSWERS),
        300 * SECOND,
    ),
    is_objective_told=False,
)
"""Nobody states an objective: who hopes for a whole answer in time is made to wait for a better
moment even at the own engine, and that wait would hide the few milliseconds in question."""

_INCOME = replace(
    _create(
        "policy-income",
        "4 equal nodes that are paid and begin with 2 seats, one of which stakes what it earns",
        {
            "asker": NodePlan(share=1, engine=_TINY, policy={"accept_permille": 0}),
            "stakes-all": NodePlan(policy={"stake_income_permille": _PERMILLE, "stake_reserve": 0}),
            **{f"stakes-nothing-{number}": NodePlan() for number in range(1, 4)},
        },
        replace(_ask_the_network(250), prompt_tokens=_ALIKE, completion_tokens=_ALIKE),
        3_600 * SECOND,
    ),
    ledger=LedgerPlan(credits_each=20_000),
)

POLICY = (_STAKE, _ACCEPT, _OFFLOAD, _HOURS, _OWN_FIRST, _INCOME)
