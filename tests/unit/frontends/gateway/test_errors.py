"""Every way a request can fail has its status, OpenAI's shape, and words a user can act on.

Failures are made as the peer makes them and read as a client would: status, headers and JSON.
"""

import msgspec
import pytest

from wwwserve.core.effects import RequestErrorCode
from wwwserve.frontends.gateway.errors import encode_error, explain_failure
from wwwserve.ports.peer_handle import RequestFailed


@pytest.mark.parametrize(
    ("code", "status", "retry_after"),
    [
        (RequestErrorCode.MODEL_UNKNOWN, 404, None),
        (RequestErrorCode.NO_CAPACITY, 503, "1"),
        (RequestErrorCode.QUEUE_FULL, 503, "1"),
        (RequestErrorCode.LEAVING, 503, "1"),
        (RequestErrorCode.DEADLINE, 504, None),
        (RequestErrorCode.FAILED, 502, None),
        (RequestErrorCode.CANCELLED, 502, None),
    ],
)
def test_each_failure_has_its_status(
    code: RequestErrorCode, status: int, retry_after: str | None
) -> None:
    refused = explain_failure(RequestFailed(code, "words for the user"))
    assert refused.status == status
    assert refused.headers.get("retry-after") == retry_after
    error = msgspec.json.decode(encode_error(refused))["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"] == "words for the user"


def reject(status: int, body: bytes) -> RequestFailed:
    return RequestFailed(RequestErrorCode.REJECTED, "detail", status=status, body=body)


def test_an_engines_words_are_passed_on_in_openais_shape() -> None:
    body = b'{"error":{"message":"too long","type":"t","param":"p","code":7,"stack":"secret"}}'
    refused = explain_failure(reject(422, body))
    assert refused.status == 422
    assert msgspec.json.decode(encode_error(refused)) == {
        "error": {"message": "too long", "type": "t", "param": "p", "code": "7"}
    }


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"detail":"x"}', b'{"error":"x"}', b'{"a":' * 5_000]
)
def test_words_in_another_shape_are_not_passed_on(body: bytes) -> None:
    refused = explain_failure(reject(400, body))
    assert refused.status == 400
    assert refused.message == "the engine refused the request: detail"


@pytest.mark.parametrize("status", [0, 200, 401, 403, 407, 429, 500])
def test_a_nodes_trouble_with_its_engine_is_not_the_users(status: int) -> None:
    body = b'{"error":{"message":"Incorrect API key sk-of-the-node"}}'
    refused = explain_failure(reject(status, body))
    assert refused.status == 502
    assert "sk-of" not in refused.message


def test_an_endless_message_is_cut() -> None:
    body = msgspec.json.encode({"error": {"message": "x" * 100_000}})
    assert len(explain_failure(reject(400, body)).message) == 4_096
