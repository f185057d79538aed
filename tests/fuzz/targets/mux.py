"""One end of a link against a peer that sends anything, while its own streams are used as usual.

An input is a script: well-formed frames, mere bytes, what the node itself does, and passing time.
Whatever happens, what the peer makes us hold is bounded, what we send is well-formed, and the link
ends at most once.
"""

from contextlib import suppress

from tests.fuzz.scripts import Script
from wwwserve.adapters.transports import frames
from wwwserve.adapters.transports.frames import FrameReader, FrameType, Hello
from wwwserve.adapters.transports.mux import Ended, Mux, StreamOpened
from wwwserve.adapters.transports.outbox import (
    CONTROL_BYTES_MAX,
    MESSAGES_BYTES_MAX,
    OUTBOX_BYTES_MAX,
)
from wwwserve.adapters.transports.streams import MuxStream, Parked
from wwwserve.ports.transport import CloseReason, LinkEnded, ResetCode, StreamEnded
from wwwserve.values.limits import (
    FRAME_BYTES_MAX,
    LINK_HEARTBEAT_US,
    LINK_STREAMS_MAX,
    LINK_WINDOW_BYTES,
)
from wwwserve.values.moments import Moment, after

HELLO = Hello(1, 1, b"n" * 32)
STEPS_MAX = 2_000
"""Steps of one script; what follows is not read."""
SCALE = 257
"""A byte of the script times this is a frame of up to `FRAME_BYTES_MAX` bytes."""
STREAM_IDS = (0, 1, 2, 3, 4, 5, 7, 101, 2 * LINK_STREAMS_MAX + 1, 2**64 - 1)
HELD_BYTES_MAX = (
    LINK_WINDOW_BYTES + OUTBOX_BYTES_MAX + MESSAGES_BYTES_MAX + CONTROL_BYTES_MAX
    + 2 * FRAME_BYTES_MAX
)  # fmt: skip
"""All that may be held at once: unread data, each kind of output, and a frame more of each."""


def make_seeds() -> list[bytes]:
    """An ordinary conversation, a flood, streams of ours, and a peer that breaks rules."""
    hello = frames.pack_hello(HELLO)
    greet = bytes([0, len(hello)]) + hello
    ordinary = bytes([2, 0, 5]) + b"hello" + bytes([9, 0, 0, 9, 0, 1, 4, 8, 9, 0, 2, 1, 2, 3, 0])
    flood = bytes([3, 0, 255]) * 20 + bytes([9, 0, 5, 8]) + bytes([3, 0, 255]) * 3
    own = bytes([7, 9, 0, 1, 255, 8]) + bytes([9, 0, 1, 255]) * 8 + bytes([9, 0, 4, 6, 0, 9, 0, 3])
    rude = bytes([1, 3, 3, 2, 0, 1, 1, 4, 3, 0, 1])
    silent = bytes([4, 255, 4, 255, 4, 255])
    return [greet + steps for steps in (ordinary, flood, own, rude, silent)] + [b""]


class _Holder:
    """Whoever uses the link: keeps the streams, and checks all that comes out."""

    def __init__(self) -> None:
        self.now = Moment(1_000_000)
        self.mux = Mux(HELLO, is_dialler=False, now=self.now, ring=lambda: None)
        self.streams: list[MuxStream] = []
        self.parked: list[tuple[MuxStream, Parked]] = []
        self.finished: list[MuxStream] = []
        self.ends = 0
        self._peer = FrameReader()

    def receive(self, data: bytes) -> None:
        for event in self.mux.receive(data, self.now):
            if isinstance(event, StreamOpened):
                self.streams.append(event.stream)
            self.ends += isinstance(event, Ended)

    def take_output(self) -> None:
        for kind, _, _ in self._peer.feed(self.mux.take_output()):
            FrameType(kind)

    def check(self) -> None:
        assert self.mux.held_bytes <= HELD_BYTES_MAX
        assert self.mux.stream_count <= 3 * LINK_STREAMS_MAX
        assert self.ends <= 1
        assert not self.ends or self.mux.ended is not None


def consume(data: bytes) -> None:
    """Carry out the script; the peer is the one who does not keep to the rules."""
    script, holder = Script(data), _Holder()
    for _ in range(STEPS_MAX):
        if script.is_over:
            break
        with suppress(StreamEnded, LinkEnded):
            _step(script, holder)
        holder.check()
    holder.mux.lose(CloseReason.LOST)
    holder.take_output()
    assert holder.mux.stream_count == 0


def _step(script: Script, holder: _Holder) -> None:
    match script.take_number(10):
        case 0 | 1 | 2 | 3 as step:
            _hear_peer(step, script, holder)
        case 4:
            holder.now = after(holder.now, script.take_number(256) * LINK_HEARTBEAT_US // 16)
            holder.ends += sum(isinstance(event, Ended) for event in holder.mux.on_time(holder.now))
        case 5:
            holder.mux.send_message(script.take_bytes())
        case 6:
            holder.mux.set_writable(is_writable=bool(script.take_number(2)))
        case 7:
            holder.streams.append(holder.mux.open_stream())
        case 8:
            holder.take_output()
        case _:
            _use_stream(script, holder)


def _hear_peer(step: int, script: Script, holder: _Holder) -> None:
    """The peer sends any bytes, any frame, data on one of its streams, or much of it."""
    if step == 0:
        holder.receive(script.take_bytes())
        return
    kind = FrameType(1 + script.take_number(len(FrameType))) if step == 1 else FrameType.DATA
    if step == 1:
        stream_id = STREAM_IDS[script.take_number(len(STREAM_IDS))]
    else:
        stream_id = 2 * script.take_number(8) + 1
    if step == 3:
        payload = bytes(min(FRAME_BYTES_MAX, script.take_number(256) * SCALE))
    else:
        payload = script.take_bytes()
    holder.receive(frames.pack_frame(kind, stream_id, payload))


def _use_stream(script: Script, holder: _Holder) -> None:
    """What the node does with a stream, its own or the peer's."""
    if not holder.streams:
        return
    stream = holder.streams[script.take_number(256) % len(holder.streams)]
    match script.take_number(6):
        case 0:
            stream.try_receive()
        case 1 if stream not in holder.finished:
            size = min(FRAME_BYTES_MAX, script.take_number(256) * SCALE)
            _send(holder, stream, bytes(size))
        case 2:
            stream.finish()
            holder.finished.append(stream)
        case 3:
            stream.reset(ResetCode.CANCELLED)
        case 4 if holder.parked:
            parking, parked = holder.parked.pop()
            parking.withdraw(parked)
        case _:
            while stream.try_receive() is not None:
                pass


def _send(holder: _Holder, stream: MuxStream, frame: bytes) -> None:
    if not stream.try_send(frame):
        holder.parked.append((stream, stream.park(frame, lambda: None)))
