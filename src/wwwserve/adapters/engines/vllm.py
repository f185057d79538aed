"""vLLM: its load is on `/metrics`, which is on unless it was started with `--disable-log-stats`.

`/health` is an empty 200, or 503 once its engine has died; until its model is loaded it does not
listen at all. It says how much its cache holds, but not how many requests it runs at once
(`--max-num-seqs`), nor what its models can do: that is for its operator to say. Sources:
docs.vllm.ai usage/metrics of 0.5 to 0.32; the second of two names is that of versions before 0.10.
"""

import asyncio

from wwwserve.adapters.engines.openai_state import find_fault, is_owned_by, read_models
from wwwserve.adapters.engines.pages import Page, Pages, explain_absence, get_text
from wwwserve.adapters.engines.prometheus_text import (
    explain_unknown_load,
    get_count,
    get_permille,
    list_labels,
    parse_count,
    parse_metrics,
)
from wwwserve.core.engines import EngineHealth, EngineReading

_RUNNING = "vllm:num_requests_running"
_WAITING = "vllm:num_requests_waiting"
_KV_SHARE = ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")
_CACHE = "vllm:cache_config_info"
_TELL_LOAD = "start vLLM without --disable-log-stats"
_DEAD = "vLLM answers, but its engine has died: look at its log and start it again"
_SERVICE_UNAVAILABLE = 503


async def is_vllm(pages: Pages) -> bool:
    """Whether it owns its models, or (where a key guards them) counts requests as vLLM."""
    if is_owned_by(await pages.get("/v1/models"), "vllm"):
        return True
    return _RUNNING in parse_metrics((await pages.get("/metrics")).get_text())


async def read_vllm_state(pages: Pages) -> EngineReading:
    """Health, models and load; what it can do is unknown."""
    health, models, metrics, version = await asyncio.gather(
        *(pages.get(path) for path in ("/health", "/v1/models", "/metrics", "/version"))
    )
    if not health.is_ok:
        return _explain_sickness(health, pages.root)
    if fault := find_fault(models, pages.root):
        return fault
    page = metrics.get_text()
    samples = parse_metrics(page)
    running = get_count(samples, _RUNNING)
    return EngineReading(
        EngineHealth.READY,
        detail="" if running is not None else explain_unknown_load(samples, "vllm:", _TELL_LOAD),
        models=read_models(models.get_json()),
        running=running,
        waiting=get_count(samples, _WAITING),
        kv_used_permille=get_permille(samples, *_KV_SHARE),
        kv_tokens=_get_kv_tokens(page),
        software=f"vLLM {get_text(version.get_json(), 'version')}".rstrip(),
    )


def _get_kv_tokens(page: str) -> int | None:
    """Of all its engines together, each with a sample of its own; None if one does not tell."""
    tokens = 0
    for labels in list_labels(page, _CACHE):
        blocks = parse_count(labels.get("num_gpu_blocks", ""))
        size = parse_count(labels.get("block_size", ""))
        if not blocks or not size:
            return None
        tokens += blocks * size
    return tokens or None


def _explain_sickness(health: Page, root: str) -> EngineReading:
    if health.status == _SERVICE_UNAVAILABLE and not health.is_loading:
        return EngineReading(EngineHealth.UNAVAILABLE, _DEAD)
    return explain_absence(health, root)
