"""JSON for a node's operator: looking at it, and running it. For this machine only.

    GET  /status      the whole peer at one moment          GET  /peers    the other nodes
    GET  /models      what can be asked for through it      GET  /process  the process itself
    GET  /facts       what happens, one JSON object a line, from now on
    GET  /metrics     numbers for Prometheus, in its text format
    GET  /requests/ID/explanation    why a request went where it went -> {"node", "explanations"}
    POST /invite      {} -> {"ticket"}                      POST /join     {"ticket"}
    POST /pause       {"for_s": 7200 | null}, /drain {} and /resume {} -> {"opening", "works_open"}
    POST /wallet      {"order": "send", "key", "microcredits"} -> {"feed", "seq", "is_final"}; also
                      stake, unstake {"seats"}, sponsor, unsponsor {"key", "seats"} and
                      allow {"key", "microcredits"}
    POST /reload      read the configuration again: {} -> {"changes": [{"key", "old", "new"}]}
    POST /shutdown    stop, once the others were told and what runs has ended

Whoever reaches this API runs the node. So every request must carry the token that the node wrote
for its owner alone, in a header no web page can set unasked, and must have come to a name of this
machine. A scraper has a token of its own, which opens /metrics and nothing else; both may also come
as `Authorization: Bearer`. Refusals are `{"error": {"field", "found", "expected", "fix"}}`.
"""

from dataclasses import dataclass

from aiohttp import web

from wwwserve.frontends.admin.json_forms import make_fact, make_member, make_model, make_status
from wwwserve.frontends.admin.service import TOKEN_HEADER, AdminService, AdminTokens
from wwwserve.ports.peer_handle import PeerHandle

__all__ = [
    "TOKEN_HEADER",
    "Admin",
    "make_fact",
    "make_member",
    "make_model",
    "make_status",
    "start_admin",
]

CLOSE_WAIT_S = 1.0
"""How long `close` waits for what is under way; watchers of facts never end by themselves."""


@dataclass(frozen=True, slots=True)
class Admin:
    """A running operator's API."""

    runner: web.AppRunner

    @property
    def url(self) -> str:
        """Where it is served: `http://host:port`."""
        return next(site.name for site in self.runner.sites)

    async def listen(self, host: str, port: int) -> str:
        """Serve at `host:port` as well (0 = any free one), and give its URL.

        Raises `OSError` if it is taken.
        """
        site = web.TCPSite(self.runner, host, port)
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
        """Stop listening and end all watching."""
        await self.runner.cleanup()


async def start_admin(
    handle: PeerHandle,
    token: str,
    *,
    metrics_token: str = "",
    host: str = "127.0.0.1",
    port: int = 0,
) -> Admin:
    """Serve a peer's operator at `host:port` (0 = any free one). Raises `OSError` if taken.

    `metrics_token` opens the metrics alone; without one only `token` does.
    """
    tokens = AdminTokens(admin=token, metrics=metrics_token)
    app = AdminService(handle, tokens).create_application()
    runner = web.AppRunner(
        app, access_log=None, handler_cancellation=True, shutdown_timeout=CLOSE_WAIT_S
    )
    await runner.setup()
    opened = Admin(runner)
    try:
        await opened.listen(host, port)
    except OSError:
        await runner.cleanup()
        raise
    return opened
