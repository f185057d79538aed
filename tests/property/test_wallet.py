"""Whatever happens to a node, its wallet never signs two words of one number, and keeps its word.

Two wallets pay each other over the real ledger while Hypothesis lets disks be slow, processes be
killed between any two writes, machines lose power, backups be restored, the sequencer forget what
waits, and links be cut; see `wallet_world` for what is looked at after every step and at the end.
Beside it one story is told again for every write in it, with a kill before and after that write.
Claims: [WALLET-WRITE.1], [WALLET-NUMBER.1], [WALLET-NUMBER.2], [WALLET-BUDGET.1].
"""

import os
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests.property.ledger_world import name
from tests.property.wallet_walk import COMMANDS, NUMBER_MAX, Command, draw_walk
from tests.property.wallet_world import ALICE, BOB, WalletWorld
from wwwserve.core.ledger import Ending, HoldSettled

Step = Callable[[], None]
NIGHT = "WWWSERVE_NIGHT" in os.environ
WALKS = 200 if NIGHT else 20

numbers = st.integers(0, NUMBER_MAX - 1)


class TwoWallets(RuleBasedStateMachine):
    """Two nodes, and everything that can go wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.world = WalletWorld()

    @rule(command=st.sampled_from(COMMANDS), first=numbers, second=numbers)
    def do(self, command: Command, first: int, second: int) -> None:
        command(self.world, first, second)
        self.world.check()

    def teardown(self) -> None:
        self.world.settle()


@pytest.mark.slow
def test_a_wallet_keeps_its_word_whatever_happens() -> None:
    run_state_machine_as_test(
        TwoWallets,
        settings=settings(
            max_examples=400 if NIGHT else 60,
            stateful_step_count=80,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(WALKS))
def test_long_walks(seed: int) -> None:
    draw_walk(seed, 250)


# -- kill -9 at every write ----------------------------------------------------------------------


def tell_story(world: WalletWorld, killed: int, at_write: int, *, is_done: bool) -> int:
    """Pay, claim, order, expire; `killed` dies at a write of its own. Gives how many it made."""
    node = world.nodes[killed]
    node.is_quick = False
    steps: tuple[Step, ...] = (
        lambda: world.open_hold(1, 0),
        lambda: world.order(killed, 0),
        lambda: world.answer(0),
        lambda: world.pay(0, 3),
        lambda: world.open_hold(3, 1),
        lambda: world.wait(2),
        lambda: world.make_block(2, 1),
        lambda: world.finish(1),
        lambda: world.pay(0, 2),
        lambda: world.wait(6),
        lambda: world.cut(0),
        lambda: world.order(killed, 3),
        lambda: world.make_block(6, 1),
        lambda: world.make_block(6, 1),
        lambda: world.heal(0),
        lambda: world.finish(0),
        lambda: world.wait(6),
        lambda: world.make_block(2, 1),
    )
    writes = 0
    for step in steps:
        step()
        node = world.nodes[killed]
        while node.unfinished:
            writes += 1
            if writes == at_write:
                node.end(1 if is_done else 0)
                world.start(killed, node.disk, node.ledger)
                node = world.nodes[killed]
            else:
                node.finish_write()
        world.check()
    return writes


@pytest.mark.parametrize("killed", [ALICE, BOB])
@pytest.mark.parametrize("is_done", [False, True])
def test_a_kill_at_any_write_loses_nothing_that_was_said(killed: int, *, is_done: bool) -> None:
    # [WALLET-NUMBER.1]
    writes = tell_story(WalletWorld(), killed, 0, is_done=is_done)
    assert writes >= 6
    for at_write in range(1, writes + 1):
        world = WalletWorld()
        tell_story(world, killed, at_write, is_done=is_done)
        world.settle()
        ends = [fact for fact in world.facts if isinstance(fact, HoldSettled)]
        assert all(fact.ending is not Ending.EXPIRED or not fact.paid for fact in ends)
        assert not world.ledger.accounts[name(killed)].holds_out


def test_the_walks_do_what_they_are_for() -> None:
    """Chance takes the wallets to where mistakes would be made."""
    worlds = [draw_walk(seed, 120) for seed in range(12)]
    renewed = sum(len(ids) > 1 for world in worlds for ids in world.seen.values())
    claimed = [
        fact
        for world in worlds
        for fact in world.facts
        if isinstance(fact, HoldSettled) and fact.ending is Ending.CLAIMED and fact.paid
    ]
    assert renewed
    assert claimed
    assert any(world.copies for world in worlds)
