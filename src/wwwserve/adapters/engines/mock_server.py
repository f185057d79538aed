"""The mock engine in a process of its own, so that it has a processor to itself in benches.

`python -m wwwserve.adapters.engines.mock_server --port 0 --tokens 100` follows the protocol of
`readiness`: one JSON line when it listens, and it ends when its standard input closes.
"""

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from typing import TextIO

import uvloop

from wwwserve.adapters.engines.mock import MockEngineServer
from wwwserve.adapters.engines.mock_course import MockSettings
from wwwserve.adapters.engines.readiness import (
    announce_ready,
    end_with_parent,
    reserve_standard_output,
)


def parse_arguments(arguments: Sequence[str]) -> MockSettings:
    """Mock settings from a command line."""
    defaults = MockSettings()
    parser = argparse.ArgumentParser(description="a mock OpenAI engine on loopback")
    parser.add_argument("--port", type=int, default=defaults.port)
    parser.add_argument("--model", action="append", help="a model to serve; may be repeated")
    parser.add_argument("--tokens", type=int, default=defaults.tokens)
    parser.add_argument("--first-token-us", type=int, default=defaults.first_token_us)
    parser.add_argument("--pace-us", type=int, default=defaults.pace_us)
    parser.add_argument("--chunks-per-write", type=int, default=defaults.chunks_per_write)
    parser.add_argument("--slots", type=int, default=defaults.slots)
    parser.add_argument("--context", type=int, default=defaults.context_tokens)
    parser.add_argument("--api-key", default=defaults.api_key)
    parser.add_argument("--llama-server", action="store_true", help="have llama-server's pages")
    found = parser.parse_args(arguments)
    return MockSettings(
        port=found.port,
        models=tuple(found.model or defaults.models),
        tokens=found.tokens,
        first_token_us=found.first_token_us,
        pace_us=found.pace_us,
        chunks_per_write=found.chunks_per_write,
        slots=found.slots,
        context_tokens=found.context,
        api_key=found.api_key,
        is_llama_server=found.llama_server,
    )


async def serve_mock(settings: MockSettings, output: TextIO) -> None:
    """Serve until SIGINT or SIGTERM; the ready line goes to `output`."""
    is_over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, is_over.set)
    async with MockEngineServer(settings) as server:
        announce_ready(output, server.url)
        await is_over.wait()


def main(arguments: Sequence[str]) -> None:
    """Serve as the child of a process that holds our standard input."""
    settings = parse_arguments(arguments)
    output = reserve_standard_output()
    end_with_parent()
    uvloop.run(serve_mock(settings, output))


if __name__ == "__main__":
    main(sys.argv[1:])
