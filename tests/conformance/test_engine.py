"""Every adapter of the engine port keeps the port's promises.

One suite for every kind of engine: a mock behind the generic adapter, the same mock in the pages of
each kind behind that kind's adapter, an emulated GPU, and the real local engine with a real model.
What only a mock can be asked to do (fail at a chosen point) is checked on all mocks.
"""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import msgspec
import pytest
import pytest_asyncio

from tests.engine_subjects import (
    KINDS,
    EmulatedSubject,
    MockSubject,
    Subject,
    ask,
    open_gpu,
    open_kind,
    open_local,
    open_mock,
    read_all,
    read_failure,
    wait_for,
    wait_for_running,
)
from tests.fakes.engines.dresses import LOAD_METRICS
from wwwserve.adapters.engines import (
    EngineSettings,
    MockEngineServer,
    MockSettings,
    open_http_engine,
)
from wwwserve.core.engines import EngineHealth
from wwwserve.ports.engine import EngineFailure, EngineRequest
from wwwserve.values.refusals import FailureKind
from wwwserve.wire import Endpoint

pytestmark = pytest.mark.asyncio(loop_scope="module")

STOP_SECONDS = 1.0
"""product.md: a client that leaves stops its engine within a second."""
CAPABILITIES = frozenset(
    ("chat", "completions", "embeddings", "tools", "vision", "logprobs", "continuation")
)


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    params=[*KINDS, "emulated", pytest.param("local", marks=pytest.mark.slow)],
)
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    openers = {"local": open_local, "emulated": open_gpu}
    opened = await openers.get(request.param, partial(open_kind, request.param))()
    yield opened
    await opened.engine.close()
    if isinstance(opened, MockSubject | EmulatedSubject):
        await opened.server.__aexit__(None, None, None)


@pytest_asyncio.fixture(loop_scope="module", params=KINDS)
async def mock(request: pytest.FixtureRequest) -> AsyncIterator[MockSubject]:
    opened = await open_kind(request.param)
    yield opened
    await opened.engine.close()
    await opened.server.__aexit__(None, None, None)


# -- what every engine promises --------------------------------------------------------------------


async def test_a_ready_engine_tells_its_models_and_admits_what_it_cannot_know(
    subject: Subject,
) -> None:
    reading = await subject.engine.read_state()
    assert reading.health is EngineHealth.READY, reading.detail
    assert [model for model in reading.models if model.name and model.context_tokens]
    for told in (reading.capabilities, *(model.capabilities for model in reading.models)):
        assert set(told) <= CAPABILITIES
        assert not told or "embeddings" in told or {"chat", "completions"} <= set(told)
    assert reading.software


async def test_a_streamed_answer_comes_whole_and_then_none(subject: Subject) -> None:
    run = subject.engine.start(ask(max_tokens=3))
    body = b""
    while (piece := await run.read()) is not None:
        body += piece
    assert await run.read() is None
    await run.stop()
    events = [event for event in body.split(b"\n\n") if event]
    assert all(event.startswith(b"data: {") for event in events[:-1])
    assert events[-1] == b"data: [DONE]"


async def test_completions_and_embeddings_have_their_own_paths(subject: Subject) -> None:
    text = ask(Endpoint.COMPLETIONS, prompt="One two three", max_tokens=2)
    assert b"[DONE]" in await read_all(subject.engine.start(text))
    vectors = EngineRequest(Endpoint.EMBEDDINGS, b'{"model": "any", "input": ["sea", "land"]}')
    answer = msgspec.json.decode(await read_all(subject.engine.start(vectors)))
    assert [entry["index"] for entry in answer["data"]] == [0, 1]


async def test_requests_run_side_by_side(subject: Subject) -> None:
    runs = [subject.engine.start(ask(max_tokens=4)) for _ in range(3)]
    bodies = await asyncio.gather(*(read_all(run) for run in runs))
    assert all(body.endswith(b"data: [DONE]\n\n") for body in bodies)


async def test_stop_frees_the_engine_within_a_second(subject: Subject) -> None:
    run = subject.engine.start(
        ask(max_tokens=900, ignore_eos=True, mock={"tokens": 900, "pace_us": 50_000})
    )
    assert await run.read()
    await wait_for_running(subject, 1)
    await run.stop()
    async with asyncio.timeout(STOP_SECONDS):
        await wait_for_running(subject, 0)
    await run.stop()


async def test_stop_wakes_a_reader_and_ends_the_run(subject: Subject) -> None:
    run = subject.engine.start(ask(max_tokens=900, ignore_eos=True, mock={"fail": "hang"}))
    reading = asyncio.create_task(read_all(run))
    await wait_for_running(subject, 1)
    await run.stop()
    with pytest.raises(EngineFailure) as caught:
        await reading
    assert caught.value.kind is FailureKind.CANCELLED
    async with asyncio.timeout(STOP_SECONDS):
        await wait_for_running(subject, 0)


async def test_a_cancelled_reader_stays_cancelled(subject: Subject) -> None:
    run = subject.engine.start(ask(max_tokens=900, ignore_eos=True, mock={"fail": "hang"}))
    reading = asyncio.create_task(read_all(run))
    await wait_for_running(subject, 1)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    async with asyncio.timeout(STOP_SECONDS):
        await wait_for_running(subject, 0)


async def test_a_run_that_was_never_read_stops_and_never_starts(subject: Subject) -> None:
    run = subject.engine.start(ask())
    await run.stop()
    assert (await read_failure(run)).kind is FailureKind.CANCELLED


async def test_a_wrong_request_is_rejected_in_the_engines_own_words(subject: Subject) -> None:
    failure = await read_failure(subject.engine.start(EngineRequest(Endpoint.CHAT, b'{"model"')))
    assert failure.kind is FailureKind.REJECTED
    assert failure.status == 400
    assert b"error" in msgspec.json.encode(msgspec.json.decode(failure.body))


# -- where an engine may fail ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wish", "kind", "status"),
    [
        ("status:400", FailureKind.REJECTED, 400),
        ("status:413", FailureKind.REJECTED, 413),
        ("status:422", FailureKind.REJECTED, 422),
        ("status:401", FailureKind.UNAVAILABLE, 401),
        ("status:403", FailureKind.UNAVAILABLE, 403),
        ("status:404", FailureKind.UNAVAILABLE, 404),
        ("status:408", FailureKind.UNAVAILABLE, 408),
        ("status:409", FailureKind.UNAVAILABLE, 409),
        ("status:429", FailureKind.UNAVAILABLE, 429),
        ("status:500", FailureKind.UNAVAILABLE, 500),
        ("status:302", FailureKind.UNAVAILABLE, 302),
        ("loading", FailureKind.UNAVAILABLE, 503),
        ("before", FailureKind.UNAVAILABLE, 0),
    ],
)
async def test_before_the_first_byte_another_node_may_try_unless_the_request_is_wrong(
    mock: MockSubject, wish: str, kind: FailureKind, status: int
) -> None:
    failure = await read_failure(mock.engine.start(ask(mock={"fail": wish})))
    assert (failure.kind, failure.status) == (kind, status)
    assert bool(failure.body) == (kind is FailureKind.REJECTED)
    assert mock.server.url not in str(failure), "others read this"


async def test_details_say_whose_key_is_wrong_and_what_loads(mock: MockSubject) -> None:
    wrong_key = await read_failure(mock.engine.start(ask(mock={"fail": "status:401"})))
    assert "this node" in wrong_key.detail
    loading = await read_failure(mock.engine.start(ask(mock={"fail": "loading"})))
    assert "loading" in loading.detail


@pytest.mark.parametrize("wish", ["after:3", "drop"])
async def test_after_the_first_byte_it_is_broken_and_never_sent_again(
    mock: MockSubject, wish: str
) -> None:
    run = mock.engine.start(ask(mock={"fail": wish}))
    assert await run.read()
    assert (await read_failure(run)).kind is FailureKind.BROKEN
    assert mock.server.counts.started == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["openai", "llama-server"])
async def test_silence_is_bounded_before_and_within_an_answer(kind: str) -> None:
    mock = await open_mock(MockSettings(is_llama_server=True), kind, stall_us=500_000)
    silent = await read_failure(mock.engine.start(ask(mock={"fail": "hang"})))
    assert silent.kind is FailureKind.UNAVAILABLE
    run = mock.engine.start(ask(mock={"fail": "hang:3"}))
    assert await run.read()
    assert (await read_failure(run)).kind is FailureKind.TIMEOUT
    await mock.engine.close()
    await mock.server.__aexit__(None, None, None)


async def test_odd_bytes_and_error_events_pass_for_others_to_judge(mock: MockSubject) -> None:
    assert b"<html>" in await read_all(mock.engine.start(ask(mock={"fail": "garbage"})))
    assert b'{"error":' in await read_all(mock.engine.start(ask(mock={"fail": "error_event"})))


@pytest.mark.parametrize("kind", ["openai", "llama-server"])
async def test_a_kept_connection_that_died_costs_no_request(kind: str) -> None:
    mock = await open_mock(MockSettings(drops_reused=True, is_llama_server=True), kind)
    for _ in range(3):
        assert b"[DONE]" in await read_all(mock.engine.start(ask()))
    assert mock.server.counts.dropped == 1
    assert mock.server.counts.started == 3
    await mock.engine.close()
    await mock.server.__aexit__(None, None, None)


async def test_the_body_and_no_clients_key_reach_the_engine(mock: MockSubject) -> None:
    body = await read_all(mock.engine.start(ask(unheard_of={"deep": [1, None]})))
    assert b'"echo":{"unheard_of":{"deep":[1,null]}}' in body
    assert mock.server.counts.authorization == ""


@pytest.mark.parametrize("kind", ["openai", "llama-server"])
async def test_the_nodes_own_key_is_sent_and_a_wrong_one_is_explained(kind: str) -> None:
    settings = MockSettings(api_key="secret", is_llama_server=True)
    async with MockEngineServer(settings) as server:
        right = open_http_engine(EngineSettings("m", server.url, kind, api_key="secret"))
        wrong = open_http_engine(EngineSettings("m", server.url, kind, api_key="other"))
        assert b"[DONE]" in await read_all(right.start(ask()))
        assert (await right.read_state()).health is EngineHealth.READY
        reading = await wrong.read_state()
        assert reading.health is EngineHealth.UNAVAILABLE
        assert "api_key" in reading.detail
        await right.close()
        await wrong.close()


# -- state -----------------------------------------------------------------------------------------


async def test_state_is_read_while_every_connection_is_busy(mock: MockSubject) -> None:
    engine = open_http_engine(
        EngineSettings("m", mock.server.url, connections_max=1, connect_us=100_000)
    )
    run = engine.start(ask(mock={"fail": "hang:1"}))
    assert await run.read()
    assert (await engine.read_state()).health is EngineHealth.READY
    late = await read_failure(engine.start(ask()))
    assert late.kind is FailureKind.UNAVAILABLE
    await run.stop()
    await engine.close()


@pytest.mark.parametrize("kind", ["llama-server", *LOAD_METRICS])
async def test_load_is_read_from_the_engines_own_pages(kind: str) -> None:
    mock = await open_kind(kind)
    found_out = open_http_engine(EngineSettings("auto", mock.server.url))
    runs = [mock.engine.start(ask(mock={"fail": "hang"})) for _ in range(5)]
    reading_tasks = [asyncio.create_task(read_all(run)) for run in runs]

    async def get_waiting() -> int:
        return mock.server.counts.waiting

    await wait_for(get_waiting, 3)
    for engine in (mock.engine, found_out):
        reading = await engine.read_state()
        assert (reading.running, reading.waiting) == (2, 3)
    for run in runs:
        await run.stop()
    await asyncio.gather(*reading_tasks, return_exceptions=True)
    await found_out.close()
    await mock.engine.close()
    await mock.server.__aexit__(None, None, None)


@pytest.mark.parametrize("kind", ["openai", "ollama", "lm-studio"])
async def test_an_engine_that_does_not_tell_its_load_is_not_idle_but_unknown(kind: str) -> None:
    mock = await open_kind(kind)
    reading = await mock.engine.read_state()
    assert (reading.running, reading.waiting, reading.kv_used_permille) == (None, None, None)
    await mock.engine.close()
    await mock.server.__aexit__(None, None, None)


async def test_a_generic_engine_tells_no_abilities() -> None:
    mock = await open_kind("openai")
    reading = await mock.engine.read_state()
    assert (reading.slots, reading.capabilities) == (None, ())
    await mock.engine.close()
    await mock.server.__aexit__(None, None, None)


async def test_loading_ready_and_gone_are_told_apart() -> None:
    mock = await open_mock(MockSettings(is_loading=True, is_llama_server=True), "auto")
    assert (await mock.engine.read_state()).health is EngineHealth.LOADING
    mock.server.is_loading = False
    ready = await mock.engine.read_state()
    assert (ready.health, ready.software) == (EngineHealth.READY, "llama-server mock")
    await mock.server.__aexit__(None, None, None)
    gone = await mock.engine.read_state()
    assert gone.health is EngineHealth.UNAVAILABLE
    assert "is the engine running" in gone.detail
    refused = await read_failure(mock.engine.start(ask()))
    assert refused.kind is FailureKind.UNAVAILABLE
    await mock.engine.close()


@pytest.mark.parametrize("wish", ["hang", "hang:1"])
async def test_closing_an_engine_fails_its_running_requests(mock: MockSubject, wish: str) -> None:
    run = mock.engine.start(ask(mock={"fail": wish}))
    reading = asyncio.create_task(read_all(run))
    await wait_for_running(mock, 1)
    await mock.engine.close()
    with pytest.raises(EngineFailure) as caught:
        await reading
    assert caught.value.kind in (FailureKind.UNAVAILABLE, FailureKind.BROKEN)


async def test_a_closed_engine_is_unavailable_and_raises_nothing_else(mock: MockSubject) -> None:
    await mock.engine.close()
    assert (await mock.engine.read_state()).health is EngineHealth.UNAVAILABLE
    assert (await read_failure(mock.engine.start(ask()))).kind is FailureKind.UNAVAILABLE
