"""Ollama: it tells what its models can do, and nothing of its load.

How many requests it runs at once (`OLLAMA_NUM_PARALLEL`) is not told either: the node's own count
of running requests is all there is. `/api/ps` lists the models in memory with the context they were
loaded with; the others are loaded when they are asked for, with a context not known before.
Sources: docs.ollama.com api-reference; Ollama's api/types.go.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from wwwserve.adapters.engines.openai_state import find_fault, read_models
from wwwserve.adapters.engines.pages import Pages, get_count, get_items, get_text
from wwwserve.core.engines import EngineHealth, EngineModel, EngineReading

SHOWN_MAX = 64
"""Models whose abilities are asked for one by one, where the list does not tell them."""

_GREETING = "Ollama is running"
_NO_MODEL = "Ollama has no model yet: fetch one with `ollama pull`"
_CAPABILITIES = {
    "completion": ("chat", "completions"),
    "embedding": ("embeddings",),
    "tools": ("tools",),
    "vision": ("vision",),
}
"""Ollama's words for what we have words for."""


async def is_ollama(pages: Pages) -> bool:
    """Whether it greets as Ollama; servers that imitate its API do not go that far."""
    return (await pages.get("/")).get_text().startswith(_GREETING)


async def read_ollama_state(pages: Pages) -> EngineReading:
    """Health, the models it has here with their abilities, and the context of loaded ones."""
    models, tags, loaded, version = await asyncio.gather(
        *(pages.get(path) for path in ("/v1/models", "/api/tags", "/api/ps", "/api/version"))
    )
    if fault := find_fault(models, pages.root):
        return fault
    here = {get_text(tag, "name"): tag for tag in get_items(tags.get_json(), "models")}
    found = [
        replace(model, is_on_demand=_is_remote(here.get(model.name)))
        for model in read_models(models.get_json())
    ]
    contexts = _read_contexts(loaded.get_json())
    abilities = await _read_abilities(pages, found, here)
    return EngineReading(
        EngineHealth.READY,
        detail="" if any(not model.is_on_demand for model in found) else _NO_MODEL,
        models=tuple(
            replace(
                model,
                context_tokens=contexts.get(model.name),
                capabilities=abilities.get(model.name, ()),
            )
            for model in found
        ),
        software=f"Ollama {get_text(version.get_json(), 'version')}".rstrip(),
    )


def _is_remote(tag: object) -> bool:
    """Whether a model runs at its maker's, on its operator's account: not ours to offer unasked."""
    return bool(get_text(tag, "remote_host") or get_text(tag, "remote_model"))


def _read_contexts(loaded: object) -> Mapping[str, int]:
    return {
        get_text(model, "name"): tokens
        for model in get_items(loaded, "models")
        if (tokens := get_count(model, "context_length"))
    }


async def _read_abilities(
    pages: Pages, models: list[EngineModel], here: Mapping[str, object]
) -> Mapping[str, tuple[str, ...]]:
    """From the list of models in newer versions, else from each model's own page, asked once."""
    told = {model.name: get_items(here.get(model.name), "capabilities") for model in models}
    asked = [name for name, words in told.items() if not words][:SHOWN_MAX]
    shown = await asyncio.gather(
        *(
            pages.ask_once("/api/show", {"model": name}, get_text(here.get(name), "digest"))
            for name in asked
        )
    )
    told |= {
        name: get_items(page.get_json(), "capabilities")
        for name, page in zip(asked, shown, strict=True)
    }
    return {name: _translate(words) for name, words in told.items()}


def _translate(words: list[object]) -> tuple[str, ...]:
    return tuple(ours for word, names in _CAPABILITIES.items() if word in words for ours in names)
