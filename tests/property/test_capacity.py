"""Whatever engines report and are given, what is known of their room stays true to itself.

Hypothesis drives three engines of one node that serve one model: one that tells its slots, and two
that do not. After each step what is counted is compared with a plain list of what runs.
"""

from collections import Counter
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.unit.core.desk import reading, served, summary
from wwwserve.core.engines import EngineHealth
from wwwserve.core.requests.allowance import ALLOWANCE_MAX
from wwwserve.core.requests.capacity import Capacity
from wwwserve.core.sessions import Role, ServedModel
from wwwserve.values.limits import ENGINE_STALE_US
from wwwserve.values.moments import MILLISECOND, SECOND, Moment
from wwwserve.wire import Usage

SLOTS = 3
TOLD = served(SLOTS, engine="told")
MODELS = (
    TOLD,
    replace(served(4, engine="untold"), is_slots_known=False, weight=3),
    replace(served(16, engine="other"), is_slots_known=False),
)
ENGINES = st.sampled_from([model.engine for model in MODELS])
COUNTS = st.none() | st.integers(min_value=0, max_value=40)
TOKENS = st.integers(min_value=0, max_value=20_000)


class Engines(RuleBasedStateMachine):
    """The engines of one node, and everything that can happen to them."""

    @initialize()
    def start(self) -> None:
        self.capacity = Capacity(MODELS)
        self.models: tuple[ServedModel, ...] = MODELS
        self.now = Moment(SECOND)
        self.running: list[tuple[ServedModel, Role, int]] = []

    @rule(
        engine=ENGINES,
        health=st.sampled_from([EngineHealth.READY, *EngineHealth]),
        running=COUNTS,
        waiting=COUNTS,
        kv_used_permille=st.none() | st.integers(min_value=0, max_value=1_000),
        kv_tokens=st.none() | st.sampled_from([0, 1_000, 100_000]),
    )
    def read(self, engine: str, health: EngineHealth, **fields: int | None) -> None:
        self.capacity.set_reading(engine, reading(health, **fields), self.now)

    @rule(tokens=TOKENS, role=st.sampled_from(Role))
    def place(self, tokens: int, role: Role) -> None:
        able = self.capacity.list_able(summary(1))
        found = self.capacity.find(able, self.now)
        ready = [model for model in able if self.capacity.is_ready(model, self.now)]
        roomy = [model for model in ready if self.capacity.has_room(model)]
        assert (found is None) is (not ready)
        if found is None:
            return
        if not roomy:
            self.capacity.note_refusal(found)
            return
        assert found in roomy
        used = self.capacity.count_used(found)
        self.capacity.occupy(found, role, tokens)
        self.running.append((found, role, tokens))
        assert self.capacity.count_used(found) == used + 1

    @rule(which=st.integers(min_value=0), is_failure=st.booleans())
    def end(self, which: int, *, is_failure: bool) -> None:
        if self.running:
            model, role, tokens = self.running.pop(which % len(self.running))
            if role is Role.EXECUTOR:
                self.capacity.note_read(model)
            self.capacity.release(model, role, tokens)
            if is_failure:
                self.capacity.note_failure(model, self.now)
            else:
                self.capacity.note_success(model, Usage(tokens, 0))

    @rule(kept=st.lists(st.sampled_from(MODELS), unique=True))
    def reload(self, kept: list[ServedModel]) -> None:
        self.models = tuple(kept)
        self.capacity.set_models(self.models)

    @rule(span_us=st.sampled_from([1, 100 * MILLISECOND, SECOND, ENGINE_STALE_US]))
    def pass_time(self, span_us: int) -> None:
        self.now = Moment(self.now + span_us)

    @invariant()
    def what_runs_is_what_was_started_and_not_ended(self) -> None:
        """[REQUESTS-ENGINES.5]: also on engines that were taken away."""
        counted = {
            view.name: view.own_running + view.peer_running
            for view in self.capacity.get_views(self.now)
        }
        running = Counter(model.engine for model, _, _ in self.running)
        assert {name: count for name, count in counted.items() if count} == running

    @invariant()
    def slots_are_in_bounds_and_room_means_room(self) -> None:
        for model in self.models:
            load = self.capacity.get_load(model, 0, self.now)
            assert load.has_room is self.capacity.has_room(model)
            assert 1 <= load.slots <= max(ALLOWANCE_MAX, load.used)
            assert load.kv_used_permille is None or 0 <= load.kv_used_permille <= 1_000
            large = self.capacity.get_load(model, 10**6, self.now)
            assert large.slots <= load.slots
            if model is TOLD:
                assert load.slots == SLOTS

    @invariant()
    def those_that_wait_are_shared_out_among_the_engines(self) -> None:
        ready = [model for model in self.models if self.capacity.is_ready(model, self.now)]
        shares = [self.capacity.compute_share(model, 10, self.now) for model in ready]
        assert not shares or 10 <= sum(shares) < 10 + len(shares)


Engines.TestCase.settings = settings(stateful_step_count=30, max_examples=60)
TestEngines = Engines.TestCase
