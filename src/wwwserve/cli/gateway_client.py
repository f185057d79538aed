"""Speaking to a gateway as any OpenAI client does, for `ask` and the demo."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

import aiohttp
import msgspec

from wwwserve.cli.terminal import CommandFailed

CONNECT_WAIT_SECONDS = 10
SILENCE_SECONDS_MAX = 180
"""Longest wait for the next piece of an answer: above the node's own bounds, so that it speaks."""
EVENT_BYTES_MAX = 4 * 1024 * 1024
_DATA = b"data:"
_DONE = b"[DONE]"


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta = msgspec.field(default_factory=_Delta)


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: dict[str, object] | None = None
    error: dict[str, object] | None = None


class _ErrorBody(msgspec.Struct):
    error: dict[str, object] = {}


@dataclass(slots=True)
class ChatAnswer:
    """What is known about an answer besides its text; complete at the end of the stream."""

    request: str = ""
    executor: str = ""
    """First characters of the name of the node that answered."""
    route: str = ""
    queue_ms: str = ""
    usage: Mapping[str, object] = field(default_factory=dict)
    text: str = ""


class GatewayClient:
    """Chat with one gateway."""

    def __init__(self, url: str, api_key: str) -> None:
        """`url` is the gateway's, without `/v1`."""
        self._url = f"{url}/v1/chat/completions"
        self._headers = {"authorization": f"Bearer {api_key}", "content-type": "application/json"}
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_WAIT_SECONDS, sock_read=SILENCE_SECONDS_MAX
        )

    async def chat(
        self,
        messages: Sequence[Mapping[str, str]],
        *,
        model: str,
        answer: ChatAnswer,
        options: Mapping[str, object],
    ) -> AsyncIterator[str]:
        """Stream the pieces of one answer's text; `answer` is filled in on the way.

        Raises `CommandFailed` with the gateway's own words when it refuses or breaks off.
        """
        body = {
            "model": model,
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True},
            **options,
        }
        content = msgspec.json.encode(body)
        try:
            async with (
                aiohttp.ClientSession(
                    timeout=self._timeout, read_bufsize=EVENT_BYTES_MAX
                ) as session,
                session.post(self._url, data=content, headers=self._headers) as response,
            ):
                await _validate(response)
                _read_headers(response.headers, answer)
                async for piece in _read_events(response.content, answer):
                    yield piece
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise CommandFailed(
                f"the gateway at {self._url} broke off: {str(error) or type(error).__name__}",
                "wwwserve status",
            ) from error


async def _read_events(stream: aiohttp.StreamReader, answer: ChatAnswer) -> AsyncIterator[str]:
    async for line in stream:
        data = line.strip().removeprefix(_DATA).strip()
        if not line.startswith(_DATA) or data == _DONE:
            continue
        chunk = msgspec.json.decode(data, type=_Chunk)
        if chunk.error is not None:
            raise CommandFailed(f"the answer broke off: {_say(chunk.error)}", "ask again")
        if chunk.usage is not None:
            answer.usage = chunk.usage
        for choice in chunk.choices:
            if choice.delta.content:
                answer.text += choice.delta.content
                yield choice.delta.content


async def _validate(response: aiohttp.ClientResponse) -> None:
    if response.status == 200:  # noqa: PLR2004 - OK, the only status an answer has
        return
    text = await response.read()
    try:
        error = msgspec.json.decode(text, type=_ErrorBody).error
    except ValueError:
        error = {"message": text[:200].decode(errors="replace")}
    # The gateway's errors say themselves what to try.
    raise CommandFailed(f"the gateway refused ({response.status}): {_say(error)}", "")


def _read_headers(headers: Mapping[str, str], answer: ChatAnswer) -> None:
    answer.request = headers.get("x-wwwserve-request-id", "")
    answer.executor = headers.get("x-wwwserve-executor", "")
    answer.route = headers.get("x-wwwserve-route", "")
    answer.queue_ms = headers.get("x-wwwserve-queue-ms", "")


def _say(error: Mapping[str, object]) -> str:
    return str(error.get("message", "no reason given"))
