"""Text Generation Inference: how it was started is on `/info`, its load on `/metrics`.

`/health` is an empty 200, or 503 when its model does not answer; until the model is loaded it does
not listen at all. Gauges appear with the first request. It says how much its cache holds in
versions before 2.1, and how many requests it takes on at most, which is not how many it runs at
once. What its model can do is not told. Sources: huggingface.co/docs/text-generation-inference
reference/metrics; docs/openapi.json there.
"""

import asyncio
from dataclasses import replace

from wwwserve.adapters.engines.openai_state import find_fault, read_models
from wwwserve.adapters.engines.pages import (
    Page,
    Pages,
    explain_absence,
    get_count,
    get_text,
)
from wwwserve.adapters.engines.prometheus_text import Metrics, parse_metrics
from wwwserve.adapters.engines.prometheus_text import get_count as get_metric
from wwwserve.core.engines import EngineHealth, EngineModel, EngineReading

_RUNNING = "tgi_batch_current_size"
_WAITING = "tgi_queue_size"
_TOKENS_HELD = "tgi_batch_current_max_tokens"
_SICK = "TGI answers, but its model does not: look at its log"
_SERVICE_UNAVAILABLE = 503
_NOT_FOUND = 404


async def is_tgi(pages: Pages) -> bool:
    """Whether it says its limits; its sister for embeddings has other ones."""
    info = (await pages.get("/info")).get_json()
    return bool(get_text(info, "model_id") and get_count(info, "max_total_tokens"))


async def read_tgi_state(pages: Pages) -> EngineReading:
    """Health, its one model and its load; what that can do is unknown."""
    health, info, models, metrics = await asyncio.gather(
        *(pages.get(path) for path in ("/health", "/info", "/v1/models", "/metrics"))
    )
    if health.status == _SERVICE_UNAVAILABLE and not health.is_loading:
        return EngineReading(EngineHealth.UNAVAILABLE, _SICK)
    if not health.is_ok:
        return explain_absence(health, pages.root)
    facts = info.get_json()
    # Older versions list no models.
    if models.status != _NOT_FOUND and (fault := find_fault(models, pages.root)):
        return fault
    samples = parse_metrics(metrics.get_text())
    return EngineReading(
        EngineHealth.READY,
        models=_read_models(models, facts),
        running=get_metric(samples, _RUNNING),
        waiting=get_metric(samples, _WAITING),
        kv_used_permille=_get_kv_used(samples, facts),
        kv_tokens=get_count(facts, "max_batch_total_tokens") or None,
        slots=get_count(facts, "max_batch_size") or None,
        software=f"TGI {get_text(facts, 'version')}".rstrip(),
    )


def _read_models(models: Page, facts: object) -> tuple[EngineModel, ...]:
    name = get_text(facts, "model_id")
    found = read_models(models.get_json()) or ((EngineModel(name),) if name else ())
    context = get_count(facts, "max_total_tokens") or None
    return tuple(replace(model, context_tokens=context) for model in found)


def _get_kv_used(samples: Metrics, facts: object) -> int | None:
    """What the requests of the batch may come to hold, which is reserved for them."""
    held = get_metric(samples, _TOKENS_HELD)
    room = get_count(facts, "max_batch_total_tokens")
    return min(1_000, 1_000 * held // room) if held is not None and room else None
