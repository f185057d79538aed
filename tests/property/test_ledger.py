"""Whatever people do to the ledger, it does what the spec does, and loses no credit.

The Python of `spec/ledger.md` runs beside the core. Hypothesis lets eight keys hold, claim, close,
give, stake, sponsor, join, leave, flood, fork, accuse and betray, rightly and wrongly, while the
ledger clock moves; after each block every account, hold and sum must be equal on both sides
(`World.compare`). Beside it a store follows the changed entries, and copies restored from snapshots
take the same blocks. Claims: [LEDGER-MODEL.1], [LEDGER-CONSERVED.1], [LEDGER-CONSERVED.2],
[LEDGER-REPLAY.1], [LEDGER-REPLAY.2], [LEDGER-REFUSED.1].
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.property.ledger_walk import NUMBER_MAX, NUMBERS, OFTEN, Walk, draw_walk
from tests.property.ledger_world import World, make_genesis, name
from wwwserve.core.ledger import FeedApplied, FeedVoid, Ledger, OpRefused
from wwwserve.values.refusals import Refusal
from wwwserve.wire.ledger import Circulation

COPIES_MAX = 3
ROOT = Path(__file__).parents[2]

numbers = st.lists(st.integers(0, NUMBER_MAX - 1), min_size=NUMBERS, max_size=NUMBERS)


class LedgerPeople(RuleBasedStateMachine):
    """A ledger, its reference, a store, copies, and everything that can be done to them."""

    def __init__(self) -> None:
        super().__init__()
        self.walk = Walk(World())
        self.copies: list[Ledger] = []
        self.stored: dict[bytes, bytes] = {}
        self.seen = 0

    @initialize(circulation=st.sampled_from(Circulation), pool=st.sampled_from([0, 2, 8]))
    def begin(self, circulation: Circulation, pool: int) -> None:
        self.walk = Walk(World(make_genesis(circulation, pool)))
        self.stored = dict(self.world.ledger.take_snapshot())

    @property
    def world(self) -> World:
        return self.walk.world

    @rule(command=st.sampled_from(OFTEN), drawn=numbers)
    def do(self, command: str, drawn: list[int]) -> None:
        self.walk.do(command, drawn)
        self.follow()

    @precondition(lambda self: len(self.copies) < COPIES_MAX)
    @rule()
    def copy(self) -> None:
        snapshot = self.world.ledger.take_snapshot()
        self.copies.append(Ledger.restore(dict(reversed(snapshot.items()))))
        assert self.copies[-1].root == self.world.ledger.root

    @precondition(lambda self: self.world.ledger.log.halt is not None)
    @rule()
    def halted(self) -> None:
        # [LEDGER-HALT.1]
        with pytest.raises(Refusal, match="halted"):
            self.world.ledger.begin_block(self.world.make_block(1), self.world.pending)

    def follow(self) -> None:
        """Give the new blocks to the copies and the changes to the store."""
        ledger = self.world.ledger
        for block, feeds in self.world.blocks[self.seen :]:
            for copy in self.copies:
                copy.apply_block(block, feeds)
        if len(self.world.blocks) == self.seen:
            return
        for changes in self.world.changes[self.seen :]:
            for key, value in changes.items():
                if value is None:
                    self.stored.pop(key, None)
                else:
                    self.stored[key] = value
        self.seen = len(self.world.blocks)
        assert all(copy.root == ledger.root for copy in self.copies)
        assert all(copy.take_snapshot() == ledger.take_snapshot() for copy in self.copies)
        assert dict(sorted(self.stored.items())) == ledger.take_snapshot()


QUICK = settings(
    max_examples=20, stateful_step_count=40, suppress_health_check=[HealthCheck.too_slow]
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "profile", [QUICK, settings(QUICK, max_examples=40, stateful_step_count=60)]
)
def test_people(profile: settings) -> None:
    run_state_machine_as_test(LedgerPeople, settings=profile)


def test_short_walks() -> None:
    for seed in range(4):
        draw_walk(seed, commands=100)


@pytest.mark.slow
def test_long_walks() -> None:
    # What takes a while to come about: whole lives of newcomers, many epochs, many periods.
    for seed in range(40):
        draw_walk(seed, commands=400)


@pytest.mark.parametrize("seed", range(6))
def test_what_is_refused_changes_nothing_but_number_and_fee(seed: int) -> None:
    # [LEDGER-REFUSED.1] Each op drafted in a walk is tried alone, on a copy of the walk's end.
    walk = draw_walk(seed, commands=60)
    world = walk.world
    drafts = [(author, op) for author, ops in walk.drafts.items() for op in ops]
    before = world.ledger.take_snapshot()
    for author, op in drafts:
        world.pending, world.heads = [], {}
        feed = world.say(author, op)
        block = world.make_block(0)
        copy = Ledger.restore(before)
        facts = copy.apply_block(block, [feed])
        touched = {key for key, value in copy.last_changes.items() if value != before.get(key)}
        if any(isinstance(fact, OpRefused) for fact in facts):
            assert touched <= {b"l", b"a" + name(author), b"a" + name(0)}
        elif any(isinstance(fact, FeedVoid) for fact in facts):
            assert touched == {b"l"}
            assert copy.log.pool == world.ledger.log.pool
        else:
            assert any(isinstance(fact, FeedApplied) for fact in facts)


@pytest.mark.slow
def test_two_processes_come_to_the_same_state() -> None:
    # [LEDGER-REPLAY.1] With other hash seeds, so that no set or hash has a say.
    code = (
        "from tests.property.ledger_walk import draw_walk;"
        "print([draw_walk(seed, commands=150).world.ledger.root.hex() for seed in range(4)])"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1]
    assert len(set(outputs[0].split(","))) == 4
