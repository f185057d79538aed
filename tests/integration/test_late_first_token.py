"""A node whose engine hangs costs a user a moment: the request runs elsewhere, and nothing twice.

Three nodes in this process, with their real peers and data planes; mock engines let their first
word wait as a test wishes. The time an answer takes is bounded by what the quote allowed.
"""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from tests.integration.world import World, get_text, open_world, read_all, submit, wait_until
from wwwserve.core.effects import RecallSession
from wwwserve.core.facts import AttemptFailed, AttemptStarted, RequestFinished, StartReason
from wwwserve.core.sessions import Role, Route, SessionId
from wwwserve.values.moments import SECOND

HANGS_US = 600 * SECOND
ANSWER_WAIT_S = 20
"""Far above what it takes, and far below what an engine may keep silent."""


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with open_world() as opened:
        yield opened


def list_starts(world: World, index: int) -> list[AttemptStarted]:
    return [fact for fact in world.facts[index] if isinstance(fact, AttemptStarted)]


@pytest.mark.parametrize("is_streamed", [True, False])
async def test_an_engine_that_hangs_elsewhere_costs_a_moment(
    world: World, *, is_streamed: bool
) -> None:
    # [REQUESTS-LATE.1] [REQUESTS-LATE.3]
    await world.add(first_token_us=HANGS_US)
    user = await world.add()
    reply = submit(user, route=Route.NETWORK, is_streamed=is_streamed, tokens=5)
    reading = asyncio.create_task(read_all(reply))
    await wait_until(lambda: world.engines[0].counts.running == 1)
    healthy = await world.add()
    async with asyncio.timeout(ANSWER_WAIT_S):
        answer = await reading
    if is_streamed:
        assert len(get_text(answer).split()) == 5
    else:
        assert json.loads(answer)["usage"]["completion_tokens"] == 5
    first, second = list_starts(world, 1)
    assert (first.executor, second.executor) == (
        world.nodes[0].handle.node_id,
        healthy.handle.node_id,
    )
    assert second.reason is StartReason.LATE_ELSEWHERE
    assert [one.detail for one in world.facts[1] if isinstance(one, AttemptFailed)] != [""]
    await wait_until(lambda: world.engines[0].counts.running == 0)
    assert reply.info.executor == healthy.handle.node_id


async def test_a_run_whose_words_reached_its_user_goes_on(world: World) -> None:
    # [REQUESTS-LATE.3] Whoever recalls it comes too late, and not a byte is lost or doubled.
    await world.add()
    user = await world.add()
    plain = get_text(await read_all(submit(user, route=Route.NETWORK, tokens=9)))
    reply = submit(user, route=Route.NETWORK, tokens=9, pace_us=20_000)
    begun = await reply.read()
    assert begun
    user.carrier.carry(RecallSession(SessionId(Role.ORIGIN, 2)))
    assert get_text(begun + await read_all(reply)) == plain
    ends = [fact for fact in world.facts[1] if isinstance(fact, RequestFinished)]
    assert [(end.error, end.attempts) for end in ends] == [("", 1)] * 2
