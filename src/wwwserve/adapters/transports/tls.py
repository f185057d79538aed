"""TLS without a socket: sealed bytes in and out, plain bytes out and in.

`ssl` can work on memory instead of a socket, and that suits a link better than the TLS built into
event loops: the same on each loop, no 256 KiB of buffer per connection, our own handshake limits,
and a connection that can end one direction after the other, so last words arrive.
"""

import ssl
from contextlib import suppress
from typing import Final

from wwwserve.values.limits import KIB

_RECORD_BYTES_MAX: Final = 16 * KIB
"""The most one TLS record holds (RFC 8446, 5.1): each read gives at most one."""


class TlsBroken(Exception):
    """The handshake failed or the bytes are not of this connection; the text is OpenSSL's."""


class TlsSession:
    """One side of a TLS connection."""

    __slots__ = ("_incoming", "_object", "_outgoing", "is_established")

    def __init__(self, context: ssl.SSLContext, *, is_dialler: bool) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side=not is_dialler)
        self.is_established = False
        """Whether the handshake is done: the peer has proved that it holds its certificate's key.

        (Seen from the dialler; whether the acceptor likes *our* certificate shows in its bytes.)
        """

    def start(self) -> None:
        """Queue the dialler's first bytes."""
        self._shake_hands()

    def receive(self, data: bytes) -> list[bytes]:
        """Give the plain bytes completed by these sealed ones. Raises `TlsBroken`.

        There may be something to send afterwards, also when it raised: an alert.
        """
        self._incoming.write(data)
        if not self.is_established and not self._shake_hands():
            return []
        plain: list[bytes] = []
        try:
            while self._incoming.pending or self._object.pending():
                piece = self._object.read(_RECORD_BYTES_MAX)
                if not piece:
                    break  # The peer said that it sends no more.
                plain.append(piece)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            raise TlsBroken(_tell(error)) from error
        return plain

    def seal(self, data: bytes) -> bytes:
        """The sealed form of `data`, and of whatever else was waiting to be sent."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._object.write(rest) :]
        except ssl.SSLError as error:
            raise TlsBroken(_tell(error)) from error
        return self._outgoing.read()

    def take_output(self) -> bytes:
        """What TLS itself wants to say: handshake, alerts, new keys."""
        return self._outgoing.read() if self._outgoing.pending else b""

    def finish(self) -> bytes:
        """The sealed words for "I send no more"."""
        # It fails if the peer has not said the same yet, or if the connection is broken anyway.
        with suppress(ssl.SSLError):
            self._object.unwrap()
        return self._outgoing.read()

    def get_peer_certificate(self) -> bytes:
        """What the peer proved to hold the key of, in DER; empty before the handshake is done."""
        return self._object.getpeercert(binary_form=True) or b""

    def _shake_hands(self) -> bool:
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except ssl.SSLError as error:
            raise TlsBroken(_tell(error)) from error
        self.is_established = True
        return True


def _tell(error: ssl.SSLError) -> str:
    return f"TLS: {error.reason or error}"
