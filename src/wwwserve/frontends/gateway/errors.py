"""What a user is told when a request has no answer: OpenAI's error shape with the right status."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import assert_never

import msgspec
from aiohttp import web

from wwwserve.core.effects import RequestErrorCode
from wwwserve.ports.peer_handle import RequestFailed
from wwwserve.values.moments import SECOND

INVALID = "invalid_request_error"
"""OpenAI's type of an error the user can mend."""
SERVER = "server_error"
MESSAGE_LENGTH_MAX = 4_096
"""Characters of an engine's own words that are passed on."""
RETRY_AFTER_US = 1 * SECOND
"""Advice to come back when whoever refused gave none."""
RETRYABLE_STATUSES = (429, 503)
JSON_TYPE = {"content-type": "application/json", "server": "wwwserve"}


@dataclass(eq=False)
class Refused(Exception):
    """A request is not answered, and the user learns why."""

    status: int
    message: str
    code: str | None = None
    param: str | None = None
    type: str = INVALID
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.status}: {self.message}"


def refuse_field(param: str, expected: str, fix: str) -> Refused:
    """A 400 that names the field, what was expected of it, and what to try."""
    return Refused(400, f"{param}: {expected}. Try: {fix}", param=param)


def encode_error(refused: Refused) -> bytes:
    """The JSON of an error, as OpenAI writes it."""
    error = {
        "message": refused.message,
        "type": refused.type,
        "param": refused.param,
        "code": refused.code,
    }
    # A header quoted in a message may hold bytes that are no text.
    shown = {name: text and text.encode(errors="replace").decode() for name, text in error.items()}
    return msgspec.json.encode({"error": shown})


def make_error_response(refused: Refused) -> web.Response:
    """The response to a request that is not answered."""
    headers = {**JSON_TYPE, **refused.headers}
    return web.Response(body=encode_error(refused), status=refused.status, headers=headers)


def make_error_event(refused: Refused) -> bytes:
    """The last event of a stream that broke: its user must not take the part for the whole."""
    return b"data: " + encode_error(refused) + b"\n\n"


def explain_failure(failed: RequestFailed) -> Refused:
    """What a failed request means to its user."""
    if failed.code is RequestErrorCode.REJECTED:
        return _explain_rejection(failed)
    status, code = _get_status(failed.code)
    kind = INVALID if status < 500 else SERVER  # noqa: PLR2004 - where HTTP puts server errors
    headers = {}
    if status in RETRYABLE_STATUSES:
        headers["retry-after"] = format_seconds(failed.retry_after_us or RETRY_AFTER_US)
    param = "model" if failed.code is RequestErrorCode.MODEL_UNKNOWN else None
    return Refused(status, failed.detail, code, param=param, type=kind, headers=headers)


def format_seconds(span_us: int) -> str:
    """A span as `Retry-After` has it: whole seconds, rounded up, at least one."""
    return str(max(1, -(-span_us // SECOND)))


def _get_status(code: RequestErrorCode) -> tuple[int, str]:
    match code:
        case RequestErrorCode.MODEL_UNKNOWN:
            return 404, "model_not_found"
        case (
            RequestErrorCode.NO_CAPACITY
            | RequestErrorCode.QUEUE_FULL
            | RequestErrorCode.OUT_OF_CREDITS
            | RequestErrorCode.LEAVING
        ):
            return 503, code.value
        case RequestErrorCode.DEADLINE:
            return 504, code.value
        case RequestErrorCode.FAILED | RequestErrorCode.REJECTED | RequestErrorCode.CANCELLED:
            return 502, code.value
        case _:
            assert_never(code)


class _EngineError(msgspec.Struct):
    message: str
    type: str | None = None
    param: str | None = None
    code: str | int | None = None


class _EngineBody(msgspec.Struct):
    error: _EngineError


_ENGINE_BODIES = msgspec.json.Decoder(_EngineBody)
# These would tell a user of the node's own trouble with its engine: a wrong key, a wrong address, a
# full queue. A user cannot mend them.
_NODES_OWN_STATUSES = (401, 403, 405, 407, 408, 429)


def _explain_rejection(failed: RequestFailed) -> Refused:
    """An engine's 4xx in its own words, if they are in a shape that clients read."""
    if not 400 <= failed.status < 500 or failed.status in _NODES_OWN_STATUSES:  # noqa: PLR2004
        return Refused(502, f"the engine refused this node: {failed.detail}", "failed", type=SERVER)
    try:
        error = _ENGINE_BODIES.decode(failed.body).error
    except (ValueError, RecursionError):
        detail = failed.detail or "it gave no reason that can be read"
        return Refused(failed.status, f"the engine refused the request: {detail}", "rejected")
    message = error.message[:MESSAGE_LENGTH_MAX]
    code = None if error.code is None else str(error.code)
    return Refused(failed.status, message, code, param=error.param, type=error.type or INVALID)
