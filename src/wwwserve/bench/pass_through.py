"""The baseline of `bench gateway`: the plainest proxy one would write, and nothing else.

`python -m wwwserve.bench.pass_through ENGINE_URL` prints one JSON line and ends with its stdin.
"""

import asyncio
import json
import sys
import time

import uvloop
from aiohttp import ClientSession, TCPConnector, web


async def serve(engine_url: str) -> None:
    """Forward every POST to the engine, streams as they come, until standard input closes."""
    session = ClientSession(connector=TCPConnector(limit=0))

    async def forward(request: web.Request) -> web.StreamResponse:
        headers = {"content-type": "application/json"}
        body = await request.read()
        async with session.post(engine_url + request.path, data=body, headers=headers) as upstream:
            if upstream.content_type != "text/event-stream":
                content = await upstream.read()
                return web.Response(
                    body=content, status=upstream.status, content_type=upstream.content_type
                )
            reply = web.StreamResponse(headers={"content-type": "text/event-stream"})
            await reply.prepare(request)
            async for chunk in upstream.content.iter_any():
                await reply.write(chunk)
            return reply

    async def tell_process(_: web.Request) -> web.Response:
        return web.json_response({"cpu_s": time.process_time()})

    app = web.Application()
    app.add_routes([web.get("/process", tell_process), web.post("/{path:.*}", forward)])
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    print(json.dumps({"url": f"http://{host}:{port}"}), flush=True)  # noqa: T201 - its protocol
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()
    await session.close()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
