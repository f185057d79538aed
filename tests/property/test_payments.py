"""What either side of paid requests can lose, to the micro-credit, whatever happens between them.

Real payments and meters at both ends and the real ledger between them; every interleaving of
tokens, units, extensions, blocks, stalls, cancels, silence and kills. Both sides of the books are
then compared with what was delivered.
"""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property.payments_world import (
    EXECUTOR,
    NEWCOMER,
    OTHER,
    RICH,
    SEATED,
    STRANGER,
    Stream,
    Town,
)
from wwwserve.core.paying import AHEAD

STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "start",
                "deliver",
                "arrive",
                "pay",
                "flow",
                "block",
                "finish",
                "cancel",
                "mute",
                "silence",
                "kill_payer",
                "kill_executor",
                "stall",
            ]
        ),
        st.integers(0, 11),
    ),
    max_size=60,
)
PAYERS = (STRANGER, SEATED, RICH)
EXECUTORS = (EXECUTOR, OTHER, NEWCOMER)


def flow(town: Town, stream: Stream, tokens: int) -> None:
    """Tokens and units go to and fro."""
    for _ in range(tokens):
        town.deliver(stream)
        town.arrive(stream)
        town.pay(stream)


def begin(town: Town, number: int) -> None:
    """Somebody asks somebody."""
    limit = (0, 40)[number % 2]
    town.start(PAYERS[number % 3], EXECUTORS[number // 3 % 3], completion_max=limit)


def cut(town: Town, stream: Stream, step: str) -> None:
    """One end stops, in one way or another."""
    match step:
        case "mute":
            stream.is_paying = False
        case "silence":
            stream.is_working = False
        case "cancel":
            town.close_payer(stream)
            town.close_executor(stream)
        case "kill_payer":
            town.kill(stream.payer)
        case _:
            town.kill(stream.executor)


def take_step(town: Town, step: str, number: int) -> None:
    """Do one thing."""
    match step:
        case "start":
            begin(town, number)
        case "block":
            town.block((50, 200, 1_200)[number % 3])
        case "stall":
            town.is_stalled = not town.is_stalled
        case "deliver" | "arrive" | "pay" | "finish" | "flow" if town.streams:
            stream = town.streams[number % len(town.streams)]
            if step == "flow":
                flow(town, stream, 3 * number)
            else:
                getattr(town, step)(stream)
        case _ if town.streams:
            cut(town, town.streams[number % len(town.streams)], step)
        case _:
            pass


def check_bounds(town: Town) -> None:
    """Nobody lost more than is stated."""
    for stream in town.streams:
        paid = town.paid(stream)
        first, unit = stream.first, stream.unit
        assert paid - stream.worth(stream.arrived) <= first + unit
        if stream.arrived >= 0:
            assert paid - stream.worth(stream.arrived) <= unit
        if stream.executor in town.dead:
            continue
        lost = stream.worth(stream.delivered) - paid
        if stream.receiver.terms.lead_units == AHEAD:
            assert lost <= 0
        else:
            assert lost <= first + 3 * unit


@settings(deadline=None, max_examples=60)
@given(steps=STEPS)
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
