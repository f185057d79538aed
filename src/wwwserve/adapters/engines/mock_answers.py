"""What the mock engine says: deterministic answers in OpenAI's shapes, encoded ahead.

The same prompt and seed give the same words. Fields nobody knows come back under `echo`, so that a
test can see what reached the engine. An answer calls the first tool it was offered, and has
log-probabilities when they were asked for.
"""

import base64
import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from wwwserve.wire import Endpoint

CHOICES_MAX = 16
"""Choices of one answer; more are not given."""
CREATED = 1_700_000_000
"""When every answer was made: a fixed instant, so that answers are equal."""

_TEXT = (
    "the sea is wide and every node on it answers for itself while small waves carry what the "
    "other shore has asked for in plain words that anyone may count and nobody has to believe"
)
_WORDS = _TEXT.split()
_PIECES = tuple(f"{word} " for word in _WORDS)
_ENCODED_PIECES = tuple(msgspec.json.encode(piece) for piece in _PIECES)
_LOGPROB = -0.25
_KNOWN_NAMES = (
    "model messages prompt input stream stream_options max_tokens max_completion_tokens n seed "
    "temperature top_p stop tools tool_choice logprobs top_logprobs encoding_format mock"
)
_KNOWN_FIELDS = frozenset(_KNOWN_NAMES.split())
_OBJECTS = {
    Endpoint.CHAT: ("chat.completion", "chat.completion.chunk"),
    Endpoint.COMPLETIONS: ("text_completion", "text_completion"),
}
DONE = b"data: [DONE]\n\n"

Fields = Mapping[str, object]
"""A decoded request."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer before it is laid out as a whole or as a stream."""

    endpoint: Endpoint
    identifier: str
    model: str
    words: tuple[int, ...]
    """Indices of its words."""
    prompt_tokens: int
    choices: int
    is_cut: bool
    """Whether the request's limit ended it."""
    has_logprobs: bool
    tool: str
    """The tool it calls instead of speaking, or empty."""
    has_usage: bool
    """Whether its stream ends with a usage chunk."""
    echo: dict[str, object]

    @property
    def finish_reason(self) -> str:
        """Why it ended, in OpenAI's words."""
        if self.tool:
            return "tool_calls"
        return "length" if self.is_cut else "stop"


def plan_answer(endpoint: Endpoint, fields: Fields, *, tokens: int) -> Answer:
    """The answer to a request, `tokens` long unless the request allows less."""
    limit = fields.get("max_completion_tokens") or fields.get("max_tokens")
    count = min(tokens, limit) if isinstance(limit, int) and limit > 0 else tokens
    prompt = fields.get("messages") or fields.get("prompt")
    digest = hashlib.sha256(msgspec.json.encode([prompt, fields.get("seed")])).digest()
    options = fields.get("stream_options")
    tool = _choose_tool(fields)
    return Answer(
        endpoint=endpoint,
        identifier=f"mock-{digest[:8].hex()}",
        model=str(fields.get("model", "")),
        words=() if tool else tuple((digest[i & 31] + i) % len(_WORDS) for i in range(count)),
        prompt_tokens=count_tokens(prompt),
        choices=_count_choices(fields),
        is_cut=count < tokens,
        has_logprobs=bool(fields.get("logprobs")),
        tool=tool,
        has_usage=isinstance(options, dict) and options.get("include_usage") is True,
        echo={key: value for key, value in fields.items() if key not in _KNOWN_FIELDS},
    )


def encode_stream_head(answer: Answer) -> bytes:
    """The events before the first word: the role, what is echoed, the tool's call."""
    if answer.endpoint is Endpoint.COMPLETIONS:
        return _encode_event(answer, [], echo=answer.echo) if answer.echo else b""
    roles = [_chunk(index, {"role": "assistant", "content": None}) for index in _indices(answer)]
    head = _encode_event(answer, roles, **({"echo": answer.echo} if answer.echo else {}))
    if answer.tool:
        calls = [{"index": 0, **_tool_call(answer)}]
        head += _encode_event(
            answer, [_chunk(index, {"tool_calls": calls}) for index in _indices(answer)]
        )
    return head


def encode_stream_words(answer: Answer) -> list[bytes]:
    """One event for each word of each choice."""
    if answer.has_logprobs or answer.choices > 1:
        return [
            _encode_event(answer, [_word_chunk(answer, index, word)])
            for word in answer.words
            for index in _indices(answer)
        ]
    # The hot path of every bench: only the word differs.
    before = b"data: " + msgspec.json.encode(_base(answer, is_stream=True))[:-1]
    if answer.endpoint is Endpoint.CHAT:
        before += b',"choices":[{"index":0,"delta":{"content":'
        after = b'},"finish_reason":null}]}\n\n'
    else:
        before += b',"choices":[{"index":0,"text":'
        after = b',"finish_reason":null}]}\n\n'
    return [before + _ENCODED_PIECES[word] + after for word in answer.words]


def encode_stream_tail(answer: Answer) -> bytes:
    """The events after the last word: why it ended, the usage if asked for, the end mark."""
    reason = answer.finish_reason
    if answer.endpoint is Endpoint.CHAT:
        last = [_chunk(index, {}, reason) for index in _indices(answer)]
    else:
        last = [{"index": i, "text": "", "finish_reason": reason} for i in _indices(answer)]
    tail = _encode_event(answer, last)
    if answer.has_usage:
        tail += _encode_event(answer, [], usage=_usage(answer))
    return tail + DONE


def encode_whole(answer: Answer) -> bytes:
    """The answer as one JSON body."""
    text = "".join(_PIECES[word] for word in answer.words)
    choices = []
    for index in _indices(answer):
        choice: dict[str, object] = {"index": index, "finish_reason": answer.finish_reason}
        if answer.endpoint is Endpoint.COMPLETIONS:
            choice["text"] = text
        else:
            choice["message"] = _build_message(answer, text)
        if answer.has_logprobs:
            choice["logprobs"] = {"content": [_logprob(word) for word in answer.words]}
        choices.append(choice)
    body = _base(answer, is_stream=False) | {"choices": choices, "usage": _usage(answer)}
    return msgspec.json.encode(body | ({"echo": answer.echo} if answer.echo else {}))


def encode_embeddings(fields: Fields, *, dimensions: int) -> bytes:
    """Unit-range vectors that depend on the text alone."""
    given = fields.get("input")
    texts = given if isinstance(given, list) else [given]
    is_base64 = fields.get("encoding_format") == "base64"
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": _embed(text, dimensions, is_base64=is_base64),
        }
        for index, text in enumerate(texts)
    ]
    tokens = count_tokens(given)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    body = {"object": "list", "model": fields.get("model"), "data": data, "usage": usage}
    echo = {key: value for key, value in fields.items() if key not in _KNOWN_FIELDS}
    return msgspec.json.encode(body | ({"echo": echo} if echo else {}))


def encode_error(message: str, status: int, kind: str = "server_error") -> bytes:
    """An error in OpenAI's shape."""
    return msgspec.json.encode({"error": {"message": message, "type": kind, "code": status}})


def count_tokens(value: object) -> int:
    """Words in all texts of a prompt, however nested: what the mock calls tokens."""
    match value:
        case str():
            return len(value.split())
        case list():
            return sum(count_tokens(item) for item in value)
        case dict():
            return count_tokens(value.get("content") or value.get("text"))
        case int():
            return 1  # A prompt may be given as token numbers.
        case _:
            return 0


def _choose_tool(fields: Fields) -> str:
    tools = fields.get("tools")
    if not isinstance(tools, list) or not tools or fields.get("tool_choice") == "none":
        return ""
    first = tools[0].get("function") if isinstance(tools[0], dict) else None
    return str(first.get("name", "")) if isinstance(first, dict) else ""


def _count_choices(fields: Fields) -> int:
    wanted, prompt = fields.get("n"), fields.get("prompt")
    count = wanted if isinstance(wanted, int) and wanted > 0 else 1
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], str):
        count *= len(prompt)
    return min(count, CHOICES_MAX)


def _indices(answer: Answer) -> range:
    return range(answer.choices)


def _base(answer: Answer, *, is_stream: bool) -> dict[str, object]:
    return {
        "id": answer.identifier,
        "object": _OBJECTS[answer.endpoint][is_stream],
        "created": CREATED,
        "model": answer.model,
    }


def _encode_event(answer: Answer, choices: list[dict[str, object]], **extra: object) -> bytes:
    event = _base(answer, is_stream=True) | {"choices": choices} | extra
    return b"data: " + msgspec.json.encode(event) + b"\n\n"


def _chunk(index: int, delta: object, reason: str | None = None) -> dict[str, object]:
    return {"index": index, "delta": delta, "finish_reason": reason}


def _word_chunk(answer: Answer, index: int, word: int) -> dict[str, object]:
    if answer.endpoint is Endpoint.CHAT:
        chunk = _chunk(index, {"content": _PIECES[word]})
    else:
        chunk = {"index": index, "text": _PIECES[word], "finish_reason": None}
    return chunk | ({"logprobs": {"content": [_logprob(word)]}} if answer.has_logprobs else {})


def _logprob(word: int) -> dict[str, object]:
    return {"token": _PIECES[word], "logprob": _LOGPROB, "bytes": None, "top_logprobs": []}


def _build_message(answer: Answer, text: str) -> dict[str, object]:
    if not answer.tool:
        return {"role": "assistant", "content": text}
    return {"role": "assistant", "content": None, "tool_calls": [_tool_call(answer)]}


def _tool_call(answer: Answer) -> dict[str, object]:
    function = {"name": answer.tool, "arguments": "{}"}
    return {"id": f"call-{answer.identifier}", "type": "function", "function": function}


def _usage(answer: Answer) -> dict[str, int]:
    completion = (len(answer.words) or 1) * answer.choices
    return {
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": completion,
        "total_tokens": answer.prompt_tokens + completion,
    }


def _embed(text: object, dimensions: int, *, is_base64: bool) -> list[float] | str:
    digest = hashlib.shake_128(msgspec.json.encode(text)).digest(dimensions)
    vector = [byte / 127.5 - 1 for byte in digest]
    if not is_base64:
        return vector
    return base64.b64encode(struct.pack(f"<{dimensions}f", *vector)).decode()
