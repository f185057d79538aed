"""A load client that costs as little as it can, so that what is measured is the server.

It speaks just enough HTTP/1.1: keep-alive POSTs of one body, answers with a length or chunked, and
it looks inside a stream only for `[DONE]`.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import urlsplit

_READ_BYTES = 256 * 1024
_END_OF_CHUNKS = b"0\r\n\r\n"
_END_OF_HEAD = b"\r\n\r\n"
_TAIL_BYTES = 64


class BadAnswer(Exception):
    """The server under test did not answer as it must: the bench is worth nothing."""


@dataclass(frozen=True, slots=True)
class Timing:
    """One request as its client saw it."""

    first_byte_s: float
    """To the first byte of the answer's body."""
    total_s: float


class LoadClient:
    """One keep-alive connection that sends the same request over and over."""

    def __init__(self, url: str, path: str, body: bytes, headers: Mapping[str, str]) -> None:
        self._address = urlsplit(url)
        lines = [f"POST {path} HTTP/1.1", f"host: {self._address.netloc}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        lines += ["content-type: application/json", f"content-length: {len(body)}", "", ""]
        self._request = "\r\n".join(lines).encode() + body
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> "LoadClient":
        self._reader, self._writer = await asyncio.open_connection(
            self._address.hostname, self._address.port, limit=_READ_BYTES
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    async def send(self) -> Timing:
        """Send the request once and read its answer to the end. Raises `BadAnswer`."""
        assert self._reader is not None
        assert self._writer is not None
        began = time.perf_counter()
        self._writer.write(self._request)
        head = await self._reader.readuntil(_END_OF_HEAD)
        if not head.startswith(b"HTTP/1.1 200"):
            rest = await self._reader.read(_READ_BYTES)
            raise BadAnswer(f"{head.splitlines()[0].decode()}: {rest[:300]!r}")
        length = _read_length(head)
        if length is None:
            first_byte = await self._read_chunked(self._reader)
        else:
            await self._reader.readexactly(length)
            first_byte = time.perf_counter()
        return Timing(first_byte - began, time.perf_counter() - began)

    async def _read_chunked(self, reader: asyncio.StreamReader) -> float:
        tail = await reader.read(_READ_BYTES)
        first_byte = time.perf_counter()
        is_done = b"[DONE]" in tail
        while not tail.endswith(_END_OF_CHUNKS):
            data = await reader.read(_READ_BYTES)
            if not data:
                raise BadAnswer("the connection closed within a stream")
            tail = tail[-_TAIL_BYTES:] + data
            is_done = is_done or b"[DONE]" in tail
        if not is_done:
            raise BadAnswer(f"a stream ended without [DONE]: {tail[-300:]!r}")
        return first_byte


def _read_length(head: bytes) -> int | None:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return None
