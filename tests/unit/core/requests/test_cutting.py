"""Output that came in one go is cut so that no piece is worth more than a unit; nothing is lost.

Any number of events, with and without words in them, in any order.
"""

from hypothesis import given
from hypothesis import strategies as st

from wwwserve.core.requests import cut_by_tokens

WORD = b'data: {"choices":[{"delta":{"content":"word"}}]}\n\n'
EMPTY = b'data: {"choices":[{"delta":{"role":"assistant"}}]}\n\n'


def count(events: bytes) -> int:
    return events.count(b'"content"')


@given(
    events=st.lists(st.sampled_from([WORD, EMPTY]), max_size=120),
    before=st.integers(0, 1_000),
    piece_tokens=st.integers(1, 40),
)
def test_no_piece_is_worth_more_than_a_unit(
    events: list[bytes], before: int, piece_tokens: int
) -> None:
    output = b"".join(events)
    pieces = cut_by_tokens(output, before, before + count(output), piece_tokens)
    assert b"".join(piece for piece, _ in pieces) == output
    gone = before
    for piece, known in pieces:
        assert count(piece) <= piece_tokens
        assert before <= known <= gone, "never more than its payer has seen"
        gone += count(piece)


def test_what_is_small_stays_whole() -> None:
    assert cut_by_tokens(WORD * 3, 5, 8, 32) == [(WORD * 3, 5)]


def test_words_alone_are_counted_exactly() -> None:
    assert [before for _, before in cut_by_tokens(WORD * 70, 10, 80, 32)] == [10, 42, 74]
