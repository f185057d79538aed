"""LM Studio: it tells which models are loaded, how, and what they can do; nothing of its load.

`/api/v1/models` has all of it; versions before 0.4 have `/api/v0/models` with less. `/v1/models`
lists what may be asked for: the loaded models, and with just-in-time loading all others as well. A
path it does not know is answered with 200 and an error, so only a page's shape can be believed.
Sources: lmstudio.ai/docs/developer/rest, of both versions.
"""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import replace

from wwwserve.adapters.engines.openai_state import find_fault, read_models
from wwwserve.adapters.engines.pages import Pages, get_count, get_field, get_items, get_text
from wwwserve.core.engines import EngineHealth, EngineModel, EngineReading

_NO_MODEL = "LM Studio has no model loaded: load one, or switch on just-in-time loading"
_KINDS = ("llm", "vlm")
_TEXT = ("chat", "completions")
_EMBEDDINGS = ("embeddings",)


async def is_lm_studio(pages: Pages) -> bool:
    """Whether it lists its models as only LM Studio does."""
    items = get_items((await pages.get("/api/v1/models")).get_json(), "models")
    if any(isinstance(get_field(item, "loaded_instances"), list) for item in items):
        return True
    older = get_items((await pages.get("/api/v0/models")).get_json(), "data")
    return any(get_text(item, "state") and get_text(item, "compatibility_type") for item in older)


async def read_lm_studio_state(pages: Pages) -> EngineReading:
    """Health and models, with the context of loaded ones and the abilities of all."""
    models, own, older = await asyncio.gather(
        *(pages.get(path) for path in ("/v1/models", "/api/v1/models", "/api/v0/models"))
    )
    if fault := find_fault(models, pages.root):
        return fault
    items = get_items(own.get_json(), "models")
    known = {model.name: model for model in _read_older(older.get_json())}
    known |= {model.name: model for item in items for model in _read_own(item)}
    found = [_complete(model, known) for model in read_models(models.get_json())]
    return EngineReading(
        EngineHealth.READY,
        detail="" if found else _NO_MODEL,
        models=tuple(found),
        slots=_get_slots(items),
        software="LM Studio",
    )


def _complete(model: EngineModel, known: Mapping[str, EngineModel]) -> EngineModel:
    more = known.get(model.name, model)
    return replace(more, context_tokens=more.context_tokens or model.context_tokens)


def _read_own(item: object) -> Iterator[EngineModel]:
    """A model under its own name and under those of its loaded copies."""
    abilities = _get_abilities(item)
    copies = {
        get_text(copy, "id"): get_count(copy, "config", "context_length") or None
        for copy in get_items(item, "loaded_instances")
    }
    shortest = min((tokens for tokens in copies.values() if tokens), default=None)
    for name, tokens in ({get_text(item, "key"): shortest} | copies).items():
        yield EngineModel(name, tokens, abilities)


def _get_abilities(item: object) -> tuple[str, ...]:
    match get_text(item, "type"), get_field(item, "capabilities"):
        case "embedding", _:
            return _EMBEDDINGS
        case "llm", {"vision": bool(sees), "trained_for_tool_use": bool(calls)}:
            return _TEXT + ("tools",) * calls + ("vision",) * sees
        case _:
            return ()


def _get_slots(items: list[object]) -> int | None:
    """The fewest of any loaded copy, in versions that run several requests at once and say so."""
    told = [
        parallel
        for item in items
        for copy in get_items(item, "loaded_instances")
        if (parallel := get_count(copy, "config", "parallel"))
    ]
    return min(told, default=None)


def _read_older(page: object) -> Iterator[EngineModel]:
    for item in get_items(page, "data"):
        tokens = get_count(item, "loaded_context_length") or None
        yield EngineModel(get_text(item, "id"), tokens, _get_older_abilities(item))


def _get_older_abilities(item: object) -> tuple[str, ...]:
    kind, told = get_text(item, "type"), get_field(item, "capabilities")
    if kind == "embeddings":
        return _EMBEDDINGS
    if kind not in _KINDS or not isinstance(told, list):
        return ()
    return _TEXT + ("tools",) * ("tool_use" in told) + ("vision",) * (kind == "vlm")
