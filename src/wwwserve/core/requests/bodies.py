"""The bodies of requests and answers: fitted to an engine, sized, and named by their prefixes."""

import hashlib
import re
from collections.abc import Sequence

import msgspec

from wwwserve.values.refusals import Refusal
from wwwserve.wire import PREFIX_TOKENS, Endpoint

OWN_FIELD_PREFIX = "x-wwwserve-"
"""Members of a request's body whose names begin so are ours and never reach an engine."""
BYTES_PER_TOKEN = 4
"""English has about four characters a token; scripts with fewer characters a token have more bytes
a character, so this holds within a factor of two for all."""
PART_TOKENS = 4
"""What a chat template adds around each message."""
MEDIA_TOKENS = 1_000
"""What an image or a sound counts: its bytes say nothing about its tokens."""
PREFIX_HASH_BYTES = 16
PREFIX_KEY_BYTES = 32
"""Of the key that `compute_prefixes` is given."""
_PART_END = b"\0"

_Fields = dict[str, msgspec.Raw]
_FIELDS = msgspec.json.Decoder(_Fields)
_OPTIONAL_FIELDS = msgspec.json.Decoder(_Fields | None)
_NULL = msgspec.Raw(b"null")
_TRUE = msgspec.Raw(b"true")
# Shorter runs are words; looked for only in parts that say they hold such data, and only from where
# a run begins: runs just too short, tried from each of their bytes, took seconds of a large body.
_MEDIA = re.compile(rb"(?<![A-Za-z0-9+/=])[A-Za-z0-9+/=]{256,}")
_IMAGE_MARK, _SOUND_MARK = b";base64,", b'"input_audio"'
_TOKEN_LIST = re.compile(rb"[\[\s]+\d")


def prepare_engine_body(body: bytes, model: str, endpoint: Endpoint) -> bytes:
    """The user's body as an engine shall get it: its own name of the model, always a stream.

    Nothing else changes: unknown fields, the digits of numbers and the order stay. Raises
    `Refusal` when the body is not a JSON object.
    """
    fields = _decode(body)
    for name in [name for name in fields if name.startswith(OWN_FIELD_PREFIX)]:
        del fields[name]
    fields["model"] = msgspec.Raw(msgspec.json.encode(model))
    if endpoint is not Endpoint.EMBEDDINGS:
        fields["stream"] = _TRUE
        fields["stream_options"] = _ask_usage(fields.get("stream_options", _NULL))
    return msgspec.json.encode(fields)


def rename_reply(body: bytes, public_model: str) -> bytes:
    """An unstreamed answer under the name the user asked by.

    Raises `Refusal` when the answer is not a JSON object.
    """
    fields = _decode(body)
    if "model" in fields:
        fields["model"] = msgspec.Raw(msgspec.json.encode(public_model))
    return msgspec.json.encode(fields)


def estimate_prompt_tokens(parts: Sequence[bytes]) -> int:
    """About how many tokens a prompt is, from the JSON of its messages or texts."""
    return sum(_estimate_part_tokens(part) for part in parts)


def compute_prefixes(parts: Sequence[bytes], key: bytes) -> tuple[bytes, ...]:
    """Hashes of the prompt's first `PREFIX_TOKENS`, as far as it goes; the longest comes last.

    Two prompts share those of the beginning they share, wherever their messages end. Without the
    key, which never leaves its node, nobody can try whether a prompt is one they can guess.
    """
    # JSON has no such byte, so it keeps ("ab", "c") and ("a", "bc") apart.
    prompt = memoryview(_PART_END.join(parts))
    hasher = hashlib.blake2b(key=key, digest_size=PREFIX_HASH_BYTES)
    hashes: list[bytes] = []
    begin = 0
    for tokens in PREFIX_TOKENS:
        end = tokens * BYTES_PER_TOKEN
        if end > len(prompt):
            break
        hasher.update(prompt[begin:end])
        hashes.append(hasher.digest())
        begin = end
    return tuple(hashes)


def _decode(body: bytes) -> _Fields:
    try:
        return _FIELDS.decode(body)
    except (ValueError, RecursionError) as error:
        raise Refusal("body", f"not a JSON object: {error}") from error


def _ask_usage(options: msgspec.Raw) -> msgspec.Raw:
    try:
        fields = _OPTIONAL_FIELDS.decode(options) or {}
    except (ValueError, RecursionError) as error:
        raise Refusal("stream-options", f"not a JSON object: {error}") from error
    fields["include_usage"] = _TRUE
    return msgspec.Raw(msgspec.json.encode(fields))


def _estimate_part_tokens(part: bytes) -> int:
    if part.startswith(b"[") and _TOKEN_LIST.match(part):
        return part.count(b",") + 1
    text_bytes, tokens = len(part), PART_TOKENS
    if _IMAGE_MARK in part or _SOUND_MARK in part:
        for found in _MEDIA.finditer(part):
            text_bytes -= found.end() - found.start()
            tokens += MEDIA_TOKENS
    return tokens + text_bytes // BYTES_PER_TOKEN
