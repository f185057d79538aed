"""A client that sends a run's requests when they are due, whatever becomes of those before.

Times count from when a request was due, so a server that makes the client late does not look fast.
How late the client itself was is kept: a measurement with a late client is worth nothing.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import aiohttp
import msgspec

from wwwserve.sim import Outcome, UserRequest
from wwwserve.values.moments import SECOND

_PATH = "/v1/chat/completions"
_DONE = b"[DONE]"
_TAIL_BYTES = 64
_OK = 200
_REFUSING = (429, 503)
_EXECUTOR = "x-wwwserve-executor"
_WORD_BYTES = 4
"""Of prompt for each token, as nodes expect it; the space after a word is the fourth."""


@dataclass(frozen=True, slots=True)
class Door:
    """Where requests are sent."""

    url: str
    """Without `/v1`."""
    model: str
    headers: Mapping[str, str]


@dataclass(slots=True)
class Replay:
    """One run of all requests against some doors."""

    doors: Sequence[Door]
    choose: Callable[[UserRequest], int]
    """Which door a request is sent to, by its number."""
    on_end: Callable[[UserRequest, int], None]
    """A request sent to a door is over."""
    executors: Mapping[str, int] = field(default_factory=dict)
    """The number of each node, by the name answers call it."""
    late_s_max: float = 0.0
    """The longest a request was sent after it was due."""

    async def play(self, requests: Sequence[UserRequest], *, begin_us: int, span_s: float) -> None:
        """Send each at its time from `begin_us`; what is not over after `span_s` stays open."""
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            start_s = time.monotonic() - begin_us / SECOND
            tasks = [
                asyncio.create_task(self._send_at(session, request, start_s))
                for request in requests
            ]
            _, open_tasks = await asyncio.wait(tasks, timeout=span_s)
            for task in open_tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _send_at(
        self, session: aiohttp.ClientSession, request: UserRequest, start_s: float
    ) -> None:
        due_s = start_s + request.arrival_us / SECOND
        await asyncio.sleep(due_s - time.monotonic())
        self.late_s_max = max(self.late_s_max, time.monotonic() - due_s)
        number = self.choose(request)
        try:
            request.outcome = await self._send(session, self.doors[number], request, start_s)
        except aiohttp.ClientError:
            request.outcome = Outcome.FAILED
        finally:
            request.ended_us = _read_us(start_s)
            self.on_end(request, number)

    async def _send(
        self, session: aiohttp.ClientSession, door: Door, request: UserRequest, start_s: float
    ) -> Outcome:
        body = encode_body(door.model, request)
        headers = {"content-type": "application/json", **door.headers}
        async with session.post(door.url + _PATH, data=body, headers=headers) as answer:
            if answer.status != _OK:
                return Outcome.REFUSED if answer.status in _REFUSING else Outcome.FAILED
            request.executor = self.executors.get(answer.headers.get(_EXECUTOR, ""))
            tail = b""
            async for data in answer.content.iter_any():
                if not tail:
                    request.first_output_us = _read_us(start_s)
                tail = (tail + data)[-_TAIL_BYTES:]
            return Outcome.ANSWERED if _DONE in tail else Outcome.FAILED


def encode_body(model: str, request: UserRequest) -> bytes:
    """A prompt of so many words, an answer of so many tokens, and what its user says of that."""
    limit = {"max_tokens": request.completion_tokens_max} if request.completion_tokens_max else {}
    return msgspec.json.encode(
        {
            "model": model,
            "messages": [{"role": "user", "content": _create_prompt(request)}],
            "answer_tokens": request.completion_tokens,
            "stream": True,
            **limit,
        }
    )


def _create_prompt(request: UserRequest) -> str:
    """As many words as tokens, as long as a node must take them for what it does in simulation."""
    # Each prompt is its own, so that nobody has a part of it already.
    words = [f"{request.arrival_us % 1000:03d}", *["war"] * (request.prompt_tokens - 1)]
    off_bytes = _WORD_BYTES * (request.prompt_tokens_estimate - request.prompt_tokens)
    word = "wars" if off_bytes > 0 else "wa"
    for index in range(1, min(len(words), 1 + abs(off_bytes))):
        words[index] = word
    return " ".join(words)


def _read_us(start_s: float) -> int:
    return round((time.monotonic() - start_s) * SECOND)
