"""What can happen to the town of `payments_world`, step by step, and what nobody may lose by it."""

from random import Random
from typing import Final

from tests.property.payments_stream import (
    EXECUTOR,
    NEWCOMER,
    OTHER,
    RICH,
    SEATED,
    STRANGER,
    Stream,
)
from tests.property.payments_world import Town
from wwwserve.core.paying import AHEAD
from wwwserve.core.payments import KeepPreimage

STEPS: Final = (
    *("start", "start", "deliver", "arrive", "pay"),
    *("flow",) * 8,
    *("block",) * 6,
    *("finish", "finish", "cancel", "mute", "silence", "kill_payer", "kill_executor", "stall"),
    *("inflate", "forge"),
)
"""What happens, as often as it is named."""
NUMBER_MAX: Final = 11
"""Each step has a number from 0 to this, which says whom it concerns."""
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
        case "inflate":
            town.finish(stream, stated=100_000)
        case "forge":
            forge(town, stream)
        case "kill_payer":
            town.kill(stream.payer)
        case _:
            town.kill(stream.executor)


def forge(town: Town, stream: Stream) -> None:
    """The executor claims more than it was shown; what it loses by that is its own fault."""
    hold_id = stream.receiver.terms.hold_id
    depth = stream.receiver.terms.units_max
    wallet = town.nodes[stream.executor].wallet
    wallet.kept[hold_id] = KeepPreimage(hold_id, depth, b"f" * 32, 0)
    wallet.claimable[hold_id] = None
    town.dead.add(stream.executor)


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


def draw_walk(seed: int, steps: int) -> None:
    """A walk of its own for each seed, and its reckoning."""
    random, town = Random(seed), Town()  # noqa: S311 - to be repeated, not to be secret
    for _ in range(steps):
        take_step(town, random.choice(STEPS), random.randrange(NUMBER_MAX + 1))
    town.settle()
    check_bounds(town)
