"""Bodies of users' requests: checked and made fit for an engine, or refused by field with a 400.

The first byte of an input says which call it is; the rest is the body.
"""

from random import Random
from typing import cast

import msgspec

from tests.fuzz.mutating import mutate_json
from wwwserve.core.requests import (
    compute_prefixes,
    estimate_prompt_tokens,
    prepare_engine_body,
)
from wwwserve.core.requests.bodies import OWN_FIELD_PREFIX, PREFIX_HASH_BYTES
from wwwserve.frontends.gateway.checking import CheckedBody, apply_controls, check_body
from wwwserve.frontends.gateway.controls import read_controls
from wwwserve.frontends.gateway.errors import Refused, encode_error
from wwwserve.values.limits import PREFIX_HASHES_MAX
from wwwserve.values.refusals import Refusal
from wwwserve.wire import Endpoint

Json = dict[str, object]

ENDPOINTS = tuple(Endpoint)
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_BAD_REQUEST = 400
_KEY = bytes(32)


def make_seeds() -> list[bytes]:
    """Good requests of each call, with everything that is looked at."""
    words: Json = {"role": "user", "content": "Hi"}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    calls = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    full: Json = {
        "model": "m",
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "Be brief"}, image]},
            words,
            {"role": "assistant", "content": None, "tool_calls": calls},
            {"role": "tool", "tool_call_id": "c", "content": "7"},
        ],
        "stream": True, "stream_options": {"include_usage": True}, "n": 2, "temperature": 0.5,
        "top_p": 1, "seed": 7, "stop": ["."], "max_tokens": 10, "max_completion_tokens": 9,
        "tools": tools, "logprobs": True, "unknown": {"deep": [1, None]},
    }  # fmt: skip
    controlled: Json = {
        "model": "m", "messages": [words], "x-wwwserve-route": "network",
        "x-wwwserve-private": True, "x-wwwserve-executors": ["ab" * 32],
        "x-wwwserve-deadline-ms": 5_000, "x-wwwserve-seed": 9, "x-wwwserve-audit": "out",
    }  # fmt: skip
    chats = [{"model": "m", "messages": [words]}, full, controlled]
    texts: list[Json] = [
        {"model": "m", "prompt": "Once", "max_tokens": 0},
        {"model": "m", "prompt": ["Once", "Twice"], "stream": False},
        {"model": "m", "prompt": [1, 2, 3]},
    ]
    embeddings: list[Json] = [{"model": "m", "input": "Hi"}, {"model": "m", "input": [[1, 2], [3]]}]
    calls_made = [(0, one) for one in chats] + [(1, one) for one in texts]
    calls_made += [(2, one) for one in embeddings]
    return [bytes([number]) + msgspec.json.encode(fields) for number, fields in calls_made]


def mutate(data: bytes, chance: Random) -> bytes | None:
    """Change a field; None for what is no JSON."""
    changed = mutate_json(data[1:], chance)
    return None if changed is None else data[:1] + changed


def consume(data: bytes) -> None:
    """Check it as the gateway does, and make it fit for an engine."""
    endpoint = ENDPOINTS[int.from_bytes(data[:1], "big") % len(ENDPOINTS)]
    body = data[1:]
    try:
        checked = check_body(endpoint, body)
        controls = read_controls({}, checked.own_fields)
    except Refused as refused:
        _check_refusal(refused)
        return
    _check_sizes(checked)
    asked = _FIELDS.decode(body)
    applied = apply_controls(body, checked, controls)
    passed = _FIELDS.decode(applied)
    expected = {name: raw for name, raw in asked.items() if not name.startswith(OWN_FIELD_PREFIX)}
    if controls.seed is not None and not checked.has_seed:
        assert int(passed.pop("seed")) == controls.seed
        expected.pop("seed", None)
    assert passed == expected
    _check_engine_body(applied, endpoint)


def _check_refusal(refused: Refused) -> None:
    assert refused.status == _BAD_REQUEST
    error = cast("Json", msgspec.json.decode(encode_error(refused))["error"])
    assert list(error) == ["message", "type", "param", "code"]
    assert error["message"]
    assert error["type"] == "invalid_request_error"


def _check_sizes(checked: CheckedBody) -> None:
    assert checked.model
    assert estimate_prompt_tokens(checked.parts) >= 0
    hashes = compute_prefixes(checked.parts, _KEY)
    assert len(hashes) <= PREFIX_HASHES_MAX
    assert all(len(one) == PREFIX_HASH_BYTES for one in hashes)


def _check_engine_body(body: bytes, endpoint: Endpoint) -> None:
    """Nothing but the model and the streaming differs, and no digit of a number."""
    try:
        prepared = _FIELDS.decode(prepare_engine_body(body, "engine", endpoint))
    except Refusal as refusal:
        assert refusal.rule == "stream-options"
        return
    assert prepared["model"] == msgspec.Raw(b'"engine"')
    asked = _FIELDS.decode(body)
    for fields in (prepared, asked):
        for name in ("model", "stream", "stream_options"):
            fields.pop(name, None)
    assert prepared == asked
