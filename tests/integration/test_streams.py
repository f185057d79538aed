"""The data plane carries every answer whole, or fails it honestly: here, and over a hop.

Two or three nodes in this process, with their real peers, joined by loopback links, each in front
of a mock engine that fails as a test wishes (`mock_course`).
"""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from tests.integration.world import (
    PUBLIC,
    SLOTS,
    World,
    get_text,
    open_world,
    read_all,
    read_into,
    submit,
    wait_until,
)
from wwwserve.core.effects import RequestErrorCode
from wwwserve.core.facts import AttemptFailed, RequestFinished, WorkFinished
from wwwserve.core.sessions import Route
from wwwserve.ports.peer_handle import RequestFailed, UserRequest
from wwwserve.wire import Endpoint


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with open_world() as opened:
        yield opened


def list_finished(world: World, index: int) -> list[RequestFinished]:
    return [fact for fact in world.facts[index] if isinstance(fact, RequestFinished)]


async def test_an_answer_is_the_same_here_and_over_a_hop(world: World) -> None:
    await world.add()
    node = await world.add()
    texts = [
        get_text(await read_all(submit(node, route=route, tokens=9)))
        for route in (Route.LOCAL, Route.NETWORK)
    ]
    assert texts[0] == texts[1] != ""
    here, there = list_finished(world, 1)
    assert (here.executor, there.executor) == tuple(
        one.handle.node_id for one in reversed(world.nodes)
    )
    assert (here.completion_tokens, there.completion_tokens) == (9, 9)


async def test_a_user_who_wants_no_stream_gets_one_body(world: World) -> None:
    await world.add()
    node = await world.add()
    for route in (Route.LOCAL, Route.NETWORK):
        reply = submit(node, route=route, is_streamed=False, tokens=4)
        body = json.loads(await read_all(reply))
        assert body["object"] == "chat.completion"
        assert body["model"] == PUBLIC
        assert body["usage"]["completion_tokens"] == 4
        assert reply.info.usage is not None
        assert reply.info.usage.completion_tokens == 4


async def test_a_user_who_leaves_the_choice_open_learns_which_model_it_was(world: World) -> None:
    await world.add()
    node = await world.add()
    for route in (Route.LOCAL, Route.NETWORK):
        reply = submit(node, route=route, public_model="", tokens=2)
        assert b'"model":"local/mock-model"' in await read_all(reply)


async def test_our_own_fields_and_the_users_name_never_reach_an_engine(world: World) -> None:
    await world.add()
    node = await world.add()
    reply = submit(node, route=Route.NETWORK, is_streamed=False, tokens=1)
    body = (await read_all(reply)).decode()
    assert "x-wwwserve-route" not in body, "the mock repeats every field it does not know"


@pytest.mark.parametrize("failure", ["before", "status:500", "drop", "garbage", "error_event"])
async def test_a_failure_before_the_first_word_is_made_good_elsewhere(
    world: World, failure: str
) -> None:
    # The first node's engine fails every request, the second's none.
    await world.add(fail=failure)
    await world.add()
    node = world.nodes[0]
    assert get_text(await read_all(submit(node, tokens=3))) != ""
    (finished,) = list_finished(world, 0)
    assert finished.error == ""
    assert finished.executor == world.nodes[1].handle.node_id
    assert any(isinstance(fact, AttemptFailed) for fact in world.facts[0])


async def test_a_failure_within_the_answer_is_told_and_never_passed_off_as_an_end(
    world: World,
) -> None:
    await world.add()
    node = await world.add()
    for route in (Route.LOCAL, Route.NETWORK):
        reply = submit(node, route=route, tokens=9, fail="after:3")
        got: list[bytes] = []
        with pytest.raises(RequestFailed) as caught:
            await read_into(got, reply)
        assert caught.value.code is RequestErrorCode.FAILED
        assert b"[DONE]" not in b"".join(got)
        assert b"".join(got).count(b'"content"') >= 3


async def test_what_the_engine_rejects_reaches_the_user_in_its_words(world: World) -> None:
    await world.add()
    node = await world.add()
    for route in (Route.LOCAL, Route.NETWORK):
        reply = submit(node, route=route, fail="status:422")
        with pytest.raises(RequestFailed) as caught:
            await reply.read()
        assert caught.value.code is RequestErrorCode.REJECTED
        assert caught.value.status == 422
        assert json.loads(caught.value.body)["error"]["message"]
        assert reply.info.attempts == 1, "nobody else is bothered with a wrong request"


async def test_a_body_that_cannot_be_read_ends_its_own_request_and_nothing_else(
    world: World,
) -> None:
    # Nested so deep that whether a decoder can read it depends on where it is called from.
    await world.add()
    node = await world.add()
    for route in (Route.LOCAL, Route.NETWORK):
        reply = node.handle.submit(
            UserRequest(
                endpoint=Endpoint.CHAT,
                models=node.handle.find_models("mock-model").models,
                public_model=PUBLIC,
                body=b'{"deep": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
                prompt_tokens=5,
                route=route,
            )
        )
        with pytest.raises(RequestFailed) as caught:
            await reply.read()
        assert caught.value.code is RequestErrorCode.REJECTED
        assert get_text(await read_all(submit(node, route=route, tokens=3))) != ""


async def test_a_user_who_leaves_frees_both_nodes(world: World) -> None:
    await world.add()
    node = await world.add()
    reply = submit(node, route=Route.NETWORK, tokens=10_000, pace_us=5_000)
    await reply.read()
    assert world.engines[0].counts.running == 1
    reply.cancel()
    reply.cancel()
    executor, engine = world.nodes[0], world.engines[0]
    async with asyncio.timeout(1):
        await wait_until(lambda: not engine.counts.running and not executor.carrier.works.count)
    assert node.carrier.replies.count == 0
    (finished,) = list_finished(world, 1)
    assert finished.error == RequestErrorCode.CANCELLED.value
    with pytest.raises(RequestFailed):
        await reply.read()


async def test_a_user_who_stops_reading_counts_as_gone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wwwserve.node.streams.reply.READER_WAIT_US", 50_000)
    await world.add()
    node = await world.add()
    for route in (Route.LOCAL, Route.NETWORK):
        reply = submit(node, route=route, tokens=100_000)
        await reply.read()
        await wait_until(lambda: not any(engine.counts.running for engine in world.engines))
        with pytest.raises(RequestFailed):
            await read_all(reply)
        slow = submit(node, route=route, first_token_us=300_000, tokens=2)
        assert get_text(await read_all(slow)) != "", "whoever waits for the engine is reading"


async def test_a_lost_link_before_the_first_word_is_made_good_elsewhere(world: World) -> None:
    await world.add(first_token_us=60_000_000)
    node = await world.add()
    reply = submit(node, route=Route.NETWORK)
    reading = asyncio.create_task(read_all(reply))
    await wait_until(lambda: world.engines[0].counts.running > 0)
    await world.add()
    await world.nodes[0].carrier.links.transport.close()
    assert get_text(await reading) != ""
    assert reply.info.executor == world.nodes[2].handle.node_id


async def test_requests_wait_their_turn_and_none_is_lost_when_all_are_busy(world: World) -> None:
    await world.add(pace_us=2_000, tokens=5)
    node = await world.add(pace_us=2_000, tokens=5)
    replies = [submit(node) for _ in range(10 * SLOTS)]
    answers = await asyncio.gather(*(read_all(reply) for reply in replies))
    assert all(get_text(answer) for answer in answers)
    assert {reply.info.executor for reply in replies} == {one.handle.node_id for one in world.nodes}
    assert all(engine.counts.cancelled == 0 for engine in world.engines)
    works = [fact for fact in world.facts[0] if isinstance(fact, WorkFinished)]
    assert works
    assert all(work.error == "" for work in works)


async def test_embeddings_come_whole_from_wherever_they_are_made(world: World) -> None:
    await world.add()
    node = await world.add()
    found = node.handle.find_models("mock-model")
    for route in (Route.LOCAL, Route.NETWORK):
        reply = node.handle.submit(
            UserRequest(
                endpoint=Endpoint.EMBEDDINGS,
                models=found.models,
                public_model=PUBLIC,
                body=json.dumps({"model": PUBLIC, "input": ["one", "two"]}).encode(),
                prompt_tokens=2,
                route=route,
            )
        )
        body = json.loads(await read_all(reply))
        assert len(body["data"]) == 2
        assert body["model"] == PUBLIC
