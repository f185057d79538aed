"""What either side of paid requests can lose, to the micro-credit, whatever happens between them.

Real payments and meters at both ends and the real ledger between them; every interleaving of
tokens, units, extensions, blocks, stalls, cancels, silence and kills. Both sides of the books are
then compared with what was delivered.
"""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property.payments_walk import (
    EXECUTORS,
    NUMBER_MAX,
    PAYERS,
    STEPS,
    check_bounds,
    flow,
    take_step,
)
from tests.property.payments_world import Town
from wwwserve.core.paying import AHEAD

WALKS = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, NUMBER_MAX)), max_size=80)


@settings(deadline=None, max_examples=60)
@given(steps=WALKS)
def test_neither_side_loses_more_than_is_stated(steps: list[tuple[str, int]]) -> None:
    town = Town()
    for step, number in steps:
        take_step(town, step, number)
    town.settle()
    check_bounds(town)


@settings(deadline=None, max_examples=25)
@given(
    payer=st.sampled_from(PAYERS),
    executor=st.sampled_from(EXECUTORS),
    tokens=st.integers(0, 400),
    limit=st.sampled_from([0, 400]),
)
def test_an_honest_request_is_paid_in_full_and_locks_nothing(
    payer: int, executor: int, tokens: int, limit: int
) -> None:
    town = Town()
    stream = town.start(payer, executor, completion_max=limit)
    assert stream is not None
    while stream.delivered < tokens:
        before = stream.delivered
        flow(town, stream, 1)
        town.block(10)
        assert stream.delivered > before or before < 0
    town.finish(stream)
    town.settle()
    units = (2 * tokens + stream.unit_tokens) // (2 * stream.unit_tokens)
    fair = stream.first + stream.unit * units
    ahead = stream.unit if stream.receiver.terms.lead_units == AHEAD else 0
    assert fair <= town.paid(stream) <= fair + ahead
    assert not town.ledger.holds
