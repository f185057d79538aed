"""What a plan's node serves and what it weighs, as a real node would make it of what it is told."""

from collections.abc import Sequence

from wwwserve.core.engines import EngineHealth, EngineReading, compute_first_slots
from wwwserve.core.sessions import ServedModel
from wwwserve.sim.engines import CAPABILITIES, ENGINE_NAME
from wwwserve.sim.plans import NodePlan, Scenario
from wwwserve.sim.profiles import compute_context_tokens, get_profile
from wwwserve.values.ids import NodeId
from wwwserve.values.model_names import parse_model_id
from wwwserve.wire import ModelOffer


def create_models(plan: NodePlan) -> tuple[ServedModel, ...]:
    """What a plan's node serves; the slots are shared out, so no model can starve another.

    Raises `BadInput` for a model whose name is not `org/name`.
    """
    profile = get_profile(plan.engine)
    is_slots_known = bool(plan.engine.slots) or not plan.engine.profile
    if is_slots_known:
        slots = profile.max_num_seqs
    else:
        told = EngineReading(EngineHealth.READY, kv_tokens=profile.kv_capacity_tokens)
        slots = compute_first_slots(told)
    return tuple(
        ServedModel(
            offer=ModelOffer(
                model=parse_model_id(model),
                context_tokens=compute_context_tokens(plan.engine, profile),
                capabilities=CAPABILITIES,
            ),
            engine=ENGINE_NAME,
            engine_model=model,
            slots=max(1, slots // len(plan.models)),
            is_slots_known=is_slots_known,
        )
        for model in plan.models
    )


def find_seats(scenario: Scenario, node_ids: Sequence[NodeId]) -> dict[NodeId, int] | None:
    """What candidates are drawn by, if a plan says it for anybody and no ledger does."""
    plans = scenario.nodes.values()
    seats = {node: plan.seats for node, plan in zip(node_ids, plans, strict=True)}
    return seats if any(seats.values()) and scenario.ledger is None else None
