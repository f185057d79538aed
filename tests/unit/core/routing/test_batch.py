"""However many requests run on an engine, no look at it is long, and what is known stays true.

A batch is told of hundreds of runs and asked again and again; how it predicts the length of an
answer is the test's own function, which counts and can change its mind.
"""

from tests.unit.core.desk import MODEL, node, summary
from wwwserve.core.placing import RunBegun
from wwwserve.core.routing.batch import FORECAST_LIFE_US, PREDICTED_MAX, Batch, BatchRun
from wwwserve.core.routing.forecast import Load, Room
from wwwserve.core.sessions import Role, SessionId
from wwwserve.values.model_names import ModelId
from wwwserve.values.moments import NEVER, Moment

SMALL = ModelId(MODEL)
ROOM = Room(1 << 30)
LATER_US = 1_000 * FORECAST_LIFE_US
NEXT = Load(context_tokens=100, remaining_tokens=1_000)


class Watched:
    """A batch of so many runs, and what its predictions were asked for."""

    def __init__(self, runs: int) -> None:
        self.expected = 1_000.0
        self.predicted: list[SessionId] = []
        self.batch = Batch(self._predict)
        self.now = Moment(0)
        for number in range(runs):
            session = SessionId(Role.EXECUTOR, number)
            begun = RunBegun(session, "gpu", SMALL, 1_024, summary(1), NEVER, asker=node(1))
            self.batch.begin(begun, 0, self.now)

    def ask(self) -> float:
        """When one more would be done, by a forecast that is made anew."""
        self.predicted.clear()
        self.now = Moment(self.now + FORECAST_LIFE_US)
        prospect = self.batch.foretell(SMALL, ROOM, [], self.now).foresee(NEXT, LATER_US)
        assert prospect is not None
        return prospect.finish_us - self.now

    def _predict(self, run: BatchRun) -> float:
        self.predicted.append(run.begun.session)
        return self.expected


def test_each_of_few_answers_is_predicted_anew_for_each_forecast() -> None:
    watched = Watched(PREDICTED_MAX)
    watched.ask()
    assert len(set(watched.predicted)) == len(watched.predicted) == PREDICTED_MAX


def test_of_many_answers_each_has_its_turn_and_none_is_left_out() -> None:
    watched = Watched(2 * PREDICTED_MAX + 1)
    told: set[SessionId] = set()
    for _ in range(3):
        watched.ask()
        assert len(watched.predicted) <= PREDICTED_MAX
        told.update(watched.predicted)
    assert len(told) == 2 * PREDICTED_MAX + 1


def test_what_is_learned_of_many_answers_is_soon_in_the_forecast() -> None:
    watched = Watched(2 * PREDICTED_MAX)
    before_us = watched.ask()
    watched.expected = 100.0
    first_us, whole_us = watched.ask(), watched.ask()
    assert whole_us < first_us < before_us
    assert watched.ask() == whole_us
