"""One end of a link as a machine without I/O: bytes in, events and bytes out.

The conversation, which is the same in both directions:

1. Each side sends HELLO first. If the versions have none in common, or the networks differ, a side
   sends CLOSE and is done; otherwise the link is ready.
2. Then frames of streams (`streams`), control messages, credits and heartbeats in any order.
3. CLOSE is the last frame of its sender and says why. A side that receives it is done.

A peer that breaks a rule gets CLOSE with `MALFORMED` and the rule. Everything a peer can make us
hold is bounded: unread data by the windows, streams by their number, answers by what it reads, and
what costs us more than it costs the peer (resets, pings) by an `Allowance` that refills with time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, assert_never

from wwwserve.adapters.transports import frames
from wwwserve.adapters.transports.frames import Frame, FrameError, FrameReader, FrameType, Hello
from wwwserve.adapters.transports.outbox import Outbox, compute_charge
from wwwserve.adapters.transports.streams import MuxStream, StreamTable
from wwwserve.ports.transport import CloseReason, LinkEnded, ResetCode
from wwwserve.values.limits import (
    LINK_DEAD_US,
    LINK_HEARTBEAT_US,
    LINK_IDLE_US,
    LINK_STREAMS_MAX,
    MESSAGE_BYTES_MAX,
)
from wwwserve.values.moments import NEVER, SECOND, Moment, after

RESET_COST: Final = 1
PING_COST: Final = 16
ALLOWANCE_MAX: Final = 2 * LINK_STREAMS_MAX
"""Resets at once: every stream either side may have open, cancelled in one breath."""
ALLOWANCE_PER_SECOND: Final = 512
"""Resets a second for good: more than users cancel, far less than a flood."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The peer's hello was good: the link may be used."""

    version: int
    """The newest version both speak."""


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """The peer opened a stream."""

    stream: MuxStream


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A control message came."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """The link is over, by our rule or the peer's word; nothing follows."""

    reason: CloseReason
    detail: str


MuxEvent = Ready | StreamOpened | MessageReceived | Ended


class Allowance:
    """How much of something a peer may cause: a burst, and so much a second."""

    __slots__ = ("_left_us", "_seen")

    def __init__(self, now: Moment) -> None:
        self._left_us = _ALLOWANCE_MAX_US
        self._seen = now

    def take(self, cost: int, now: Moment) -> bool:
        """Take `cost` from it; False when there is not that much left."""
        refilled = self._left_us + (now - self._seen) * ALLOWANCE_PER_SECOND
        self._left_us = min(_ALLOWANCE_MAX_US, refilled) - cost * SECOND
        self._seen = now
        return self._left_us >= 0


_ALLOWANCE_MAX_US: Final = ALLOWANCE_MAX * SECOND


class Mux:
    """One end of a link. `now` is microseconds of one monotonic clock; it never goes back."""

    def __init__(
        self, hello: Hello, *, is_dialler: bool, now: Moment, ring: Callable[[], None]
    ) -> None:
        """`ring` is called when there are bytes to take after there were none."""
        self.ended: Ended | None = None
        """Set once the link is over."""
        self.round_trip_us: int | None = None
        """The latest measured round trip of a heartbeat."""
        self._hello = hello
        self._is_ready = False
        self._now = now
        self._heard_at = now
        # One of the two asks, so that one answer serves both; the other steps in for it.
        self._silence_us = LINK_HEARTBEAT_US if is_dialler else LINK_HEARTBEAT_US * 3 // 2
        self._tick_at = after(now, self._silence_us)
        self._ping_token = 0
        self._ping_sent_at: Moment | None = None
        self._allowance = Allowance(now)
        self._events: list[MuxEvent] = []
        self._reader = FrameReader()
        self._outbox = Outbox(ring)
        self._streams = StreamTable(self._outbox, is_dialler=is_dialler)
        self._outbox.put_control(frames.pack_hello(hello))

    # -- what the holder does --------------------------------------------------------------------

    @property
    def has_output(self) -> bool:
        """Whether there are bytes to take."""
        return not self._outbox.is_empty

    @property
    def stream_count(self) -> int:
        """Streams open now, those being discarded included."""
        return self._streams.open_count

    @property
    def held_bytes(self) -> int:
        """What the peer makes us hold: unread data by its charge, queued output, partial frames."""
        return self._streams.unread_bytes + self._outbox.queued_bytes + self._reader.held_bytes

    def open_stream(self) -> MuxStream:
        """A new stream. Raises `LinkEnded`, or `StreamEnded(REFUSED)` at the bound."""
        if self.ended is not None:
            raise LinkEnded(self.ended.reason, self.ended.detail)
        return self._streams.open()

    def send_message(self, payload: bytes) -> bool:
        """Queue a control message; False when the link is over or too many wait."""
        assert len(payload) <= MESSAGE_BYTES_MAX, "a control message is one frame"
        return self.ended is None and self._outbox.put_message(payload)

    def close(self, reason: CloseReason, detail: str = "") -> None:
        """Queue the last frame and end every stream. Idempotent."""
        if self.ended is None:
            self._outbox.put_control(frames.pack_close(reason, detail))
            self.lose(reason, detail)

    def lose(self, reason: CloseReason, detail: str = "") -> None:
        """The connection is gone, or good for nothing: end every stream. Idempotent."""
        if self.ended is None:
            self.ended = Ended(reason, detail)
            self._streams.lose_all()

    def set_writable(self, *, is_writable: bool) -> None:
        """Whether the socket takes more now."""
        self._outbox.set_writable(is_writable=is_writable)

    def take_output(self) -> bytes:
        """All bytes to be sent now."""
        return self._outbox.take()

    def next_deadline(self) -> Moment:
        """When `on_time` wants to be called."""
        return NEVER if self.ended is not None else self._tick_at

    # -- what happens to it ----------------------------------------------------------------------

    def receive(self, data: bytes, now: Moment) -> list[MuxEvent]:
        """Bytes came. Frames of streams go to their streams; the rest comes back as events."""
        events = self._events = []
        if self.ended is not None:
            return events
        self._now = self._heard_at = now
        try:
            for frame in self._reader.feed(data):
                self._on_frame(frame)
                if self._streams.is_over:
                    return events
        except FrameError as error:
            self._end(CloseReason.MALFORMED, str(error))
        if self._outbox.is_flooded:
            self._end(CloseReason.MALFORMED, "answers are asked for and not read")
        return events

    def on_time(self, now: Moment) -> list[MuxEvent]:
        """Ask a peer that was silent for long, or give it up."""
        events = self._events = []
        if self.ended is not None or now < self._tick_at:
            return events
        has_slept = now - self._tick_at > LINK_HEARTBEAT_US
        if has_slept:
            self._heard_at = now  # It was we who slept: what the peer said is still unread.
        if now >= self._compute_dead_at():
            silence_s = (now - self._heard_at) / SECOND
            self._end(CloseReason.SILENT, f"nothing heard for {silence_s:.1f} s")
            return events
        is_quiet = now - self._heard_at >= self._compute_patience_us()
        if self._is_ready and self._ping_sent_at is None and (is_quiet or has_slept):
            self._send_ping(now)
        look_at = after(self._heard_at, self._silence_us)
        next_look_at = look_at if look_at > now else after(now, LINK_HEARTBEAT_US)
        self._tick_at = min(next_look_at, self._compute_dead_at())
        return events

    def _compute_patience_us(self) -> int:
        """After how much silence to ask: long, where nothing runs that would wait for it."""
        is_idle = self._streams.open_count == 0
        return self._silence_us * (LINK_IDLE_US // LINK_HEARTBEAT_US if is_idle else 1)

    def _compute_dead_at(self) -> Moment:
        """When to give the peer up, if nothing is heard: never before it had time for a pong."""
        silent_at = after(self._heard_at, LINK_DEAD_US)
        if not self._is_ready:
            return silent_at
        if self._ping_sent_at is None:
            return NEVER
        return max(silent_at, after(self._ping_sent_at, LINK_DEAD_US // 2))

    # -- frames ----------------------------------------------------------------------------------

    def _on_frame(self, frame: Frame) -> None:
        kind, stream_id, payload = frame
        if not self._is_ready:
            self._on_first_frame(kind, payload)
        elif kind == FrameType.DATA:
            self._streams.take_credit(compute_charge(payload))
            self._find_or_accept(stream_id).on_data(payload)
        elif kind == FrameType.MESSAGE:
            self._events.append(MessageReceived(payload))
        elif stream_id:
            self._on_stream_control(FrameType(kind), stream_id, payload)
        else:
            self._on_link_control(FrameType(kind), payload)

    def _on_first_frame(self, kind: int, payload: bytes) -> None:
        if kind == FrameType.CLOSE:
            self._on_close(payload)
            return
        if kind != FrameType.HELLO:
            raise FrameError(f"the first frame is HELLO, not {FrameType(kind).name}")
        own, peer = self._hello, frames.parse_hello(payload)
        if own.version_max < peer.version_min or peer.version_max < own.version_min:
            spoken = f"{own.version_min} to {own.version_max}"
            other = f"{peer.version_min} to {peer.version_max}"
            detail = f"protocol versions {spoken} are spoken here, {other} there"
            self._end(CloseReason.VERSION, detail)
        elif own.network_id != peer.network_id:
            here, there = own.network_id.hex()[:8], peer.network_id.hex()[:8]
            detail = f"network {here} here, {there} there: another name or other parameters"
            self._end(CloseReason.NETWORK, detail)
        else:
            self._is_ready = True
            self._events.append(Ready(min(own.version_max, peer.version_max)))
            self._send_ping(self._now)

    def _on_stream_control(self, kind: FrameType, stream_id: int, payload: bytes) -> None:
        if kind is FrameType.END:
            self._find_or_accept(stream_id).on_end()
            return
        stream = self._streams.find(stream_id)
        if stream is None and not self._streams.is_past(stream_id):
            raise FrameError(f"{kind.name} on stream {stream_id}, which was never opened")
        if kind is FrameType.RESET:
            self._on_reset(stream, frames.parse_reset(payload))
        elif stream is not None:
            stream.on_credit(frames.parse_credit(payload))

    def _on_reset(self, stream: MuxStream | None, code: ResetCode) -> None:
        is_answer = stream is not None and stream.ended is not None
        if not is_answer and not self._allowance.take(RESET_COST, self._now):
            raise FrameError("streams are reset faster than anyone cancels")
        if stream is not None:
            stream.on_reset(code)

    def _on_link_control(self, kind: FrameType, payload: bytes) -> None:
        match kind:
            case FrameType.CREDIT:
                self._outbox.add_credit(frames.parse_credit(payload))
            case FrameType.PING:
                self._on_ping(payload)
            case FrameType.PONG:
                self._on_pong(frames.parse_token(payload))
            case FrameType.CLOSE:
                self._on_close(payload)
            case FrameType.HELLO:
                raise FrameError("a second hello")
            case FrameType.DATA | FrameType.END | FrameType.RESET | FrameType.MESSAGE:
                raise AssertionError("frames of streams and messages were handled before")
            case _:
                assert_never(kind)

    def _on_ping(self, payload: bytes) -> None:
        if not self._allowance.take(PING_COST, self._now):
            raise FrameError("too many pings")
        self._outbox.put_control(frames.pack_frame(FrameType.PONG, 0, payload))

    def _on_pong(self, token: int) -> None:
        if self._ping_sent_at is None or token != self._ping_token:
            raise FrameError("a pong for no ping of ours")
        self.round_trip_us = self._now - self._ping_sent_at
        self._ping_sent_at = None

    def _on_close(self, payload: bytes) -> None:
        reason, detail = frames.parse_close(payload)
        self.lose(reason, f"the peer says: {detail}" if detail else "said by the peer")
        assert self.ended is not None
        self._events.append(self.ended)

    def _find_or_accept(self, stream_id: int) -> MuxStream:
        stream = self._streams.find(stream_id)
        if stream is None:
            stream = self._streams.accept(stream_id)
            if stream.ended is None:
                self._events.append(StreamOpened(stream))
        return stream

    def _send_ping(self, now: Moment) -> None:
        self._ping_token += 1
        self._ping_sent_at = now
        self._outbox.put_control(frames.pack_ping(self._ping_token))

    def _end(self, reason: CloseReason, detail: str) -> None:
        if self.ended is None:
            self.close(reason, detail)
            self._events.append(Ended(reason, detail))
