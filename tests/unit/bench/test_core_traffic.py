"""The core's bench is fair: equal seeds give equal runs, every kind of event occurs, nothing leaks.

A short run of the traffic itself; no time is measured here.
"""

import gc
from collections import Counter

import pytest

from wwwserve.bench.core_traffic import Traffic
from wwwserve.core.events import Event

pytestmark = pytest.mark.slow

EVENTS = 4_000


def run(traffic: Traffic) -> tuple[list[str], Counter[type[Event]]]:
    """What a peer asked for, and how often each kind of event came."""
    asked: list[str] = []
    kinds: Counter[type[Event]] = Counter()
    for _ in range(EVENTS):
        event = traffic.make_event()
        effects = traffic.peer.handle(event, traffic.now)
        asked.extend(type(effect).__name__ for effect in effects)
        kinds[type(event)] += 1
        traffic.note(effects)
    return asked, kinds


def test_equal_seeds_give_equal_runs_of_every_kind_of_event() -> None:
    asked, kinds = run(Traffic(b"one"))
    assert run(Traffic(b"one")) == (asked, kinds)
    assert run(Traffic(b"two"))[0] != asked
    assert len(kinds) >= 18


def test_the_core_leaves_nothing_for_the_collector() -> None:
    traffic = Traffic(b"one")
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        run(traffic)
        gc.collect()
        # What the test run itself leaves behind is not of the core.
        left = [type(thing).__module__ for thing in gc.garbage]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert not [module for module in left if module.startswith("wwwserve")]
