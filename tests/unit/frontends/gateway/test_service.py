"""What reaches the peer, and what a key's holder, a stranger or a slow reader gets, over real HTTP.

A gateway on a free port in front of a pretend peer; requests come from a plain HTTP client, so that
headers and bytes can be chosen freely.
"""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import msgspec
import pytest

from tests.fakes.peer_handle import ALIAS, MODEL, NODE, FakePeerHandle
from wwwserve.core.effects import RequestErrorCode
from wwwserve.core.sessions import Route
from wwwserve.frontends.gateway import start_gateway
from wwwserve.ports.keys import KeyRules
from wwwserve.ports.peer_handle import RequestFailed
from wwwserve.values.ids import node_text
from wwwserve.wire import Endpoint

CHAT = "/v1/chat/completions"
Json = dict[str, object]


class Keys:
    """A key ring whose keys are the names of their rules."""

    def __init__(self) -> None:
        self.rules = {
            "free": KeyRules(name="free"),
            "echo-only": KeyRules(name="echo-only", models=("Echo",)),
            "other-only": KeyRules(name="other-only", models=("acme/other",), priority=2),
            "one": KeyRules(name="one", concurrent_max=1, priority=3, key_id="0f1e"),
            "tokens": KeyRules(name="tokens", tokens_per_minute_max=100),
        }
        self.lets_all_in = False

    def find(self, key: str) -> KeyRules | None:
        return self.rules.get(key)

    def is_open(self) -> bool:
        return self.lets_all_in


@pytest.fixture
def handle() -> FakePeerHandle:
    return FakePeerHandle()


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.fixture
async def session(handle: FakePeerHandle, keys: Keys) -> AsyncIterator[aiohttp.ClientSession]:
    gateway = await start_gateway(handle, keys)
    async with aiohttp.ClientSession(gateway.url) as session:
        yield session
    await gateway.close()


def body(**fields: object) -> Json:
    return {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]} | fields


async def ask(
    session: aiohttp.ClientSession, content: Json, *, key: str = "free", **headers: str
) -> tuple[int, Json, aiohttp.typedefs.LooseHeaders]:
    sent = {"authorization": f"Bearer {key}"} if key else {}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    async with session.post(CHAT, json=content, headers=sent) as response:
        return response.status, msgspec.json.decode(await response.read()), response.headers


async def test_the_peer_gets_the_request_as_its_user_meant_it(
    session: aiohttp.ClientSession, handle: FakePeerHandle
) -> None:
    content = body(model=ALIAS, max_tokens=9, tools=[{"type": "function"}], unknown=[1.5])
    headers = {
        "x_wwwserve_route": "network",
        "x_wwwserve_deadline_ms": "250",
        "x_wwwserve_executors": node_text(NODE),
        "x_wwwserve_seed": "11",
    }
    status, _, _ = await ask(session, content, key="one", **headers)
    assert status == 200
    (request,) = handle.requests
    assert (request.endpoint, request.models) == (Endpoint.CHAT, (MODEL,))
    assert (request.public_model, request.priority, request.needs) == (ALIAS, 3, ())
    assert request.client == "0f1e"
    assert (request.route, request.deadline_us) == (Route.NETWORK, 250_000)
    assert request.allowed_executors == (NODE,)
    assert (request.completion_tokens_max, request.is_streamed) == (9, False)
    assert request.prompt_tokens > 0
    assert request.prefixes == (), "too short to be worth a hash"
    assert msgspec.json.decode(request.body) == content | {"seed": 11}


def talk(*texts: str) -> Json:
    roles = ("user", "assistant")
    turns = [{"role": roles[index % 2], "content": text} for index, text in enumerate(texts)]
    return body(messages=[{"role": "system", "content": "s" * 2_000}, *turns])


async def test_turns_of_a_conversation_share_hashes_that_others_cannot_make(
    session: aiohttp.ClientSession, handle: FakePeerHandle, keys: Keys
) -> None:
    await ask(session, talk("u" * 3_000))
    await ask(session, talk("u" * 3_000, "a" * 1_500, "more"))
    first, second = (request.prefixes for request in handle.requests)
    assert second[: len(first)] == first
    assert 0 < len(first) < len(second)
    elsewhere = FakePeerHandle()
    other = await start_gateway(elsewhere, keys)
    async with aiohttp.ClientSession(other.url) as others:
        await ask(others, talk("u" * 3_000))
    await other.close()
    assert len(elsewhere.requests[0].prefixes) == len(first)
    assert not set(elsewhere.requests[0].prefixes) & set(first)


async def test_a_private_request_leaves_no_hashes(
    session: aiohttp.ClientSession, handle: FakePeerHandle
) -> None:
    await ask(session, talk("u" * 3_000), x_wwwserve_private="true")
    handle.is_private_unsaid = True
    await ask(session, talk("u" * 3_000))
    for request in handle.requests:
        assert request.is_private
        assert request.prefixes == ()


@pytest.mark.parametrize(
    ("key", "model", "status"),
    [
        ("free", "auto", 200),
        ("echo-only", MODEL, 403),
        ("echo-only", ALIAS, 200),
        ("other-only", MODEL, 403),
        ("other-only", "auto", 403),
        ("free", "nobody/nothing", 404),
    ],
)
async def test_a_key_gets_its_models_only(
    session: aiohttp.ClientSession, handle: FakePeerHandle, key: str, model: str, status: int
) -> None:
    found, answer, _ = await ask(session, body(model=model), key=key)
    assert found == status
    assert len(handle.requests) == (status == 200)
    if status == 404:
        assert MODEL in str(answer["error"]), "it says what would work"


async def test_a_key_sees_its_models_only(session: aiohttp.ClientSession) -> None:
    async def list_ids(key: str) -> list[object]:
        headers = {"authorization": f"Bearer {key}"}
        async with session.get("/v1/models", headers=headers) as response:
            listed = msgspec.json.decode(await response.read())
        return [entry["id"] for entry in listed["data"]]

    assert await list_ids("free") == [MODEL, ALIAS]
    assert await list_ids("other-only") == []


async def test_what_runs_at_once_is_bounded_for_each_key(
    session: aiohttp.ClientSession, handle: FakePeerHandle
) -> None:
    release = asyncio.Event()
    handle.script = lambda _: [release, b"{}"]
    first = asyncio.create_task(ask(session, body(), key="one"))
    await handle.asked.wait()
    assert (await ask(session, body(), key="one"))[0] == 429
    release.set()
    assert (await first)[0] == 200
    assert (await ask(session, body(), key="one"))[0] == 200


async def test_tokens_of_a_request_that_came_to_nothing_are_given_back(
    session: aiohttp.ClientSession, handle: FakePeerHandle
) -> None:
    good = handle.script
    handle.script = lambda _: [RequestFailed(RequestErrorCode.FAILED, "died")]
    assert (await ask(session, body(max_tokens=90), key="tokens"))[0] == 502
    handle.script = good
    status, _, headers = await ask(session, body(max_tokens=90), key="tokens")
    assert status == 200
    assert int(headers["x-ratelimit-remaining-tokens"]) < 10  # type: ignore[index]
    assert (await ask(session, body(max_tokens=50), key="tokens"))[0] == 200, "8 were really used"


async def test_an_open_gateway_takes_anybody_who_calls_this_machine(
    session: aiohttp.ClientSession, keys: Keys
) -> None:
    keys.lets_all_in = True
    assert (await ask(session, body(), key=""))[0] == 200
    assert (await ask(session, body(), key="whatever"))[0] == 200
    assert (await ask(session, body(), key="", host="evil.example"))[0] == 403
    assert (await ask(session, body(), key="free", host="my.node.example"))[0] == 200


async def test_without_a_key_nothing_is_told(session: aiohttp.ClientSession) -> None:
    status, answer, headers = await ask(session, body(), key="")
    assert (status, answer["error"]["code"]) == (401, "invalid_api_key")  # type: ignore[index]
    assert headers["www-authenticate"] == "Bearer"  # type: ignore[index]


async def test_a_failure_before_the_first_byte_of_a_stream_has_its_status(
    session: aiohttp.ClientSession, handle: FakePeerHandle
) -> None:
    handle.script = lambda _: [RequestFailed(RequestErrorCode.DEADLINE, "too late")]
    status, answer, headers = await ask(session, body(stream=True))
    assert (status, answer["error"]["message"]) == (504, "too late")  # type: ignore[index]
    assert str(headers["x-wwwserve-request-id"]).startswith("req-")  # type: ignore[index]


@pytest.mark.parametrize("is_streamed", [True, False])
async def test_an_answer_without_a_byte_is_a_failure(
    session: aiohttp.ClientSession,
    handle: FakePeerHandle,
    is_streamed: bool,  # noqa: FBT001 - a parameter
) -> None:
    handle.script = lambda _: []
    assert (await ask(session, body(stream=is_streamed)))[0] == 502


async def test_a_reader_that_does_not_read_is_not_written_for(
    session: aiohttp.ClientSession, handle: FakePeerHandle
) -> None:
    event = b"data: " + b"x" * 65_536 + b"\n\n"
    handle.script = lambda _: [event] * 10_000
    headers = {"authorization": "Bearer free"}
    async with session.post(CHAT, json=body(stream=True), headers=headers) as response:
        await response.content.readany()
        # The reader has stopped: however often the gateway has its turn, full buffers hold it.
        for _ in range(2_000):
            await asyncio.sleep(0)
        assert len(handle.replies[0].steps) > 5_000
    async with asyncio.timeout(20):
        await handle.replies[0].cancelled.wait()


async def test_a_page_of_another_origin_is_given_nothing(session: aiohttp.ClientSession) -> None:
    headers = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    async with session.options(CHAT, headers=headers) as response:
        assert response.status == 204
        assert not any(name.lower().startswith("access-control") for name in response.headers)
