"""llama-server's reading survives every page being switched off or odd: then it is unknown.

Pages are served from a table; what is not in the table is a 404, as llama-server answers for what
was not switched on.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiohttp import web

from wwwserve.adapters.engines import EngineSettings, open_http_engine
from wwwserve.core.engines import EngineHealth, EngineModel, EngineReading

MODELS = '{"data": [{"id": "m", "meta": {"n_ctx_train": 8192}}]}'
SLOTS = '[{"id": 0, "n_ctx": 1024, "is_processing": true}, {"id": 1, "n_ctx": 2048}]'
PROPS = '{"total_slots": 2, "default_generation_settings": {"n_ctx": 1024}, "build_info": "b9"}'


@asynccontextmanager
async def serve(pages: Mapping[str, str], server: str) -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.Response:
        page = pages.get(request.path)
        return web.Response(
            text=page or "", status=200 if page else 404, headers={"Server": server}
        )

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def read(pages: Mapping[str, str], server: str = "llama.cpp") -> EngineReading:
    async with serve(pages, server) as url:
        engine = open_http_engine(EngineSettings("m", url))
        reading = await engine.read_state()
        await engine.close()
        return reading


BARE = {"/health": '{"status":"ok"}', "/v1/models": MODELS}


async def test_with_every_extra_page_off_only_health_and_models_are_known() -> None:
    reading = await read(BARE)
    assert reading.health is EngineHealth.READY
    assert reading.models == (EngineModel("m", None),)
    assert (reading.running, reading.waiting, reading.slots) == (None, None, None)
    assert reading.software == "llama-server"
    assert "--metrics --slots" in reading.detail


async def test_the_smallest_slot_is_the_context_and_busy_slots_are_the_load() -> None:
    reading = await read({**BARE, "/slots": SLOTS})
    assert reading.models == (EngineModel("m", 1024),)
    assert (reading.running, reading.waiting, reading.slots) == (1, None, 2)


async def test_metrics_are_believed_before_slots() -> None:
    metrics = "llamacpp:requests_processing 2\nllamacpp:requests_deferred 7\n"
    reading = await read({**BARE, "/slots": SLOTS, "/metrics": metrics})
    assert (reading.running, reading.waiting, reading.kv_used_permille) == (2, 7, None)


async def test_props_stand_in_for_slots() -> None:
    reading = await read({**BARE, "/props": PROPS})
    assert reading.models == (EngineModel("m", 1024),)
    assert (reading.slots, reading.software) == (2, "llama-server b9")


async def test_older_builds_tell_the_caches_use() -> None:
    ratio = await read({**BARE, "/metrics": "llamacpp:kv_cache_usage_ratio 0.5\n"})
    tokens = await read({**BARE, "/slots": SLOTS, "/metrics": "llamacpp:kv_cache_tokens 1536\n"})
    assert (ratio.kv_used_permille, tokens.kv_used_permille) == (500, 500)


async def test_behind_a_proxy_it_is_known_by_its_pages() -> None:
    for page in ({"/props": PROPS}, {"/slots": SLOTS}):
        reading = await read({**BARE, **page}, server="nginx")
        assert reading.software.startswith("llama-server")


async def test_another_server_with_such_paths_is_not_taken_for_one() -> None:
    reading = await read({**BARE, "/props": "[]", "/slots": "[1, 2]"}, server="nginx")
    assert reading.software == "OpenAI-compatible server"


async def test_odd_pages_are_unknown() -> None:
    odd = {"/slots": '[{"n_ctx": -5}]', "/props": "7", "/metrics": "<html>"}
    reading = await read({**BARE, **odd})
    assert (reading.running, reading.slots, reading.models[0].context_tokens) == (None, None, None)
