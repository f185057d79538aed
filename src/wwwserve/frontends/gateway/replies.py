"""Answers on their way to a user: headers once the first bytes are known, then whatever comes."""

from aiohttp import web

from wwwserve.frontends.gateway.errors import (
    JSON_TYPE,
    SERVER,
    Refused,
    explain_failure,
    make_error_event,
)
from wwwserve.ports.peer_handle import Reply, ReplyInfo, RequestFailed
from wwwserve.values.ids import node_prefix, request_text
from wwwserve.values.moments import MILLISECOND

STREAM_TYPE = {
    "content-type": "text/event-stream",
    "cache-control": "no-cache",
    # Tells nginx and its kin not to collect the stream before passing it on.
    "x-accel-buffering": "no",
    "server": "wwwserve",
}
_EMPTY = Refused(502, "the answer was empty", "failed", type=SERVER)


async def send_whole(reply: Reply, extra: dict[str, str]) -> web.Response:
    """Send an answer in one piece. Raises `RequestFailed`."""
    pieces = []
    while (piece := await reply.read()) is not None:
        pieces.append(piece)
    if not pieces:
        raise _EMPTY
    headers = {**JSON_TYPE, **make_headers(reply.info), **extra}
    return web.Response(body=b"".join(pieces), headers=headers)


async def send_stream(
    request: web.BaseRequest, reply: Reply, extra: dict[str, str]
) -> web.StreamResponse:
    """Send a stream as it comes. Raises `RequestFailed` only while nothing was sent.

    What breaks later ends with an error event and a closed connection: no `[DONE]`, so that no
    client takes the part for the whole.
    """
    data = await reply.read()
    if data is None:
        raise _EMPTY
    headers = {**STREAM_TYPE, **make_headers(reply.info), **extra}
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    try:
        while data is not None:
            await response.write(data)
            data = await reply.read()
    except RequestFailed as failed:
        await response.write(make_error_event(explain_failure(failed)))
        response.force_close()
    await response.write_eof()
    return response


def make_headers(info: ReplyInfo) -> dict[str, str]:
    """What happened to a request, for its user."""
    headers = {
        "x-wwwserve-request-id": request_text(info.request),
        "x-wwwserve-route": "local" if info.is_local else "network",
        "x-wwwserve-queue-ms": str(info.queue_us // MILLISECOND),
    }
    if info.executor is not None:
        headers["x-wwwserve-executor"] = node_prefix(info.executor)
    return headers
