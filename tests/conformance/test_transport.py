"""Every transport keeps the promises of `ports.transport`: one suite, in memory and on real TLS.

Two nodes of one network, `here` and `there`, are joined by a link; each test uses the port only and
waits for what must happen, never for time to pass.
"""

import asyncio

import pytest

from tests.joined_links import (
    FULL,
    OTHER_NETWORK,
    Joined,
    World,
    get_id,
)
from tests.link_owners import Echo, Recorder
from wwwserve.ports.transport import (
    CloseReason,
    Link,
    LinkEnded,
    StreamEnded,
)
from wwwserve.values.limits import (
    LINK_MESSAGES_QUEUED_MAX,
)
from wwwserve.values.moments import SECOND
from wwwserve.values.refusals import BadInput

# -- making links --------------------------------------------------------------------------------


async def test_each_end_knows_the_other(joined: Joined) -> None:
    assert (joined.here.peer, joined.there.peer) == (get_id(2), get_id(1))
    assert (joined.here.is_dialled, joined.there.is_dialled) == (True, False)
    assert joined.here.remote_address.startswith("127.0.0.1:")
    assert joined.here_owner.links.get_nowait() is joined.here


async def test_a_bare_address_accepts_whoever_answers(world: World) -> None:
    there = Recorder()
    address = await world.make(2).listen("127.0.0.1:0", there.on_link)
    link = await world.make(1).dial(address, None, Recorder().on_link)
    assert link.peer == get_id(2)


async def test_another_node_than_expected_is_refused(world: World) -> None:
    there, here = Recorder(), Recorder()
    address = await world.make(2).listen("127.0.0.1:0", there.on_link)
    with pytest.raises(LinkEnded, match="was expected") as refused:
        await world.make(1).dial(address, get_id(3), here.on_link)
    assert refused.value.reason is CloseReason.UNWANTED
    assert here.links.empty()
    assert there.links.empty()


async def test_a_node_does_not_link_to_itself(world: World) -> None:
    node = world.make(1)
    address = await node.listen("127.0.0.1:0", Recorder().on_link)
    with pytest.raises(LinkEnded, match="our own address"):
        await node.dial(address, None, Recorder().on_link)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"network_id": OTHER_NETWORK}, CloseReason.NETWORK),
        ({"versions": (7, 9)}, CloseReason.VERSION),
    ],
)
async def test_strangers_part_with_a_reason(
    world: World, options: dict[str, object], reason: CloseReason
) -> None:
    there, here = Recorder(), Recorder()
    told: asyncio.Queue[LinkEnded] = asyncio.Queue()
    other = world.make(2, **options)
    address = await other.listen("127.0.0.1:0", there.on_link, told.put_nowait)
    with pytest.raises(LinkEnded) as refused:
        await world.make(1).dial(address, get_id(2), here.on_link)
    for ended, peer in ((refused.value, get_id(2)), (await told.get(), get_id(1))):
        assert (ended.reason, ended.peer) == (reason, peer)
        assert "here" in ended.detail
        assert "there" in ended.detail
    assert here.links.empty()
    assert there.links.empty()


async def test_old_and_new_versions_that_overlap_link_either_way(world: World) -> None:
    old, new = world.make(1, versions=(1, 3)), world.make(2, versions=(2, 5))
    owner = Echo()
    for one, other in ((old, new), (new, old)):
        address = await other.listen("127.0.0.1:0", owner.on_link)
        link = await one.dial(address, None, Recorder().on_link)
        stream = link.open_stream()
        await stream.send(b"hello")
        assert await stream.receive() == b"hello"
        assert link.stream_count == 1
        link.close(CloseReason.LEAVING)


async def test_an_address_given_up_takes_no_more_links_and_keeps_those_it_took(
    world: World,
) -> None:
    node, owner = world.make(2), Echo()
    first = await node.listen("127.0.0.1:0", owner.on_link)
    link = await world.make(1).dial(first, None, Recorder().on_link)
    second = await node.listen("127.0.0.1:0", owner.on_link)
    node.stop_listening(first)
    node.stop_listening(first)
    with pytest.raises(LinkEnded) as refused:
        await world.make(3).dial(first, None, Recorder().on_link)
    assert refused.value.reason is CloseReason.LOST
    assert (await world.make(4).dial(second, None, Recorder().on_link)).peer == get_id(2)
    stream = link.open_stream()
    await stream.send(b"still here")
    assert await stream.receive() == b"still here"


async def test_nobody_there_is_a_lost_link(world: World) -> None:
    gone = world.make(2)
    address = await gone.listen("127.0.0.1:0", Recorder().on_link)
    await gone.close()
    with pytest.raises(LinkEnded) as refused:
        await world.make(1).dial(address, get_id(2), Recorder().on_link)
    assert refused.value.reason is CloseReason.LOST


@pytest.mark.parametrize(
    "address",
    ["", "nowhere", "a..b:80", f"{'x' * 300}:80", "a\0b:80", ":80", "host:99999", "::1:80"],
)
async def test_an_address_that_is_none_is_a_lost_link(world: World, address: str) -> None:
    with pytest.raises(LinkEnded) as refused:
        await world.make(1).dial(address, None, Recorder().on_link)
    assert refused.value.reason is CloseReason.LOST


async def test_an_address_is_taken_once(world: World) -> None:
    address = await world.make(2).listen("127.0.0.1:0", Recorder().on_link)
    with pytest.raises(BadInput, match="free"):
        await world.make(3).listen(address, Recorder().on_link)


async def test_an_owner_may_close_a_link_while_it_is_introduced(world: World) -> None:
    there = Recorder()

    def refuse(link: Link) -> Recorder:
        link.close(CloseReason.FULL)
        return there

    address = await world.make(2).listen("127.0.0.1:0", refuse)
    here = Recorder()
    await world.make(1).dial(address, get_id(2), here.on_link)
    assert await here.closed.get() is CloseReason.FULL
    assert await there.closed.get() is CloseReason.FULL


# -- messages ------------------------------------------------------------------------------------


async def test_messages_arrive_both_ways_in_order(joined: Joined) -> None:
    for sender, receiver in (
        (joined.here, joined.there_owner),
        (joined.there, joined.here_owner),
    ):
        sent = [b"", b"hello", FULL]
        assert all(sender.send_message(payload) for payload in sent)
        assert [await receiver.messages.get() for _ in sent] == sent


async def test_queued_messages_are_bounded(joined: Joined) -> None:
    queued = [joined.here.send_message(b"x") for _ in range(LINK_MESSAGES_QUEUED_MAX + 1)]
    assert queued == [True] * LINK_MESSAGES_QUEUED_MAX + [False]
    for _ in range(LINK_MESSAGES_QUEUED_MAX):
        await joined.there_owner.messages.get()
    assert joined.here.send_message(b"room again")


# -- the end -------------------------------------------------------------------------------------


async def test_closing_ends_streams_first_and_tells_both_owners_once(joined: Joined) -> None:
    ours, theirs = await joined.open_pair()
    reading = asyncio.ensure_future(theirs.receive())
    await asyncio.sleep(0)
    joined.here.close(CloseReason.DUPLICATE)
    joined.here.close(CloseReason.LEAVING)
    with pytest.raises(StreamEnded, match="LINK_LOST"):
        ours.try_receive()
    assert await joined.here_owner.closed.get() is CloseReason.DUPLICATE
    assert await joined.there_owner.closed.get() is CloseReason.DUPLICATE
    with pytest.raises(StreamEnded, match="LINK_LOST"):
        await reading
    for link in (joined.here, joined.there):
        await link.wait_closed()
        assert not link.send_message(b"late")
        with pytest.raises(LinkEnded, match="duplicate"):
            link.open_stream()
    assert joined.here_owner.closed.empty()
    assert joined.there_owner.closed.empty()


async def test_what_was_queued_before_the_close_arrives(joined: Joined) -> None:
    ours, theirs = await joined.open_pair()
    for _ in range(3):
        assert ours.try_send(FULL)
    ours.finish()
    joined.here.send_message(b"last words")
    joined.here.close(CloseReason.LEAVING)
    assert await joined.there_owner.closed.get() is CloseReason.LEAVING
    assert joined.there_owner.messages.get_nowait() == b"last words"
    for _ in range(3):
        assert await theirs.receive() == FULL
    assert await theirs.receive() is None


async def test_closing_the_transport_closes_its_links_as_leaving(joined: Joined) -> None:
    here, there = joined.transports
    await here.close()
    assert joined.here_owner.closed.get_nowait() is CloseReason.LEAVING
    assert await joined.there_owner.closed.get() is CloseReason.LEAVING
    with pytest.raises(LinkEnded) as refused:
        await here.dial("127.0.0.1:1", None, Recorder().on_link)
    assert refused.value.reason is CloseReason.LEAVING
    with pytest.raises(LinkEnded):
        await here.listen("127.0.0.1:0", Recorder().on_link)
    await there.close()


async def test_the_round_trip_is_known_after_the_first_exchange(joined: Joined) -> None:
    joined.here.send_message(b"are you there")
    await joined.there_owner.messages.get()
    joined.there.send_message(b"yes")
    await joined.here_owner.messages.get()
    for link in (joined.here, joined.there):
        assert link.round_trip_us is not None
        assert 0 <= link.round_trip_us < 60 * SECOND


@pytest.mark.slow
async def test_hundreds_of_links_come_and_go_and_leave_nothing(world: World) -> None:
    echo = Echo()
    there, here = world.make(2), world.make(1)
    address = await there.listen("127.0.0.1:0", echo.on_link)
    for _ in range(200):
        owner = Recorder()
        link = await here.dial(address, get_id(2), owner.on_link)
        stream = link.open_stream()
        await stream.send(b"hello")
        assert await stream.receive() == b"hello"
        link.close(CloseReason.LEAVING)
        await link.wait_closed()
    await here.close()
    await there.close()
    assert echo.link_count == 0
    if echo.tasks:
        await asyncio.wait(echo.tasks)
