"""A machine counts as idle only on good evidence: read often, unused, and not hidden by work.

The host's readings go in by hand at chosen moments.
"""

from wwwserve.core.policy.idleness import BLIND_US, READING_LIFE_US, Idleness
from wwwserve.values.moments import SECOND, Moment

PERIOD_US = 5 * SECOND


def read_for(machine: Idleness, start: int, span_us: int, *, is_clear: bool = True) -> Moment:
    """Readings of an unused machine, one each five seconds; the answer is when the last was."""
    now = start
    while now < start + span_us:
        now += PERIOD_US
        machine.read(is_used=False, is_clear=is_clear, now=Moment(now))
    return Moment(now)


def test_what_was_not_read_is_not_idle() -> None:
    # [POLICY-IDLE.1]
    machine = Idleness()
    assert machine.compute_idle_us(Moment(10**12)) == 0
    now = read_for(machine, 0, 600 * SECOND)
    assert machine.compute_idle_us(now) == 595 * SECOND
    assert machine.compute_idle_us(Moment(now + READING_LIFE_US + 1)) == 0


def test_after_a_gap_in_the_readings_it_begins_anew() -> None:
    # [POLICY-IDLE.1]
    machine = Idleness()
    last = read_for(machine, 0, 600 * SECOND)
    now = Moment(last + READING_LIFE_US + 1)
    machine.read(is_used=False, is_clear=True, now=now)
    assert machine.compute_idle_us(now) == 0


def test_use_ends_idleness_at_once() -> None:
    machine = Idleness()
    now = read_for(machine, 0, 600 * SECOND)
    machine.read(is_used=True, is_clear=True, now=now)
    assert machine.compute_idle_us(now) == 0
    later = read_for(machine, now, 60 * SECOND)
    assert machine.compute_idle_us(later) == 55 * SECOND
    machine.note_use()
    assert machine.compute_idle_us(later) == 0


def test_work_of_others_hides_its_owner_for_a_while_only() -> None:
    # [POLICY-IDLE.2]
    machine = Idleness()
    now = read_for(machine, 0, 60 * SECOND)
    within = read_for(machine, now, BLIND_US - PERIOD_US, is_clear=False)
    assert machine.compute_idle_us(within) > BLIND_US
    blind = read_for(machine, within, 2 * PERIOD_US, is_clear=False)
    assert machine.compute_idle_us(blind) == 0
    machine.read(is_used=False, is_clear=True, now=blind)
    assert machine.compute_idle_us(blind) > BLIND_US
