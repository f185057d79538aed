"""Whatever is wrong with an engine has one clear finding: engines' recorded pages, spoiled.

Each engine is a real HTTP server with the pages of a real one; what is wrong with it is changed in
them or in the configuration.
"""

import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.fakes.engines.dresses import DressedServer, Page, load_dress, serve_dress
from tests.unit.node.doctor.subjects import Settings, get_bad, make_info, make_subject
from wwwserve.node import Finding, Level
from wwwserve.node.doctor.engines import check_engines

VLLM, SGLANG, OLLAMA = ("vllm", "0.32.0"), ("sglang", "0.5.9"), ("ollama", "0.20.0")
CHECK = "engine main"


class Bench:
    """Engines to be examined."""

    def __init__(self, stack: AsyncExitStack, path: Path) -> None:
        self._stack = stack
        self._path = path

    async def serve(self, dress: tuple[str, str]) -> DressedServer:
        return await self._stack.enter_async_context(serve_dress(load_dress(*dress)))

    async def examine(
        self, *engines: Settings, models: list[Settings] | None = None, **subject: Any
    ) -> list[Finding]:
        sections: Settings = {"engines": [{"name": "main", **engine} for engine in engines]}
        if models:
            sections["models"] = models
        doctors = make_subject(self._path, engine={}, **sections, **subject)
        return await check_engines(doctors)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        yield Bench(stack, tmp_path)


def get_model(server: DressedServer) -> str:
    name: str = msgspec.json.decode(server.pages["/v1/models"].body)["data"][0]["id"]
    return name


async def test_a_good_engine_has_nothing_to_mend(bench: Bench) -> None:
    server = await bench.serve(VLLM)
    findings = await bench.examine({"url": server.url, "slots": 8})
    assert not get_bad(findings)
    assert findings[0].level is Level.OK
    assert findings[0].found == f"vLLM 0.32.0 at {server.url}"


async def test_nobody_at_the_url(bench: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = f"http://127.0.0.1:{gone.getsockname()[1]}"
    (finding,) = await bench.examine({"url": url})
    assert (finding.check, finding.level) == (CHECK, Level.ERROR)
    assert f"nothing listens at {url}" in finding.found
    assert f"curl -i {url}/v1/models shows" in finding.fix


async def test_something_else_at_the_url(bench: Bench) -> None:
    server = await bench.serve(VLLM)
    server.pages.clear()
    (finding,) = await bench.examine({"url": server.url})
    assert finding.level is Level.ERROR
    assert "is it the base URL" in finding.found


async def test_a_wrong_key_is_never_shown(bench: Bench) -> None:
    server = await bench.serve(SGLANG)
    server.key = "Bearer right"
    (finding,) = await bench.examine({"url": server.url, "api_key": "wrong-and-secret"})
    assert finding.level is Level.ERROR
    assert "api_key" in finding.found
    assert "wrong-and-secret" not in str(finding)


async def test_a_key_that_is_not_in_this_shell(bench: Bench) -> None:
    engine = {"url": "http://127.0.0.1:9", "api_key_env": "NO_SUCH_KEY_HERE"}
    (finding,) = await bench.examine(engine)
    assert finding.level is Level.ERROR
    assert "export NO_SUCH_KEY_HERE=" in finding.fix
    status = {"engines": [{"name": "main", "reading": {"health": "ready", "software": "vLLM"}}]}
    (finding,) = await bench.examine(engine, info=make_info(), status=status)
    assert finding.level is Level.OK
    assert "by the running node: ready vLLM" in finding.found


async def test_an_engine_that_loads_is_waited_for(bench: Bench) -> None:
    server = await bench.serve(SGLANG)
    server.pages["/health"] = Page(status=503)
    (finding,) = await bench.examine({"url": server.url, "kind": "sglang"})
    assert finding.level is Level.WARNING
    assert "warming up" in finding.found
    assert "wait" in finding.fix


@pytest.mark.parametrize(
    ("dress", "declared", "level", "words"),
    [
        (OLLAMA, "vllm", Level.ERROR, "declared as vllm, and it is ollama"),
        (VLLM, "lm-studio", Level.WARNING, "declared as lm-studio, and it is vllm"),
        (("openai", "plain"), "vllm", Level.ERROR, "none of its own pages"),
        (VLLM, "openai", Level.NOTE, "it is vllm"),
        (VLLM, "vllm", None, ""),
        (VLLM, "auto", None, ""),
    ],
)
async def test_an_engine_of_another_kind_than_declared(
    bench: Bench, dress: tuple[str, str], declared: str, level: Level | None, words: str
) -> None:
    server = await bench.serve(dress)
    findings = await bench.examine({"url": server.url, "kind": declared, "slots": 8})
    about_kind = [one for one in findings if "kind = " in one.fix]
    assert [one.level for one in about_kind] == ([] if level is None else [level])
    assert all(words in one.found for one in about_kind)


async def test_a_misspelled_model_is_found_by_the_nearest_name(bench: Bench) -> None:
    server = await bench.serve(VLLM)
    name = get_model(server)
    wrong = name[:-1] + "X"
    findings = await bench.examine(
        {"url": server.url, "slots": 8}, models=[{"id": "acme/wanted", "engine_model": wrong}]
    )
    (finding,) = get_bad(findings)
    assert finding.level is Level.ERROR
    assert wrong in finding.found
    assert finding.fix == f'engine_model = "{name}" instead of {wrong!r}'


async def test_a_model_that_no_engine_has(bench: Bench) -> None:
    servers = [await bench.serve(VLLM), await bench.serve(SGLANG)]
    engines = [
        {"name": name, "url": server.url, "slots": 8}
        for name, server in zip(("one", "two"), servers, strict=True)
    ]
    findings = await bench.examine(*engines, models=[{"id": "acme/nobody-has-it"}])
    bad = [one for one in get_bad(findings) if one.check == "models"]
    assert [one.level for one in bad] == [Level.ERROR]
    assert "acme/nobody-has-it" in bad[0].found


async def test_unknown_slots_are_assumed_and_said_so(bench: Bench) -> None:
    server = await bench.serve(VLLM)
    (finding,) = [one for one in await bench.examine({"url": server.url}) if "slots" in one.fix]
    assert finding.level is Level.NOTE
    assert "tells no slots" in finding.found


async def test_an_unknown_context_is_worth_a_note(bench: Bench) -> None:
    server = await bench.serve(("openai", "plain"))
    findings = await bench.examine({"url": server.url, "slots": 8})
    (finding,) = [one for one in findings if "context_tokens" in one.fix]
    assert finding.level is Level.NOTE
    known = await bench.examine({"url": server.url, "slots": 8, "context_tokens": 4096})
    assert not [one for one in known if "context_tokens" in one.fix]


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (Page(status=404), "--enable-metrics"),
        (Page(b"sglang:of_another_day 1\n", content_type="text/plain"), "up to date"),
    ],
)
async def test_metrics_that_are_missing_or_of_an_unknown_shape(
    bench: Bench, page: Page, words: str
) -> None:
    server = await bench.serve(SGLANG)
    server.pages["/metrics"] = page
    (finding,) = get_bad(await bench.examine({"url": server.url}))
    assert (finding.level, finding.found) == (Level.WARNING, "its load cannot be read")
    assert words in finding.fix


async def test_an_engine_that_never_tells_its_load_is_no_fault(bench: Bench) -> None:
    server = await bench.serve(OLLAMA)
    findings = await bench.examine({"url": server.url, "slots": 2, "context_tokens": 4096})
    assert not get_bad(findings)
    assert any("kind ollama tells nothing of its load" in one.found for one in findings)


async def test_a_local_engine_without_its_file(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "absent.gguf"
    (finding,) = await bench.examine({"kind": "local", "model": str(file)})
    assert finding.level is Level.ERROR
    assert str(file) in finding.found
    assert finding.fix


async def test_a_local_engine_is_seen_by_way_of_the_running_node(
    bench: Bench, tmp_path: Path
) -> None:
    file = tmp_path / "any.gguf"
    file.touch()
    status = {
        "engines": [{"name": "main", "reading": {"health": "unavailable", "detail": "it died"}}]
    }
    findings = await bench.examine(
        {"kind": "local", "model": str(file)}, info=make_info(), status=status
    )
    assert [one.level for one in findings] == [Level.OK, Level.ERROR]
    assert "it died" in findings[1].found
