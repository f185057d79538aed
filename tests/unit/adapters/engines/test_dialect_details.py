"""Limits and abilities that engines state oddly or in part are unknown; kinds are found out anew.

Servers dressed in the pages of real engines (`tests/data/engines`) are read over HTTP, with pages
about models and settings changed one at a time.
"""

import math
from dataclasses import replace

import pytest

from tests.fakes.engines.dresses import Page, load_dress, serve_dress
from tests.unit.adapters.engines.dress_readings import (
    READINGS,
    TEXT,
    as_json,
    as_metrics,
    read,
    read_changed,
)
from wwwserve.adapters.engines import EngineSettings, open_http_engine
from wwwserve.adapters.engines.pages import COUNT_MAX, TEXT_LENGTH_MAX
from wwwserve.core.engines import EngineHealth, EngineModel

# -- slots, context and abilities ------------------------------------------------------------------


@pytest.mark.parametrize("odd", [-1, 0, COUNT_MAX + 1, 1.5, "8192", True, None, [], math.pi])
async def test_limits_that_cannot_be_are_unknown(odd: object) -> None:
    models = as_json({"data": [{"id": "m", "owned_by": "vllm", "max_model_len": odd}]})
    vllm = await read_changed("vllm", "0.32.0", {"/v1/models": models})
    assert vllm.models == (EngineModel("m"),)

    limits = ("max_running_requests", "context_length", "max_total_num_tokens")
    server_info = as_json(dict.fromkeys(limits, odd) | {"model_path": "m"})
    sglang = await read_changed(
        "sglang", "0.4.1", {"/server_info": server_info, "/get_server_info": server_info}
    )
    assert (sglang.slots, sglang.models[0].context_tokens) == (None, None)
    assert sglang.kv_tokens is None

    info = as_json({"model_id": "m", "max_batch_size": odd, "max_batch_total_tokens": odd})
    tgi = await read_changed("tgi", "2.0.4", {"/info": info}, "tgi")
    assert (tgi.slots, tgi.kv_used_permille, tgi.models) == (None, None, (EngineModel("m"),))
    assert tgi.kv_tokens is None

    loaded = as_json({"models": [{"name": "qwen3:8b", "context_length": odd}]})
    ollama = await read_changed("ollama", "0.20.0", {"/api/ps": loaded})
    assert ollama.models[0].context_tokens is None


@pytest.mark.parametrize(
    "labels",
    [
        'block_size="16",num_gpu_blocks="None"',
        'block_size="16"',
        'block_size="0",num_gpu_blocks="100"',
        'block_size="16",num_gpu_blocks="-5"',
        'block_size="16",num_gpu_blocks="1e9"',
        f'block_size="16",num_gpu_blocks="{COUNT_MAX + 1}"',
        f'block_size="16",num_gpu_blocks="{"9" * 5000}"',
        "",
    ],
)
async def test_a_cache_of_unknown_size_is_unknown_also_beside_a_known_one(labels: str) -> None:
    known = 'vllm:cache_config_info{block_size="16",num_gpu_blocks="100"} 1'
    odd = f"vllm:cache_config_info{{{labels}}} 1"
    metrics = as_metrics("vllm:num_requests_running 3", known, odd)
    assert (await read_changed("vllm", "0.32.0", {"/metrics": metrics})).kv_tokens is None
    metrics = as_metrics("vllm:num_requests_running 3", known)
    assert (await read_changed("vllm", "0.32.0", {"/metrics": metrics})).kv_tokens == 1_600


async def test_sglangs_caches_add_up_where_only_one_is_told() -> None:
    info = as_json({"model_path": "m", "max_total_num_tokens": 1_000, "dp_size": 3})
    pages: dict[str, Page | None] = {"/server_info": info, "/get_server_info": info}
    assert (await read_changed("sglang", "0.4.1", pages)).kv_tokens == 3_000


async def test_sglang_says_what_it_can_do_only_when_it_says_all_of_it() -> None:
    def change(**fields: object) -> dict[str, Page | None]:
        page = as_json(fields)
        return {"/model_info": page, "/get_model_info": page}

    blind = await read_changed(
        "sglang", "0.5.9", change(is_generation=True, has_image_understanding=False)
    )
    assert blind.capabilities == (*TEXT, "logprobs", "tools")
    vectors = await read_changed("sglang", "0.5.9", change(is_generation=False))
    assert vectors.capabilities == ("embeddings",)
    silent = await read_changed("sglang", "0.5.9", change(is_generation=True))
    assert silent.capabilities == ()
    guarded = await read_changed(
        "sglang", "0.5.9", {"/server_info": Page(status=403), "/get_server_info": None}
    )
    assert (guarded.capabilities, guarded.slots, guarded.software) == ((), None, "SGLang")


async def test_an_sglang_busy_with_a_long_prompt_is_not_taken_for_dead() -> None:
    endless = Page(b"x" * 5 * 1024 * 1024)
    reading = await read_changed("sglang", "0.5.9", {"/health": endless})
    assert reading == READINGS["sglang-0.5.9"]


async def test_ollama_is_asked_what_a_model_can_do_once_and_again_when_it_changed() -> None:
    async with serve_dress(load_dress("ollama", "0.6.5")) as server:
        engine = open_http_engine(EngineSettings("m", server.url))
        for _ in range(3):
            assert await engine.read_state() == READINGS["ollama-0.6.5"]
        assert server.asked["POST /api/show"] == 2
        tags = server.pages["/api/tags"]
        server.pages["/api/tags"] = replace(tags, body=tags.body.replace(b'"a1"', b'"a2"'))
        await engine.read_state()
        assert server.asked["POST /api/show"] == 3
        await engine.close()


async def test_an_ollama_that_cannot_show_its_models_leaves_their_abilities_unknown() -> None:
    async with serve_dress(load_dress("ollama", "0.6.5")) as server:
        server.answers = {"/api/show": {"llama3.2-vision:11b": {"capabilities": [7, None, {}]}}}
        reading = await read(server)
    assert [model.capabilities for model in reading.models] == [(), ()]


async def test_an_ollama_without_its_list_still_serves_what_it_lists_for_openai() -> None:
    reading = await read_changed("ollama", "0.20.0", {"/api/tags": None, "/api/ps": None})
    assert [model.name for model in reading.models] == [
        "qwen3:8b",
        "gpt-oss:120b-cloud",
        "embeddinggemma:latest",
    ]
    assert all(model.context_tokens is None for model in reading.models)


async def test_lm_studios_own_pages_are_not_needed_to_serve() -> None:
    reading = await read_changed(
        "lm-studio", "0.4.6", {"/api/v0/models": None, "/api/v1/models": None}, "lm-studio"
    )
    assert reading.health is EngineHealth.READY
    assert {(model.context_tokens, model.capabilities) for model in reading.models} == {(None, ())}
    assert len(reading.models) == 4


async def test_names_and_versions_without_end_are_unknown() -> None:
    # They would be in each line of the log that names them, once a second.
    endless = "x" * (TEXT_LENGTH_MAX + 1)
    models = as_json({"data": [{"id": endless}, {"id": "m", "owned_by": "vllm"}]})
    version = as_json({"version": endless})
    reading = await read_changed("vllm", "0.32.0", {"/v1/models": models, "/version": version})
    assert reading.models == (EngineModel("m"),)
    assert reading.software == "vLLM"


# -- over time -------------------------------------------------------------------------------------


async def test_after_an_outage_another_kind_may_have_taken_its_place() -> None:
    async with serve_dress(load_dress("vllm", "0.32.0")) as server:
        engine = open_http_engine(EngineSettings("m", server.url))
        assert (await engine.read_state()).software == "vLLM 0.32.0"
        server.pages = {}
        assert (await engine.read_state()).health is EngineHealth.UNAVAILABLE
        server.pages = dict(load_dress("sglang", "0.5.9").pages)
        assert (await engine.read_state()).software == "SGLang 0.5.9"
        await engine.close()


async def test_finding_out_asks_for_each_page_once() -> None:
    async with serve_dress(load_dress("openai", "plain")) as server:
        await read(server)
        # Once to find out, once to read the state.
        assert server.asked.pop("GET /v1/models") == 2
        assert set(server.asked.values()) == {1}
