"""Networks of unlike GPUs with one model, under the arrivals of real services.

| name | nodes | where requests enter | trace |
|---|---|---|---|
| `s1` | 4 x RTX 4090 | 55 % at one node, another every 7.5 minutes | reasoning, morning |
| `s2` | A100, L40S, RTX 4090, RTX 3090 | everywhere alike | reasoning, morning |
| `s3` | the same | 55 % at one node, another every 7.5 minutes | reasoning, evening: a heavy tail |
| `s4` | the same | 10, 15, 25, 50 %: most at the weakest | conversations |

`s1x8` to `s4x8` have each node eight times; `wan` is `s2` over long lines.
Objectives are multiples of what an idle L40S takes.
"""

from msgspec.structs import replace

from wwwserve.sim.plans import (
    EnginePlan,
    NetworkPlan,
    NodePlan,
    Piece,
    PolicyValue,
    Scenario,
    WorkloadPlan,
)
from wwwserve.values.moments import MILLISECOND, SECOND

_MODEL = ("Qwen/Qwen3-8B",)
_HOUR_US = 3_600 * SECOND
_SPOT_US = 450 * SECOND
"""How long a hot spot stays at a node."""
_SPOT, _ELSEWHERE = 55, 15
"""Per cent of the requests at the hot spot, and at each of three other nodes."""
_AZURE_US = 2_300 * SECOND
"""That trace is no longer."""
_MANY_US = 900 * SECOND
"""Eight times the nodes have eight times the requests: a quarter of an hour of them tells as much.
"""
_TIMES = 8
"""How many times as many nodes `x8` has."""
_LINES = NetworkPlan(latency_us=25 * MILLISECOND, latency_us_min=25 * MILLISECOND)
_LONG_LINES = NetworkPlan(
    latency_us=125 * MILLISECOND, latency_us_min=5 * MILLISECOND, loss_permille=10
)
"""Round trips of 10 to 250 ms."""
SHARED_BY_ALL: dict[str, PolicyValue] = {"own_first": False}
"""Whose user a request is makes no difference to whoever runs it: so it is with the schedulers that
these networks are compared with."""
_EQUAL = ("RTX-4090",) * 4
_UNLIKE = ("A100-80GB-SXM", "L40S", "RTX-4090", "RTX-3090")


def _create_nodes(gpus: tuple[str, ...], shares: tuple[int, ...]) -> dict[str, NodePlan]:
    engines = [EnginePlan(profile=f"{gpu}:Qwen3-8B") for gpu in gpus]
    return {
        f"{gpu.lower()}-{number}": NodePlan(
            share=share, engine=engine, models=_MODEL, policy=SHARED_BY_ALL
        )
        for number, (gpu, engine, share) in enumerate(
            zip(gpus, engines, shares, strict=True), start=1
        )
    }


def _create_spots(nodes: int, duration_us: int) -> tuple[Piece, ...]:
    """A hot spot that goes round; with more than four nodes, every fourth node is one."""
    return tuple(
        Piece(
            until_us=(turn + 1) * _SPOT_US,
            shares=tuple(_SPOT if node % 4 == turn % 4 else _ELSEWHERE for node in range(nodes)),
        )
        for turn in range(-(-duration_us // _SPOT_US))
    )


def _create(
    name: str, about: str, trace: str, nodes: dict[str, NodePlan], pieces: tuple[Piece, ...] = ()
) -> Scenario:
    longest_us = _HOUR_US if len(nodes) <= 4 else _MANY_US  # noqa: PLR2004 - the original four
    return Scenario(
        name=name,
        about=about,
        nodes=nodes,
        network=_LINES,
        workload=WorkloadPlan(
            load_permille=700,
            trace=trace,
            is_client_at_home=False,
            allowance="none",
            pieces=pieces,
        ),
        duration_us=min(longest_us, _AZURE_US) if trace.startswith("azure") else longest_us,
        drain_us=24 * _HOUR_US,
        reference="L40S:Qwen3-8B",
    )


def _create_four(times: int) -> tuple[Scenario, ...]:
    suffix = f"x{times}" if times > 1 else ""
    more = f", each {times} times" if times > 1 else ""
    count = 4 * times
    alike, equal = (1,) * count, _EQUAL * times
    unlike = _UNLIKE * times
    spots = _create_spots(count, _HOUR_US)
    morning, evening = "servegen_r1_hour09", "servegen_r1_hour20to22"
    return (
        _create(
            f"s1{suffix}",
            f"4 equal GPUs{more}, reasoning, a hot spot that moves",
            morning,
            _create_nodes(equal, alike),
            spots,
        ),
        _create(
            f"s2{suffix}",
            f"4 unlike GPUs{more}, reasoning, equal demand",
            morning,
            _create_nodes(unlike, alike),
        ),
        _create(
            f"s3{suffix}",
            f"4 unlike GPUs{more}, a heavy tail, a hot spot that moves",
            evening,
            _create_nodes(unlike, alike),
            spots,
        ),
        _create(
            f"s4{suffix}",
            f"4 unlike GPUs{more}, conversations, most users at the weak ones",
            "azure2023_conv_first2of3",
            _create_nodes(unlike, (10, 15, 25, 50) * times),
        ),
    )


_FOUR = _create_four(1)
_WAN = replace(_FOUR[1], name="wan", about="s2 over lines of 10 to 250 ms that lose 1 %")
_WAN = replace(_WAN, network=_LONG_LINES)

TRACED = (*_FOUR, *_create_four(_TIMES), _WAN)
