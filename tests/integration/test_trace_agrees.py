"""Four real nodes that replay a recorded trace do what the simulator says, within three points.

Half a minute of the conversations of `s4`, 382 requests, is sent to four `wwwserve up` in front of
emulated GPUs: each request to its user's node when it is due, streamed, its answer's length told to
no node. The simulator plays the same requests. Engines run at the speed of the real GPUs.

Half of what the four could do, because single plays tell something there: the simulator's own, over
lines of other lengths, are less than a point apart. Nearer to saturation chance alone makes eight
points, and only a mean over windows tells anything: `wwwserve bench trace` has that.

A machine that is too busy makes everything late; then the window is played once more, and if that
does not help the test says that it could not tell.
"""

import sys

import pytest

from wwwserve.bench.emulated_network import LATE_S_MAX
from wwwserve.bench.trace import TracePlayed, create_window, find_spread, play_window

SCENARIO = "s4"
WINDOW_S = 30
LOAD_PERMILLE = 500
SEED = 102
OBJECTIVES = ("2x", "3x", "ttft_5s")
DIFFERENCE_POINTS_MAX = 3.0
SPREAD_POINTS_MAX = 1.5
"""Of the simulator's own plays; further apart, one play of the processes would mean little."""
TRIES = 2


@pytest.mark.alone
@pytest.mark.slow
def test_real_nodes_do_what_the_simulator_says() -> None:
    played = play_in_time()
    told = {name: (played.processes.slo[name], played.get_expected(name)) for name in OBJECTIVES}
    sys.stdout.write(f"processes and simulator, {played.processes.requests} requests: {told}\n")
    for name in OBJECTIVES:
        assert find_spread(played, name) <= SPREAD_POINTS_MAX, name
        assert abs(played.get_difference(name)) <= DIFFERENCE_POINTS_MAX, name


def play_in_time() -> TracePlayed:
    """A window during which nobody waited for the machine."""
    late_s = []
    for _ in range(TRIES):
        played = play_window(create_window(SCENARIO, WINDOW_S, LOAD_PERMILLE), SEED)
        assert played.processes.completed == played.processes.requests
        if played.late_s <= LATE_S_MAX:
            return played
        late_s.append(f"{played.late_s:.2f}")
    reason = f"client, engines or nodes were {' and '.join(late_s)} s late"
    pytest.skip(f"this machine was too busy to tell: {reason}, at most {LATE_S_MAX} are allowed")
