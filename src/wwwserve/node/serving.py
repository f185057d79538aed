"""Which models each engine of a node serves: what its operator says, completed by what it says.

Pure: from a configuration and a reading of an engine to the models the peer is told of, and to the
one sentence for the operator when the two contradict each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from wwwserve.core.engines import EngineModel, EngineReading, compute_first_slots
from wwwserve.core.sessions import ServedModel
from wwwserve.node.config import Config, EngineConfig, ModelConfig
from wwwserve.values.limits import RECORD_MODELS_MAX
from wwwserve.values.model_names import ModelId, fold_model_name, parse_model_id
from wwwserve.values.refusals import BadInput
from wwwserve.wire import ModelOffer

UNKNOWN_ORGANISATION = "local"
"""Stands before the name of a model whose engine names no organisation."""
NAMES_SHOWN_MAX = 8
"""Models of an engine listed in a message; an operator looks for a misspelled one among them."""
_NAME_LENGTH_MAX = 96
"""As in canonical ids."""
_LATEST = ":latest"
"""The tag Ollama means where none is given."""


@dataclass(frozen=True, slots=True)
class Service:
    """What one engine serves."""

    models: tuple[ServedModel, ...]
    detail: str = ""
    """What its operator should mend; empty = nothing."""
    absent: tuple[ModelId, ...] = ()
    """Models for any engine that this one does not have: somebody else should."""


def describe_service(config: Config, engine: EngineConfig, reading: EngineReading) -> Service:
    """What an engine serves: the configured models it has, or else whatever it says it has.

    Facts the operator left open (context, slots, capabilities) are filled in from the reading. A
    model that the engine says it does not have is not served: requests for it would be refused,
    where another node could have answered them.
    """
    configured = _list_configured(config, engine)
    if not configured:
        return Service(_serve_all(engine, reading))
    is_only = len(config.engines) == 1
    served: list[ServedModel] = []
    missing: list[ModelConfig] = []
    absent: list[ModelId] = []
    for model in configured:
        is_meant = is_only or bool(model.engine)
        found = _find_engine_model(model, reading, is_meant=is_meant)
        if found is not None:
            served.append(_serve(engine, model, found, reading))
        elif is_meant:
            missing.append(model)
        else:
            absent.append(ModelId(model.id))
    detail = ""
    if missing or not served:
        detail = _explain_missing(missing or configured, reading)
    return Service(tuple(served), detail, tuple(absent))


def explain_absent(services: Sequence[Service]) -> str:
    """What to say when models for any engine are on none of these, all there are."""
    absent = [
        model
        for model in services[0].absent
        if all(model in service.absent for service in services)
    ]
    if not absent:
        return ""
    wanted = ", ".join(absent[:NAMES_SHOWN_MAX])
    return f"no engine has a model like {wanted}: set engine and engine_model under [[models]]"


def _list_configured(config: Config, engine: EngineConfig) -> list[ModelConfig]:
    """The models that are, or may be, on an engine; its own word goes before that for all."""
    here = [model for model in config.models if model.engine in ("", engine.name)]
    named = {model.id for model in here if model.engine}
    return [model for model in here if model.engine or model.id not in named]


def compute_model_id(engine_name: str) -> ModelId:
    """A canonical id for an engine's own name of a model; unnamed organisations are `local`."""
    try:
        return parse_model_id(engine_name)
    except BadInput:
        folded = fold_model_name(engine_name.replace("\\", "/"))
        kept = (sign if sign.isascii() and sign.isalnum() else "-" for sign in folded)
        name = "".join(kept).strip("-")[:_NAME_LENGTH_MAX] or "model"
        return ModelId(f"{UNKNOWN_ORGANISATION}/{name}")


def _serve_all(engine: EngineConfig, reading: EngineReading) -> tuple[ServedModel, ...]:
    found: dict[str, ServedModel] = {}
    offered = [model for model in reading.models if not model.is_on_demand]
    for engine_model in offered[:RECORD_MODELS_MAX]:
        model = ModelConfig(id=compute_model_id(engine_model.name))
        # Two tags of one model fold into one id; the first is the engine's own choice.
        found.setdefault(model.id, _serve(engine, model, engine_model, reading))
    return tuple(found.values())


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
    slots = model.slots or engine.slots or reading.slots
    return ServedModel(
        offer=offer,
        engine=engine.name,
        engine_model=engine_model.name,
        slots=slots or compute_first_slots(reading),
        is_slots_known=bool(slots),
        weight=engine.weight,
    )


def _list_aliases(model: ModelConfig, engine_model: EngineModel) -> tuple[str, ...]:
    own = engine_model.name
    is_useful = own not in ("", model.id) and "/" not in own and own not in model.aliases
    return (*model.aliases, own) if is_useful else model.aliases


def _find_engine_model(
    model: ModelConfig, reading: EngineReading, *, is_meant: bool
) -> EngineModel | None:
    """Which of the engine's models is meant: the one named, the one that folds, or the only one.

    An engine that lists no models is believed to have what its operator says. `is_meant`: the
    model is to be on this engine, not on any that has it.
    """
    if not reading.models:
        return EngineModel(model.engine_model or model.id) if is_meant else None
    if model.engine_model:
        names = {model.engine_model, f"{model.engine_model}{_LATEST}"}
        return next((found for found in reading.models if found.name in names), None)
    fold = fold_model_name(model.id)
    alike = [found for found in reading.models if fold_model_name(found.name) == fold]
    exact = [found for found in alike if found.name == model.id]
    own = [found for found in reading.models if not found.is_on_demand]
    only = own if is_meant and len(own) == 1 else []
    return next(iter(exact or alike or only), None)


def _explain_missing(missing: list[ModelConfig], reading: EngineReading) -> str:
    wanted = ", ".join(model.engine_model or model.id for model in missing[:NAMES_SHOWN_MAX])
    has = ", ".join(model.name for model in reading.models[:NAMES_SHOWN_MAX])
    more = ", ..." if len(reading.models) > NAMES_SHOWN_MAX else ""
    return (
        f"it has no model {wanted}, which is not offered: it has {has or 'none'}{more}; "
        "correct engine_model under [[models]]"
    )
