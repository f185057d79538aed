"""Links over TCP and TLS 1.3, each end proved by the key in its certificate.

A connection goes through three phases, and what fails in the first two never becomes a link:

1. TLS: both ends show a certificate and prove its key. The dialler compares that key with the one
   it expected before any byte of the other end is used.
2. Hello: the first frame of each side (`mux`). Phases 1 and 2, and the dialler's connecting, share
   `LINK_HANDSHAKE_US`.
3. Link, until either end closes it. The one that closes says why, ends its direction, and waits at
   most `FINISH_US` for the other to do the same, so that last words are read and not lost.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol, cast

from wwwserve.adapters.transports.addresses import format_address, parse_address
from wwwserve.adapters.transports.certificates import (
    IdentityRefused,
    make_contexts,
    read_identity,
)
from wwwserve.adapters.transports.frames import Hello
from wwwserve.adapters.transports.link import Ends, MuxLink
from wwwserve.adapters.transports.tls import TlsBroken, TlsSession
from wwwserve.ports.transport import AT_ODDS, CloseReason, Link, LinkEnded, LinkOwner
from wwwserve.values.ids import NodeId, node_prefix
from wwwserve.values.limits import HANDSHAKES_MAX, LINK_HANDSHAKE_US, MIB
from wwwserve.values.moments import SECOND
from wwwserve.values.parameters import PROTOCOL_VERSION, PROTOCOL_VERSION_MIN
from wwwserve.values.refusals import BadInput

FINISH_US: Final = 2 * SECOND
"""Longest wait for the other end to close after we did; then the connection is torn down."""
FINISHING_MAX: Final = 256
"""Connections waiting for the other end to close; above it the oldest is torn down."""
WRITE_BUFFER_BYTES_MAX: Final = 8 * MIB
"""Sealed bytes waiting for one socket. A link stops queueing long before; only TLS itself, made to
answer by a peer that does not read, gets here, and then the connection is torn down."""

OnLink = Callable[[Link], LinkOwner]
OnRefused = Callable[[LinkEnded], None]


class SecretKey(Protocol):
    """A node's own key, as TLS needs it."""

    @property
    def node_id(self) -> NodeId:
        """Its public half."""
        ...

    @property
    def seed(self) -> bytes:
        """Its 32 secret bytes."""
        ...


@dataclass(frozen=True, slots=True)
class _Attempt:
    """What a connection is to become."""

    on_link: OnLink
    is_dialled: bool
    expected: NodeId | None = None
    on_refused: OnRefused | None = None


class TcpTransport:
    """The port's `Transport` for real networks."""

    def __init__(
        self,
        key: SecretKey,
        network_id: bytes,
        *,
        versions: tuple[int, int] = (PROTOCOL_VERSION_MIN, PROTOCOL_VERSION),
    ) -> None:
        """`network_id` is that of `values.parameters`; a peer with another one is refused."""
        self.node_id = key.node_id
        """Who this transport is, to its peers."""
        self.hello = Hello(versions[0], versions[1], network_id)
        self._contexts = make_contexts(key.seed)
        self._servers: dict[str, asyncio.Server] = {}
        self._connections: dict[_Connection, None] = {}
        self._finishing: dict[_Connection, None] = {}
        self._dials: dict[asyncio.Timeout, None] = {}
        self._is_closed = False

    async def listen(
        self, address: str, on_link: OnLink, on_refused: OnRefused | None = None
    ) -> str:
        """Accept links at `host:port`. Raises `BadInput` when that address cannot be had."""
        self._check_open()
        attempt = _Attempt(on_link, is_dialled=False, on_refused=on_refused)
        try:
            host, port = parse_address(address)
            loop = asyncio.get_running_loop()
            server = await loop.create_server(lambda: self._make(attempt), host, port)
        except (OSError, ValueError) as error:
            raise BadInput(
                field="listen",
                found=address,
                expected="a free host:port of this machine",
                fix=f"another port, or 0 for any free one ({error})",
            ) from error
        host, port = server.sockets[0].getsockname()[:2]
        bound = format_address(host, port)
        self._servers[bound] = server
        return bound

    def stop_listening(self, bound: str) -> None:
        """Accept no more links at an address that `listen` gave; links made there stay."""
        server = self._servers.pop(bound, None)
        if server is not None:
            server.close()

    async def dial(self, address: str, expected: NodeId | None, on_link: OnLink) -> Link:
        """Make a link to `host:port`. Raises `LinkEnded`."""
        self._check_open()
        try:
            host, port = parse_address(address)
        except ValueError as error:
            raise LinkEnded(CloseReason.LOST, str(error)) from error
        connection = self._make(_Attempt(on_link, is_dialled=True, expected=expected))
        limit = asyncio.timeout(LINK_HANDSHAKE_US / SECOND)
        try:
            async with limit:
                self._dials[limit] = None
                loop = asyncio.get_running_loop()
                await loop.create_connection(lambda: connection, host, port)
                return await connection.opened
        except (OSError, ValueError) as error:  # also TimeoutError, and hosts that are no names
            connection.leave()
            raise self._explain(error, address) from error
        except asyncio.CancelledError:
            connection.leave()
            raise
        finally:
            self._dials.pop(limit, None)

    async def close(self) -> None:
        """End everything as LEAVING and wait for it, at most `FINISH_US`."""
        self._is_closed = True
        for bound in tuple(self._servers):
            self.stop_listening(bound)
        for limit in list(self._dials):
            limit.reschedule(asyncio.get_running_loop().time())
        connections = list(self._connections)
        for connection in connections:
            connection.leave()
        for connection in connections:
            await connection.wait_closed()

    # -- for its connections ---------------------------------------------------------------------

    def start_tls(self, *, is_dialler: bool) -> TlsSession:
        """A new TLS session with this node's certificate."""
        return TlsSession(self._contexts[0 if is_dialler else 1], is_dialler=is_dialler)

    def admit(self, connection: "_Connection") -> bool:
        """Whether there is room for one more handshake; what we dial ourselves always has it."""
        self._connections[connection] = None
        if connection.is_dialled:
            return not self._is_closed
        handshakes = sum(known.is_incoming_handshake for known in self._connections)
        return not self._is_closed and handshakes <= HANDSHAKES_MAX

    def await_end(self, connection: "_Connection") -> None:
        """The connection has said its last and waits for the other end."""
        self._finishing[connection] = None
        if len(self._finishing) > FINISHING_MAX:
            oldest = next(iter(self._finishing))
            del self._finishing[oldest]
            oldest.tear_down()

    def forget(self, connection: "_Connection") -> None:
        """The connection is gone."""
        self._connections.pop(connection, None)
        self._finishing.pop(connection, None)

    def _make(self, attempt: _Attempt) -> "_Connection":
        return _Connection(self, attempt)

    def _check_open(self) -> None:
        if self._is_closed:
            raise LinkEnded(CloseReason.LEAVING, "this node is shutting down")

    def _explain(self, error: Exception, address: str) -> LinkEnded:
        if self._is_closed:
            return LinkEnded(CloseReason.LEAVING, "this node is shutting down")
        if isinstance(error, TimeoutError):
            wait_s = LINK_HANDSHAKE_US // SECOND
            return LinkEnded(CloseReason.LOST, f"no answer from {address} within {wait_s} s")
        return LinkEnded(CloseReason.LOST, f"cannot reach {address!r}: {error}")


class _Connection(asyncio.Protocol):
    """One TCP connection, from its first byte to its last."""

    def __init__(self, home: TcpTransport, attempt: _Attempt) -> None:
        self._home = home
        self._attempt = attempt
        self._loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[MuxLink] = self._loop.create_future()
        """The link, once it is ready; `LinkEnded` if it never will be."""
        self.is_dialled = attempt.is_dialled
        self.is_incoming_handshake = not attempt.is_dialled
        """Whether it was accepted and has not yet become a link, or ended."""
        self._socket: asyncio.Transport | None = None
        self._tls = home.start_tls(is_dialler=attempt.is_dialled)
        self._link: MuxLink | None = None
        self._is_writable = True
        self._is_finished = False
        self._timer: asyncio.TimerHandle | None = None
        self._closed = asyncio.Event()

    # -- asyncio.Protocol ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TCP is up: start TLS, or close the connection unread when there are too many."""
        self._socket = cast("asyncio.Transport", transport)
        if not self._home.admit(self):
            self._is_finished = True
            self.is_incoming_handshake = False
            self._socket.abort()
            return
        self._timer = self._loop.call_later(LINK_HANDSHAKE_US / SECOND, self._on_handshake_timeout)
        if self._attempt.is_dialled:
            self._tls.start()
            self._write_sealed(self._tls.take_output())

    def data_received(self, data: bytes) -> None:
        """Sealed bytes came."""
        if self._is_finished:
            return
        try:
            plain = self._tls.receive(data)
        except TlsBroken as error:
            self._write_sealed(self._tls.take_output())  # an alert that tells the peer
            self._break(str(error))
            return
        self._write_sealed(self._tls.take_output())
        if self._link is None and self._tls.is_established:
            self._link = self._prove()
        for piece in plain:
            if self._link is not None:
                self._link.on_bytes(piece)

    def pause_writing(self) -> None:
        """Too much waits for the socket."""
        self._set_writable(is_writable=False)

    def resume_writing(self) -> None:
        """The socket has caught up."""
        self._set_writable(is_writable=True)

    def connection_lost(self, exc: Exception | None) -> None:
        """TCP is gone."""
        self._break(str(exc) if exc else "the other end hung up")
        if self._timer is not None:
            self._timer.cancel()
        if self._link is not None:
            self._link.on_closed()
        self._home.forget(self)
        self._closed.set()

    # -- the carrier of its link -----------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Seal and send."""
        try:
            self._write_sealed(self._tls.seal(data))
        except TlsBroken as error:
            self._break(str(error))

    def finish(self) -> None:
        """Send what was written, end our direction, and give the other end `FINISH_US` for its."""
        if self._is_finished:
            return
        self._is_finished = True
        self.is_incoming_handshake = False
        self._home.await_end(self)
        assert self._socket is not None
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(FINISH_US / SECOND, self._socket.abort)
        if self._socket.is_closing():
            return
        if not self._tls.is_established:
            self._socket.close()  # after the alert, if there is one: nobody waits for more
            return
        self._write_sealed(self._tls.finish())
        # The other end may have gone in this very moment; then there is nobody to tell.
        with suppress(OSError, RuntimeError):
            self._socket.write_eof()

    # -- the holder of its link ------------------------------------------------------------------

    def on_ready(self, link: MuxLink) -> LinkOwner:
        """Both hellos were good."""
        assert self._timer is not None
        self._timer.cancel()
        self.is_incoming_handshake = False
        owner = self._attempt.on_link(link)
        if not self.opened.done():
            self.opened.set_result(link)
        return owner

    def on_ended(self, reason: CloseReason, detail: str) -> None:
        """The link is over, perhaps before it was ready."""
        self._fail(reason, detail)

    # -- for the transport -----------------------------------------------------------------------

    def leave(self) -> None:
        """Close the link as LEAVING, or drop what is not one yet."""
        if self._link is not None:
            self._link.close(CloseReason.LEAVING)
        self._fail(CloseReason.LEAVING, "this node is shutting down")

    def tear_down(self) -> None:
        """Wait for nothing more."""
        if self._socket is not None:
            self._socket.abort()

    async def wait_closed(self) -> None:
        """Return once TCP is gone."""
        await self._closed.wait()

    # -- inside ----------------------------------------------------------------------------------

    def _prove(self) -> MuxLink | None:
        """TLS is up: the link to the node at the other end, if that is a node we may talk to."""
        try:
            peer = read_identity(self._tls.get_peer_certificate())
        except IdentityRefused as error:
            self._fail(CloseReason.UNWANTED, str(error))
            return None
        expected = self._attempt.expected
        if expected is not None and peer != expected:
            detail = f"node {node_prefix(peer)} answers where {node_prefix(expected)} was expected"
            self._fail(CloseReason.UNWANTED, detail)
            return None
        if peer == self._home.node_id:
            self._fail(CloseReason.UNWANTED, "this is our own address")
            return None
        assert self._socket is not None
        remote = self._socket.get_extra_info("peername") or ("unknown", 0)
        ends = Ends(
            peer=peer,
            is_dialled=self._attempt.is_dialled,
            remote_address=format_address(remote[0], remote[1]),
        )
        link = MuxLink(self, ends, self._home.hello, self)
        link.on_writable(is_writable=self._is_writable)
        return link

    def _set_writable(self, *, is_writable: bool) -> None:
        self._is_writable = is_writable
        if self._link is not None:
            self._link.on_writable(is_writable=is_writable)

    def _write_sealed(self, data: bytes) -> None:
        assert self._socket is not None
        if not data or self._socket.is_closing():
            return
        self._socket.write(data)
        if self._socket.get_write_buffer_size() > WRITE_BUFFER_BYTES_MAX:
            self._socket.abort()

    def _on_handshake_timeout(self) -> None:
        wait_s = LINK_HANDSHAKE_US // SECOND
        self._break(f"the handshake took longer than {wait_s} s")

    def _break(self, detail: str) -> None:
        """The connection is gone, or good for nothing."""
        if self._link is not None:
            self._link.lose(detail)
        self._fail(CloseReason.LOST, detail)

    def _fail(self, reason: CloseReason, detail: str) -> None:
        """It will never be a link, or is none any more: end it, and tell whoever dialled why."""
        if not self.opened.done():
            ended = LinkEnded(reason, detail, self._link.peer if self._link is not None else None)
            if reason in AT_ODDS and self._link is not None and self._attempt.on_refused:
                self._attempt.on_refused(ended)
            self.opened.set_exception(ended)
            self.opened.exception()  # An accepted connection has nobody who would look at it.
        if self._socket is not None:
            self.finish()
