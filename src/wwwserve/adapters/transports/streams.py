"""The streams of a link: what each holds, may send and may still receive. Pure.

The life of a stream, seen from one side:

- It gets its id when its first frame is sent, so ids appear on the wire in order: odd for the side
  that dialled, even for the other, each exactly two above the last. None is ever used again.
- Each direction ends with END or RESET of its sender. RESET also asks the other side to stop: it
  answers with RESET, unless its END is already under way.
- When both directions have ended the stream is forgotten. So after END or RESET nothing more may
  come of a sender, except CREDIT and a RESET that crossed ours.
- A stream we reset stays in the table until the peer's last frame, to discard what was under way
  and give its credit back to the link.
"""

from collections import deque
from typing import TYPE_CHECKING, Final

from wwwserve.adapters.transports.frames import (
    FrameError,
    FrameType,
    pack_credit,
    pack_frame,
    pack_reset,
)
from wwwserve.adapters.transports.outbox import Outbox, compute_charge
from wwwserve.ports.transport import ResetCode, StreamEnded
from wwwserve.values.limits import (
    FRAME_BYTES_MAX,
    LINK_STREAMS_MAX,
    LINK_WINDOW_BYTES,
    STREAM_WINDOW_BYTES,
)

if TYPE_CHECKING:
    from collections.abc import Callable

UNSENT: Final = 0
"""The id of a stream that nobody has heard of yet."""


class Parked:
    """A frame that waits for credit or room; `bell` rings when it was sent or never will be."""

    __slots__ = ("bell", "charge", "frame", "is_sent")

    def __init__(self, frame: bytes, bell: "Callable[[], None]") -> None:
        self.frame = frame
        self.charge = compute_charge(frame)
        self.bell = bell
        self.is_sent = False


class MuxStream:
    """One stream, without any waiting: the shell adds that with bells.

    `bell`, when set, rings at the next frame, at the end of the peer's frames, and at the end of
    the stream; then it is unset.
    """

    __slots__ = (
        "_credit", "_inbox", "_is_finishing", "_is_queued", "_owed", "_parked", "_table", "bell",
        "ended", "id", "is_peer_done", "is_self_done", "receive_credit",
    )  # fmt: skip

    def __init__(self, table: "StreamTable", stream_id: int = UNSENT) -> None:
        self._table = table
        self.id = stream_id
        self.ended: ResetCode | None = None
        """Why it was cut off, if it was."""
        self.is_self_done = False
        """Whether our last frame was queued."""
        self.is_peer_done = False
        """Whether the peer's last frame came."""
        self.bell: Callable[[], None] | None = None
        self.receive_credit = STREAM_WINDOW_BYTES
        """What the peer may still send."""
        self._credit = STREAM_WINDOW_BYTES
        self._owed = 0
        self._inbox: deque[bytes] = deque()
        self._parked: deque[Parked] = deque()
        self._is_queued = False
        self._is_finishing = False

    # -- for the one who uses it -----------------------------------------------------------------

    @property
    def is_exhausted(self) -> bool:
        """Whether every frame of the peer has been taken and no more will come."""
        return self.is_peer_done and not self._inbox

    def try_send(self, frame: bytes) -> bool:
        """Queue a frame, or return False when it would have to wait. Raises `StreamEnded`."""
        self._check_can_send(frame)
        charge = compute_charge(frame)
        outbox = self._table.outbox
        if self._parked or charge > self._credit or not outbox.has_room(charge):
            return False
        self._credit -= charge
        outbox.put_data(self.id or self._table.assign_id(self), frame, charge)
        return True

    def park(self, frame: bytes, bell: "Callable[[], None]") -> Parked:
        """Have a frame wait its turn. Raises `StreamEnded`."""
        self._check_can_send(frame)
        parked = Parked(frame, bell)
        self._parked.append(parked)
        self._queue_parked()
        return parked

    def withdraw(self, parked: Parked) -> None:
        """The sender gave up: its frame will not be sent, unless it already was."""
        if not parked.is_sent and parked in self._parked:
            self._parked.remove(parked)
            self._queue_parked()
            self._finish_if_due()

    def try_receive(self) -> bytes | None:
        """The next frame, if there is one. Raises `StreamEnded`."""
        if self.ended is not None:
            raise StreamEnded(self.ended)
        if not self._inbox:
            return None
        frame = self._inbox.popleft()
        self._give_back(compute_charge(frame))
        return frame

    def finish(self) -> None:
        """Send no more, once what is parked has left."""
        if self.ended is None and not self.is_self_done:
            self._is_finishing = True
            self._finish_if_due()

    def reset(self, code: ResetCode) -> None:
        """Cut it off from this side."""
        if self.ended is not None:
            return
        if self.id and not (self.is_self_done and self.is_peer_done):
            self._table.outbox.put_control(pack_reset(self.id, code))
        self.is_self_done = True
        if not self.id:
            self.is_peer_done = True  # never told of it
        self.cut(code)
        self._table.forget_if_over(self)

    # -- for the mux -----------------------------------------------------------------------------

    def on_data(self, frame: bytes) -> None:
        """A frame came. Raises `FrameError` when the peer had no right to send it."""
        charge = compute_charge(frame)
        if self.is_peer_done:
            raise FrameError(f"data on stream {self.id} after its end")
        if charge > self.receive_credit:
            raise FrameError(f"stream {self.id} overran its window")
        self.receive_credit -= charge
        if self.ended is not None:
            self._table.give_back(charge)  # was under way when we reset it
            return
        self._inbox.append(frame)
        self.ring()

    def on_end(self) -> None:
        """The peer will send no more."""
        if self.is_peer_done:
            raise FrameError(f"a second end on stream {self.id}")
        self.is_peer_done = True
        self._table.forget_if_over(self)
        self.ring()

    def on_reset(self, code: ResetCode) -> None:
        """The peer cut it off; answer, unless our last frame is already under way."""
        self.is_peer_done = True
        if not self.is_self_done:
            self._table.outbox.put_control(pack_reset(self.id, code))
            self.is_self_done = True
        self.cut(code)
        self._table.forget_if_over(self)

    def on_credit(self, credit_bytes: int) -> None:
        """The peer will take more. Raises `FrameError` when it is more than was ever taken."""
        if self._credit + credit_bytes > STREAM_WINDOW_BYTES:
            raise FrameError(f"credit beyond the window of stream {self.id}")
        self._credit += credit_bytes
        self._queue_parked()

    def on_link_lost(self) -> None:
        """The link went away. What the peer had sent completely may still be read."""
        self.is_self_done = True
        if not self.is_peer_done:
            self.cut(ResetCode.LINK_LOST)
        self._wake_parked()
        self.ring()

    def cut(self, code: ResetCode) -> None:
        """End it now: what was not taken is dropped, whoever waits is woken."""
        if self.ended is not None:
            return
        self.ended = code
        self._table.give_back(sum(map(compute_charge, self._inbox)))
        self._inbox.clear()
        self._wake_parked()
        self.ring()

    def ring(self) -> None:
        """Wake the reader, if one waits."""
        if self.bell is not None:
            bell, self.bell = self.bell, None
            bell()

    def get_parked_charge(self) -> int:
        """What the next parked frame takes of the link; 0 if none, or if it lacks stream credit."""
        if self._parked and self._parked[0].charge <= self._credit:
            return self._parked[0].charge
        return 0

    def send_parked(self) -> bool:
        """Send the next parked frame, if any; whether another one is ready then."""
        self._is_queued = False
        if self.get_parked_charge():
            parked = self._parked.popleft()
            self._credit -= parked.charge
            stream_id = self.id or self._table.assign_id(self)
            self._table.outbox.put_data(stream_id, parked.frame, parked.charge)
            parked.is_sent = True
            parked.bell()
            self._finish_if_due()
        self._is_queued = self.get_parked_charge() > 0
        return self._is_queued

    def _check_can_send(self, frame: bytes) -> None:
        assert len(frame) <= FRAME_BYTES_MAX, "the caller cuts what it sends into frames"
        if self.ended is not None:
            raise StreamEnded(self.ended)
        if self._table.is_over:
            raise StreamEnded(ResetCode.LINK_LOST)
        assert not self._is_finishing, "nothing is sent after finish()"

    def _queue_parked(self) -> None:
        if not self._is_queued and self.get_parked_charge():
            self._is_queued = True
            self._table.outbox.add_ready(self)

    def _wake_parked(self) -> None:
        while self._parked:
            self._parked.popleft().bell()

    def _finish_if_due(self) -> None:
        if not self._is_finishing or self._parked or self.is_self_done:
            return
        self.is_self_done = True
        stream_id = self.id or self._table.assign_id(self)
        self._table.outbox.put_control(pack_frame(FrameType.END, stream_id))
        self._table.forget_if_over(self)

    def _give_back(self, charge: int) -> None:
        self._table.give_back(charge)
        self._owed += charge
        if self._owed >= STREAM_WINDOW_BYTES // 2 and not self.is_peer_done:
            self._table.outbox.put_control(pack_credit(self.id, self._owed))
            self.receive_credit += self._owed
            self._owed = 0


class StreamTable:
    """All streams of one link that either side may still send frames on."""

    __slots__ = (
        "_next_own", "_next_peer", "_own_open", "_peer_open", "_streams", "_unsent", "is_over",
        "outbox", "receive_credit",
    )  # fmt: skip

    def __init__(self, outbox: Outbox, *, is_dialler: bool) -> None:
        self.outbox = outbox
        self.is_over = False
        """Whether the link is gone."""
        self.receive_credit = LINK_WINDOW_BYTES
        """What the peer may still send on all streams together."""
        self._streams: dict[int, MuxStream] = {}
        self._unsent: dict[MuxStream, None] = {}
        self._next_own = 1 if is_dialler else 2
        self._next_peer = 2 if is_dialler else 1
        self._own_open = 0
        self._peer_open = 0

    @property
    def open_count(self) -> int:
        """Streams open now, those being discarded included."""
        return len(self._streams) + len(self._unsent)

    @property
    def unread_bytes(self) -> int:
        """What the peer sent and nobody has taken, by its charge, and credit not yet given back."""
        return LINK_WINDOW_BYTES - self.receive_credit

    def open(self) -> MuxStream:
        """A new stream of ours. Raises `StreamEnded(REFUSED)` at the bound."""
        if self._own_open >= LINK_STREAMS_MAX:
            raise StreamEnded(ResetCode.REFUSED)
        self._own_open += 1
        stream = MuxStream(self)
        self._unsent[stream] = None
        return stream

    def assign_id(self, stream: MuxStream) -> int:
        """Its first frame is being sent: give it the next id."""
        stream.id = self._next_own
        self._next_own += 2
        del self._unsent[stream]
        self._streams[stream.id] = stream
        return stream.id

    def find(self, stream_id: int) -> MuxStream | None:
        """The stream a frame is for, or None for one long over or not yet opened."""
        return self._streams.get(stream_id)

    def is_past(self, stream_id: int) -> bool:
        """Whether a stream of this id was ever open."""
        is_own = stream_id % 2 == self._next_own % 2
        return stream_id < (self._next_own if is_own else self._next_peer)

    def accept(self, stream_id: int) -> MuxStream:
        """The peer opens a stream; it is already cut off when it is one too many.

        Raises `FrameError` when the id is not the next one.
        """
        if stream_id != self._next_peer:
            raise FrameError(
                f"a frame on stream {stream_id}; the next new one is {self._next_peer}"
            )
        if self._peer_open >= 2 * LINK_STREAMS_MAX:
            raise FrameError(f"more than {LINK_STREAMS_MAX} streams, and refusals not heeded")
        self._next_peer += 2
        self._peer_open += 1
        stream = MuxStream(self, stream_id)
        self._streams[stream_id] = stream
        if self._peer_open > LINK_STREAMS_MAX:
            stream.reset(ResetCode.REFUSED)
        return stream

    def forget_if_over(self, stream: MuxStream) -> None:
        """Drop a stream both of whose directions have ended."""
        if self.is_over or not (stream.is_self_done and stream.is_peer_done):
            return
        if stream.id == UNSENT:
            del self._unsent[stream]
        elif self._streams.pop(stream.id, None) is None:
            return
        if stream.id == UNSENT or stream.id % 2 == self._next_own % 2:
            self._own_open -= 1
        else:
            self._peer_open -= 1

    def take_credit(self, charge: int) -> None:
        """A frame came on some stream. Raises `FrameError` when the link's window is overrun."""
        if charge > self.receive_credit:
            raise FrameError("the link's window was overrun")
        self.receive_credit -= charge

    def give_back(self, charge: int) -> None:
        """Bytes were taken or dropped: the peer may send as much again, on any stream."""
        if charge and not self.is_over:
            self.receive_credit += self.outbox.give_back(charge)

    def lose_all(self) -> None:
        """The link is gone, and every stream with it."""
        self.is_over = True
        self.outbox.drop_ready()
        lost = [*self._streams.values(), *self._unsent]
        self._streams.clear()
        self._unsent.clear()
        for stream in lost:
            stream.on_link_lost()
