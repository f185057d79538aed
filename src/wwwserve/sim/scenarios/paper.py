"""The four settings of the paper: long answers, minutes of patience, and nodes that take turns.

Arrivals are Poisson in two halves of 375 s. In each, some nodes are busy (a request every 3 s each)
and the others are not (every 30 s). The paper names the busy ones for its first setting only; here
nodes 1 and 4 take turns in all of them, and in the last one 1 and 2 with 7 and 8. Prompts are
competition problems; the lengths of answers are not published and assumed to be log-normal (median
5 000 tokens, sigma 0.6, 16 000 at most). Every node runs every request with the model it has, as
there: they are made one model here by giving them one name.

`workload.requests_per_hour` and `workload.pieces` set other rates than the high one.
"""

from wwwserve.sim.plans import (
    EnginePlan,
    LengthPlan,
    NetworkPlan,
    NodePlan,
    Piece,
    Scenario,
    WorkloadPlan,
)
from wwwserve.sim.scenarios.traced import SHARED_BY_ALL
from wwwserve.values.moments import MILLISECOND, SECOND

_MODEL = ("paper/any-reasoner",)
_HALF_US = 375 * SECOND
_BUSY, _CALM = 10, 1
"""Requests in 30 seconds: one every 3 s, and one."""
_REQUESTS_PER_HOUR_EACH = 120
"""What one of those units is in an hour."""
_PROBLEMS = LengthPlan(low=30, median=90, p90=220, high=600)
# exp(ln 5000 + 0.6 z) at the normal quantiles z; 16 000 is reached at 97.4 %.
_REASONING = LengthPlan(
    low=780,
    median=5_000,
    p90=10_790,
    high=16_000,
    quantiles=(
        (10, 1_240),
        (25, 1_540),
        (50, 1_860),
        (100, 2_320),
        (200, 3_020),
        (300, 3_650),
        (400, 4_290),
        (500, 5_000),
        (600, 5_820),
        (700, 6_850),
        (800, 8_280),
        (900, 10_790),
        (950, 13_420),
        (974, 16_000),
    ),
)
_OBJECTIVES = (
    "300s",
    *(f"{seconds}s" for seconds in range(200, 401, 10) if seconds != 300),  # noqa: PLR2004
    "2x",
    "3x",
    "ttft_1s",
    "ttft_5s",
)
"""The paper's thresholds, its middle first; and what somebody who waits would ask for."""


def _create(number: int, about: str, engines: tuple[str, ...]) -> Scenario:
    turns = _take_turns(len(engines))
    return Scenario(
        name=f"paper-{number}",
        about=f"the paper's setting {number}: {about}",
        nodes={
            f"node-{index}": NodePlan(
                share=1,
                engine=EnginePlan(profile=profile),
                models=_MODEL,
                policy=SHARED_BY_ALL,
            )
            for index, profile in enumerate(engines, start=1)
        },
        network=NetworkPlan(latency_us=25 * MILLISECOND, latency_us_min=25 * MILLISECOND),
        workload=WorkloadPlan(
            requests_per_hour=_REQUESTS_PER_HOUR_EACH * sum(turns[0]),
            prompt_tokens=_PROBLEMS,
            completion_tokens=_REASONING,
            allowance="none",
            pieces=(
                Piece(until_us=_HALF_US, shares=turns[0]),
                Piece(until_us=2 * _HALF_US, shares=turns[1]),
            ),
        ),
        duration_us=2 * _HALF_US,
        drain_us=7_200 * SECOND,
        objectives=_OBJECTIVES,
    )


def _take_turns(nodes: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Who is busy in each half: a quarter of the nodes, from either end."""
    busy = nodes // 4
    first = (_BUSY,) * busy + (_CALM,) * (nodes - busy)
    return first, first[::-1]


_ADA, _L40S, _A100 = "RTX-6000-Ada", "L40S", "A100-80GB-SXM"
_4090, _3090 = "RTX-4090", "RTX-3090"
_LLAMA, _DEEPSEEK = "Llama-3-8B", "DeepSeek-R1-Distill-Qwen-7B"

PAPER = (
    _create(1, "4 x Qwen3-8B on Ada 6000", (f"{_ADA}:Qwen3-8B",) * 4),
    _create(
        2,
        "2 x Qwen3-8B on Ada 6000, 2 x Qwen3-4B on RTX 3090",
        (*(f"{_ADA}:Qwen3-8B",) * 2, *(f"{_3090}:Qwen3-4B",) * 2),
    ),
    _create(
        3,
        "Qwen3-32B on 4 x A100, Qwen3-8B on L40S, DeepSeek-7B on RTX 3090, Llama-8B on Ada 6000",
        (
            f"{_A100}:Qwen3-32B:tp4",
            f"{_L40S}:Qwen3-8B",
            f"{_3090}:{_DEEPSEEK}",
            f"{_ADA}:{_LLAMA}",
        ),
    ),
    _create(
        4,
        "8 nodes: Llama-8B, DeepSeek-7B and Qwen3-4B on L40S, Ada 6000, RTX 4090 and RTX 3090",
        (
            f"{_L40S}:{_LLAMA}",
            f"{_L40S}:{_DEEPSEEK}",
            f"{_ADA}:{_LLAMA}",
            f"{_ADA}:{_DEEPSEEK}",
            f"{_4090}:{_DEEPSEEK}",
            f"{_4090}:Qwen3-4B",
            f"{_3090}:{_DEEPSEEK}",
            f"{_3090}:Qwen3-4B",
        ),
    ),
)
