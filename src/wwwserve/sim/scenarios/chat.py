"""Conversations of many turns, most of them at the weakest of four unlike GPUs.

What an engine still holds of a conversation it need not read again. So whoever places the next turn
has to weigh what is held there against how busy it is.
"""

from wwwserve.sim.plans import (
    ConversationsPlan,
    EnginePlan,
    LengthPlan,
    NetworkPlan,
    NodePlan,
    Scenario,
    WorkloadPlan,
)
from wwwserve.sim.scenarios.traced import SHARED_BY_ALL
from wwwserve.values.moments import MILLISECOND, SECOND

_GPUS = {"A100-80GB-SXM": 10, "L40S": 15, "RTX-4090": 25, "RTX-3090": 50}
"""Each with its users' per cent of all conversations."""

CHAT = Scenario(
    name="chat",
    about="4 unlike GPUs, conversations with shared system prompts, most users at the weak ones",
    nodes={
        gpu.lower(): NodePlan(
            share=share,
            engine=EnginePlan(profile=f"{gpu}:Qwen3-8B"),
            models=("Qwen/Qwen3-8B",),
            policy=SHARED_BY_ALL,
        )
        for gpu, share in _GPUS.items()
    },
    network=NetworkPlan(latency_us=25 * MILLISECOND, latency_us_min=25 * MILLISECOND),
    workload=WorkloadPlan(
        load_permille=700,
        conversations=ConversationsPlan(),
        # As in a public trace of conversations (Azure, 2023).
        completion_tokens=LengthPlan(low=5, median=115, p90=400, high=900),
        allowance="none",
    ),
    duration_us=900 * SECOND,
    drain_us=3_600 * SECOND,
    reference="L40S:Qwen3-8B",
    objectives=("2x", "3x", "ttft_1s", "ttft_5s"),
)
