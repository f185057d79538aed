"""A peer that breaks a rule of the link is told which one, and never makes us hold more.

One end is a real mux, the other is bytes written by the test: each rule is broken once, on a link
that is otherwise in order. Then a whole conversation is mutated ten thousand times. Time is a
number, so allowances need no waiting.
"""

import random

import pytest

from tests.mux_pair import HELLO, START, End, MuxPair, get_end, ignore_ring, make_victim, pack_data
from wwwserve.adapters.transports import frames
from wwwserve.adapters.transports.frames import FrameType
from wwwserve.adapters.transports.mux import (
    ALLOWANCE_MAX,
    ALLOWANCE_PER_SECOND,
    PING_COST,
    Mux,
)
from wwwserve.adapters.transports.outbox import (
    CONTROL_BYTES_MAX,
    FRAME_CHARGE_BYTES,
)
from wwwserve.ports.transport import CloseReason, ResetCode
from wwwserve.values.limits import (
    FRAME_BYTES_MAX,
    LINK_STREAMS_MAX,
    LINK_WINDOW_BYTES,
    STREAM_WINDOW_BYTES,
)
from wwwserve.values.moments import SECOND, after

HELD_BYTES_MAX = LINK_WINDOW_BYTES + CONTROL_BYTES_MAX + FRAME_BYTES_MAX + frames.HEADER_BYTES


@pytest.mark.parametrize(
    ("attack", "rule"),
    [
        (pack_data(3), "the next new one is 1"),
        (pack_data(2), "the next new one is 1"),
        (pack_data(1) + pack_data(5), "the next new one is 3"),
        (pack_data(1) + frames.pack_frame(FrameType.END, 1) + pack_data(1), "after its end"),
        (pack_data(1) + 2 * frames.pack_frame(FrameType.END, 1), "a second end"),
        (
            pack_data(1) + frames.pack_reset(1, ResetCode.CANCELLED) + pack_data(1),
            "next new one is 3",
        ),
        (frames.pack_reset(1, ResetCode.CANCELLED), "which was never opened"),
        (frames.pack_credit(1, 1), "which was never opened"),
        (frames.pack_credit(2, 1), "which was never opened"),
        (pack_data(1) + frames.pack_credit(1, 1), "beyond the window of stream 1"),
        (pack_data(1) + frames.pack_credit(1, 0), "a credit of no bytes"),
        (frames.pack_credit(0, 1), "beyond the window of the link"),
        (frames.pack_hello(HELLO), "a second hello"),
        (frames.pack_frame(FrameType.PONG, 0, bytes(8)), "a pong for no ping"),
        (pack_data(1, bytes(FRAME_BYTES_MAX)) * 4, "stream 1 overran its window"),
        (b"GET / HTTP/1.1\r\nhost: node\r\n\r\n", "unknown type 71"),
    ],
)
def test_a_broken_rule_closes_the_link_and_is_named(attack: bytes, rule: str) -> None:
    victim = make_victim()
    victim.receive(attack, START)
    ended = get_end(victim)
    assert ended.reason is CloseReason.MALFORMED
    assert rule in ended.detail
    for stream in victim.opened:
        assert stream.is_self_done
    victim.receive(pack_data(1), START)
    assert not victim.mux.has_output, "nothing follows the end"


def test_the_window_of_the_link_bounds_all_streams_together() -> None:
    victim = make_victim()
    payload = bytes(FRAME_BYTES_MAX)
    for stream_id in range(1, 2 * LINK_STREAMS_MAX, 2):
        victim.receive(pack_data(stream_id, payload) * 3, START)
        assert victim.mux.held_bytes <= HELD_BYTES_MAX
        if victim.ended:
            break
    assert get_end(victim).detail == "the link's window was overrun"


def test_a_flood_of_empty_frames_is_bounded_like_any_other() -> None:
    victim = make_victim()
    allowed = STREAM_WINDOW_BYTES // FRAME_CHARGE_BYTES
    victim.receive(pack_data(1, b"") * allowed, START)
    assert not victim.ended
    victim.receive(pack_data(1, b""), START)
    assert "overran" in get_end(victim).detail


def test_one_stream_too_many_is_refused_and_the_others_live() -> None:
    victim = make_victim()
    ids = range(1, 2 * LINK_STREAMS_MAX, 2)
    victim.receive(b"".join(map(pack_data, ids)), START)
    assert len(victim.opened) == LINK_STREAMS_MAX
    victim.mux.take_output()
    victim.receive(pack_data(ids[-1] + 2), START)
    assert len(victim.opened) == LINK_STREAMS_MAX
    assert victim.mux.take_output() == frames.pack_reset(ids[-1] + 2, ResetCode.REFUSED)
    assert victim.opened[0].try_receive() == b"x"
    assert not victim.ended


def test_a_peer_that_ignores_refusals_is_closed_with_its_streams_bounded() -> None:
    victim = make_victim()
    for stream_id in range(1, 10 * LINK_STREAMS_MAX, 2):
        victim.receive(pack_data(stream_id, b""), START)
        victim.mux.take_output()
        if victim.mux.ended is not None:
            break
        assert victim.mux.stream_count <= 2 * LINK_STREAMS_MAX
    assert victim.ended[0].reason is CloseReason.MALFORMED
    assert "refusals not heeded" in victim.ended[0].detail


def test_rapid_reset_is_a_flood_and_cancelling_everything_at_once_is_not() -> None:
    victim = make_victim()
    ids = iter(range(1, 100_000, 2))

    def open_and_reset() -> bytes:
        stream_id = next(ids)
        return pack_data(stream_id) + frames.pack_reset(stream_id, ResetCode.CANCELLED)

    for _ in range(ALLOWANCE_MAX):
        victim.receive(open_and_reset(), START)
        victim.mux.take_output()
    assert not victim.ended
    later = after(START, SECOND)
    for _ in range(ALLOWANCE_PER_SECOND):
        victim.receive(open_and_reset(), later)
        victim.mux.take_output()
    assert not victim.ended
    assert victim.mux.stream_count == 0
    victim.receive(open_and_reset(), later)
    assert "reset faster" in get_end(victim).detail


def test_answering_our_resets_costs_the_peer_nothing() -> None:
    victim = make_victim()
    for _ in range(3 * ALLOWANCE_MAX):
        stream = victim.mux.open_stream()
        stream.try_send(b"x")
        stream.reset(ResetCode.CANCELLED)
        victim.mux.take_output()
        victim.receive(frames.pack_reset(stream.id, ResetCode.CANCELLED), START)
    assert not victim.ended
    assert victim.mux.stream_count == 0


def test_a_flood_of_pings_closes_the_link() -> None:
    victim = make_victim()
    ping = frames.pack_ping(7)
    victim.receive(ping * (ALLOWANCE_MAX // PING_COST), START)
    assert not victim.ended
    pongs = list(frames.FrameReader().feed(victim.mux.take_output()))
    assert pongs == [(FrameType.PONG, 0, ping[-8:])] * (ALLOWANCE_MAX // PING_COST)
    victim.receive(ping, START)
    assert get_end(victim).detail == "too many pings"


@pytest.mark.slow
def test_answers_that_are_not_read_are_bounded() -> None:
    victim = make_victim()
    victim.mux.set_writable(is_writable=False)
    now, stream_id = START, 1
    while not victim.ended:
        now = after(now, SECOND)
        for _ in range(ALLOWANCE_PER_SECOND):
            victim.receive(pack_data(stream_id), now)
            victim.receive(frames.pack_reset(stream_id, ResetCode.CANCELLED), now)
            stream_id += 2
        victim.opened.clear()
        assert victim.mux.held_bytes <= HELD_BYTES_MAX
    assert get_end(victim).detail == "answers are asked for and not read"


def test_late_frames_of_a_stream_we_reset_are_dropped_and_their_credit_returns() -> None:
    victim = make_victim()
    payload = bytes(FRAME_BYTES_MAX - FRAME_CHARGE_BYTES)
    for stream_id in range(1, 400, 2):
        victim.receive(pack_data(stream_id, payload), START)
        victim.opened.pop().reset(ResetCode.CANCELLED)
        late = pack_data(stream_id, payload) * 3 + frames.pack_frame(FrameType.END, stream_id)
        victim.receive(late, START)
        assert not victim.ended
        victim.mux.take_output()
    assert victim.mux.stream_count == 0
    assert victim.mux.held_bytes < LINK_WINDOW_BYTES // 2


def record_conversation() -> bytes:
    """Everything a dialler says in a busy minute: the truth that is then mutated."""
    pair = MuxPair()
    said = bytearray()
    for number in range(12):
        stream = pair.dialler.mux.open_stream()
        stream.try_send(b"question" * number)
        pair.dialler.mux.send_message(b"gossip")
        said += pair.dialler.mux.take_output()
        if number % 3 == 0:
            stream.reset(ResetCode.CANCELLED)
        else:
            stream.finish()
    return bytes(said + pair.dialler.mux.take_output())


def mutate(truth: bytes, dice: random.Random) -> bytes:
    lie = bytearray(truth)
    for _ in range(dice.randint(1, 4)):
        place = dice.randrange(len(lie))
        match dice.randrange(4):
            case 0:
                lie[place] = dice.randrange(256)
            case 1:
                lie[place] ^= 1 << dice.randrange(8)
            case 2:
                del lie[place : place + dice.randint(1, 30)]
            case _:
                lie[place:place] = dice.randbytes(dice.randint(1, 30))
    return bytes(lie)


@pytest.mark.slow
def test_ten_thousand_mutated_conversations_are_refused_or_harmless() -> None:
    truth = record_conversation()
    dice = random.Random(20261123)  # noqa: S311 - a repeatable liar
    refused = harmless = 0
    for _ in range(10_000):
        victim = End(Mux(HELLO, is_dialler=False, now=START, ring=ignore_ring))
        victim.receive(mutate(truth, dice), START)
        assert victim.mux.held_bytes <= HELD_BYTES_MAX
        if victim.ended:
            refused += 1
            assert victim.ended[0].detail
        else:
            harmless += 1
    assert refused > 1_000
    assert harmless > 100
