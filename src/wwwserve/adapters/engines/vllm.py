"""vLLM: its load is on `/metrics`, which is on unless it was started with `--disable-log-stats`.

`/health` is an empty 200, or 503 once its engine has died; until its model is loaded it does not
listen at all. It does not say how many requests it runs at once (`--max-num-seqs`) nor what its
models can do, so both are for its operator to say. Sources: docs.vllm.ai usage/metrics of 0.5 to
0.32; the second of two names is that of versions before 0.10.
"""

import asyncio

from wwwserve.adapters.engines.openai_state import find_fault, is_owned_by, read_models
from wwwserve.adapters.engines.pages import Page, Pages, explain_absence, get_text
from wwwserve.adapters.engines.prometheus_text import (
    explain_unknown_load,
    get_count,
    get_permille,
    parse_metrics,
)
from wwwserve.core.engines import EngineHealth, EngineReading

_RUNNING = "vllm:num_requests_running"
_WAITING = "vllm:num_requests_waiting"
_KV_SHARE = ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")
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
    samples = parse_metrics(metrics.get_text())
    running = get_count(samples, _RUNNING)
    return EngineReading(
        EngineHealth.READY,
        detail="" if running is not None else explain_unknown_load(samples, "vllm:", _TELL_LOAD),
        models=read_models(models.get_json()),
        running=running,
        waiting=get_count(samples, _WAITING),
        kv_used_permille=get_permille(samples, *_KV_SHARE),
        software=f"vLLM {get_text(version.get_json(), 'version')}".rstrip(),
    )


def _explain_sickness(health: Page, root: str) -> EngineReading:
    if health.status == _SERVICE_UNAVAILABLE and not health.is_loading:
        return EngineReading(EngineHealth.UNAVAILABLE, _DEAD)
    return explain_absence(health, root)
