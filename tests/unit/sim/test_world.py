"""Virtual time, pretend clocks, keys and disks behave as the peers' contract says.

Driven directly with tiny scripts; expected values are worked out by hand.
"""

import pytest

from wwwserve.core.effects import Persist
from wwwserve.core.entropy import Entropy
from wwwserve.core.lanes import Lane
from wwwserve.sim.disk import PretendDisk
from wwwserve.sim.keys import PretendSigner, PretendVerifier
from wwwserve.sim.world import PretendClock, World
from wwwserve.values.moments import NEVER, Moment


def make_world() -> World:
    return World(Entropy(b"test"))


def test_what_is_due_together_happens_in_the_order_it_was_arranged() -> None:
    world, seen = make_world(), []
    world.at(5, lambda: seen.append("second"))
    world.at(3, lambda: world.after(2, lambda: seen.append("third")))
    world.at(1, lambda: seen.append("first"))
    world.run_until(10)
    assert seen == ["first", "second", "third"]
    assert world.now_us == 10


def test_the_past_cannot_be_arranged() -> None:
    world = make_world()
    world.run_until(10)
    with pytest.raises(AssertionError):
        world.at(9, lambda: None)


@pytest.mark.parametrize("drift_ppm", [-500, -1, 0, 200, 500])
@pytest.mark.parametrize("shown", [1_000, 1_234_567, 10**12])
def test_a_wrong_clock_is_found_at_the_first_instant_it_shows_a_moment(
    drift_ppm: int, shown: int
) -> None:
    clock = PretendClock(1_000, drift_ppm)
    true_us = clock.find(Moment(shown))
    assert clock.read(true_us) >= shown
    assert true_us == 0 or clock.read(true_us - 1) < shown


def test_never_is_never_on_any_clock() -> None:
    assert PretendClock(7, 100).find(NEVER) == NEVER


def test_a_pretend_signature_holds_for_one_node_and_one_message() -> None:
    one, other = PretendSigner(b"secret", "one"), PretendSigner(b"secret", "other")
    verifier = PretendVerifier(b"secret")
    signature = one.sign(b"message")
    assert verifier.is_signed_by(one.node_id, b"message", signature)
    assert not verifier.is_signed_by(one.node_id, b"massage", signature)
    assert not verifier.is_signed_by(other.node_id, b"message", signature)
    assert not PretendVerifier(b"another world").is_signed_by(one.node_id, b"message", signature)


def make_write(number: int, lane: Lane = Lane.BOOK) -> Persist:
    return Persist(lane, number, ((b"key", str(number).encode()),))


def test_a_lane_keeps_order_and_holds_back_only_what_names_it() -> None:
    world, seen = make_world(), []
    disk = PretendDisk(world, 100)
    for number in (1, 2):
        disk.write(make_write(number), lambda done: seen.append(f"durable {done.number}"))
    disk.hold(Lane.BOOK, lambda: seen.append("message of the lane"))
    disk.hold(Lane.FEED, lambda: seen.append("message of another lane"))
    assert seen == ["message of another lane"]
    world.run_until(1_000)
    assert seen[1:] == ["durable 1", "message of the lane", "durable 2"]
    assert disk.read(Lane.BOOK) == {b"key": b"2"}


@pytest.mark.parametrize("seed", range(8))
def test_a_crash_keeps_all_acknowledged_writes_and_a_prefix_of_the_others(seed: int) -> None:
    world = World(Entropy(str(seed).encode()))
    disk, durable = PretendDisk(world, 1_000), []
    for number in range(5):
        disk.write(make_write(number), lambda done: durable.append(done.number))
    disk.hold(Lane.BOOK, lambda: durable.append(99))
    world.run_until(1_500)
    disk.crash()
    world.run_until(10**6)
    kept = disk.read(Lane.BOOK).get(b"key")
    assert 99 not in durable, "what waited for a write that was lost must never be sent"
    assert durable == list(range(len(durable)))
    assert int(kept or b"-1") >= len(durable) - 1
