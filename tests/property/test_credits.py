"""Amounts are read as people write them, exactly, and printed so that they read back the same.

Hypothesis draws amounts over the whole range, and texts that are none; nothing is ever rounded.
"""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wwwserve.values.credits import CREDIT, MICROCREDITS_MAX, credits_text, parse_credits
from wwwserve.values.refusals import BadInput

amounts = st.integers(0, MICROCREDITS_MAX)


@given(amounts)
def test_what_is_printed_reads_back(amount: int) -> None:
    assert parse_credits("amount", credits_text(amount)) == amount
    assert parse_credits("amount", credits_text(amount).removesuffix(" cr")) == amount


@given(st.integers(0, MICROCREDITS_MAX // CREDIT), st.text("0123456789", max_size=6))
def test_every_decimal_is_exact(whole: int, decimals: str) -> None:
    text = f"{whole}.{decimals}" if decimals else str(whole)
    expected = Decimal(text) * CREDIT
    if expected > MICROCREDITS_MAX:
        return
    assert parse_credits("amount", text) == expected


@given(st.from_regex(r"[^0-9]+|[0-9]+[^0-9. c][0-9]*", fullmatch=True))
def test_any_other_text_is_refused_by_the_name_of_its_field(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_credits("the.field", text)
    assert caught.value.field == "the.field"
    assert caught.value.fix


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-1",
        "1e3",
        ".5",
        "1.",
        "1,5",
        "0.0000001",
        "٣",
        "1 000",
        "1\t",
        "0\x1f",
        "inf",
        "cr",
        "1 crcr",
        "9" * 20,
    ],
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        parse_credits("amount", text)


def test_more_than_there_can_be_is_refused() -> None:
    assert parse_credits("amount", credits_text(MICROCREDITS_MAX)) == MICROCREDITS_MAX
    with pytest.raises(BadInput):
        parse_credits("amount", credits_text(MICROCREDITS_MAX + 1))
