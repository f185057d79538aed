"""What people type and read of a request's id and of a length of time."""

import pytest

from wwwserve.values.ids import RequestId, parse_request_prefix, request_text
from wwwserve.values.moments import MILLISECOND, SECOND, span_text
from wwwserve.values.refusals import BadInput

REQUEST = RequestId(bytes(range(16)))


@pytest.mark.parametrize(
    ("typed", "digits"),
    [
        (request_text(REQUEST), REQUEST.hex()),
        (" REQ-000102 ", "000102"),
        ("0001020", "0001020"),
    ],
)
def test_a_request_is_named_by_its_id_or_its_first_digits(typed: str, digits: str) -> None:
    assert parse_request_prefix(typed) == digits


@pytest.mark.parametrize("typed", ["", "req-", "req-00010", "xyzxyz", "00" * 17, "chatcmpl-123"])
def test_too_little_or_something_else_is_refused(typed: str) -> None:
    with pytest.raises(BadInput, match="at least 6 digits"):
        parse_request_prefix(typed)


@pytest.mark.parametrize(
    ("span_us", "text"),
    [
        (0, "0.0 ms"),
        (1_234, "1.2 ms"),
        (250 * MILLISECOND, "250 ms"),
        (3_100 * MILLISECOND, "3.1 s"),
        (150 * SECOND, "2 min"),
        (3 * 3600 * SECOND, "3 h"),
    ],
)
def test_a_length_of_time_has_few_digits_and_a_unit(span_us: int, text: str) -> None:
    assert span_text(span_us) == text
