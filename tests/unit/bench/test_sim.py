"""`bench sim` counts the events of a simulated network and sets them beside the bars.

A short window is enough to see what it counts; how fast that is says nothing here.
"""

import pytest

from wwwserve.bench import sim
from wwwserve.values.moments import SECOND


def test_each_figure_stands_beside_its_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sim, "WINDOW_US", 20 * SECOND)
    events, hour = sim.measure_sim(1)
    assert (events.baseline, hour.baseline) == (sim.EVENTS_BAR, sim.HOUR_BAR_S)
    assert events.value > 0
    assert hour.value > 0
