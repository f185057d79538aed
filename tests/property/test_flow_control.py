"""Whatever two honest ends do and however bytes move, no frame is lost, changed or reordered.

A Hypothesis state machine drives two muxes: it opens, sends, parks, withdraws, reads, finishes and
resets on either side, lets the wire carry any number of bytes at a time, stops and restarts sockets
and lets time pass. A model of plain lists says what must arrive. At the end everything is read, and
all credit must have come home.
"""

from collections import defaultdict, deque
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.mux_pair import MuxPair
from wwwserve.adapters.transports.outbox import (
    CONTROL_BYTES_MAX,
    FRAME_CHARGE_BYTES,
    OUTBOX_BYTES_MAX,
)
from wwwserve.adapters.transports.streams import MuxStream, Parked
from wwwserve.ports.transport import ResetCode, StreamEnded
from wwwserve.values.limits import (
    FRAME_BYTES_MAX,
    LINK_WINDOW_BYTES,
    STREAM_WINDOW_BYTES,
)
from wwwserve.values.moments import after

SIDES = st.integers(0, 1)
PICKS = st.integers(0, 1_000)
SIZES = st.sampled_from([0, 1, 150, 5_000, FRAME_BYTES_MAX])


@dataclass(slots=True, eq=False)
class Half:
    """One side of a stream."""

    side: int
    stream: MuxStream
    parked: deque[tuple[Parked, bytes]] = field(default_factory=deque)
    is_finished: bool = False

    @property
    def is_cut(self) -> bool:
        return self.stream.ended is not None


class TwoMuxes(RuleBasedStateMachine):
    """Two honest ends and a wire."""

    def __init__(self) -> None:
        super().__init__()
        self.pair = MuxPair()
        self.pair.settle()
        self.halves: tuple[list[Half], list[Half]] = ([], [])
        self.under_way: defaultdict[tuple[int, int], deque[bytes]] = defaultdict(deque)
        """The model: by receiving side and stream id, what was sent and not yet read."""
        self.is_writable = [True, True]
        self.next_frame = 0

    def make_frame(self, size: int) -> bytes:
        self.next_frame += 1
        return self.next_frame.to_bytes(8, "big").ljust(size, b".")[:size]

    def pick(self, side: int, number: int) -> Half | None:
        halves = self.halves[side]
        return halves[number % len(halves)] if halves else None

    # -- what the two users do -------------------------------------------------------------------

    @rule(side=SIDES)
    def open_stream(self, side: int) -> None:
        self.halves[side].append(Half(side, self.pair.ends[side].mux.open_stream()))

    @rule(side=SIDES, number=PICKS, size=SIZES)
    def send(self, side: int, number: int, size: int) -> None:
        half = self.pick(side, number)
        if half is None or half.is_finished or half.is_cut:
            return
        frame = self.make_frame(size)
        if half.stream.try_send(frame):
            assert not half.parked, "nobody overtakes a parked frame"
            self.note_sent(half, frame)
        else:
            half.parked.append((half.stream.park(frame, lambda: None), frame))
            self.sort_parked()

    @rule(side=SIDES, number=PICKS, count=st.integers(1, 12))
    def send_many_large(self, side: int, number: int, count: int) -> None:
        for _ in range(count):
            self.send(side, number, FRAME_BYTES_MAX)

    @rule(side=SIDES, number=PICKS)
    def withdraw(self, side: int, number: int) -> None:
        half = self.pick(side, number)
        if half is not None and half.parked and not half.is_finished:
            parked, _ = half.parked.pop()
            half.stream.withdraw(parked)
            self.sort_parked()

    @rule(side=SIDES, number=PICKS, count=st.integers(1, 40))
    def read(self, side: int, number: int, count: int) -> None:
        self.sort_parked()
        half = self.pick(side, number)
        if half is None or half.is_cut:
            return
        for _ in range(count):
            frame = half.stream.try_receive()
            if frame is None:
                return
            assert frame == self.under_way[side, half.stream.id].popleft()
        self.sort_parked()

    @rule(side=SIDES, number=PICKS)
    def finish(self, side: int, number: int) -> None:
        half = self.pick(side, number)
        if half is not None and not half.is_cut:
            half.stream.finish()
            half.is_finished = True

    @rule(side=SIDES, number=PICKS)
    def reset(self, side: int, number: int) -> None:
        half = self.pick(side, number)
        if half is not None:
            half.stream.reset(ResetCode.CANCELLED)
            half.parked.clear()
            with pytest.raises(StreamEnded, match="CANCELLED"):
                half.stream.try_receive()

    @rule(side=SIDES)
    def send_message(self, side: int) -> None:
        assert self.pair.ends[side].mux.send_message(b"message")

    # -- what the wire and the clock do ----------------------------------------------------------

    @rule(side=SIDES)
    def flush(self, side: int) -> None:
        if self.is_writable[side]:
            self.pair.take(side)
            self.sort_parked()

    @rule(side=SIDES, size=st.integers(1, 300_000))
    def deliver(self, side: int, size: int) -> None:
        self.pair.deliver(side, size)
        self.note_opened(side)
        self.sort_parked()

    @precondition(lambda self: all(self.is_writable))
    @rule(side=SIDES)
    def pause(self, side: int) -> None:
        self.set_writable(side, is_writable=False)

    @rule(side=SIDES)
    def resume(self, side: int) -> None:
        self.set_writable(side, is_writable=True)

    @rule(span_us=st.integers(0, 4_000_000))
    def pass_time(self, span_us: int) -> None:
        """Four seconds at most, and only with a wire that moves: an honest end is never silent."""
        if all(self.is_writable):
            self.pair.now = after(self.pair.now, span_us)
            for end in self.pair.ends:
                end.keep(end.mux.on_time(self.pair.now))
            self.pair.settle()
            for side in (0, 1):
                self.note_opened(side)
            self.sort_parked()

    # -- what must hold --------------------------------------------------------------------------

    @invariant()
    def nobody_is_blamed(self) -> None:
        for end in self.pair.ends:
            assert end.ended == []
            assert end.mux.ended is None

    @invariant()
    def what_is_held_is_bounded(self) -> None:
        bound = LINK_WINDOW_BYTES + OUTBOX_BYTES_MAX + CONTROL_BYTES_MAX + 3 * FRAME_BYTES_MAX
        for end in self.pair.ends:
            assert end.mux.held_bytes <= bound

    def teardown(self) -> None:
        for side in (0, 1):
            self.set_writable(side, is_writable=True)
        self.drain()
        for half in [*self.halves[0], *self.halves[1]]:
            assert half.is_cut or not half.parked
            assert half.is_cut or not self.under_way[half.side, half.stream.id]
        for _ in range(2):  # the first round opens streams nobody had sent on
            for half in [*self.halves[0], *self.halves[1]]:
                half.stream.finish()
            self.drain()
        for end in self.pair.ends:
            assert end.mux.stream_count == 0
            assert end.mux.held_bytes < LINK_WINDOW_BYTES // 2, "all credit but a rest came home"

    # -- inside ----------------------------------------------------------------------------------

    def drain(self) -> None:
        """Carry and read until nothing moves."""
        while True:
            before = self.count_moves()
            for side in (0, 1):
                self.pair.settle()
                self.note_opened(side)
                for number in range(len(self.halves[side])):
                    self.read(side, number, STREAM_WINDOW_BYTES // FRAME_CHARGE_BYTES)
            if before == self.count_moves():
                return

    def count_moves(self) -> int:
        halves = [*self.halves[0], *self.halves[1]]
        unread = sum(map(len, self.under_way.values()))
        return unread + sum(len(half.parked) for half in halves) - 1_000_000 * len(halves)

    def set_writable(self, side: int, *, is_writable: bool) -> None:
        self.is_writable[side] = is_writable
        self.pair.ends[side].mux.set_writable(is_writable=is_writable)
        self.sort_parked()

    def note_opened(self, side: int) -> None:
        opened = self.pair.ends[side].opened
        while opened:
            self.halves[side].append(Half(side, opened.popleft()))

    def note_sent(self, half: Half, frame: bytes) -> None:
        self.under_way[1 - half.side, half.stream.id].append(frame)

    def sort_parked(self) -> None:
        """Parked frames leave by themselves, in order: move those that did to the model."""
        for half in [*self.halves[0], *self.halves[1]]:
            while half.parked and half.parked[0][0].is_sent:
                self.note_sent(half, half.parked.popleft()[1])


TwoMuxes.TestCase.settings = settings(max_examples=80, stateful_step_count=50)
TestTwoMuxes = TwoMuxes.TestCase
