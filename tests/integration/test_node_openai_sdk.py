"""The official `openai` client works against a real node unchanged, here and over a hop.

Two node processes in front of mock engines; each test runs once with the request kept here and once
with it sent to the other node. The gateway's own suite has the rarer cases.
"""

import asyncio
import json
from collections.abc import AsyncIterator

import openai
import pytest
import pytest_asyncio
from openai.types.chat import ChatCompletionMessageParam

from tests.integration.network import LOOK_S, MODEL, RunningNode, knows, open_network, run_json
from wwwserve.values.limits import BODY_BYTES_MAX

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Say hello."}]
ROUTES = ["local", "network"]
KEY_WAIT_S = 20
"""Far above the second a node takes."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningNode]:
    async with open_network(tmp_path_factory.mktemp("network")) as network:
        await network.start_node()
        node = await network.start_node()
        await node.wait_status(knows(1))
        yield node


def connect(node: RunningNode, route: str = "auto", api_key: str = "") -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        base_url=node.base_url,
        api_key=api_key or node.api_key,
        max_retries=0,
        default_headers={"x-wwwserve-route": route},
    )


@pytest.mark.parametrize("route", ROUTES)
async def test_a_chat_whole_and_streamed_says_the_same(node: RunningNode, route: str) -> None:
    async with connect(node, route) as client:
        whole = await client.chat.completions.create(model=MODEL, messages=MESSAGES)
        stream = await client.chat.completions.create(
            model=MODEL, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content != ""
    assert chunks[-1].usage == whole.usage
    assert {chunk.model for chunk in chunks} == {whole.model} == {MODEL}


@pytest.mark.parametrize("route", ROUTES)
async def test_the_blocking_client_works(node: RunningNode, route: str) -> None:
    await asyncio.to_thread(use_blocking_client, node, route)


def use_blocking_client(node: RunningNode, route: str) -> None:
    with openai.OpenAI(
        base_url=node.base_url,
        api_key=node.api_key,
        max_retries=0,
        default_headers={"x-wwwserve-route": route},
    ) as client:
        raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=MESSAGES)
        assert raw.headers["x-wwwserve-route"] == route
        assert raw.headers["x-wwwserve-executor"]
        assert raw.parse().choices[0].finish_reason
        stream = client.completions.create(model=MODEL, prompt="Once", stream=True)
        assert "".join(chunk.choices[0].text for chunk in stream if chunk.choices)


@pytest.mark.parametrize("route", ROUTES)
async def test_embeddings_and_models(node: RunningNode, route: str) -> None:
    async with connect(node, route) as client:
        made = await client.embeddings.create(model=MODEL, input=["one", "two"])
        listed = await client.models.list()
        found = await client.models.retrieve(MODEL)
    assert len(made.data) == 2
    assert MODEL in [model.id for model in listed.data]
    assert found.id == MODEL


@pytest.mark.parametrize("route", ROUTES)
async def test_unknown_fields_pass_both_ways(node: RunningNode, route: str) -> None:
    async with connect(node, route) as client:
        answer = await client.chat.completions.create(
            model=MODEL, messages=MESSAGES, extra_body={"never_heard_of": {"deep": [1, "two"]}}
        )
    # The mock engine repeats every field it does not know.
    assert '"never_heard_of":{"deep":[1,"two"]}' in json.dumps(
        answer.model_dump(), separators=(",", ":")
    )


@pytest.mark.parametrize("route", ROUTES)
async def test_what_the_engine_refuses_is_the_users_error(node: RunningNode, route: str) -> None:
    async with connect(node, route) as client:
        with pytest.raises(openai.UnprocessableEntityError):
            await client.chat.completions.create(
                model=MODEL, messages=MESSAGES, extra_body={"mock": {"fail": "status:422"}}
            )


async def test_each_mistake_has_its_own_exception(node: RunningNode) -> None:
    large: list[ChatCompletionMessageParam] = [{"role": "user", "content": "x" * BODY_BYTES_MAX}]
    async with connect(node) as client:
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(model="no/such-model", messages=MESSAGES)
        with pytest.raises(openai.BadRequestError):
            await client.chat.completions.create(model=MODEL, messages=[])
        with pytest.raises(openai.APIStatusError) as caught:
            await client.chat.completions.create(model=MODEL, messages=large)
        assert caught.value.status_code == 413
    async with connect(node, api_key="sk-www-wrong") as client:
        with pytest.raises(openai.AuthenticationError):
            await client.models.list()


async def test_one_request_too_many_is_a_rate_limit_error(node: RunningNode) -> None:
    made = await run_json(
        "keys", "add", "slow", "--requests-per-minute", "1", "--home", str(node.home), "--json"
    )
    async with connect(node, api_key=str(made["key"])) as client:
        await wait_accepted(client)
        await client.chat.completions.create(model=MODEL, messages=MESSAGES)
        with pytest.raises(openai.RateLimitError):
            await client.chat.completions.create(model=MODEL, messages=MESSAGES)


async def wait_accepted(client: openai.AsyncOpenAI) -> None:
    """Wait until the running node has noticed a new key."""
    async with asyncio.timeout(KEY_WAIT_S):
        while True:
            try:
                await client.models.list()
            except openai.AuthenticationError:
                await asyncio.sleep(LOOK_S)
            else:
                return
