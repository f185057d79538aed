"""The OpenAI-compatible API for a node's own users.

`/v1/chat/completions`, `/v1/completions`, `/v1/embeddings`, `/v1/models` (and `/v1/models/{id}`)
and `/health`, over the one `PeerHandle` of the node that mounts it. Its rules:

- A request is authenticated, bounded, checked and metered, in this order, before the peer hears of
  it; what is wrong is answered in OpenAI's error shape, naming the field and what to try.
- A user's body reaches the peer as it was written, unknown fields included, but for this product's
  own fields (`controls`).
- A response begins when its first bytes are known, so that a failure before has its proper status.
- A user who leaves cancels the request at once, wherever it is being worked on.
"""

from dataclasses import dataclass

from aiohttp import web

from wwwserve.frontends.gateway.connections import HEAD_WAIT_S, GatewayServer
from wwwserve.frontends.gateway.outlet import WRITE_WAIT_S
from wwwserve.frontends.gateway.reading import BODY_WAIT_S, BodyReader
from wwwserve.frontends.gateway.service import GatewayService
from wwwserve.ports.keys import KeyRing
from wwwserve.ports.peer_handle import PeerHandle
from wwwserve.ports.spending import NoSpending, Spending

__all__ = ["Gateway", "GatewayWaits", "start_gateway"]

BACKLOG = 1_024
"""Connections the kernel holds for us while we are busy."""
CLOSE_WAIT_S = 2.0
"""How long `close` waits for responses under way; the node has drained before."""


@dataclass(frozen=True, slots=True)
class GatewayWaits:
    """How long a gateway waits for slow clients."""

    head_s: float = HEAD_WAIT_S
    body_s: float = BODY_WAIT_S
    write_s: float = WRITE_WAIT_S


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway."""

    runner: web.ServerRunner

    @property
    def url(self) -> str:
        """Where it is served: `http://host:port`, without `/v1`."""
        return next(site.name for site in self.runner.sites)

    async def listen(self, host: str, port: int) -> str:
        """Serve at `host:port` as well (0 = any free one), and give its URL.

        Raises `OSError` if it is taken.
        """
        site = web.TCPSite(self.runner, host, port, backlog=BACKLOG)
        try:
            await site.start()
        except OSError:
            await site.stop()
            raise
        return site.name

    async def leave(self, url: str) -> None:
        """Take no more connections at a URL that was served; what is under way goes on.

        Connections end with the answer they carry, so that nobody stays with an old address.
        """
        for site in self.runner.sites:
            if site.name == url:
                await site.stop()
        if self.runner.server is not None:
            self.runner.server.pre_shutdown()

    async def close(self) -> None:
        """Stop listening, end what is left, free the port."""
        await self.runner.cleanup()


async def start_gateway(
    handle: PeerHandle,
    keys: KeyRing,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    waits: GatewayWaits | None = None,
    spending: Spending | None = None,
) -> Gateway:
    """Serve a peer's users at `host:port` (0 = any free one). Raises `OSError` if that is taken.

    `spending` keeps the budgets of keys; without one nobody has any.
    """
    waits = waits or GatewayWaits()
    service = GatewayService(
        handle,
        keys,
        BodyReader(waits.body_s),
        write_wait_s=waits.write_s,
        spending=spending or NoSpending(),
    )
    server = GatewayServer(service.answer, head_wait_s=waits.head_s)
    runner = web.ServerRunner(server, shutdown_timeout=CLOSE_WAIT_S)
    await runner.setup()
    opened = Gateway(runner)
    try:
        await opened.listen(host, port)
    except OSError:
        await runner.cleanup()
        raise
    return opened
