"""Cutting output that came in one go, so that no piece of it is worth more than one unit."""

from wwwserve.core.requests.runs import find_event_end


def cut_by_tokens(
    events: bytes, before: int, after: int, piece_tokens: int
) -> list[tuple[bytes, int]]:
    """Whole events in pieces of at most so many tokens, each with what went out before it.

    `before` and `after` are the tokens counted without and with these events. Where a count within
    them is not known for sure it is too low, never too high: who is paid by it must not wait for
    more than its payer has seen.
    """
    if after - before <= piece_tokens:
        return [(events, before)]
    cuts: list[int] = []
    end = 0
    while end < len(events):
        end = find_event_end(events, end)
        cuts.append(end)
    # Those that carry nothing may be any of them: the first ones cannot be shown not to be.
    empty = max(len(cuts) - (after - before), 0)
    pieces: list[tuple[bytes, int]] = []
    start = 0
    for first in range(0, len(cuts), piece_tokens):
        end = cuts[min(first + piece_tokens, len(cuts)) - 1]
        pieces.append((events[start:end], before + max(first - empty, 0)))
        start = end
    return pieces
