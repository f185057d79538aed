"""A link on the event loop: the `mux` with a clock, wake-ups and something that carries bytes.

All links are this one; what differs is the carrier beneath (`tcp`, `loopback`). Nothing here waits
by itself, and there is no task per link: bytes come in by `on_bytes`, and what was queued in one
turn of the loop goes out in one write at its end.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, assert_never

from wwwserve.adapters.transports.frames import Hello
from wwwserve.adapters.transports.mux import (
    Ended,
    MessageReceived,
    Mux,
    MuxEvent,
    Ready,
    StreamOpened,
)
from wwwserve.adapters.transports.streams import MuxStream
from wwwserve.ports.transport import (
    CloseReason,
    LinkOwner,
    ResetCode,
    StreamEnded,
)
from wwwserve.values.ids import NodeId
from wwwserve.values.moments import SECOND, Moment

_NANOSECONDS = 1_000


class Carrier(Protocol):
    """What moves a link's bytes to the other end."""

    def write(self, data: bytes) -> None:
        """Send these bytes; calls `on_writable` of the link when too many wait."""
        ...

    def finish(self) -> None:
        """Deliver what was written, then end, within a bounded time."""
        ...


@dataclass(frozen=True, slots=True)
class Ends:
    """Who is at the ends of a link."""

    peer: NodeId
    is_dialled: bool
    remote_address: str


class LinkHolder(Protocol):
    """Who made a link and hears what becomes of it."""

    def on_ready(self, link: "MuxLink") -> LinkOwner:
        """Both hellos were good; answers who owns the link from now on."""
        ...

    def on_ended(self, reason: CloseReason, detail: str) -> None:
        """The link is over, whether it ever was ready or not."""
        ...


class LinkStream:
    """The port's `Stream`: a `MuxStream` that can be waited for."""

    __slots__ = ("_state",)

    def __init__(self, state: MuxStream) -> None:
        self._state = state

    def try_send(self, frame: bytes) -> bool:
        """Queue one frame if credit allows it now. Raises `StreamEnded`."""
        return self._state.try_send(frame)

    def try_receive(self) -> bytes | None:
        """The next frame if one has arrived. Raises `StreamEnded`."""
        return self._state.try_receive()

    async def send(self, frame: bytes) -> None:
        """Queue one frame, waiting its turn. Raises `StreamEnded`; cancelled, it may have left."""
        if self._state.try_send(frame):
            return
        turn = asyncio.get_running_loop().create_future()
        parked = self._state.park(frame, _bell_of(turn))
        try:
            await turn
        finally:
            self._state.withdraw(parked)
        if not parked.is_sent:
            raise StreamEnded(self._state.ended or ResetCode.LINK_LOST)

    async def receive(self) -> bytes | None:
        """The next frame, or None once the peer has finished. Raises `StreamEnded`."""
        state = self._state
        while True:
            frame = state.try_receive()
            if frame is not None or state.is_exhausted:
                return frame
            assert state.bell is None, "a stream has one reader"
            arrival = asyncio.get_running_loop().create_future()
            state.bell = _bell_of(arrival)
            try:
                await arrival
            finally:
                state.bell = None

    def notify(self, callback: Callable[[], None]) -> None:
        """Call `callback` once when anything comes, or nothing can any more."""
        assert self._state.bell is None, "a stream has one reader"
        self._state.bell = callback

    def finish(self) -> None:
        """Say that no more frames will be sent."""
        self._state.finish()

    def reset(self, code: ResetCode) -> None:
        """Cut both directions off now."""
        self._state.reset(code)


class MuxLink:
    """The port's `Link`: one `Mux`, driven by a carrier and the loop's clock."""

    def __init__(self, carrier: Carrier, ends: Ends, hello: Hello, holder: LinkHolder) -> None:
        self._carrier = carrier
        self._ends = ends
        self._holder = holder
        self._loop = asyncio.get_running_loop()
        self._owner: LinkOwner | None = None
        self._is_writable = True
        self._is_settled = False
        self._closed = asyncio.Event()
        self._mux = Mux(hello, is_dialler=ends.is_dialled, now=_now(), ring=self._on_output)
        self._timer = self._start_timer()

    # -- the port --------------------------------------------------------------------------------

    @property
    def peer(self) -> NodeId:
        """The node at the other end, proved by its key."""
        return self._ends.peer

    @property
    def is_dialled(self) -> bool:
        """Whether this side made the connection."""
        return self._ends.is_dialled

    @property
    def remote_address(self) -> str:
        """`host:port` of the other end as seen here."""
        return self._ends.remote_address

    @property
    def round_trip_us(self) -> int | None:
        """The latest measured round trip of a heartbeat; the first is made at once."""
        return self._mux.round_trip_us

    @property
    def stream_count(self) -> int:
        """Streams open now, whoever opened them."""
        return self._mux.stream_count

    def open_stream(self) -> LinkStream:
        """Open a stream. Raises `LinkEnded`, or `StreamEnded(REFUSED)` at the stream bound."""
        return LinkStream(self._mux.open_stream())

    def send_message(self, payload: bytes) -> bool:
        """Queue one control message; False when the link is gone or too many wait."""
        return self._mux.send_message(payload)

    def close(self, reason: CloseReason) -> None:
        """Tell the peer why, then end the link and all its streams. Idempotent."""
        self._mux.close(reason)
        self._settle()

    async def wait_closed(self) -> None:
        """Return once the carrier is gone; at most the carrier's time to finish after the end."""
        await self._closed.wait()

    # -- the carrier -----------------------------------------------------------------------------

    def on_bytes(self, data: bytes) -> None:
        """Bytes came from the peer."""
        for event in self._mux.receive(data, _now()):
            self._on_event(event)

    def on_writable(self, *, is_writable: bool) -> None:
        """The carrier has room again, or has too much to carry."""
        self._is_writable = is_writable
        self._mux.set_writable(is_writable=is_writable)
        self._flush()

    def lose(self, detail: str) -> None:
        """The carrier is good for nothing any more. Idempotent."""
        self._mux.lose(CloseReason.LOST, detail)
        self._settle()

    def on_closed(self) -> None:
        """The carrier is gone and what it held is freed; the link was lost or closed before."""
        self._closed.set()

    # -- inside ----------------------------------------------------------------------------------

    def _on_event(self, event: MuxEvent) -> None:
        match event:
            case Ready():
                self._owner = self._holder.on_ready(self)
            case StreamOpened(stream):
                if self._owner is not None and not self._is_settled:
                    self._owner.on_link_stream(self, LinkStream(stream))
            case MessageReceived(payload):
                if self._owner is not None and not self._is_settled:
                    self._owner.on_link_message(self, payload)
            case Ended():
                self._settle()
            case _:
                assert_never(event)

    def _on_output(self) -> None:
        self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        if self._is_writable and not self._is_settled and self._mux.has_output:
            self._carrier.write(self._mux.take_output())

    def _start_timer(self) -> asyncio.TimerHandle:
        delay_us = max(0, self._mux.next_deadline() - _now())
        return self._loop.call_later(delay_us / SECOND, self._on_timer)

    def _on_timer(self) -> None:
        for event in self._mux.on_time(_now()):
            self._on_event(event)
        if not self._is_settled:
            self._timer = self._start_timer()

    def _settle(self) -> None:
        """The mux has ended: send its last words and tell everyone, once."""
        if self._is_settled:
            return
        self._is_settled = True
        self._timer.cancel()
        if self._mux.has_output:
            self._carrier.write(self._mux.take_output())
        self._carrier.finish()
        # Later, since the end is often caused from inside the one who is to be told.
        self._loop.call_soon(self._tell_ended)

    def _tell_ended(self) -> None:
        ended = self._mux.ended
        assert ended is not None
        self._holder.on_ended(ended.reason, ended.detail)
        if self._owner is not None:
            self._owner.on_link_closed(self, ended.reason)


def _now() -> Moment:
    # Not the loop's clock: uvloop's has whole milliseconds, and a round trip takes less.
    return Moment(time.monotonic_ns() // _NANOSECONDS)


def _bell_of(future: "asyncio.Future[None]") -> Callable[[], None]:
    def ring() -> None:
        if not future.done():  # it may have been cancelled in this very turn
            future.set_result(None)

    return ring
