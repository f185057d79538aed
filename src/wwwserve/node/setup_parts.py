"""From an operator's choices to what `core.Peer` is born with. Pure: no file, no environment."""

from collections.abc import Mapping
from dataclasses import replace

from wwwserve.core.engines import EngineModel, EngineReading
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.core.sessions import ServedModel
from wwwserve.node.config import Config, EngineConfig, ModelConfig, PolicyConfig
from wwwserve.values.ids import NodeId, parse_node_id
from wwwserve.values.limits import RECORD_MODELS_MAX
from wwwserve.values.model_names import ModelId, fold_model_name, parse_model_id
from wwwserve.values.parameters import MAIN, Parameters
from wwwserve.values.refusals import BadInput
from wwwserve.wire import ModelOffer, parse_ticket

SLOTS_WHEN_UNKNOWN = 4
"""Requests run at once on an engine that does not say how many it can."""
UNKNOWN_ORGANISATION = "local"
"""Stands before the name of a model whose engine names no organisation."""
_PERMILLE = 1000


def make_parameters(config: Config) -> Parameters:
    """The network-wide numbers, under this network's name."""
    return replace(MAIN, network=config.network.name)


def make_policy(policy: PolicyConfig) -> PolicySettings:
    """The policy in whole thousandths and parsed names."""
    return PolicySettings(
        accept_permille=_permille(policy.accept_frequency),
        offload_permille=_permille(policy.offload_frequency),
        queue_permille=_permille(policy.queue_frequency),
        target_utilisation_permille=_permille(policy.target_utilisation),
        own_first=policy.own_first,
        concurrent_max=policy.concurrent_max,
        concurrent_per_peer_max=policy.concurrent_per_peer_max,
        prompt_tokens_max=policy.prompt_tokens_max,
        completion_tokens_max=policy.completion_tokens_max,
        body_bytes_max=policy.body_bytes_max,
        allow_nodes=_nodes(policy.allow_nodes),
        deny_nodes=_nodes(policy.deny_nodes),
        allow_models=_models(policy.allow_models),
        deny_models=_models(policy.deny_models),
        offload_nodes=_nodes(policy.offload_nodes),
    )


def make_groups(config: Config) -> Mapping[str, tuple[ModelId, ...]]:
    """Group names with the canonical ids they stand for."""
    return {name: _models(ids) for name, ids in config.groups.items()}


def make_bootstrap(config: Config) -> tuple[tuple[str, NodeId | None], ...]:
    """Whom to meet at the start: tickets first, since they say who must answer."""
    tickets = [parse_ticket(text) for text in config.network.tickets]
    known = [(address, NodeId(ticket.node)) for ticket in tickets for address in ticket.addresses]
    return (*known, *((address, None) for address in config.network.bootstrap))


def make_served_models(config: Config, reading: EngineReading) -> tuple[ServedModel, ...]:
    """What is served here: the configured models, or else whatever the engine says it has.

    Facts the operator left open (context, slots, capabilities) are filled in from the reading.
    """
    if config.models:
        return tuple(
            _serve(config.engine, model, _find_engine_model(model, reading), reading)
            for model in config.models
        )
    found: dict[str, ServedModel] = {}
    for engine_model in reading.models[:RECORD_MODELS_MAX]:
        model = ModelConfig(id=compute_model_id(engine_model.name))
        # Two tags of one model fold into one id; the first is the engine's own choice.
        found.setdefault(model.id, _serve(config.engine, model, engine_model, reading))
    return tuple(found.values())


def compute_model_id(engine_name: str) -> ModelId:
    """A canonical id for an engine's own name of a model; unnamed organisations are `local`."""
    try:
        return parse_model_id(engine_name)
    except BadInput:
        kept = (sign if sign.isascii() and sign.isalnum() else "-" for sign in _fold(engine_name))
        name = "".join(kept).strip("-")[:_NAME_LENGTH_MAX] or "model"
        return ModelId(f"{UNKNOWN_ORGANISATION}/{name}")


_NAME_LENGTH_MAX = 96
"""As in canonical ids."""


def _fold(engine_name: str) -> str:
    return fold_model_name(engine_name.replace("\\", "/"))


def _serve(
    engine: EngineConfig,
    model: ModelConfig,
    engine_model: EngineModel,
    reading: EngineReading,
) -> ServedModel:
    """Join what the operator said with what the engine says, the operator first."""
    offer = ModelOffer(
        model=model.id,
        aliases=_list_aliases(model, engine_model),
        context_tokens=(
            model.context_tokens or engine.context_tokens or engine_model.context_tokens or 0
        ),
        quantisation=model.quantisation,
        capabilities=model.capabilities or engine_model.capabilities or reading.capabilities,
    )
    return ServedModel(
        offer=offer,
        engine=engine.name,
        engine_model=engine_model.name,
        slots=model.slots or engine.slots or reading.slots or SLOTS_WHEN_UNKNOWN,
    )


def _list_aliases(model: ModelConfig, engine_model: EngineModel) -> tuple[str, ...]:
    own = engine_model.name
    is_useful = own not in ("", model.id) and "/" not in own and own not in model.aliases
    return (*model.aliases, own) if is_useful else model.aliases


def _find_engine_model(model: ModelConfig, reading: EngineReading) -> EngineModel:
    """Which of the engine's models is meant: the one named, the only one, or the one that folds."""
    by_name = {found.name: found for found in reading.models}
    if model.engine_model:
        return by_name.get(model.engine_model, EngineModel(model.engine_model))
    if len(reading.models) == 1:
        return reading.models[0]
    wanted = fold_model_name(model.id)
    like = [found for found in reading.models if fold_model_name(found.name) == wanted]
    return like[0] if like else EngineModel(model.id)


def _permille(share: float) -> int:
    return round(share * _PERMILLE)


def _nodes(texts: tuple[str, ...]) -> tuple[NodeId, ...]:
    return tuple(parse_node_id(text) for text in texts)


def _models(texts: tuple[str, ...]) -> tuple[ModelId, ...]:
    return tuple(parse_model_id(text) for text in texts)
