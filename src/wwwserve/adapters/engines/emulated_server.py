"""An emulated engine in a process of its own: in the foreground of a terminal, or as a child.

As a child (`python -m wwwserve.adapters.engines.emulated_server --profile ...`) it follows the
protocol of `readiness`: one JSON line when it listens, and it ends when its standard input closes.
"""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence

import uvloop

from wwwserve.adapters.engines.emulated import open_emulated
from wwwserve.adapters.engines.emulated_settings import EmulatedSettings, parse_fault
from wwwserve.adapters.engines.readiness import (
    announce_ready,
    end_with_parent,
    reserve_standard_output,
)
from wwwserve.enginemodel import find_profile
from wwwserve.values.refusals import BadInput

CRASH_STATUS = 134
"""What a shell says of a process that aborted."""


def serve_emulated(settings: EmulatedSettings, on_ready: Callable[[str], None]) -> None:
    """Serve in the foreground until SIGINT or SIGTERM; `on_ready` is told the URL.

    Call it on the main thread. Raises `BadInput` when the port is taken.
    """
    uvloop.run(_serve(settings, on_ready))


def parse_arguments(arguments: Sequence[str]) -> EmulatedSettings:
    """Settings from a child's command line; raises `BadInput`."""
    parser = argparse.ArgumentParser(description="an emulated OpenAI engine on loopback")
    parser.add_argument("--profile", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--speedup", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--slots", type=int, default=0)
    parser.add_argument("--fault", action="append", default=[])
    found = parser.parse_args(arguments)
    return EmulatedSettings(
        profile=find_profile(found.profile),
        port=found.port,
        speedup=found.speedup,
        seed=found.seed,
        slots=found.slots,
        faults=tuple(parse_fault(text) for text in found.fault),
    )


async def _serve(settings: EmulatedSettings, on_ready: Callable[[str], None]) -> None:
    is_over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, is_over.set)
    async with open_emulated(settings, _crash) as url:
        on_ready(url)
        await is_over.wait()


def _crash() -> None:
    """Be gone at once, as an engine that aborts: nothing is finished, nobody is told."""
    os._exit(CRASH_STATUS)


def main(arguments: Sequence[str]) -> None:
    """Serve as the child of a process that holds our standard input."""
    output = reserve_standard_output()
    end_with_parent()
    try:
        serve_emulated(parse_arguments(arguments), lambda url: announce_ready(output, url))
    except BadInput as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main(sys.argv[1:])
