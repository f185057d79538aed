"""Streams keep the promises of `ports.transport`: one suite, in memory and on real TLS.

Two nodes of one network, `here` and `there`, are joined by a link; each test uses the port only and
waits for what must happen, never for time to pass.
"""

import asyncio

import pytest

from tests.joined_links import (
    FULL,
    Joined,
)
from wwwserve.ports.transport import (
    ResetCode,
    Stream,
    StreamEnded,
)
from wwwserve.values.limits import (
    FRAME_BYTES_MAX,
    LINK_STREAMS_MAX,
    LINK_WINDOW_BYTES,
    STREAM_WINDOW_BYTES,
)


async def test_either_end_opens_streams(joined: Joined) -> None:
    for opener, owner in (
        (joined.here, joined.there_owner),
        (joined.there, joined.here_owner),
    ):
        asking = opener.open_stream()
        await asking.send(b"question")
        asking.finish()
        answering = await owner.streams.get()
        assert await answering.receive() == b"question"
        assert await answering.receive() is None
        await answering.send(b"answer")
        answering.finish()
        assert await asking.receive() == b"answer"
        assert await asking.receive() is None


async def test_frames_of_every_size_arrive_whole_and_in_order(joined: Joined) -> None:
    ours, theirs = await joined.open_pair()
    sizes = [0, 1, 0, 150, FRAME_BYTES_MAX, 0, FRAME_BYTES_MAX, 16_384, 1]
    for number, size in enumerate(sizes):
        await ours.send(bytes([number]) * size)
    ours.finish()
    received = [await theirs.receive() for _ in sizes]
    assert received == [bytes([number]) * size for number, size in enumerate(sizes)]
    assert await theirs.receive() is None


async def test_the_quick_calls_never_wait(joined: Joined) -> None:
    ours, theirs = await joined.open_pair()
    assert theirs.try_receive() is None
    assert ours.try_send(b"quick")
    assert await theirs.receive() == b"quick"
    assert theirs.try_receive() is None


async def test_a_reader_that_stops_reading_stops_the_sender(joined: Joined) -> None:
    ours, theirs = await joined.open_pair()
    sent = await joined.fill(ours)
    assert 1 <= sent <= STREAM_WINDOW_BYTES // FRAME_BYTES_MAX
    at_last = b"!" * FRAME_BYTES_MAX
    waiting = asyncio.ensure_future(ours.send(at_last))
    await joined.exchange()
    assert not waiting.done()
    for _ in range(sent):
        assert await theirs.receive() == FULL
    await waiting
    assert await theirs.receive() == at_last


async def test_a_stream_that_waits_does_not_hold_up_the_others(joined: Joined) -> None:
    ours, _ = await joined.open_pair()
    await joined.fill(ours)
    other, other_there = await joined.open_pair()
    await other.send(b"passing by")
    assert await other_there.receive() == b"passing by"


async def test_much_more_than_the_windows_passes_through(joined: Joined) -> None:
    streams = [await joined.open_pair() for _ in range(4)]
    frames = 2 * LINK_WINDOW_BYTES // FRAME_BYTES_MAX // len(streams)

    async def send(stream: Stream) -> None:
        for _ in range(frames):
            await stream.send(FULL)
        stream.finish()

    async def count(stream: Stream) -> int:
        total = 0
        while (frame := await stream.receive()) is not None:
            total += len(frame)
        return total

    async with asyncio.TaskGroup() as tasks:
        for ours, _ in streams:
            tasks.create_task(send(ours))
        counts = [tasks.create_task(count(theirs)) for _, theirs in streams]
    assert [task.result() for task in counts] == [frames * FRAME_BYTES_MAX] * len(streams)


async def test_a_cancelled_sender_leaves_the_stream_in_order(joined: Joined) -> None:
    ours, theirs = await joined.open_pair()
    sent = await joined.fill(ours)
    given_up = asyncio.ensure_future(ours.send(FULL))
    await joined.exchange()
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    kept = asyncio.ensure_future(ours.send(b"kept"))
    for _ in range(sent):
        assert await theirs.receive() == FULL
    await kept
    assert await theirs.receive() == b"kept"


async def test_a_cancelled_reader_loses_nothing(joined: Joined) -> None:
    ours, theirs = await joined.open_pair()
    for number in range(20):
        reading = asyncio.ensure_future(theirs.receive())
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await ours.send(bytes([number]))
        assert await theirs.receive() == bytes([number])


async def test_a_reset_wakes_reader_and_writer_at_the_other_end(joined: Joined) -> None:
    ours, theirs = await joined.open_pair()
    await joined.fill(theirs)
    waiting: list[asyncio.Future[object]] = [
        asyncio.ensure_future(theirs.receive()),
        asyncio.ensure_future(theirs.send(FULL)),
    ]
    await joined.exchange()
    ours.reset(ResetCode.CANCELLED)
    for task in waiting:
        with pytest.raises(StreamEnded) as ended:
            await task
        assert ended.value.code is ResetCode.CANCELLED
    for call in (ours.try_receive, lambda: ours.try_send(b"x"), theirs.try_receive):
        with pytest.raises(StreamEnded):
            call()
    ours.reset(ResetCode.INTERNAL)
    theirs.reset(ResetCode.INTERNAL)
    ours.finish()


async def test_the_asker_may_cancel_after_finishing(joined: Joined) -> None:
    asking = joined.here.open_stream()
    await asking.send(b"question")
    asking.finish()
    answering = await joined.there_owner.streams.get()
    assert await answering.receive() == b"question"
    assert await answering.receive() is None
    await answering.send(b"half an answer")
    assert await asking.receive() == b"half an answer"
    asking.reset(ResetCode.CANCELLED)
    await joined.exchange()
    with pytest.raises(StreamEnded, match="CANCELLED"):
        await answering.receive()


async def test_credit_of_streams_that_were_cut_off_comes_back(joined: Joined) -> None:
    for _ in range(3 * LINK_WINDOW_BYTES // STREAM_WINDOW_BYTES):
        ours, theirs = await joined.open_pair()
        await joined.fill(ours)
        theirs.reset(ResetCode.INTERNAL)
        with pytest.raises(StreamEnded):
            await ours.receive()
    ours, theirs = await joined.open_pair()
    await ours.send(b"still room")
    assert await theirs.receive() == b"still room"


async def test_streams_open_at_once_are_bounded(joined: Joined) -> None:
    streams = [joined.here.open_stream() for _ in range(LINK_STREAMS_MAX)]
    with pytest.raises(StreamEnded, match="REFUSED"):
        joined.here.open_stream()
    streams[0].reset(ResetCode.CANCELLED)
    joined.here.open_stream()
