"""What an emulated engine tells of itself, in the shapes of vLLM."""

from collections.abc import Iterator

import msgspec

from wwwserve.adapters.engines.emulated_pace import PaceCounts
from wwwserve.adapters.engines.mock_answers import CREATED
from wwwserve.enginemodel import KV_BLOCK_TOKENS, EngineLoad
from wwwserve.values.moments import SECOND

VERSION = "0.19.0+emulated"
"""The engine the model was held against."""


def encode_version() -> bytes:
    """`/version`."""
    return msgspec.json.encode({"version": VERSION})


def encode_models(model: str, context_tokens: int) -> bytes:
    """`/v1/models`."""
    entry = {
        "id": model,
        "object": "model",
        "created": CREATED,
        "owned_by": "vllm",
        "root": model,
        "parent": None,
        "max_model_len": context_tokens,
    }
    return msgspec.json.encode({"object": "list", "data": [entry]})


def encode_metrics(
    model: str, load: EngineLoad, counts: PaceCounts, finished: dict[str, int]
) -> bytes:
    """`/metrics`; `finished` counts answers by why they ended."""
    lines = _list_metrics(model, load, counts, finished)
    return "".join(f"{line}\n" for line in lines).encode()


def _list_metrics(
    model: str, load: EngineLoad, counts: PaceCounts, finished: dict[str, int]
) -> Iterator[str]:
    label = f'engine="0",model_name="{model}"'
    gauges = {
        "vllm:num_requests_running": load.running,
        "vllm:num_requests_waiting": load.waiting,
        "vllm:kv_cache_usage_perc": round(load.kv_blocks_used / load.kv_blocks, 6),
        # Not vLLM's: how far this machine was behind at worst, so that a test may distrust it.
        "emulated:lag_seconds_max": counts.lag_us_max / SECOND,
    }
    counters = {
        "vllm:num_preemptions_total": load.preemptions,
        "vllm:prompt_tokens_total": counts.prompt_tokens,
        "vllm:generation_tokens_total": counts.generated_tokens,
    }
    for kind, values in (("gauge", gauges), ("counter", counters)):
        for name, value in values.items():
            yield f"# TYPE {name} {kind}"
            yield f"{name}{{{label}}} {value}"
    cache = f'block_size="{KV_BLOCK_TOKENS}",engine="0",num_gpu_blocks="{load.kv_blocks}"'
    yield "# TYPE vllm:cache_config_info gauge"
    yield f"vllm:cache_config_info{{{cache}}} 1"
    yield "# TYPE vllm:request_success_total counter"
    for reason, count in finished.items():
        yield f'vllm:request_success_total{{{label},finished_reason="{reason}"}} {count}'
