"""What stands behind the demo's nodes: a real small model, a mock, or eight emulated GPUs."""

import asyncio
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Literal

from wwwserve.adapters.engines import (
    MockEngineServer,
    MockSettings,
    RestartPlan,
    ServerState,
    SupervisedServer,
)
from wwwserve.cli.terminal import CommandFailed

EngineName = Literal["local", "mock", "emulated"]

EMULATED_PROFILES = (
    "RTX-3090:Qwen3-8B",
    "RTX-4090:Qwen3-8B",
    "L40S:Qwen3-8B",
    "A100-80GB-SXM:Qwen3-8B",
    "RTX-PRO-6000:Qwen3-32B",
    "H100-80GB-SXM:Qwen3-32B",
    "RTX-4090:Qwen3-4B",
    "RTX-A6000:Qwen3-4B",
)
"""GPUs and models of a small world: the first node's users also want what it does not have."""
ENGINE_SLOTS = 2
"""Few, so that a handful of requests makes a node busy and offload is seen."""
ENGINE_THREADS = 1
"""Several nodes share this machine's cores."""
ENGINE_CONTEXT_TOKENS = 1_024
_EMULATED_SERVER = (sys.executable, "-m", "wwwserve.adapters.engines.emulated_server")


@dataclass(frozen=True, slots=True)
class DemoEngine:
    """One engine, as its node is told of it."""

    settings: Mapping[str, object]
    """Fields of the node's section `engine`."""
    label: str
    """What it is, for people."""


async def open_engines(stack: AsyncExitStack, name: EngineName, count: int) -> list[DemoEngine]:
    """An engine for each of `count` nodes, ended with the stack.

    Local engines are begun by their nodes. Raises `CommandFailed` when one does not start.
    """
    match name:
        case "local":
            return [_describe_local()] * count
        case "mock":
            return [await _open_mock(stack) for _ in range(count)]
        case "emulated":
            wanted = [EMULATED_PROFILES[at % len(EMULATED_PROFILES)] for at in range(count)]
            return await asyncio.gather(*(_open_emulated(stack, profile) for profile in wanted))


def _describe_local() -> DemoEngine:
    settings = {
        "kind": "local",
        "slots": ENGINE_SLOTS,
        "threads": ENGINE_THREADS,
        "context_tokens": ENGINE_CONTEXT_TOKENS,
    }
    return DemoEngine(settings, "a small real model")


async def _open_mock(stack: AsyncExitStack) -> DemoEngine:
    """A pretend engine of a leisurely pace, for tests of the demo itself."""
    settings = MockSettings(tokens=24, first_token_us=50_000, pace_us=20_000, slots=ENGINE_SLOTS)
    server = await stack.enter_async_context(MockEngineServer(settings))
    return DemoEngine({"url": server.url, "slots": ENGINE_SLOTS}, "a mock")


async def _open_emulated(stack: AsyncExitStack, profile: str) -> DemoEngine:
    server = SupervisedServer((*_EMULATED_SERVER, f"--profile={profile}"), RestartPlan())
    stack.push_async_callback(server.close)
    server.start()
    await server.wait_for(ServerState.READY, ServerState.FAILING)
    if server.url is None:
        raise CommandFailed(
            f"the emulated {profile} did not start: {server.detail}",
            f"wwwserve engine emulate --profile {profile}",
        )
    gpu, _, model = profile.partition(":")
    settings = {"url": server.url, "slots": ENGINE_SLOTS}
    return DemoEngine(settings, f"an emulated {gpu.replace('-', ' ')} with {model}")
