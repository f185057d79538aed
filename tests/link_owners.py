"""Owners of links for tests: one that writes down what it is told, one that echoes."""

import asyncio
from dataclasses import dataclass, field

from wwwserve.ports.transport import CloseReason, Link, Stream, StreamEnded


@dataclass(slots=True, eq=False)
class Recorder:
    """Writes down everything about the links it owns; `on_link` is what a transport wants."""

    links: "asyncio.Queue[Link]" = field(default_factory=asyncio.Queue)
    messages: "asyncio.Queue[bytes]" = field(default_factory=asyncio.Queue)
    streams: "asyncio.Queue[Stream]" = field(default_factory=asyncio.Queue)
    closed: "asyncio.Queue[CloseReason]" = field(default_factory=asyncio.Queue)

    def on_link(self, link: Link) -> "Recorder":
        self.links.put_nowait(link)
        return self

    def on_link_message(self, link: Link, payload: bytes) -> None:
        self.messages.put_nowait(payload)

    def on_link_stream(self, link: Link, stream: Stream) -> None:
        self.streams.put_nowait(stream)

    def on_link_closed(self, link: Link, reason: CloseReason) -> None:
        self.closed.put_nowait(reason)


@dataclass(slots=True, eq=False)
class Echo:
    """Sends every message and every frame back, and ends streams as their openers do."""

    tasks: "set[asyncio.Task[None]]" = field(default_factory=set)
    links: list[Link] = field(default_factory=list)
    """Every link there ever was."""
    link_count: int = 0
    """Links there are now."""

    def on_link(self, link: Link) -> "Echo":
        self.links.append(link)
        self.link_count += 1
        return self

    def on_link_message(self, link: Link, payload: bytes) -> None:
        link.send_message(payload)

    def on_link_stream(self, link: Link, stream: Stream) -> None:
        task = asyncio.ensure_future(self._serve(stream))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def on_link_closed(self, link: Link, reason: CloseReason) -> None:
        self.link_count -= 1

    async def _serve(self, stream: Stream) -> None:
        try:
            while (frame := await stream.receive()) is not None:
                await stream.send(frame)
            stream.finish()
        except StreamEnded:
            return
