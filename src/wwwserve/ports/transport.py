"""What a peer needs of a network: authenticated links that carry messages and streams.

A link joins exactly two nodes and proves each to the other before any byte is used. Either end may
open streams, whoever dialled. Everything on it is bounded (`values.limits`): a hostile peer can
waste its own link, never our memory.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import Protocol

from wwwserve.values.ids import NodeId


class ResetCode(IntEnum):
    """Why a stream was cut off. Numbers travel: append only."""

    CANCELLED = 1
    """The other side no longer wants it."""
    REFUSED = 2
    """Not accepted: too many streams, or closing."""
    MALFORMED = 3
    """What came on it broke a rule."""
    INTERNAL = 4
    """A fault of the side that resets."""
    LINK_LOST = 5
    """Never travels: the whole link went away under the stream."""


class CloseReason(IntEnum):
    """Why a link ended. Numbers travel in the closing frame: append only."""

    LEAVING = 1
    """The node shuts down or leaves."""
    DUPLICATE = 2
    """Another link to the same node is kept instead."""
    MALFORMED = 3
    """The peer broke a rule of the link."""
    VERSION = 4
    """No protocol version in common."""
    NETWORK = 5
    """Another network, or other parameters."""
    FULL = 6
    """No room for more links."""
    SILENT = 7
    """Nothing heard for `LINK_DEAD_US`."""
    LOST = 8
    """The connection broke."""
    UNWANTED = 9
    """The peer is not allowed here."""


AT_ODDS = frozenset((CloseReason.VERSION, CloseReason.NETWORK, CloseReason.MALFORMED))
"""Why two nodes that reached each other do not agree on a link."""


class StreamEnded(Exception):
    """A stream cannot be used any more: it was reset (by either side) or its link is gone."""

    def __init__(self, code: ResetCode) -> None:
        """`code` says why."""
        super().__init__(code.name)
        self.code = code


class LinkEnded(Exception):
    """A link could not be made, or is gone; `reason` and `detail` say why."""

    def __init__(self, reason: CloseReason, detail: str = "", peer: NodeId | None = None) -> None:
        """`detail` is for a person; `peer` is who is there, if that was proved."""
        super().__init__(f"{reason.name.lower()}: {detail}" if detail else reason.name.lower())
        self.reason = reason
        self.detail = detail
        self.peer = peer


class Stream(Protocol):
    """One ordered, flow-controlled, two-way sequence of frames inside a link.

    A frame is 0 to `FRAME_BYTES_MAX` bytes and arrives whole. Each direction ends on its own.
    """

    async def send(self, frame: bytes) -> None:
        """Queue one frame, waiting while the peer gives no credit. Raises `StreamEnded`."""
        ...

    def try_send(self, frame: bytes) -> bool:
        """Queue one frame if credit allows it now, else return False. Raises `StreamEnded`."""
        ...

    async def receive(self) -> bytes | None:
        """The next frame, or None once the peer has finished. Raises `StreamEnded`.

        Credit is given back as frames are taken, so a reader that stops reading stops the sender.
        """
        ...

    def try_receive(self) -> bytes | None:
        """The next frame if one has arrived, else None. Raises `StreamEnded`."""
        ...

    def notify(self, callback: Callable[[], None]) -> None:
        """Call `callback` once, at the peer's next frame, its finish, or the stream's cutting off.

        For one who has something else to wait for; not together with `receive`.
        """
        ...

    def finish(self) -> None:
        """Say that no more frames will be sent. Idempotent; nothing after a reset."""
        ...

    def reset(self, code: ResetCode) -> None:
        """Cut both directions off now; the peer's calls raise `StreamEnded`. Idempotent."""
        ...


class Link(Protocol):
    """An authenticated connection to one peer."""

    @property
    def peer(self) -> NodeId:
        """The node at the other end, proved by its key."""
        ...

    @property
    def is_dialled(self) -> bool:
        """Whether this side made the connection."""
        ...

    @property
    def remote_address(self) -> str:
        """`host:port` of the other end as seen here; not necessarily where it listens."""
        ...

    @property
    def round_trip_us(self) -> int | None:
        """The latest measured round trip of a heartbeat, or None before the first."""
        ...

    @property
    def stream_count(self) -> int:
        """Streams open now, whoever opened them."""
        ...

    def open_stream(self) -> Stream:
        """Open a stream. Raises `LinkEnded`, or `StreamEnded(REFUSED)` at the stream bound."""
        ...

    def send_message(self, payload: bytes) -> bool:
        """Queue one control message; False when the link is gone or its message queue is full."""
        ...

    def close(self, reason: CloseReason) -> None:
        """Tell the peer why, then end the link and all its streams. Idempotent."""
        ...

    async def wait_closed(self) -> None:
        """Return once the connection's resources are freed."""
        ...


class LinkOwner(Protocol):
    """What a link tells the one who holds it. Called on the event loop; must return quickly."""

    def on_link_message(self, link: Link, payload: bytes) -> None:
        """One control message arrived."""
        ...

    def on_link_stream(self, link: Link, stream: Stream) -> None:
        """The peer opened a stream."""
        ...

    def on_link_closed(self, link: Link, reason: CloseReason) -> None:
        """The link is gone; called exactly once, after all its streams have ended."""
        ...


class Transport(Protocol):
    """Makes links, by listening and by dialling."""

    async def listen(
        self,
        address: str,
        on_link: Callable[[Link], LinkOwner],
        on_refused: Callable[[LinkEnded], None] | None = None,
    ) -> str:
        """Accept links at `host:port` (port 0 = any free one); returns the address bound.

        `on_link` is called once for each link, after the peer is proved, and returns its owner;
        `on_refused` for each proved peer with which a link was not agreed on (`AT_ODDS`).
        """
        ...

    def stop_listening(self, bound: str) -> None:
        """Accept no more links at an address that `listen` gave; links made there stay.

        Nothing happens if it is none, or not any more.
        """
        ...

    async def dial(
        self, address: str, expected: NodeId | None, on_link: Callable[[Link], LinkOwner]
    ) -> Link:
        """Make a link to `host:port`; raises `LinkEnded` if it fails or another node answers.

        `expected` None accepts whoever answers (a bare address in a bootstrap list).
        """
        ...

    async def close(self) -> None:
        """Stop listening, give up dials, close every link as LEAVING, and wait for all of it."""
        ...
