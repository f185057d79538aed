"""Small networks in ordinary trouble: for the demo, the tests, and a first look."""

from wwwserve.sim.plans import (
    EnginePlan,
    Fault,
    LengthPlan,
    NetworkPlan,
    NodePlan,
    Piece,
    Scenario,
    WorkloadPlan,
)
from wwwserve.values.moments import MILLISECOND, SECOND

_FAST = EnginePlan(slots=8, prefill_tokens_per_s=8_000, decode_tokens_per_s=60)
_SLOW = EnginePlan(slots=2, prefill_tokens_per_s=1_500, decode_tokens_per_s=20)

_HELLO = Scenario(
    name="hello",
    about="4 equal nodes, all users on one of them",
    nodes={
        "node-1": NodePlan(share=1),
        "node-2": NodePlan(),
        "node-3": NodePlan(),
        "node-4": NodePlan(),
    },
)

_MIXED = Scenario(
    name="mixed",
    about="4 unequal nodes; most users live at the weak ones, and the crowd moves",
    nodes={
        "large": NodePlan(share=15, engine=_FAST),
        "medium": NodePlan(share=20),
        "small-1": NodePlan(share=30, engine=_SLOW),
        "small-2": NodePlan(share=35, engine=_SLOW),
    },
    workload=WorkloadPlan(
        load_permille=600,
        pieces=(
            Piece(until_us=60 * SECOND),
            Piece(until_us=120 * SECOND, rate_permille=1_300, shares=(5, 10, 70, 15)),
            Piece(until_us=180 * SECOND, rate_permille=700),
        ),
    ),
    duration_us=180 * SECOND,
)

_CHURN = Scenario(
    name="churn",
    about="nodes are killed, restarted, leave and join while requests come in",
    nodes={
        "node-1": NodePlan(share=4),
        "node-2": NodePlan(share=1),
        "node-3": NodePlan(),
        "node-4": NodePlan(),
        "node-5": NodePlan(),
        "late": NodePlan(start_us=60 * SECOND),
    },
    workload=WorkloadPlan(load_permille=450),
    faults=(
        Fault(at_us=20 * SECOND, kind="kill", node="node-4", for_us=15 * SECOND),
        Fault(at_us=30 * SECOND, kind="power-cut", node="node-5", for_us=25 * SECOND),
        Fault(at_us=45 * SECOND, kind="engine-down", node="node-2", for_us=10 * SECOND),
        Fault(at_us=70 * SECOND, kind="leave", node="node-3"),
        Fault(at_us=80 * SECOND, kind="break-links", node="node-1"),
        Fault(at_us=90 * SECOND, kind="kill", node="late", for_us=5 * SECOND),
        Fault(at_us=100 * SECOND, kind="drain", node="node-4"),
    ),
)

_PARTITION = Scenario(
    name="partition",
    about="the network clogs, splits in two, loses one direction, and heals",
    nodes={
        "node-1": NodePlan(share=3),
        "node-2": NodePlan(share=1),
        "node-3": NodePlan(share=1),
        "node-4": NodePlan(share=3),
    },
    network=NetworkPlan(latency_us=40 * MILLISECOND, loss_permille=10),
    faults=(
        Fault(at_us=20 * SECOND, kind="clog", node="node-2", for_us=4 * SECOND),
        Fault(at_us=40 * SECOND, kind="split", node="node-2", for_us=30 * SECOND),
        Fault(at_us=85 * SECOND, kind="one-way", node="node-3", for_us=20 * SECOND),
    ),
)

_HOSTILE = Scenario(
    name="hostile",
    about="half of the nodes lie, decline, flood or accept and never answer",
    nodes={
        "node-1": NodePlan(share=2),
        "node-2": NodePlan(share=1),
        "node-3": NodePlan(),
        "node-4": NodePlan(),
        "silent": NodePlan(person="silent"),
        "decliner": NodePlan(person="decliner"),
        "flooder": NodePlan(person="flooder"),
        "liar": NodePlan(person="liar", engine=_SLOW),
    },
    workload=WorkloadPlan(load_permille=250),
    drain_us=1_200 * SECOND,
)

_SHARED_MODEL = "Qwen/Qwen3-8B"


def _create_gpu(gpu: str, share: int = 0) -> NodePlan:
    return NodePlan(
        share=share,
        engine=EnginePlan(profile=f"{gpu}:Qwen3-8B"),
        models=(_SHARED_MODEL,),
    )


_OVERLOADED_ORIGIN = Scenario(
    name="overloaded-origin",
    is_objective_told=False,
    about="4 unlike GPUs with one model; all users at one of them, far beyond what it can do",
    nodes={
        "rtx-4090": _create_gpu("RTX-4090", share=1),
        "a100": _create_gpu("A100-80GB-SXM"),
        "l40s": _create_gpu("L40S"),
        "rtx-3090": _create_gpu("RTX-3090"),
    },
    workload=WorkloadPlan(
        load_permille=900,
        # Medians, means and tails as in a public trace of conversations (Azure, 2023).
        prompt_tokens=LengthPlan(low=20, median=1_016, p90=2_300, high=4_100),
        completion_tokens=LengthPlan(low=5, median=115, p90=400, high=900),
    ),
    duration_us=180 * SECOND,
)

ORDINARY = (_HELLO, _MIXED, _CHURN, _PARTITION, _HOSTILE, _OVERLOADED_ORIGIN)
