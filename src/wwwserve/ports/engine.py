"""What a peer needs of an engine: its health, its load, its models, and runs of requests.

An adapter never guesses: a metric it cannot read is None (unknown), which is not the same as idle,
and an engine that does not answer is not idle either, it is unavailable.
"""

from dataclasses import dataclass
from typing import Protocol

import msgspec

from wwwserve.core.engines import EngineReading
from wwwserve.values.refusals import FailureKind
from wwwserve.wire import Endpoint

__all__ = ["Engine", "EngineFailure", "EngineRequest", "EngineRun"]


class EngineRequest(msgspec.Struct, frozen=True):
    """One call of the engine's OpenAI API, ready to be sent as it is."""

    endpoint: Endpoint
    body: bytes
    """JSON: the model's name as the engine knows it, streaming asked for where there is such."""


@dataclass(eq=False)
class EngineFailure(Exception):
    """An engine could not do it: `kind` decides whether another node may try.

    `status` and `body` are the engine's own answer where it gave one (`REJECTED` above all).
    """

    kind: FailureKind
    detail: str
    status: int = 0
    body: bytes = b""

    def __str__(self) -> str:
        return f"{self.kind.name.lower()}: {self.detail}"


class EngineRun(Protocol):
    """One running request; its bytes as the engine sends them."""

    async def read(self) -> bytes | None:
        """The next piece of the answer's body, never empty, or None at its end.

        The first call waits for the engine's status line; only a 200 yields bytes. Raises
        `EngineFailure`: UNAVAILABLE and REJECTED before the first byte, BROKEN or TIMEOUT after.
        """
        ...

    async def stop(self) -> None:
        """Make the engine stop working on it (within a second) and free the connection. Idempotent.

        Must be called for every run, also after its end or a failure.
        """
        ...


class Engine(Protocol):
    """One LLM server behind this node."""

    @property
    def name(self) -> str:
        """The engine's name in the configuration."""
        ...

    async def read_state(self) -> EngineReading:
        """Read health, load and models now. Never raises: an engine that is gone is a reading."""
        ...

    def start(self, request: EngineRequest) -> EngineRun:
        """Begin a request. The work starts with the first `read`."""
        ...

    async def close(self) -> None:
        """Free all connections (and end the engine's process, if this adapter started it)."""
        ...
