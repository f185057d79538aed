"""Engines of the engine model, and what a node learns of them by watching.

All that routing hears is what a node would: when each run begins, has its first token, how far it
is four times a second, and when it ends.
"""

from itertools import count

from tests.unit.core.desk import MODEL, node, summary
from wwwserve.core.placing import Estimate, LoadView, RunBegun
from wwwserve.core.routing import Estimates
from wwwserve.core.sessions import Role, SessionId
from wwwserve.enginemodel import BatchingEngine, Demand, EngineProfile, SequenceId, find_profile
from wwwserve.values.limits import PROGRESS_PERIOD_US
from wwwserve.values.model_names import ModelId
from wwwserve.values.moments import NEVER, SECOND, Moment
from wwwserve.wire import RequestSummary

SMALL = ModelId(MODEL)
GPU = find_profile("RTX-4090:Qwen3-8B")
LARGE = find_profile("A100-80GB-SXM:Qwen3-8B")


def ask(prompt_tokens: int, answer_tokens: int, **fields: object) -> RequestSummary:
    values = {"prompt_tokens": prompt_tokens, "completion_tokens_expected": answer_tokens}
    return summary(1, **({"completion_tokens_max": 0} | values | fields))


class Watched:
    """An engine of the engine model, and what a node learns by watching it."""

    def __init__(self, profile: EngineProfile) -> None:
        self.engine = BatchingEngine(profile)
        self.estimates = Estimates()
        self.now = Moment(0)
        self._numbers = count(1)
        self._alive: dict[SequenceId, tuple[int, Moment]] = {}
        """The length of each answer, and when it was looked at last; before its first token, 0."""

    def begin(self, prompt_tokens: int, answer_tokens: int, due_at: Moment = NEVER) -> SequenceId:
        name = SequenceId(next(self._numbers))
        self.engine.submit(name, Demand(prompt_tokens, answer_tokens), self.now)
        asked = ask(prompt_tokens, answer_tokens)
        begun = RunBegun(_session(name), "gpu", SMALL, 64, asked, due_at, asker=node(1))
        self.estimates.begin_run(begun, 0, self.now)
        self._alive[name] = answer_tokens, Moment(0)
        return name

    def pass_time(self, span_us: int) -> None:
        """Let it compute, and tell what it brings as it comes."""
        until = Moment(self.now + span_us)
        while self.now < until and self._alive:
            self._step(until)
        self.now = until

    def __len__(self) -> int:
        return len(self._alive)

    def measure(self, name: SequenceId) -> int:
        """How long until a run is over."""
        began = self.now
        while name in self._alive:
            self._step(NEVER)
        return self.now - began

    def estimate(self, prompt_tokens: int, answer_tokens: int) -> Estimate:
        used = len(self._alive)
        load = LoadView(slots=64, used=used, engine="gpu", at=self.now)
        return self.estimates.estimate(ask(prompt_tokens, answer_tokens), SMALL, load)

    def _step(self, until: Moment) -> None:
        self.now = min(Moment(self.now + PROGRESS_PERIOD_US // 10), until)
        for iteration in self.engine.advance(self.now):
            for name in iteration.first:
                self.estimates.note_first_output(_session(name), iteration.ended)
                self._alive[name] = self._alive[name][0], iteration.ended
            for name in iteration.finished:
                tokens, _ = self._alive.pop(name)
                self.estimates.end_run(_session(name), tokens, iteration.ended, is_whole=True)
        for name, (tokens, told) in self._alive.items():
            if told and self.now - told >= PROGRESS_PERIOD_US:
                made = self.engine.count_made(name)
                self.estimates.note_progress(_session(name), made, self.now)
                self._alive[name] = tokens, self.now


def _session(name: SequenceId) -> SessionId:
    return SessionId(Role.EXECUTOR, name)


def watch(profile: EngineProfile) -> Watched:
    """An engine watched for two minutes under a load that comes and goes."""
    watched = Watched(profile)
    for number in range(60):
        if number % 20 < 12:
            watched.begin(200 + 150 * (number % 7), 100 + 130 * (number % 5))
        watched.pass_time(2 * SECOND)
    watched.pass_time(60 * SECOND)
    return watched
