"""The models that can be asked for here, as `/v1/models` lists them."""

from collections.abc import Callable, Iterator

from wwwserve.core.snapshot import ModelView, Snapshot
from wwwserve.frontends.gateway.errors import (
    RETRY_AFTER_US,
    SERVER,
    Refused,
    format_seconds,
)
from wwwserve.ports.keys import KeyRules
from wwwserve.ports.peer_handle import FoundModels, PeerHandle
from wwwserve.values.model_names import AUTO, ModelId, fold_model_name

Json = dict[str, object]


def find_allowed_models(handle: PeerHandle, rules: KeyRules, name: str) -> tuple[ModelId, ...]:
    """What a name stands for, as far as the key allows it.

    Raises `Refused`: 404 for a name nobody serves, 503 while nobody serves anything, 403 for a name
    this key may not ask for.
    """
    found = handle.find_models(name)
    if not found.models:
        raise _refuse_unknown(name, found)
    is_allowed = make_model_filter(rules)
    allowed = found.models if is_allowed(name) else tuple(filter(is_allowed, found.models))
    if not allowed:
        message = f"the key {rules.name!r} may not use {name!r}. Try: GET /v1/models"
        raise Refused(403, message, "model_not_allowed", param="model")
    return allowed


def is_open_choice(name: str, models: tuple[ModelId, ...]) -> bool:
    """Whether a name leaves it open which model answers."""
    return name == AUTO or len(models) > 1


def make_model_filter(rules: KeyRules) -> Callable[[str], bool]:
    """Whether a key may use a model, by any spelling of its name."""
    folded = frozenset(fold_model_name(name) for name in rules.models)
    return lambda name: not folded or fold_model_name(name) in folded


def list_models(snapshot: Snapshot, rules: KeyRules) -> Json:
    """The list as OpenAI shapes it: every canonical id, then every alias that is not one."""
    is_allowed = make_model_filter(rules)
    views = [view for view in snapshot.models if _is_any_allowed(view, is_allowed)]
    entries = {view.model: describe_model(view, view.model) for view in views}
    for view in views:
        for alias in view.aliases:
            entries.setdefault(alias, describe_model(view, alias))
    return {"object": "list", "data": list(entries.values())}


def describe_model(view: ModelView, name: str) -> Json:
    """One entry of the list, under one of the model's names.

    `max_model_len` is where vLLM's clients look for the context length.
    """
    context = view.context_tokens or None
    return {
        "id": name,
        "object": "model",
        "created": 0,
        "owned_by": view.model.partition("/")[0],
        "root": view.model,
        "parent": None,
        "context_length": context,
        "max_model_len": context,
        "capabilities": view.capabilities,
        "quantisations": view.quantisations,
        "nodes": view.nodes,
        "is_local": view.is_local,
    }


def find_model(handle: PeerHandle, rules: KeyRules, name: str) -> Json:
    """The entry of one model by any of its names; raises `Refused` as `find_allowed_models`."""
    models = find_allowed_models(handle, rules, name)
    views = {view.model: view for view in handle.get_snapshot().models}
    for model in models:
        if model in views:
            return describe_model(views[model], name)
    raise _refuse_unknown(name, FoundModels((), ("GET /v1/models",)))


def _is_any_allowed(view: ModelView, is_allowed: Callable[[str], bool]) -> bool:
    return any(is_allowed(name) for name in _list_names(view))


def _list_names(view: ModelView) -> Iterator[str]:
    yield view.model
    yield from view.aliases


def _refuse_unknown(name: str, found: FoundModels) -> Refused:
    if not [suggestion for suggestion in found.suggestions if suggestion != AUTO]:
        # Nobody serves anything (yet): another name would not help, and a moment may.
        message = "no model is ready, here or on any node in reach. Try: `wwwserve status`"
        headers = {"retry-after": format_seconds(RETRY_AFTER_US)}
        return Refused(503, message, "no_model_ready", type=SERVER, headers=headers)
    fix = " or ".join(found.suggestions)
    message = f"the model {name!r} is not served here or by any node in reach. Try: {fix}"
    return Refused(404, message, "model_not_found", param="model")
