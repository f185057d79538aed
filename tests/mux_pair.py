"""Two ends of a link joined by bytes in memory, with the time and the wire in the test's hand."""

from collections import deque
from dataclasses import dataclass, field

from wwwserve.adapters.transports import frames
from wwwserve.adapters.transports.frames import FrameType, Hello
from wwwserve.adapters.transports.mux import Ended, MessageReceived, Mux, Ready, StreamOpened
from wwwserve.adapters.transports.streams import MuxStream
from wwwserve.values.moments import Moment

HELLO = Hello(1, 1, b"n" * 32)
START = Moment(1_000_000)


def ignore_ring() -> None:
    """Nobody needs waking: the test asks."""


@dataclass(slots=True)
class End:
    """One mux, what it told, and the bytes on their way to it."""

    mux: Mux
    arriving: bytearray = field(default_factory=bytearray)
    is_ready: bool = False
    version: int = 0
    opened: deque[MuxStream] = field(default_factory=deque)
    messages: list[bytes] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)

    def receive(self, data: bytes, now: Moment) -> None:
        """Feed bytes and keep the events."""
        self.keep(self.mux.receive(data, now))

    def keep(self, events: "list[Ready | StreamOpened | MessageReceived | Ended]") -> None:
        """File events by kind."""
        for event in events:
            match event:
                case Ready(version):
                    self.is_ready, self.version = True, version
                case StreamOpened(stream):
                    self.opened.append(stream)
                case MessageReceived(payload):
                    self.messages.append(payload)
                case Ended():
                    self.ended.append(event)


class MuxPair:
    """A dialler and an acceptor. Bytes move only when the test says so."""

    def __init__(self, dialler: Hello = HELLO, acceptor: Hello = HELLO) -> None:
        self.now = START
        self.ends = (self._make(dialler, is_dialler=True), self._make(acceptor, is_dialler=False))

    @property
    def dialler(self) -> End:
        return self.ends[0]

    @property
    def acceptor(self) -> End:
        return self.ends[1]

    def take(self, source: int) -> None:
        """Put what one end wants to send on the wire, as a socket with room would."""
        while self.ends[source].mux.has_output:
            self.ends[1 - source].arriving += self.ends[source].mux.take_output()

    def deliver(self, target: int, size: int = 1 << 30) -> None:
        """Let at most `size` bytes arrive at one end."""
        end = self.ends[target]
        piece = bytes(end.arriving[:size])
        del end.arriving[:size]
        end.receive(piece, self.now)

    def settle(self) -> None:
        """Deliver until both ends are quiet."""
        while True:
            for side in (0, 1):
                self.take(side)
            if not any(end.arriving for end in self.ends):
                return
            for side in (0, 1):
                self.deliver(side)

    def open_pair(self) -> tuple[MuxStream, MuxStream]:
        """A stream of the dialler with one frame on it, as both ends see it."""
        ours = self.dialler.mux.open_stream()
        assert ours.try_send(b"first")
        self.settle()
        theirs = self.acceptor.opened.popleft()
        assert theirs.try_receive() == b"first"
        return ours, theirs

    def _make(self, hello: Hello, *, is_dialler: bool) -> End:
        return End(Mux(hello, is_dialler=is_dialler, now=self.now, ring=ignore_ring))


def pack_data(stream_id: int, payload: bytes = b"x") -> bytes:
    """A DATA frame."""
    return frames.pack_frame(FrameType.DATA, stream_id, payload)


def make_victim() -> End:
    """An acceptor whose peer, the test, has said hello."""
    victim = End(Mux(HELLO, is_dialler=False, now=START, ring=ignore_ring))
    victim.receive(frames.pack_hello(HELLO), START)
    assert victim.is_ready
    victim.mux.take_output()
    return victim


def get_end(victim: End) -> Ended:
    """How the link ended: told once, here and in the last frame to the peer."""
    (ended,) = victim.ended
    assert victim.mux.ended == ended
    said = list(frames.FrameReader().feed(victim.mux.take_output()))
    assert said[-1][0] == FrameType.CLOSE
    assert frames.parse_close(said[-1][2]) == (ended.reason, ended.detail)
    return ended
