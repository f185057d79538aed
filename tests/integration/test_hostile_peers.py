"""A peer with a good key can waste its own link and its own answers, and nothing else of a node.

Real nodes of one process, and a stranger who speaks their language and says what no honest node
would. After each attack the node still serves its own users.
"""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import msgspec
import pytest

from tests.integration.stranger import MODEL, Stranger, answer, send
from tests.integration.world import World, get_text, open_world, read_all, submit, wait_until
from wwwserve.core.effects import RequestErrorCode
from wwwserve.core.facts import RequestFinished
from wwwserve.core.sessions import Route
from wwwserve.node.living import Node
from wwwserve.node.streams.offers import OFFERED_BYTES_PER_PEER_MAX, WORKS_PER_PEER_MAX
from wwwserve.ports.peer_handle import RequestFailed
from wwwserve.ports.transport import CloseReason, ResetCode, Stream, StreamEnded
from wwwserve.values.limits import BODY_BYTES_MAX, LINKS_MAX, TOKENS_MAX
from wwwserve.wire import (
    OFFER_VERSION,
    Accept,
    BodyPart,
    Endpoint,
    ExecutorFrame,
    Offer,
    Output,
    Probe,
    Progress,
    RequestSummary,
    Usage,
    encode_frame,
)

CHUNK = b'data: {"model":"m","choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
DONE = b"data: [DONE]\n\n"


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with open_world() as opened:
        yield opened


@pytest.fixture
async def node(world: World) -> Node:
    return await world.add()


@pytest.fixture
async def stranger(world: World, node: Node) -> AsyncIterator[Stranger]:
    stranger = Stranger(world)
    await stranger.meet(node)
    yield stranger
    await stranger.leave()
    assert get_text(await read_all(submit(node, route=Route.LOCAL, tokens=2))) != ""


def summarise() -> RequestSummary:

    return RequestSummary(bytes(16), Endpoint.CHAT, (MODEL,), 5, 0, 2)


@pytest.mark.parametrize("tokens", [10**60, 2**64, TOKENS_MAX])
async def test_an_executor_that_claims_endless_usage_is_believed_no_further_than_its_bytes(
    world: World, node: Node, stranger: Stranger, tokens: int
) -> None:
    claim = b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":%d}}\n\n' % tokens
    output = CHUNK + claim + DONE
    stranger.execute = partial(answer, output=output, usage=Usage(1, TOKENS_MAX))
    reply = submit(node, route=Route.NETWORK)
    assert b"Hi" in await read_all(reply)
    assert reply.info.executor == stranger.node_id
    assert reply.info.usage is not None
    assert reply.info.usage.completion_tokens <= len(output)
    (finished,) = [fact for fact in world.facts[0] if isinstance(fact, RequestFinished)]
    assert finished.completion_tokens <= len(output)
    stranger.say(Probe(1, summarise()))
    await wait_until(lambda: bool(stranger.quotes))
    assert stranger.quotes[0].decline is None, "the lie has taught the node nothing"


async def test_an_executor_that_ends_without_an_answer_is_passed_over(
    node: Node, stranger: Stranger
) -> None:
    stranger.execute = partial(answer, output=DONE, usage=Usage(1, 1))
    reply = submit(node, is_streamed=False, route=Route.NETWORK)
    with pytest.raises(RequestFailed) as caught:
        await read_all(reply)
    assert caught.value.code is not RequestErrorCode.REJECTED
    assert "no answer" in str(caught.value)


@pytest.mark.parametrize("frame", [Output(b""), Progress(1)])
async def test_an_executor_that_says_nothing_very_often_is_cut_off(
    node: Node, stranger: Stranger, frame: ExecutorFrame
) -> None:
    ends: list[ResetCode] = []

    async def chatter(stream: Stream) -> None:
        await send(stream, Accept(OFFER_VERSION, MODEL))
        try:
            while True:
                await send(stream, frame)
        except StreamEnded as ended:
            ends.append(ended.code)

    stranger.execute = chatter
    reply = submit(node, route=Route.NETWORK)
    reading = asyncio.create_task(read_all(reply))
    await wait_until(lambda: bool(ends))
    reply.cancel()
    with pytest.raises(RequestFailed):
        await reading


async def test_bodies_announced_and_never_sent_leave_room_for_own_users(
    world: World, node: Node
) -> None:
    crowd = [Stranger(world, number) for number in range(100, 109)]
    streams: list[Stream] = []
    offer = msgspec.structs.replace(summarise(), body_bytes=BODY_BYTES_MAX)
    for stranger in crowd:
        await stranger.dial(node)
        assert stranger.link is not None
        for _ in range(OFFERED_BYTES_PER_PEER_MAX // BODY_BYTES_MAX):
            streams.append(stranger.link.open_stream())
            await streams[-1].send(encode_frame(Offer(OFFER_VERSION, offer, 1, MODEL)))
    with pytest.raises(StreamEnded) as refused:
        async with asyncio.timeout(5):
            await streams[-1].receive()
    assert refused.value.code is ResetCode.REFUSED
    assert get_text(await read_all(submit(node, route=Route.LOCAL, tokens=2))) != ""
    for stranger in crowd:
        await stranger.leave()


async def test_offers_begun_and_left_hanging_leave_places_for_others(
    world: World, node: Node, stranger: Stranger
) -> None:
    assert stranger.link is not None
    offer = encode_frame(Offer(OFFER_VERSION, summarise(), 1, MODEL))
    streams = [stranger.link.open_stream() for _ in range(WORKS_PER_PEER_MAX + 1)]
    for stream in streams:
        await stream.send(offer)
    with pytest.raises(StreamEnded) as refused:
        async with asyncio.timeout(5):
            await streams[-1].receive()
    assert refused.value.code is ResetCode.REFUSED
    other = await world.add()
    answer = await read_all(submit(other, route=Route.NETWORK, tokens=2))
    assert get_text(answer) != "", "another node's offer finds a place"


async def test_a_body_in_empty_parts_is_cut_off(stranger: Stranger) -> None:
    assert stranger.link is not None
    stream = stranger.link.open_stream()
    await stream.send(encode_frame(Offer(OFFER_VERSION, summarise(), 1, MODEL)))
    await stream.send(encode_frame(BodyPart(b"", is_last=False)))
    with pytest.raises(StreamEnded) as refused:
        async with asyncio.timeout(5):
            await stream.receive()
    assert refused.value.code is ResetCode.MALFORMED


async def test_a_crowd_at_the_door_does_not_keep_a_node_from_whom_it_wants_to_meet(
    world: World, node: Node
) -> None:
    crowd = [Stranger(world, number) for number in range(100, 100 + LINKS_MAX)]
    for stranger in crowd:
        await stranger.dial(node)
    await wait_until(lambda: any(stranger.closed is CloseReason.FULL for stranger in crowd))
    wanted = Stranger(world, 98)
    node.handle.join(await wanted.listen())
    await wait_until(lambda: wanted.link is not None)
    assert node.carrier.links.get(wanted.node_id) is not None
    for stranger in (*crowd, wanted):
        await stranger.leave()
