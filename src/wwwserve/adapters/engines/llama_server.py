"""llama.cpp's `llama-server` (and xllamacpp, which is the same program as a library).

What it says beyond the OpenAI API: `/health` (503 while the model loads), `/slots` (one request
runs in one slot; the context is divided among them), `/props` and, when switched on, `/metrics`.
Every page but `/health` can be switched off, and is then unknown. Sources: llama.cpp
tools/server/README.md; the fallback names are those of older builds.
"""

import asyncio
from dataclasses import replace

from wwwserve.adapters.engines.openai_state import read_models
from wwwserve.adapters.engines.pages import (
    Page,
    Pages,
    explain_absence,
    get_count,
    get_field,
    get_items,
    get_text,
)
from wwwserve.adapters.engines.prometheus_text import (
    Metrics,
    explain_unknown_load,
    get_permille,
    parse_metrics,
)
from wwwserve.adapters.engines.prometheus_text import get_count as get_metric
from wwwserve.core.engines import EngineHealth, EngineModel, EngineReading

_SERVER = "llama.cpp"
"""Its `Server` header, also on errors and while loading."""
_KV_RATIO = ("llamacpp:kv_cache_usage_ratio", "llamacpp:kv_cache_usage")
_KV_TOKENS = ("llamacpp:kv_cache_tokens",)
_TELL_LOAD = "start llama-server with --metrics --slots"


async def is_llama_server(pages: Pages) -> bool:
    """Whether it names itself, or has llama-server's own pages (behind a proxy, say)."""
    props = await pages.get("/props")
    if props.status == 0:
        return False
    if props.server == _SERVER or get_count(props.get_json(), "total_slots") is not None:
        return True
    return _read_slots(await pages.get("/slots")) is not None


async def read_llama_state(pages: Pages) -> EngineReading:
    """Health, load, models and abilities from llama-server's own pages."""
    health = await pages.get("/health")
    if not health.is_ok:
        return explain_absence(health, pages.root)
    models, slots, metrics, props = await asyncio.gather(
        *(pages.get(path) for path in ("/v1/models", "/slots", "/metrics", "/props"))
    )
    if not models.is_ok:
        return explain_absence(models, pages.root)
    return _build_reading(
        read_models(models.get_json()),
        _read_slots(slots),
        parse_metrics(metrics.get_text()),
        props.get_json(),
    )


def _build_reading(
    models: tuple[EngineModel, ...],
    slots: list[object] | None,
    metrics: Metrics,
    props: object,
) -> EngineReading:
    context = _get_context(slots, props)
    if context is not None:
        models = tuple(replace(model, context_tokens=context) for model in models)
    running = get_metric(metrics, "llamacpp:requests_processing")
    if running is None and slots is not None:
        running = sum(get_field(slot, "is_processing") is True for slot in slots)
    return EngineReading(
        EngineHealth.READY,
        detail=""
        if running is not None
        else explain_unknown_load(metrics, "llamacpp:", _TELL_LOAD),
        models=models,
        running=running,
        waiting=get_metric(metrics, "llamacpp:requests_deferred"),
        kv_used_permille=_get_kv_used(metrics, slots),
        slots=len(slots) if slots is not None else get_count(props, "total_slots") or None,
        capabilities=_get_capabilities(props),
        software=_get_software(props),
    )


def _read_slots(page: Page) -> list[object] | None:
    slots = get_items({"slots": page.get_json()}, "slots")
    return slots if any(get_count(slot, "n_ctx") is not None for slot in slots) else None


def _get_context(slots: list[object] | None, props: object) -> int | None:
    """The longest request that fits whichever slot it gets."""
    shares = [share for slot in slots or () if (share := get_count(slot, "n_ctx"))]
    told = get_count(props, "default_generation_settings", "n_ctx")
    return min(shares, default=told or None)


def _get_kv_used(metrics: Metrics, slots: list[object] | None) -> int | None:
    ratio = get_permille(metrics, *_KV_RATIO)
    if ratio is not None:
        return ratio
    tokens = get_metric(metrics, *_KV_TOKENS)
    room = sum(get_count(slot, "n_ctx") or 0 for slot in slots or ())
    return min(1_000, 1_000 * tokens // room) if tokens is not None and room else None


def _get_capabilities(props: object) -> tuple[str, ...]:
    """What it can do for certain; embeddings it does only if so started, and does not tell."""
    found = ["chat", "completions", "logprobs"]
    if get_field(props, "chat_template_caps", "supports_tools") is True:
        found.append("tools")
    if get_field(props, "modalities", "vision") is True:
        found.append("vision")
    return tuple(found)


def _get_software(props: object) -> str:
    build = get_text(props, "build_info")
    return f"llama-server {build}" if build and "unknown" not in build else "llama-server"
