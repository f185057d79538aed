"""The pretend engine takes the time its GPU would, tells what vLLM tells, and fails as told.

One engine runs in a world without nodes; what it says is noted with its instant. Its times are
compared with those of the model run alone.
"""

from dataclasses import dataclass, field

from wwwserve.core.engines import EngineHealth
from wwwserve.core.entropy import Entropy
from wwwserve.enginemodel import (
    Arrival,
    Demand,
    compute_alone_us,
    compute_saturated_us,
    find_profile,
    replay,
    speed_up,
)
from wwwserve.sim.engines import PretendEngine, Run
from wwwserve.sim.plans import EnginePlan
from wwwserve.sim.profiles import get_profile
from wwwserve.sim.truth import UserRequest
from wwwserve.sim.world import World
from wwwserve.values.ids import RequestId
from wwwserve.values.limits import PROGRESS_PERIOD_US
from wwwserve.values.moments import MILLISECOND, SECOND, Moment
from wwwserve.values.refusals import FailureKind
from wwwserve.wire import Usage

GPU = "RTX-4090:Qwen3-8B"
LATE_US = 10_000 * SECOND


@dataclass(slots=True)
class Ear:
    """Notes what an engine tells of one run, and when."""

    world: World
    first_us: int = 0
    end_us: int = 0
    progress: list[int] = field(default_factory=list)
    failures: list[tuple[FailureKind, int]] = field(default_factory=list)

    def on_first_output(self) -> None:
        self.first_us = self.world.now_us

    def on_progress(self, completion_tokens: int) -> None:
        self.progress.append(completion_tokens)

    def on_end(self, usage: Usage) -> None:
        assert usage.completion_tokens > 0
        self.end_us = self.world.now_us

    def on_failure(self, kind: FailureKind, status: int, detail: str) -> None:
        assert detail
        self.failures.append((kind, status))


class Bench:
    """One engine in an empty world."""

    def __init__(self, plan: EnginePlan) -> None:
        self.world = World(Entropy(b"bench"))
        self.engine = PretendEngine(self.world, plan, ("m",), Entropy(b"engine"))

    def start(self, prompt: int, output: int, *, is_wrong: bool = False) -> tuple[Run, Ear]:
        request = UserRequest(
            RequestId(bytes(16)), 0, self.world.now_us, prompt, output, "m", is_wrong=is_wrong
        )
        ear = Ear(self.world)
        return self.engine.start(request, ear), ear


def draw_arrivals(count: int) -> list[Arrival]:
    entropy = Entropy(b"arrivals")
    at_us, arrivals = 0, []
    for _ in range(count):
        at_us += entropy.below(400 * MILLISECOND)
        demand = Demand(1 + entropy.below(3_000), 1 + entropy.below(300))
        arrivals.append(Arrival(Moment(at_us), demand))
    return arrivals


def test_a_crowd_takes_as_long_as_in_the_model_alone() -> None:
    arrivals = draw_arrivals(120)
    bench = Bench(EnginePlan(profile=GPU))
    ears: list[Ear] = []
    for arrival in arrivals:
        bench.world.run_until(arrival.at)
        _, ear = bench.start(arrival.demand.prompt_tokens, arrival.demand.output_tokens)
        ears.append(ear)
    bench.world.run_until(LATE_US)
    for arrival, ear, expected in zip(
        arrivals, ears, replay(find_profile(GPU), arrivals), strict=True
    ):
        assert ear.first_us - arrival.at == expected.ttft_us
        assert ear.end_us - arrival.at == expected.e2e_us


def test_progress_comes_four_times_a_second_and_is_true() -> None:
    bench = Bench(EnginePlan(decode_tokens_per_s=40))
    _, ear = bench.start(10, 101)
    bench.world.run_until(LATE_US)
    assert ear.progress == [11, 21, 31, 41, 51, 61, 71, 81, 91]


def test_who_lost_its_place_in_a_full_cache_is_silent_until_it_has_one_again() -> None:
    profile = find_profile(GPU)
    bench = Bench(EnginePlan(profile=GPU))
    # Both prompts fit and begin; what they say does not, so one is put aside for the other.
    prompt = profile.kv_capacity_tokens // 2 - 1_000
    ears = [bench.start(prompt, 3_000)[1] for _ in range(2)]
    bench.world.run_until(LATE_US)
    waited, other = sorted(ears, key=lambda ear: len(ear.progress))
    assert 0 < other.first_us < other.end_us < waited.end_us
    looks = (waited.end_us - waited.first_us) // PROGRESS_PERIOD_US
    assert len(waited.progress) < looks * 3 // 4
    for ear in ears:
        assert ear.progress == sorted(set(ear.progress)), "nothing is told twice"


def test_an_engine_for_a_gpu_tells_its_cache_but_no_slots() -> None:
    bench = Bench(EnginePlan(profile=GPU))
    bench.start(17_440, 10)
    bench.world.run_until(1)
    reading = bench.engine.read_state()
    assert (reading.running, reading.waiting, reading.slots) == (1, 0, None)
    assert reading.kv_used_permille == 500
    assert reading.models[0].context_tokens == 32_768
    assert Bench(EnginePlan(slots=3)).engine.read_state().slots == 3


def test_a_speedup_makes_everything_faster() -> None:
    profile = find_profile(GPU)
    usual, fast = (
        compute_alone_us(one, Demand(500, 100)) for one in (profile, speed_up(profile, 10))
    )
    assert abs(usual / 10 - fast) < 100


def test_what_cannot_be_is_refused() -> None:
    bench = Bench(EnginePlan(profile=GPU, load_us=SECOND))
    _, early = bench.start(10, 10)
    bench.world.run_until(2 * SECOND)
    assert bench.engine.health is EngineHealth.READY
    _, wrong = bench.start(10, 10, is_wrong=True)
    _, long = bench.start(40_000, 10)
    bench.world.run_until(3 * SECOND)
    assert early.failures == [(FailureKind.UNAVAILABLE, 503)]
    assert wrong.failures == [(FailureKind.REJECTED, 400)]
    assert long.failures == [(FailureKind.REJECTED, 400)]


def test_a_stopped_run_leaves_its_place() -> None:
    bench = Bench(EnginePlan(slots=1))
    stopped, ear = bench.start(10, 400)
    _, next_ear = bench.start(10, 4)
    bench.world.run_until(SECOND)
    bench.engine.stop(stopped)
    bench.world.run_until(2 * SECOND)
    assert next_ear.end_us < 2 * SECOND
    assert ear.end_us == 0


def test_a_hung_engine_is_silent_until_it_is_restarted() -> None:
    bench = Bench(EnginePlan())
    _, ear = bench.start(10, 40)
    bench.world.run_until(SECOND // 2)
    bench.engine.is_hung = True
    bench.world.run_until(60 * SECOND)
    assert bench.engine.read_state().running == 1
    assert (ear.end_us, ear.failures) == (0, [])
    bench.engine.is_hung = False
    bench.engine.go_down(for_us=0)
    bench.world.run_until(61 * SECOND)
    assert ear.failures == [(FailureKind.BROKEN, 0)]
    _, again = bench.start(10, 4)
    bench.world.run_until(62 * SECOND)
    assert again.end_us


def test_an_unreliable_engine_fails_in_each_way() -> None:
    bench = Bench(EnginePlan(failure_permille=1000))
    ears = [bench.start(10, 20)[1] for _ in range(40)]
    bench.world.run_until(LATE_US)
    kinds = {ear.failures[0] for ear in ears}
    assert kinds == {
        (FailureKind.UNAVAILABLE, 503), (FailureKind.BROKEN, 500), (FailureKind.BROKEN, 0),
    }  # fmt: skip
    assert all(bool(ear.first_us) == (ear.failures[0] == (FailureKind.BROKEN, 0)) for ear in ears)
    assert not any(ear.end_us for ear in ears)


def test_saturated_means_what_a_long_backlog_takes() -> None:
    demands = [arrival.demand for arrival in draw_arrivals(600)]
    for plan in (
        EnginePlan(profile=GPU),
        EnginePlan(profile="L40S:Qwen3-8B", slots=32),
        EnginePlan(slots=8),
    ):
        profile = get_profile(plan)
        times = replay(profile, [Arrival(Moment(0), demand) for demand in demands])
        # Without the tail, in which fewer run than could.
        ends = sorted(one.e2e_us for one in times)[: len(demands) * 8 // 10]
        expected_us = compute_saturated_us(profile, demands)
        assert abs(ends[-1] / len(ends) / expected_us - 1) < 0.1, plan
