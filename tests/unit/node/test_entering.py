"""A node comes into a ledger by the door it chose, says what it waits for, and tries again.

The ledger is a real one with small puzzles; whoever signs here puts the word into its next block,
so that doors open and shut by the ledger's own rules. Time does not pass: each look is at once.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
from msgspec.structs import replace

from tests.property.ledger_world import World, make_genesis, name
from tests.unit.core.ledger.people import ALICE, EPOCH, NEW, NEWER, STRANGER, solve, tell
from wwwserve.core.chain import Chain, LedgerView
from wwwserve.core.ledger import Ledger
from wwwserve.node import entering
from wwwserve.node.config import DoorChoice, LogsConfig
from wwwserve.node.entering import Entering, PuzzleWork
from wwwserve.node.logs import NodeLog
from wwwserve.node.wallet_orders import WAITS_RULE
from wwwserve.ports.peer_handle import SignedOrder
from wwwserve.values.credits import CREDIT
from wwwserve.values.ids import node_text
from wwwserve.values.ledger_parameters import TINY_LEDGER
from wwwserve.values.refusals import BadInput
from wwwserve.wire.ledger import (
    Door,
    Join,
    Op,
    Sponsor,
    Transfer,
    compute_puzzle,
    count_zero_bits,
)

LOOKS_MAX = 2_000
"""Looks of the node until a test gives up."""


@dataclass
class Standing:
    """What a chain has that a view is taken of."""

    world: World
    fork: None = None

    @property
    def ledger(self) -> Ledger:
        return self.world.ledger


@dataclass
class Newcomer:
    """A node that wants in, and what it has said."""

    world: World
    get_ledger: Callable[[], LedgerView]
    log: NodeLog
    said: list[Op] = field(default_factory=list)
    waits_for: str = ""
    """Set: its wallet cannot sign yet."""
    is_slow: bool = False
    """Whether its words are not in the log by the time they are looked for."""

    def __post_init__(self) -> None:
        self.entering = Entering(name(NEW), self.get_ledger, self.sign, self.log)

    async def sign(self, ops: tuple[Op, ...]) -> SignedOrder:
        if self.waits_for:
            raise BadInput("wallet", f"{WAITS_RULE}: the wallet waits for {self.waits_for}", "", "")
        self.said.extend(ops)
        if self.is_slow:
            self.world.say(NEW, *ops)
            return SignedOrder(bytes(32), 1, is_final=False)
        if rules := tell(self.world, NEW, *ops):
            raise BadInput("wallet", rules[0], "", "")
        return SignedOrder(bytes(32), 1, is_final=True)

    async def until(self, is_true: Callable[[], bool]) -> None:
        """Let it look until something is so."""
        for _ in range(LOOKS_MAX):
            if is_true():
                return
            await asyncio.sleep(0.001)
        raise AssertionError(self.entering.state)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[NodeLog]:
    with (tmp_path / "log").open("wb") as file:
        log = NodeLog(LogsConfig(), file.fileno())
        yield log
        log.close()


@pytest.fixture
def newcomer(log: NodeLog, monkeypatch: pytest.MonkeyPatch) -> Newcomer:
    monkeypatch.setattr(entering, "LOOK_S", 0.001)
    return make_newcomer(World(), log)


def make_newcomer(world: World, log: NodeLog) -> Newcomer:
    view = LedgerView(cast("Chain", Standing(world)))
    return Newcomer(world, lambda: view, log)


async def come_in(newcomer: Newcomer, door: DoorChoice) -> None:
    newcomer.entering.door = door
    async with asyncio.timeout(10):
        await newcomer.entering.run()
    assert newcomer.entering.state == ""


@pytest.mark.parametrize("door", [DoorChoice.DEV, DoorChoice.EARN, DoorChoice.FAUCET])
async def test_a_door_lets_a_node_in(newcomer: Newcomer, door: DoorChoice) -> None:
    await come_in(newcomer, door)
    (op,) = newcomer.said
    assert isinstance(op, Join)
    assert op.door is Door[door.name]
    assert (op.proof is not None) == (door is not DoorChoice.DEV)
    assert newcomer.world.ledger.accounts[name(NEW)].door == op.door


async def test_a_node_waits_for_its_sponsor_and_names_itself(newcomer: Newcomer) -> None:
    # The first door of this ledger is the sponsor's, for whoever names none.
    task = asyncio.ensure_future(come_in(newcomer, DoorChoice.ANY))
    await newcomer.until(lambda: "sponsor" in newcomer.entering.state)
    assert f"wwwserve wallet sponsor {node_text(name(NEW))}" in newcomer.entering.state
    assert not newcomer.said
    assert tell(newcomer.world, ALICE, Sponsor(name(NEW), 1)) == []
    await task
    assert newcomer.said == [Join(Door.SPONSOR)]


async def test_whoever_is_lent_seats_comes_in_by_them_whatever_the_door(
    newcomer: Newcomer,
) -> None:
    assert tell(newcomer.world, ALICE, Sponsor(name(NEW), 1)) == []
    await come_in(newcomer, DoorChoice.NONE)
    assert newcomer.said == [Join(Door.SPONSOR)]


async def test_without_a_door_credits_are_waited_for(newcomer: Newcomer) -> None:
    task = asyncio.ensure_future(come_in(newcomer, DoorChoice.NONE))
    await newcomer.until(lambda: "credits" in newcomer.entering.state)
    assert tell(newcomer.world, ALICE, Transfer(name(NEW), CREDIT)) == []
    await task
    assert not newcomer.said


async def test_a_full_door_is_tried_again_in_the_next_epoch(newcomer: Newcomer) -> None:
    world = newcomer.world
    for other in (NEWER, STRANGER + 10):
        assert tell(world, other, Join(Door.FAUCET, solve(world, other))) == []
    task = asyncio.ensure_future(come_in(newcomer, DoorChoice.FAUCET))
    await newcomer.until(lambda: "next epoch" in newcomer.entering.state)
    assert "door faucet is shut" in newcomer.entering.state
    tries = len(newcomer.said)
    await asyncio.sleep(0.02)
    assert len(newcomer.said) == tries == 1
    world.wait(EPOCH)
    await task
    assert len(newcomer.said) == 2


async def test_a_wallet_that_is_not_ready_is_waited_for_by_its_own_reason(
    newcomer: Newcomer,
) -> None:
    newcomer.waits_for = "the log"
    task = asyncio.ensure_future(come_in(newcomer, DoorChoice.DEV))
    await newcomer.until(lambda: newcomer.entering.state == "waits for the log")
    newcomer.waits_for = ""
    # In the same epoch: nothing was refused.
    await task
    assert newcomer.world.ledger.log.epoch == 0


async def test_what_is_on_its_way_is_not_said_again_in_the_same_epoch(newcomer: Newcomer) -> None:
    newcomer.is_slow = True
    task = asyncio.ensure_future(come_in(newcomer, DoorChoice.DEV))
    await newcomer.until(lambda: "a block with its Join" in newcomer.entering.state)
    await asyncio.sleep(0.02)
    assert len(newcomer.said) == 1
    newcomer.world.close()
    await task
    assert len(newcomer.said) == 1


async def test_another_door_is_taken_when_the_configuration_changes(newcomer: Newcomer) -> None:
    task = asyncio.ensure_future(come_in(newcomer, DoorChoice.SPONSOR))
    await newcomer.until(lambda: "sponsor" in newcomer.entering.state)
    newcomer.entering.door = DoorChoice.DEV
    await task
    assert newcomer.said == [Join(Door.DEV)]


async def test_until_the_ledger_is_here_that_is_what_it_waits_for(log: NodeLog) -> None:
    newcomer = make_newcomer(World(), log)
    newcomer.entering.get_ledger = lambda: None
    task = asyncio.ensure_future(newcomer.entering.run())
    await newcomer.until(lambda: "first record" in newcomer.entering.state)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_puzzle_of_an_epoch_that_is_over_is_given_up_and_begun_anew(
    log: NodeLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entering, "LOOK_S", 0.001)
    # Nobody solves so many bits: until the epochs are over there is nothing to say.
    hard = replace(TINY_LEDGER, puzzle_bits=32)
    newcomer = make_newcomer(World(replace(make_genesis(), parameters=hard)), log)
    newcomer.entering.door = DoorChoice.EARN
    task = asyncio.ensure_future(newcomer.entering.run())
    await newcomer.until(lambda: "solving the puzzle" in newcomer.entering.state)
    assert f"about {2**32} are needed" in newcomer.entering.state
    newcomer.world.wait(2 * EPOCH)
    await newcomer.until(
        lambda: (tmp_path / "log").read_text().count("solving the entry puzzle") == 2
    )
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not newcomer.said


async def test_a_solved_puzzle_has_its_bits_and_a_stopped_one_is_none() -> None:
    work = PuzzleWork(name(NEW), b"n" * 32, b"b" * 32, bits=4, memory_log2=1)
    puzzle = await work.solve()
    assert puzzle is not None
    assert count_zero_bits(compute_puzzle(name(NEW), b"n" * 32, puzzle, 1)) >= 4
    endless = PuzzleWork(name(NEW), b"n" * 32, b"b" * 32, bits=64, memory_log2=1)
    endless.stop()
    assert await endless.solve() is None
