"""What a link is about to send: bytes of this moment, bounded, in the order they were queued. Pure.

Frames pile up here until the shell takes them all at once (one write, one TLS record for everything
queued in a turn of its loop). Three kinds go in, and each is bounded in its own way:

- stream data needs credit of the peer and room here; without either its sender waits, *parked*,
  and parked frames leave in turn, one stream after another;
- messages are counted, and the one too many is refused;
- control frames (credits, resets, answers to pings) always go in, but a peer that makes us queue
  many of them and does not read them is at fault.
"""

from collections import deque
from typing import TYPE_CHECKING, Final

from wwwserve.adapters.transports.frames import (
    FrameError,
    FrameType,
    pack_credit,
    pack_data_header,
    pack_frame,
)
from wwwserve.values.limits import (
    KIB,
    LINK_MESSAGES_QUEUED_MAX,
    LINK_WINDOW_BYTES,
    MIB,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from wwwserve.adapters.transports.streams import MuxStream

FRAME_CHARGE_BYTES: Final = 64
"""What a frame costs of a window beside its payload: about what holding it costs the receiver, so
that a flood of empty frames is bounded like any other."""
OUTBOX_BYTES_MAX: Final = 256 * KIB
"""Stream data queued for one write; above it senders wait for the next turn."""
MESSAGES_BYTES_MAX: Final = 4 * MIB
"""Control messages queued for one link's socket; one more is refused, like one too many."""
CONTROL_BYTES_MAX: Final = 256 * KIB
"""Credits, resets and pongs queued for a peer that does not read; one more closes the link."""


def compute_charge(frame: bytes) -> int:
    """What a stream's frame takes of the stream's and the link's window."""
    return len(frame) + FRAME_CHARGE_BYTES


class Outbox:
    """The sending half of a link: what is queued, and what may be."""

    __slots__ = (
        "_control_bytes", "_credit", "_data_bytes", "_is_writable", "_message_bytes", "_messages",
        "_owed", "_parts", "_ready", "_ring",
    )  # fmt: skip

    def __init__(self, ring: "Callable[[], None]") -> None:
        """`ring` is called when there is something to take after there was nothing."""
        self._ring = ring
        self._parts: list[bytes] = []
        self._data_bytes = 0
        self._control_bytes = 0
        self._messages = 0
        self._message_bytes = 0
        self._is_writable = True
        self._credit = LINK_WINDOW_BYTES
        self._owed = 0
        self._ready: deque[MuxStream] = deque()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is queued."""
        return not self._parts

    @property
    def queued_bytes(self) -> int:
        """Bytes of payload and control queued: what a peer that does not read makes us hold."""
        return self._data_bytes + self._control_bytes + self._message_bytes

    @property
    def is_flooded(self) -> bool:
        """Whether the peer caused more control frames than it reads."""
        return self._control_bytes > CONTROL_BYTES_MAX

    def take(self) -> bytes:
        """Everything queued, as one piece; parked frames move up behind it."""
        data = b"".join(self._parts)
        self._parts.clear()
        self._data_bytes = self._control_bytes = self._messages = self._message_bytes = 0
        self.pump()
        return data

    def set_writable(self, *, is_writable: bool) -> None:
        """Whether the socket takes more; while it does not, data and messages wait."""
        self._is_writable = is_writable
        self.pump()

    def put_control(self, frame: bytes) -> None:
        """Queue a frame that may not wait."""
        self._control_bytes += len(frame)
        self._put(frame)

    def put_message(self, payload: bytes) -> bool:
        """Queue a control message, or return False when too many wait already."""
        if self._messages >= LINK_MESSAGES_QUEUED_MAX:
            return False
        if self._message_bytes + len(payload) > MESSAGES_BYTES_MAX:
            return False
        self._messages += 1
        self._message_bytes += len(payload)
        self._put(pack_frame(FrameType.MESSAGE, 0, payload))
        return True

    # -- stream data -----------------------------------------------------------------------------

    def has_room(self, charge: int) -> bool:
        """Whether the link takes a stream's frame now, without overtaking anyone who waits."""
        return not self._ready and self._fits(charge)

    def put_data(self, stream_id: int, frame: bytes, charge: int) -> None:
        """Queue a stream's frame; the caller has asked `has_room`."""
        self._credit -= charge
        self._data_bytes += charge
        self._put(pack_data_header(stream_id, len(frame)))
        self._parts.append(frame)

    def add_ready(self, stream: "MuxStream") -> None:
        """A stream's parked frame lacks nothing but room on the link: it is next in turn."""
        self._ready.append(stream)
        self.pump()

    def pump(self) -> None:
        """Let parked frames leave, one of each stream in turn, as far as room goes."""
        ready = self._ready
        while ready:
            charge = ready[0].get_parked_charge()
            if charge and not self._fits(charge):
                return
            stream = ready.popleft()
            if stream.send_parked():
                ready.append(stream)

    def drop_ready(self) -> None:
        """Forget who waits: the link is over."""
        self._ready.clear()

    def _fits(self, charge: int) -> bool:
        is_full = self._data_bytes >= OUTBOX_BYTES_MAX
        return self._is_writable and not is_full and charge <= self._credit

    # -- credit of the whole link ----------------------------------------------------------------

    def add_credit(self, credit_bytes: int) -> None:
        """The peer gives credit for the link; `FrameError` when it is more than was ever taken."""
        if self._credit + credit_bytes > LINK_WINDOW_BYTES:
            raise FrameError("credit beyond the window of the link")
        self._credit += credit_bytes
        self.pump()

    def give_back(self, charge: int) -> int:
        """Bytes of the peer were taken: owe them back, and return what is given back now."""
        self._owed += charge
        if self._owed < LINK_WINDOW_BYTES // 2:
            return 0
        given, self._owed = self._owed, 0
        self.put_control(pack_credit(0, given))
        return given

    def _put(self, part: bytes) -> None:
        if not self._parts:
            self._ring()
        self._parts.append(part)
