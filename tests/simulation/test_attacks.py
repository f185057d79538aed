"""Attacks that take time or chance, in a whole pretend network that pays: nobody gains by them.

Production peers under the checkers of `sim`, which stop a run at the first credit too many, second
word of one number, or loss beyond what was agreed. What a test adds is the attack, and amounts read
from the log when all is settled; `docs/threats.md` has the table.
"""

import pytest
from msgspec.structs import replace

from tests.simulation.test_paid_streams import PaidWorld
from wwwserve.core.chain import Audit, Broken, Export, Totals
from wwwserve.core.effects import Persist
from wwwserve.core.lanes import Lane
from wwwserve.sim.hosts import Host
from wwwserve.sim.log_words import SoundKeys
from wwwserve.sim.truth import Outcome
from wwwserve.sim.world import PretendClock
from wwwserve.values.credits import CREDIT
from wwwserve.values.ledger_parameters import DEV_LEDGER
from wwwserve.values.moments import MILLISECOND, SECOND
from wwwserve.wire import encode
from wwwserve.wire.chain import read_chain_record, read_export_end

HOUR = 3_600 * SECOND
FEE = DEV_LEDGER.op_fee
WINDOW_US = DEV_LEDGER.claim_window_ms * MILLISECOND
LOCKED_US = WINDOW_US // 2 + WINDOW_US + 10 * SECOND
"""How long an executor that is gone keeps credits locked: the payer's patience (a minute, or half a
short window), the window in which it could claim, and some blocks."""


@pytest.mark.parametrize("hours", [-1, 1])
def test_clocks_an_hour_apart_move_no_credit(hours: int) -> None:
    gains = []
    for skew_us in (0, hours * HOUR):
        world = PaidWorld()
        for name, origin_us in (("b", 2 * HOUR), ("c", 2 * HOUR + skew_us)):
            host = world.hosts[name]
            world.cluster.faults.end(host)
            host.clock = PretendClock(origin_us)
            world.cluster.faults.start(host)
        world.run(60 * SECOND)
        requests = [world.ask("c") for _ in range(3)]
        world.settle()
        assert [request.outcome for request in requests] == [Outcome.ANSWERED] * 3
        gains.append([world.get_gain(name) for name in "abc"])
        audit(world)
    assert gains[0] == gains[1], "to the micro-credit"


def test_a_restored_wallet_signs_no_number_twice_and_everybody_is_paid() -> None:
    # T9. The checkers stop the run at a second word of one number.
    world = PaidWorld()
    answered = [world.ask("c")]
    world.settle()
    backup = world.hosts["c"].disk.read(Lane.FEED)
    for _ in range(3):
        answered.append(world.ask("c"))
        world.run(20 * SECOND)
    world.settle()
    before = get_earned(world, "b")
    host = world.hosts["c"]
    world.cluster.faults.end(host)
    restore(world, host, backup)
    world.cluster.faults.start(host)
    world.run(DEV_LEDGER.feed_life_ms * MILLISECOND + 30 * SECOND)
    after = [world.ask("c") for _ in range(2)]
    world.settle()
    assert {request.outcome for request in (*answered, *after)} == {Outcome.ANSWERED}
    assert get_earned(world, "b") == before // 4 * 6, "each answer was paid alike"
    totals = audit(world)
    assert (totals.feeds_void, totals.ops_refused, totals.holds) == (0, 0, 0)


def test_an_executor_that_vanishes_locks_credits_for_a_while_and_earns_nothing() -> None:
    # T7.
    world = PaidWorld()
    request = world.ask("c", tokens=400)
    world.run(SECOND // 10)
    assert not request.first_output_us
    world.cluster.faults.end(world.hosts["b"])
    world.run(LOCKED_US)
    assert request.outcome is not Outcome.ANSWERED
    assert world.get_gain("c") == -2 * FEE, "its hold and its close"
    assert world.get_gain("b") == 0


def test_an_answer_for_nobody_is_kept_from_a_payer_without_credits() -> None:
    # T12: whoever neither earns nor buys is told so, and nobody works for it.
    world = PaidWorld(credits_each=1, seats=0)
    requests = [world.ask("c") for _ in range(3)]
    world.run(30 * SECOND)
    outcomes = [request.outcome for request in requests]
    world.settle()
    assert Outcome.ANSWERED not in outcomes
    assert all(world.get_owned(name) <= CREDIT for name in "bc")


def test_a_spoilt_record_of_a_log_with_every_kind_of_cheat_is_named() -> None:
    world = PaidWorld(b="inflater", c="withholder")
    for name, other in (("a", "b"), ("c", "b"), ("b", "a")):
        world.ask(name, allowed=other)
    world.settle()
    totals = audit(world)
    assert totals.feeds > 0
    for height in (1, totals.height // 2, totals.height):
        with pytest.raises(Broken) as caught:
            audit(world, spoilt=height)
        assert (caught.value.height, caught.value.rule) == (height, "block-signature")


def get_earned(world: PaidWorld, name: str) -> int:
    """What a node was paid since its process began."""
    snapshot = world.hosts[name].get_snapshot()
    assert snapshot is not None
    assert snapshot.wallet is not None
    return snapshot.wallet.earned


def restore(world: PaidWorld, host: Host, backup: dict[bytes, bytes]) -> None:
    """Put an old copy of the wallet's lane in the place of the newest, while nothing runs."""
    now = host.disk.read(Lane.FEED)
    assert now != backup, "it has gone on since"
    changes = {key: backup.get(key) for key in (*now, *backup)}
    host.disk.write(Persist(Lane.FEED, 1, tuple(changes.items())), lambda _: None)
    world.run(SECOND)
    assert host.disk.read(Lane.FEED) == backup


def audit(world: PaidWorld, name: str = "a", spoilt: int = 0) -> Totals:
    """What a third party finds in a node's export, of which the record of one height is spoilt.

    The command's own audit; only the pretend keys are checked by whoever knows them.
    """
    disk, ledger = world.hosts[name].disk, world.cluster.ledger
    assert ledger is not None
    export = Export(lambda first, last, most: disk.read_range(Lane.CHAIN, first, last, most))
    taken: Audit | None = None
    for height, record in enumerate(export.list_records()):
        if taken is None:
            taken = Audit(record, ledger.opener.verifier, SoundKeys())
        else:
            taken.take(spoil(record) if height == spoilt else record)
    assert taken is not None
    end = export.make_end(bytes(32))
    assert read_export_end(end).height == taken.height
    return taken.finish(end, bytes(32))


def spoil(record: bytes) -> bytes:
    """A block with one bit of its signature turned."""
    read = read_chain_record(record)
    signature = bytes([read.block.signature[0] ^ 1]) + read.block.signature[1:]
    return encode(replace(read, block=replace(read.block, signature=signature)))
