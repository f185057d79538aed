"""The official `openai` client works against a gateway unchanged, and raises what it should.

A real gateway listens on a real socket in front of a pretend peer. Tests that only need a working
node take `target`, so that the same suite can be pointed at any other base URL.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import openai
import pytest
from openai.types.chat import ChatCompletionChunk

from tests.fakes.peer_handle import ALIAS, MODEL, FakePeerHandle
from wwwserve.core.effects import RequestErrorCode
from wwwserve.frontends.gateway import start_gateway
from wwwserve.node.streams.transcript import open_reply_transcript
from wwwserve.ports.keys import KeyRules
from wwwserve.ports.peer_handle import RequestFailed, UserRequest
from wwwserve.values.limits import BODY_BYTES_MAX
from wwwserve.wire import Endpoint

MESSAGES: list[dict[str, str]] = [{"role": "user", "content": "Say hello."}]
GOOD_KEY = "sk-www-good"
SLOW_KEY = "sk-www-slow"


@dataclass(frozen=True)
class Target:
    """A gateway to test: where it is, a key it takes, and a model it serves under two names."""

    base_url: str
    api_key: str
    model: str
    alias: str


class FewKeys:
    """A key ring of two keys, the second of which may ask once a minute."""

    def find(self, key: str) -> KeyRules | None:
        rules = {
            GOOD_KEY: KeyRules(name="good"),
            SLOW_KEY: KeyRules(name="slow", requests_per_minute_max=1),
        }
        return rules.get(key)

    def is_open(self) -> bool:
        return False


@pytest.fixture
def handle() -> FakePeerHandle:
    return FakePeerHandle()


@pytest.fixture
async def target(handle: FakePeerHandle) -> AsyncIterator[Target]:
    gateway = await start_gateway(handle, FewKeys())
    yield Target(f"{gateway.url}/v1", GOOD_KEY, MODEL, ALIAS)
    await gateway.close()


@pytest.fixture
async def client(target: Target) -> AsyncIterator[openai.AsyncOpenAI]:
    async with make_client(target) as client:
        yield client


def make_client(target: Target, api_key: str = "") -> openai.AsyncOpenAI:
    key = api_key or target.api_key
    return openai.AsyncOpenAI(base_url=target.base_url, api_key=key, max_retries=0)


async def test_a_chat_is_answered(client: openai.AsyncOpenAI, target: Target) -> None:
    answer = await client.chat.completions.create(
        model=target.model, messages=[{"role": "user", "content": "Hello"}], max_tokens=16
    )
    assert answer.object == "chat.completion"
    assert answer.model == target.model
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content
    assert answer.usage is not None
    assert answer.usage.completion_tokens > 0


async def test_a_chat_is_streamed(client: openai.AsyncOpenAI, target: Target) -> None:
    stream = await client.chat.completions.create(
        model=target.alias,
        messages=[{"role": "user", "content": "Hello"}],
        max_tokens=16,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    assert deltas[0].role == "assistant"
    assert "".join(delta.content or "" for delta in deltas)
    assert {chunk.model for chunk in chunks} == {target.alias}
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0


async def test_usage_is_not_streamed_unasked(client: openai.AsyncOpenAI, target: Target) -> None:
    stream = await client.chat.completions.create(
        model=target.model,
        messages=[{"role": "user", "content": "Hello"}],
        max_tokens=16,
        stream=True,
    )
    assert all([not chunk.usage and chunk.choices async for chunk in stream])


async def test_the_clients_own_stream_reader_is_content(
    client: openai.AsyncOpenAI, target: Target
) -> None:
    async with client.chat.completions.stream(
        model=target.model, messages=[{"role": "user", "content": "Hello"}], max_tokens=16
    ) as stream:
        async for _ in stream:
            pass
        answer = await stream.get_final_completion()
    assert answer.choices[0].message.content


async def test_a_text_is_completed(client: openai.AsyncOpenAI, target: Target) -> None:
    answer = await client.completions.create(model=target.model, prompt="Once", max_tokens=8)
    assert answer.object == "text_completion"
    assert answer.choices[0].text
    stream = await client.completions.create(
        model=target.model, prompt="Once", max_tokens=8, stream=True
    )
    assert "".join([chunk.choices[0].text async for chunk in stream])


async def test_the_blocking_client_works(target: Target) -> None:
    def ask() -> tuple[str | None, str]:
        with openai.OpenAI(base_url=target.base_url, api_key=target.api_key) as client:
            answer = client.chat.completions.create(
                model=target.model, messages=[{"role": "user", "content": "Hi"}], max_tokens=8
            )
            stream = client.chat.completions.create(
                model=target.model,
                messages=[{"role": "user", "content": "Hi"}],
                max_tokens=8,
                stream=True,
            )
            text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
            return answer.choices[0].message.content, text

    whole, streamed = await asyncio.to_thread(ask)
    assert whole
    assert streamed


async def test_models_are_listed_and_found(client: openai.AsyncOpenAI, target: Target) -> None:
    listed = {model.id: model.owned_by async for model in client.models.list()}
    assert {target.model, target.alias} <= set(listed)
    assert listed[target.model] == target.model.partition("/")[0]
    assert (await client.models.retrieve(target.model)).id == target.model
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("nobody/nothing")


async def test_what_happened_is_in_the_headers(client: openai.AsyncOpenAI, target: Target) -> None:
    answer = await client.chat.completions.with_raw_response.create(
        model=target.model, messages=[{"role": "user", "content": "Hi"}], max_tokens=8
    )
    assert answer.headers["x-wwwserve-request-id"].startswith("req-")
    assert answer.headers["x-wwwserve-route"] in ("local", "network")
    assert len(answer.headers["x-wwwserve-executor"]) == 8
    assert int(answer.headers["x-wwwserve-queue-ms"]) >= 0


async def test_a_wrong_key_is_an_authentication_error(target: Target) -> None:
    async with make_client(target, "sk-www-wrong") as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            await client.models.list()
        assert caught.value.code == "invalid_api_key"
        with pytest.raises(openai.AuthenticationError):
            await client.chat.completions.create(
                model=target.model, messages=[{"role": "user", "content": "Hi"}]
            )


async def test_an_unknown_model_is_a_not_found_error(
    client: openai.AsyncOpenAI, target: Target
) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        await client.chat.completions.create(
            model="nobody/nothing", messages=[{"role": "user", "content": "Hi"}]
        )
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


async def test_a_bad_body_is_a_bad_request_error(
    client: openai.AsyncOpenAI, target: Target
) -> None:
    with pytest.raises(openai.BadRequestError, match="messages") as caught:
        await client.chat.completions.create(model=target.model, messages=[])
    assert caught.value.param == "messages"
    with pytest.raises(openai.BadRequestError, match="role") as caught:
        await client.chat.completions.create(
            model=target.model,
            messages=[{"content": "Hi"}],  # type: ignore[list-item]
        )
    assert caught.value.param == "messages[0].role"


async def test_a_large_body_is_told_its_size(client: openai.AsyncOpenAI, target: Target) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        await client.chat.completions.create(
            model=target.model, messages=[{"role": "user", "content": "x" * BODY_BYTES_MAX}]
        )
    assert caught.value.status_code == 413


async def test_one_request_too_many_is_a_rate_limit_error(target: Target) -> None:
    async with make_client(target, SLOW_KEY) as client:
        answer = await client.chat.completions.with_raw_response.create(
            model=target.model, messages=[{"role": "user", "content": "Hi"}]
        )
        assert answer.headers["x-ratelimit-limit-requests"] == "1"
        assert answer.headers["x-ratelimit-remaining-requests"] == "0"
        with pytest.raises(openai.RateLimitError) as caught:
            await client.chat.completions.create(
                model=target.model, messages=[{"role": "user", "content": "Hi"}]
            )
    assert int(caught.value.response.headers["retry-after"]) > 0


async def test_unknown_fields_pass_both_ways(
    client: openai.AsyncOpenAI, target: Target, handle: FakePeerHandle
) -> None:
    answer = await client.chat.completions.create(
        model=target.model,
        messages=[{"role": "user", "content": "Hi"}],
        extra_body={"guided_choice": ["a", "b"], "x-wwwserve-route": "local"},
    )
    assert answer.model_extra == {"unknown_to_clients": {"deep": [1]}}
    body = handle.requests[-1].body
    assert b'"guided_choice":["a","b"]' in body
    assert b"x-wwwserve" not in body


async def test_embeddings_are_answered(client: openai.AsyncOpenAI, target: Target) -> None:
    answer = await client.embeddings.create(
        model=target.model, input=["Hello"], encoding_format="float"
    )
    assert answer.data[0].embedding == [0.25, -0.5]


async def test_a_busy_network_is_a_server_error_that_says_when(
    client: openai.AsyncOpenAI, target: Target, handle: FakePeerHandle
) -> None:
    def refuse(request: UserRequest) -> list[bytes]:
        raise RequestFailed(RequestErrorCode.QUEUE_FULL, "1000 wait here", retry_after_us=2_500_000)

    handle.script = refuse
    with pytest.raises(openai.InternalServerError) as caught:
        await client.chat.completions.create(
            model=target.model, messages=[{"role": "user", "content": "Hi"}]
        )
    assert caught.value.status_code == 503
    assert caught.value.response.headers["retry-after"] == "3"


async def test_an_engines_own_refusal_is_a_bad_request_error(
    client: openai.AsyncOpenAI, target: Target, handle: FakePeerHandle
) -> None:
    body = b'{"error":{"message":"bad grammar","type":"invalid_request_error","code":400}}'
    failed = RequestFailed(RequestErrorCode.REJECTED, "400", status=400, body=body)
    handle.script = lambda _: [failed]
    with pytest.raises(openai.BadRequestError, match="bad grammar"):
        await client.chat.completions.create(
            model=target.model, messages=[{"role": "user", "content": "Hi"}]
        )


async def test_a_stream_that_breaks_raises_and_does_not_end_well(
    client: openai.AsyncOpenAI, target: Target, handle: FakePeerHandle
) -> None:
    chunk = b'data: {"choices":[{"index":0,"delta":{"content":"Hel"}}]}\n\n'
    handle.script = lambda _: [chunk, RequestFailed(RequestErrorCode.FAILED, "the executor died")]
    stream = await client.chat.completions.create(
        model=target.model, messages=[{"role": "user", "content": "Hi"}], stream=True
    )
    words: list[str | None] = []
    with pytest.raises(openai.APIError, match="the executor died"):
        await collect(stream, words)
    assert words == ["Hel"]


async def collect(stream: openai.AsyncStream[ChatCompletionChunk], words: list[str | None]) -> None:
    async for part in stream:
        words.append(part.choices[0].delta.content)  # noqa: PERF401 - a failure keeps what came


@pytest.mark.parametrize("steps_before", [0, 1])
async def test_a_client_that_leaves_stops_the_work(
    client: openai.AsyncOpenAI, target: Target, handle: FakePeerHandle, steps_before: int
) -> None:
    chunk = b'data: {"choices":[{"index":0,"delta":{"content":"Hel"}}]}\n\n'
    handle.script = lambda _: [*[chunk] * steps_before, asyncio.Event()]

    async def ask() -> None:
        stream = await client.chat.completions.create(
            model=target.model, messages=[{"role": "user", "content": "Hi"}], stream=True
        )
        async for _ in stream:
            started.set()

    started = asyncio.Event()
    asking = asyncio.create_task(ask())
    async with asyncio.timeout(10):
        await handle.asked.wait()
        if steps_before:
            await started.wait()
        asking.cancel()
        await handle.replies[0].cancelled.wait()
    assert handle.replies[0].is_cancelled


async def test_what_an_answer_cost_is_in_its_header(
    client: openai.AsyncOpenAI, target: Target, handle: FakePeerHandle
) -> None:
    handle.cost = 1_070_000
    answer = await client.chat.completions.with_raw_response.create(
        model=target.model, messages=[{"role": "user", "content": "Hello"}]
    )
    assert answer.headers["x-wwwserve-cost"] == "1.07"
    handle.cost = None
    answer = await client.chat.completions.with_raw_response.create(
        model=target.model, messages=[{"role": "user", "content": "Hello"}]
    )
    assert "x-wwwserve-cost" not in answer.headers, "where nothing is ever paid"


async def test_the_client_skips_the_comment_that_says_what_a_stream_cost(
    client: openai.AsyncOpenAI, target: Target, handle: FakePeerHandle
) -> None:
    # [REQUESTS-PAID.16]
    asked = UserRequest(Endpoint.CHAT, (MODEL,), MODEL, b"", 5, is_streamed=True, shows_usage=True)
    transcript = open_reply_transcript(asked, MODEL, shows_cost=True)
    usage = b'{"prompt_tokens":5,"completion_tokens":1,"total_tokens":6}'
    head = b'{"id":"1","object":"chat.completion.chunk","created":1,"model":"x","choices":['
    word = head + b'{"index":0,"delta":{"content":"Hello"}}]}'
    pieces = [
        transcript.feed(b"data: " + word + b"\n\n"),
        transcript.feed(b"data: " + head + b'],"usage":' + usage + b"}\n\ndata: [DONE]\n\n"),
    ]
    pieces.append(transcript.show_cost(transcript.finish(), 107))
    assert b"\n\n: x-wwwserve-cost 0.000107\n\ndata: [DONE]" in b"".join(pieces)
    handle.script = lambda _: [piece for piece in pieces if piece]
    stream = await client.chat.completions.create(
        model=target.model,
        messages=[{"role": "user", "content": "Hello"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = [chunk async for chunk in stream]
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Hello"
    told = chunks[-1].usage
    assert told is not None
    assert told.completion_tokens == 1
    assert told.model_extra == {"x-wwwserve-cost": 0.000107}


async def test_a_request_may_say_what_it_may_cost(
    client: openai.AsyncOpenAI, target: Target, handle: FakePeerHandle
) -> None:
    await client.chat.completions.create(
        model=target.model,
        messages=[{"role": "user", "content": "Hello"}],
        extra_body={"x-wwwserve-max-cost": 0.25},
        extra_headers={"x-wwwserve-max-price": "2667"},
    )
    assert handle.requests[-1].cost_max == 250_000
    assert handle.requests[-1].price_max == 2_667_000_000
