"""SGLang: its load is on `/metrics`, if it was started with `--enable-metrics`.

`/health` is an empty 200, or 503 while it warms up, while it shuts down, or when its scheduler has
been silent for long; it has an idle engine write one token, and takes a second. When it comes too
late the engine works on something long: it still takes requests, so that is no sickness. How it was
started is on `/server_info`, and what its model can do on `/model_info` (both named `get_...`
before). Sources: docs.sglang.io basic_usage/native_api and references/production_metrics.
"""

import asyncio
from dataclasses import replace

from wwwserve.adapters.engines.openai_state import find_fault, is_owned_by, read_models
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
    explain_unknown_load,
    get_permille,
    parse_metrics,
)
from wwwserve.adapters.engines.prometheus_text import get_count as get_metric
from wwwserve.core.engines import EngineHealth, EngineModel, EngineReading

_RUNNING = "sglang:num_running_reqs"
_WAITING = "sglang:num_queue_reqs"
_KV_SHARE = ("sglang:token_usage",)
_TELL_LOAD = "start SGLang with --enable-metrics"
_WARMING = "SGLang is warming up; if that takes minutes, look at its log"
_SERVICE_UNAVAILABLE = 503


async def is_sglang(pages: Pages) -> bool:
    """Whether it owns its models, or says how its schedulers were started."""
    if is_owned_by(await pages.get("/v1/models"), "sglang"):
        return True
    info = await _get_either(pages, "/server_info", "/get_server_info")
    value = info.get_json()
    return bool(get_text(value, "model_path") and get_items(value, "internal_states"))


async def read_sglang_state(pages: Pages) -> EngineReading:
    """Health, models, load, slots and abilities."""
    health, models, metrics, server, model = await asyncio.gather(
        pages.get("/health"),
        pages.get("/v1/models"),
        pages.get("/metrics"),
        _get_either(pages, "/server_info", "/get_server_info"),
        _get_either(pages, "/model_info", "/get_model_info"),
    )
    if health.status == _SERVICE_UNAVAILABLE:
        return EngineReading(EngineHealth.LOADING, _WARMING)
    if fault := find_fault(models, pages.root):
        return fault
    if not health.is_ok and health.status:
        return explain_absence(health, pages.root)
    info = server.get_json()
    samples = parse_metrics(metrics.get_text())
    running = get_metric(samples, _RUNNING)
    return EngineReading(
        EngineHealth.READY,
        detail="" if running is not None else explain_unknown_load(samples, "sglang:", _TELL_LOAD),
        models=tuple(_limit(found, info) for found in read_models(models.get_json())),
        running=running,
        waiting=get_metric(samples, _WAITING),
        kv_used_permille=get_permille(samples, *_KV_SHARE),
        kv_tokens=_get_kv_tokens(info),
        slots=_get_slots(info),
        capabilities=_get_capabilities(info, model.get_json()),
        software=f"SGLang {get_text(info, 'version')}".rstrip(),
    )


async def _get_either(pages: Pages, path: str, older_path: str) -> Page:
    page = await pages.get(path)
    return page if page.is_ok else await pages.get(older_path)


def _limit(model: EngineModel, info: object) -> EngineModel:
    """The longest request is also limited by the whole cache, which may be smaller."""
    told = (
        model.context_tokens or get_count(info, "context_length"),
        get_count(info, "max_total_num_tokens"),
    )
    return replace(model, context_tokens=min((tokens for tokens in told if tokens), default=None))


def _get_kv_tokens(info: object) -> int | None:
    """Of all its schedulers together: each says its own, or all are alike."""
    states = get_items(info, "internal_states")
    shares = [get_count(state, "memory_usage", "token_capacity") for state in states]
    known = [share for share in shares if share]
    if known and len(known) == len(shares):
        return sum(known)
    each = get_count(info, "max_total_num_tokens")
    return each * max(get_count(info, "dp_size") or 1, 1) if each else None


def _get_slots(info: object) -> int | None:
    """Of all its schedulers together; what its operator asked for is only an upper bound."""
    states = get_items(info, "internal_states")
    shares = [get_count(state, "effective_max_running_requests_per_dp") for state in states]
    known = [share for share in shares if share]
    if known and len(known) == len(shares):
        return sum(known)
    return get_count(info, "max_running_requests") or None


def _get_capabilities(info: object, model: object) -> tuple[str, ...]:
    """What it can do, if it says all of it: half a list would deny the other half."""
    match get_field(model, "is_generation"), get_field(model, "has_image_understanding"):
        case False, _:
            return ("embeddings",)
        case True, bool(sees) if isinstance(info, dict) and "tool_call_parser" in info:
            found = ["chat", "completions", "logprobs"]
            if info["tool_call_parser"]:
                found.append("tools")
            if sees:
                found.append("vision")
            return tuple(found)
        case _:
            return ()
