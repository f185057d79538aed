"""Links bound what they queue, end in order, greet only their own kind and notice silence.

Two muxes are joined by bytes in memory; time is a number, so heartbeats need no waiting.
"""

import pytest

from tests.mux_pair import HELLO, START, End, MuxPair, get_end, ignore_ring, make_victim, pack_data
from wwwserve.adapters.transports import frames
from wwwserve.adapters.transports.frames import Hello
from wwwserve.adapters.transports.mux import (
    Mux,
)
from wwwserve.adapters.transports.outbox import (
    MESSAGES_BYTES_MAX,
)
from wwwserve.ports.transport import CloseReason, LinkEnded, ResetCode, StreamEnded
from wwwserve.values.limits import (
    FRAME_BYTES_MAX,
    LINK_DEAD_US,
    LINK_HEARTBEAT_US,
    LINK_IDLE_DEAD_US,
    LINK_IDLE_US,
    LINK_MESSAGES_QUEUED_MAX,
    LINK_STREAMS_MAX,
)
from wwwserve.values.moments import NEVER, SECOND, after

# -- our own bounds ------------------------------------------------------------------------------


def test_our_own_streams_are_bounded_and_come_back() -> None:
    pair = MuxPair()
    pair.settle()
    streams = [pair.dialler.mux.open_stream() for _ in range(LINK_STREAMS_MAX)]
    with pytest.raises(StreamEnded, match="REFUSED"):
        pair.dialler.mux.open_stream()
    streams[0].reset(ResetCode.CANCELLED)
    assert pair.dialler.mux.open_stream().try_send(b"room again")


def test_messages_are_bounded_by_number_and_by_bytes() -> None:
    mux = MuxPair().dialler.mux
    mux.set_writable(is_writable=False)
    assert all(mux.send_message(b"") for _ in range(LINK_MESSAGES_QUEUED_MAX))
    assert not mux.send_message(b"")
    mux.take_output()
    large = bytes(FRAME_BYTES_MAX)
    assert all(mux.send_message(large) for _ in range(MESSAGES_BYTES_MAX // FRAME_BYTES_MAX))
    assert not mux.send_message(large)
    mux.take_output()
    mux.close(CloseReason.LEAVING)
    assert not mux.send_message(b"")


def test_parked_senders_take_turns_on_a_full_link() -> None:
    pair = MuxPair()
    pair.settle()
    pair.dialler.mux.set_writable(is_writable=False)
    order: list[int] = []
    for number in (1, 2, 3):
        stream = pair.dialler.mux.open_stream()
        for _ in range(2):
            stream.park(b"frame", lambda number=number: order.append(number))  # type: ignore[misc]
    pair.dialler.mux.set_writable(is_writable=True)
    assert order == [1, 2, 3, 1, 2, 3]


def test_finish_waits_for_what_is_parked() -> None:
    pair = MuxPair()
    ours, theirs = pair.open_pair()
    pair.dialler.mux.set_writable(is_writable=False)
    ours.park(b"last", ignore_ring)
    ours.finish()
    pair.dialler.mux.set_writable(is_writable=True)
    pair.settle()
    assert theirs.try_receive() == b"last"
    assert theirs.is_exhausted


# -- the end of a link ---------------------------------------------------------------------------


def test_what_was_sent_completely_can_be_read_after_the_link_is_gone() -> None:
    pair = MuxPair()
    ours, theirs = pair.open_pair()
    half, rest = pair.open_pair()
    theirs.try_send(b"answer")
    theirs.finish()
    rest.try_send(b"half an ans")
    pair.settle()
    pair.dialler.mux.lose(CloseReason.LOST, "cable pulled")
    assert ours.try_receive() == b"answer"
    assert ours.is_exhausted
    for call in (half.try_receive, lambda: ours.try_send(b""), lambda: half.try_send(b"")):
        with pytest.raises(StreamEnded, match="LINK_LOST"):
            call()
    with pytest.raises(LinkEnded, match="cable pulled"):
        pair.dialler.mux.open_stream()


def test_a_sender_parked_on_a_stream_nobody_heard_of_is_woken_by_the_loss() -> None:
    pair = MuxPair()
    pair.settle()
    pair.dialler.mux.set_writable(is_writable=False)
    rung: list[str] = []
    stream = pair.dialler.mux.open_stream()
    stream.bell = lambda: rung.append("reader")
    parked = stream.park(b"x", lambda: rung.append("sender"))
    pair.dialler.mux.lose(CloseReason.LOST)
    assert sorted(rung) == ["reader", "sender"]
    assert not parked.is_sent


def test_closing_tells_the_peer_why() -> None:
    pair = MuxPair()
    pair.settle()
    pair.dialler.mux.close(CloseReason.FULL, "64 links are enough")
    pair.settle()
    (ended,) = pair.acceptor.ended
    assert ended.reason is CloseReason.FULL
    assert "64 links are enough" in ended.detail
    assert pair.acceptor.mux.next_deadline() == NEVER


# -- hello ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hello", "reason", "detail"),
    [
        (Hello(2, 3, b"n" * 32), CloseReason.VERSION, "versions 1 to 1 are spoken here, 2 to 3"),
        (Hello(1, 1, b"m" * 32), CloseReason.NETWORK, "network 6e6e6e6e here, 6d6d6d6d there"),
    ],
)
def test_strangers_part_and_both_know_why(hello: Hello, reason: CloseReason, detail: str) -> None:
    pair = MuxPair(acceptor=hello)
    pair.settle()
    for end in pair.ends:
        assert not end.is_ready
        assert end.ended[0].reason is reason
    assert detail in pair.dialler.ended[0].detail


@pytest.mark.parametrize(
    ("old", "new", "spoken"),
    [((1, 1), (1, 4), 1), ((1, 3), (2, 5), 3), ((2, 2), (1, 9), 2), ((4, 6), (6, 6), 6)],
)
def test_the_newest_version_both_speak_is_used(
    old: tuple[int, int], new: tuple[int, int], spoken: int
) -> None:
    for one, other in ((old, new), (new, old)):
        pair = MuxPair(
            dialler=Hello(*one, b"n" * 32), acceptor=Hello(*other, b"n" * 32, features=0xFFFF)
        )
        pair.settle()
        assert [end.version for end in pair.ends] == [spoken, spoken]


@pytest.mark.parametrize("first", [pack_data(1), frames.pack_ping(1), frames.pack_credit(0, 1)])
def test_nothing_is_heard_before_hello(first: bytes) -> None:
    victim = End(Mux(HELLO, is_dialler=False, now=START, ring=ignore_ring))
    victim.receive(first, START)
    assert get_end(victim).reason is CloseReason.MALFORMED


# -- heartbeats ----------------------------------------------------------------------------------


def test_the_round_trip_is_measured_at_once_and_with_each_heartbeat() -> None:
    pair = MuxPair()
    for side in (0, 1):
        pair.take(side)
    for side in (0, 1):
        pair.deliver(side)
    pair.now = after(pair.now, 700)
    pair.settle()
    assert [end.mux.round_trip_us for end in pair.ends] == [700, 700]
    pair.dialler.mux.open_stream()
    for _ in range(2):  # What was heard since it was made puts the first off.
        pair.now = pair.dialler.mux.next_deadline()
        pair.dialler.keep(pair.dialler.mux.on_time(pair.now))
    pair.take(0)
    pair.now = after(pair.now, 90)
    pair.settle()
    assert pair.dialler.mux.round_trip_us == 90


def test_a_link_in_use_needs_no_heartbeat_and_an_idle_one_needs_one_for_both_ends() -> None:
    pair = MuxPair()
    pair.settle()
    for _ in range(20):
        pair.now = after(pair.now, LINK_HEARTBEAT_US - 1)
        for end in pair.ends:
            end.keep(end.mux.on_time(pair.now))
            assert end.mux.take_output() == b""
            assert end.mux.send_message(b"news")
        pair.settle()
    pings, until = [0, 0], after(pair.now, 5 * LINK_IDLE_US)
    while pair.now < until:
        pair.now = min(end.mux.next_deadline() for end in pair.ends)
        for side, end in enumerate(pair.ends):
            end.keep(end.mux.on_time(pair.now))
            pings[side] += end.mux.has_output
        pair.settle()
    assert 4 <= pings[0] <= 5
    assert pings[1] == 0


def test_a_silent_peer_is_given_up() -> None:
    victim = make_victim()
    now = START
    while not victim.ended:
        now = victim.mux.next_deadline()
        assert now <= after(START, LINK_DEAD_US)
        victim.keep(victim.mux.on_time(now))
    assert now == after(START, LINK_DEAD_US)
    assert get_end(victim).reason is CloseReason.SILENT


@pytest.mark.parametrize(
    ("is_busy", "silence_us"), [(True, LINK_DEAD_US), (False, LINK_IDLE_DEAD_US)]
)
def test_a_peer_that_falls_silent_later_is_given_up(*, is_busy: bool, silence_us: int) -> None:
    pair = MuxPair()
    pair.settle()
    pair.now = after(pair.now, LINK_HEARTBEAT_US - 1)
    pair.dialler.mux.send_message(b"the last that is heard")
    if is_busy:
        pair.acceptor.mux.open_stream()
    pair.settle()
    heard_at, end = pair.now, pair.acceptor
    while not end.ended:
        pair.now = end.mux.next_deadline()
        assert pair.now <= after(heard_at, silence_us + LINK_HEARTBEAT_US)
        end.keep(end.mux.on_time(pair.now))
        end.mux.take_output()
    assert pair.now >= after(heard_at, LINK_DEAD_US)
    assert end.ended[0].reason is CloseReason.SILENT


def test_a_peer_that_says_anything_is_not_silent() -> None:
    victim = make_victim()
    stream_id = 1
    for _ in range(20):
        now = victim.mux.next_deadline()
        victim.receive(pack_data(stream_id), after(now, -1))
        victim.keep(victim.mux.on_time(now))
        stream_id += 2
    assert not victim.ended


def test_after_our_own_sleep_the_peer_gets_time_to_be_heard() -> None:
    victim = make_victim()
    woken = after(START, 3600 * SECOND)
    victim.keep(victim.mux.on_time(woken))
    assert not victim.ended
    assert woken < victim.mux.next_deadline() < after(woken, LINK_DEAD_US)
