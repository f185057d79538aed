"""What a node reads from each kind of engine, of old and new versions, well and unwell.

Servers dressed in the pages of real engines (`tests/data/engines`) are read over HTTP: first as
they are, then with their health and metrics pages missing or odd.
"""

import re
from dataclasses import replace

import pytest

from tests.fakes.engines.dresses import (
    DRESSES,
    LOAD_METRICS,
    Dress,
    Page,
    load_dress,
    serve_dress,
)
from tests.tidy.source import ROOT
from tests.unit.adapters.engines.dress_readings import (
    PAGE_US,
    READINGS,
    as_json,
    as_metrics,
    get_load,
    read,
    read_changed,
)
from wwwserve.adapters.engines import DIALECTS, EngineSettings
from wwwserve.adapters.engines.connections import Connections
from wwwserve.adapters.engines.pages import Pages
from wwwserve.core.engines import EngineHealth
from wwwserve.node import make_config_text
from wwwserve.node.config import EngineKind

GUIDE = ROOT / "docs/guides/engines.md"
SPECIAL = [dress for dress in DRESSES if dress.engine != "openai"]


# -- what each tells -------------------------------------------------------------------------------


@pytest.mark.parametrize("dress", DRESSES, ids=str)
async def test_each_version_is_read_whole_when_its_kind_is_told_and_when_it_is_found_out(
    dress: Dress,
) -> None:
    async with serve_dress(dress) as server:
        assert await read(server) == READINGS[str(dress)]
        assert await read(server, dress.engine) == READINGS[str(dress)]


@pytest.mark.parametrize("dress", DRESSES, ids=str)
async def test_no_engine_is_taken_for_another(dress: Dress) -> None:
    async with serve_dress(dress) as server:
        connections = Connections(EngineSettings("m", server.url))
        pages = Pages(connections, PAGE_US)
        found = {dialect.name for dialect in DIALECTS if await dialect.is_spoken(pages)}
        await connections.close()
    assert found == {dress.engine, "openai"}


async def test_engines_that_imitate_others_in_part_are_what_they_are() -> None:
    sister_for_embeddings = as_json(
        {"model_id": "BAAI/bge-m3", "max_concurrent_requests": 512, "max_input_length": 8192}
    )
    imitations: list[dict[str, Page | None]] = [
        {"/info": sister_for_embeddings},
        {"/": Page(b"<html>Ollama is running</html>"), "/api/version": as_json({"version": "1"})},
        {"/version": as_json({"version": "0.9"}), "/metrics": as_metrics("vllm_cost_total 3")},
        {"/api/v0/models": as_json({"data": [{"id": "some-model"}]})},
        {"/server_info": as_json({"model_path": "m", "version": "1"})},
    ]
    for pages in imitations:
        reading = await read_changed("openai", "plain", pages)
        assert reading.software == "OpenAI-compatible server", pages


def test_every_kind_of_the_table_can_be_configured() -> None:
    configurable = {kind.value for kind in EngineKind}
    assert configurable == {"auto", "local"} | {dialect.name for dialect in DIALECTS}


@pytest.mark.parametrize("kind", [kind.value for kind in EngineKind])
def test_every_kind_is_explained(kind: str) -> None:
    assert f"`{kind}`" in GUIDE.read_text() or f'"{kind}"' in GUIDE.read_text()
    assert re.search(rf"^# kind = .*\b{kind}\b", make_config_text(), re.MULTILINE)


# -- health ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dress", SPECIAL, ids=str)
async def test_one_that_is_gone_is_unavailable_and_says_what_to_try(dress: Dress) -> None:
    async with serve_dress(dress) as server:
        pass
    for kind in ("auto", dress.engine):
        reading = await read(server, kind)
        assert reading.health is EngineHealth.UNAVAILABLE
        assert "is the engine running there, its model loaded?" in reading.detail


@pytest.mark.parametrize("dress", SPECIAL, ids=str)
async def test_one_that_says_it_is_loading_is_loading(dress: Dress) -> None:
    async with serve_dress(dress) as server:
        loading = Page(b'{"error": {"message": "Loading model"}}', 503)
        server.pages = dict.fromkeys([*server.pages, "/health", "/v1/models"], loading)
        assert (await read(server, dress.engine)).health is EngineHealth.LOADING
        assert (await read(server)).health is EngineHealth.LOADING


@pytest.mark.parametrize("dress", SPECIAL, ids=str)
async def test_a_wrong_key_is_explained_and_the_right_one_read_with(dress: Dress) -> None:
    async with serve_dress(dress) as server:
        server.key = "Bearer right"
        for kind in ("auto", dress.engine):
            wrong = await read(server, kind, "wrong")
            assert wrong.health is EngineHealth.UNAVAILABLE, kind
            assert "api_key" in wrong.detail
        assert await read(server, api_key="right") == READINGS[str(dress)]


@pytest.mark.parametrize(
    ("engine", "version", "health", "word"),
    [
        ("vllm", "0.32.0", EngineHealth.UNAVAILABLE, "start it again"),
        ("tgi", "3.3.4", EngineHealth.UNAVAILABLE, "look at its log"),
        ("sglang", "0.5.9", EngineHealth.LOADING, "warming up"),
    ],
)
async def test_a_503_of_health_means_what_it_means_there(
    engine: str, version: str, health: EngineHealth, word: str
) -> None:
    reading = await read_changed(engine, version, {"/health": Page(status=503)})
    assert reading.health is health
    assert word in reading.detail


@pytest.mark.parametrize("dress", SPECIAL, ids=str)
async def test_a_page_that_is_no_list_of_models_is_no_engine(dress: Dress) -> None:
    async with serve_dress(dress) as server:
        server.pages["/v1/models"] = Page(b"<html>", content_type="text/html")
        reading = await read(server, dress.engine)
    if dress.engine != "llama-server":
        assert reading.health is EngineHealth.UNAVAILABLE
        assert "base URL" in reading.detail
    assert not reading.models


async def test_one_with_nothing_to_serve_says_how_to_change_that() -> None:
    nothing = as_json({"object": "list", "data": []})
    ollama = await read_changed("ollama", "0.20.0", {"/v1/models": nothing})
    studio = await read_changed("lm-studio", "0.4.6", {"/v1/models": nothing})
    assert "ollama pull" in ollama.detail
    assert "load one" in studio.detail
    assert ollama.health is studio.health is EngineHealth.READY


# -- load ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("engine", "version", "flag"),
    [
        ("sglang", "0.5.9", "--enable-metrics"),
        ("sglang", "0.4.1", "--enable-metrics"),
        ("vllm", "0.32.0", "--disable-log-stats"),
    ],
)
async def test_without_a_metrics_page_load_is_unknown_and_the_flag_is_named(
    engine: str, version: str, flag: str
) -> None:
    reading = await read_changed(engine, version, {"/metrics": None})
    usual = READINGS[f"{engine}-{version}"]
    assert flag in reading.detail
    assert get_load(reading) == (None, None, None)
    kv_tokens = usual.kv_tokens if engine == "sglang" else None  # Another page has it there.
    unknown = replace(usual, running=None, waiting=None, kv_used_permille=None, kv_tokens=kv_tokens)
    assert unknown == replace(reading, detail="")


@pytest.mark.parametrize(
    ("engine", "version", "name"),
    [
        ("vllm", "0.32.0", "vllm:requests_in_flight"),
        ("sglang", "0.5.9", "sglang:requests_in_flight"),
        ("llama-server", "b6200", "llamacpp:requests_in_flight"),
    ],
)
async def test_a_metrics_page_of_a_version_to_come_is_no_matter_of_flags(
    engine: str, version: str, name: str
) -> None:
    pages = {"/metrics": as_metrics(f"{name} 3"), "/slots": None}
    reading = await read_changed(engine, version, pages)
    assert reading.health is EngineHealth.READY
    assert "up to date" in reading.detail


@pytest.mark.parametrize("value", ["NaN", "-1", "+Inf", "-Inf", "1e300", "many", ""])
@pytest.mark.parametrize("engine", sorted(LOAD_METRICS))
async def test_numbers_that_cannot_be_are_unknown_never_zero(engine: str, value: str) -> None:
    names = (
        *LOAD_METRICS[engine],
        "vllm:kv_cache_usage_perc",
        "sglang:token_usage",
        "tgi_batch_current_max_tokens",
    )
    dress = next(dress for dress in reversed(DRESSES) if dress.engine == engine)
    odd = as_metrics(*(f"{name} {value}" for name in names))
    reading = await read_changed(engine, dress.version, {"/metrics": odd}, engine)
    assert reading.health is EngineHealth.READY
    assert get_load(reading) == (None, None, None)


async def test_one_impossible_sample_makes_a_sum_unknown() -> None:
    odd = as_metrics(
        'vllm:num_requests_running{engine="0"} 3',
        'vllm:num_requests_running{engine="1"} NaN',
        "vllm:num_requests_waiting 2",
        "vllm:kv_cache_usage_perc 55",
        "vllm:gpu_cache_usage_perc 0.55",
    )
    reading = await read_changed("vllm", "0.32.0", {"/metrics": odd})
    assert get_load(reading) == (None, 2, 550)


@pytest.mark.parametrize("engine", sorted(LOAD_METRICS))
async def test_metrics_of_other_names_or_shapes_tell_nothing(engine: str) -> None:
    dress = next(dress for dress in reversed(DRESSES) if dress.engine == engine)
    renamed = as_metrics("engine_running 3", "vllm_num_requests_running 4")
    page = Page(b"<html>502</html>", content_type="text/html")
    for odd in (renamed, page, Page(b"\xff\xfe\x00"), as_json({"running": 3}), Page(status=500)):
        reading = await read_changed(engine, dress.version, {"/metrics": odd}, engine)
        assert reading.health is EngineHealth.READY
        assert get_load(reading) == (None, None, None)


async def test_a_json_page_of_another_content_type_is_read_all_the_same() -> None:
    async with serve_dress(load_dress("sglang", "0.5.9")) as server:
        server.pages = {
            path: replace(page, content_type="application/octet-stream")
            for path, page in server.pages.items()
        }
        assert await read(server) == READINGS["sglang-0.5.9"]
