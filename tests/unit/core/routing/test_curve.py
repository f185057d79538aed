"""A curve says what was measured, and between and beyond that something in between.

Engines that take many at once are expected to slow down little, those of a few slots to share out
half of their speed.
"""

from hypothesis import given
from hypothesis import strategies as st

from wwwserve.core.routing.curve import BATCHING_SLOTS_MIN, Curve

SAMPLES = st.lists(
    st.tuples(st.integers(min_value=0, max_value=5_000), st.integers(min_value=0, max_value=10**9)),
    min_size=1,
)
SLOTS = st.integers(min_value=1, max_value=5_000)


def make(*samples: tuple[int, int]) -> Curve:
    curve = Curve(7)
    for runs, sample in samples:
        curve.learn(runs, sample)
    return curve


def test_until_anything_was_measured_the_default_holds_at_any_load() -> None:
    assert [Curve(7).read(runs, 4) for runs in (1, 100)] == [7, 7]


def test_what_was_measured_is_said_and_moves_by_an_eighth() -> None:
    curve = make((3, 800), (4, 1_600))
    assert curve.read(3, 4) == curve.read(4, 256) == 900


def test_between_two_measured_loads_it_is_between_them() -> None:
    curve = make((1, 100), (16, 500))
    assert [curve.read(runs, 4) for runs in (1, 2, 4, 8, 16)] == [100, 200, 300, 400, 500]


def test_an_engine_of_few_slots_is_expected_to_share_half_of_its_speed() -> None:
    few = BATCHING_SLOTS_MIN - 1
    assert make((1, 100)).read(8, few) == 450
    assert make((8, 400)).read(1, few) == 225


def test_an_engine_that_batches_is_expected_to_slow_down_little() -> None:
    assert make((1, 80)).read(8, BATCHING_SLOTS_MIN) == 110
    assert make((8, 110)).read(1, BATCHING_SLOTS_MIN) == 80


@given(SAMPLES, st.integers(min_value=0, max_value=5_000), SLOTS)
def test_whatever_was_learned_a_reading_is_a_whole_number_in_bounds(
    samples: list[tuple[int, int]], runs: int, slots: int
) -> None:
    found = make(*samples).read(runs, slots)
    assert isinstance(found, int)
    assert 0 <= found <= 10**9 * 5_000
