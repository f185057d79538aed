"""Each baseline does what its name promises, and whole worlds of them lose no request.

Rules are asked directly at a node whose load the test sets; whole scenarios then show that the
requests are the network's own, that runs repeat, and that users who leave are heard of everywhere.
"""

from collections import Counter

import pytest

from tests.fakes.baseline_site import BaselineSite, make_parcel
from wwwserve.core.entropy import Entropy
from wwwserve.sim import SCENARIOS, Verdict, apply_settings, measure, run_scenario
from wwwserve.sim.baselines import BASELINES
from wwwserve.sim.baselines.draws import draw_weighted
from wwwserve.sim.baselines.hot_potato import HOPS_MAX, HotPotato
from wwwserve.sim.baselines.paper import ACCEPT_PERMILLE, CANDIDATES, LOOK_AGAIN_US, PaperRule
from wwwserve.sim.baselines.paper_stake import INITIAL_CREDITS, StakeBoard, compute_target_stake
from wwwserve.sim.baselines.random_draw import RandomDraw
from wwwserve.sim.baselines.sites import REPLY_WAIT_US, EngineUse, Parcel
from wwwserve.sim.baselines.stake_draw import StakeDraw
from wwwserve.sim.baselines.two_choices import TwoChoices
from wwwserve.sim.plans import EnginePlan, NetworkPlan, NodePlan, Scenario, WorkloadPlan
from wwwserve.sim.runs import RunResult
from wwwserve.sim.truth import Outcome
from wwwserve.sim.workload import Arrival
from wwwserve.values.moments import MILLISECOND, SECOND

BUSY, IDLE = 700, 699


def make_paper(seats: int = 4) -> tuple[BaselineSite, PaperRule, StakeBoard]:
    """The prototype's node 0, among others that have staked all they ever will."""
    site, board = BaselineSite((1,) * seats), StakeBoard(seats)
    for node in range(1, seats):
        for _ in range(2):
            board.adjust(node, 4)
    return site, PaperRule(site, board), board


def take_until_asked(site: BaselineSite, rule: PaperRule) -> int:
    """Requests come until candidates are probed for one; its number."""
    for number in range(100):
        rule.take(make_parcel(0, number=number))
        if site.asked:
            return number
    pytest.fail("nobody is ever asked")


def fill_up(site: BaselineSite, rule: PaperRule, *path: int) -> Parcel:
    """Requests come to a full engine until one can be placed nowhere; that one."""
    site.fill(BUSY)
    for _ in range(100):
        parcel = make_parcel(*path)
        rule.take(parcel)
        if parcel not in site.ran:
            return parcel
    pytest.fail("the engine's queue takes everything")


# -- draws ---------------------------------------------------------------------------------------


def test_nodes_are_drawn_by_weight_each_once_and_those_without_never() -> None:
    entropy = Entropy(b"draws")
    weights = {1: 3, 2: 1, 3: 0}
    draws = [draw_weighted(entropy, weights, 3) for _ in range(2_000)]
    assert all(sorted(drawn) == [1, 2] for drawn in draws)
    assert sum(drawn[0] == 1 for drawn in draws) == pytest.approx(1_500, rel=0.05)
    assert draw_weighted(entropy, {}, 1) == []


# -- random, stake, hot potato -------------------------------------------------------------------


def test_random_goes_everywhere_alike_and_stays_where_it_was_sent() -> None:
    site = BaselineSite((1, 100, 1, 1))
    rule = RandomDraw(site)
    for _ in range(2_000):
        rule.take(make_parcel(0))
    counts = Counter(node for _, node in site.sent) + Counter({0: len(site.ran)})
    assert all(counts[node] == pytest.approx(500, rel=0.15) for node in range(4))
    before = len(site.ran)
    rule.take(make_parcel(1, 0))
    assert len(site.ran) == before + 1


@pytest.mark.parametrize("create", [StakeDraw, HotPotato])
def test_below_the_target_a_request_stays_at_home(create: type[StakeDraw | HotPotato]) -> None:
    site = BaselineSite()
    site.fill(IDLE)
    create(site).take(make_parcel(0))
    assert len(site.ran) == 1


def test_on_overload_stake_draws_by_seats_and_who_is_sent_one_keeps_it() -> None:
    site = BaselineSite((1_000, 30, 10, 0))
    rule = StakeDraw(site)
    site.fill(BUSY)
    for _ in range(2_000):
        rule.take(make_parcel(0))
    counts = Counter(node for _, node in site.sent)
    assert counts[1] == pytest.approx(1_500, rel=0.05)
    assert counts[3] == 0
    rule.take(make_parcel(1, 0))
    assert len(site.ran) == 1, "there is no second hop"


def test_a_hot_potato_makes_three_hops_and_returns_to_nobody() -> None:
    site = BaselineSite((1,) * 6)
    rule = HotPotato(site)
    site.fill(BUSY)
    for path in ([0], [1, 0], [2, 1, 0]):
        rule.take(make_parcel(*path))
    assert [len(parcel.path) for parcel, _ in site.sent] == [1, 2, 3]
    assert all(node not in parcel.path for parcel, node in site.sent)
    last = make_parcel(3, 2, 1, 0)
    assert len(last.path) == HOPS_MAX + 1
    rule.take(last)
    assert site.ran == [last]


# -- two choices ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("reply", "is_sent"), [(100, True), (900, False), (None, False)])
def test_of_two_choices_the_less_loaded_is_taken(reply: int | None, *, is_sent: bool) -> None:
    site = BaselineSite()
    site.fill(500)
    parcel = make_parcel(0)
    TwoChoices(site).take(parcel)
    ((node, listen),) = site.asked
    listen(reply)
    assert site.sent == ([(parcel, node)] if is_sent else [])
    assert site.ran == ([] if is_sent else [parcel])


def test_home_wins_ties_and_a_probed_request_runs_where_it_arrives() -> None:
    site = BaselineSite()
    rule = TwoChoices(site)
    rule.take(make_parcel(0))
    _, listen = site.asked.pop()
    listen(rule.reply(make_parcel(1)))
    rule.take(make_parcel(1, 0))
    assert len(site.ran) == 2
    assert not site.asked


# -- the paper's dispatch and accept rules -------------------------------------------------------


def test_the_first_of_the_draw_that_accepts_is_taken_once_those_before_it_refused() -> None:
    site, rule, _ = make_paper()
    site.fill(BUSY)
    take_until_asked(site, rule)
    assert len(site.asked) == CANDIDATES
    (_, first), (second_node, second), (_, third) = site.asked
    third(0)
    second(0)
    assert not site.sent, "the first may still accept"
    first(None)
    assert [node for _, node in site.sent] == [second_node]


def test_who_staked_nothing_is_never_asked_and_who_has_no_credit_asks_nobody() -> None:
    site, rule, board = make_paper()
    board.adjust(2, 0)
    board.adjust(2, 0)
    site.fill(BUSY)
    take_until_asked(site, rule)
    assert {node for node, _ in site.asked} == {1, 3}
    poor, poor_rule, poor_board = make_paper()
    for _ in range(INITIAL_CREDITS):
        poor_board.pay(0, 1)
    poor.fill(BUSY)
    for number in range(50):
        poor_rule.take(make_parcel(0, number=number))
    assert not poor.asked


def test_who_cannot_be_placed_holds_up_all_behind_until_there_is_room() -> None:
    site, rule, _ = make_paper(seats=1)
    put_back = fill_up(site, rule, 0)
    behind = [make_parcel(0, number=number) for number in range(40)]
    for parcel in behind:
        rule.take(parcel)
    rule.notice_end()
    assert not {put_back, *behind} & set(site.ran), "an engine that is still full changes nothing"
    site.fill(IDLE)
    rule.notice_end()
    assert site.ran[-41:] == [put_back, *behind]


def test_who_was_put_back_is_tried_again_after_half_a_second() -> None:
    site, rule, _ = make_paper(seats=1)
    put_back = fill_up(site, rule, 0)
    site.pass_time(LOOK_AGAIN_US - 1)
    assert put_back not in site.ran
    site.pass_time(100 * LOOK_AGAIN_US)
    assert put_back in site.ran, "at one chance in five each time, into the engine's queue"


def test_own_users_go_before_others() -> None:
    site, rule, _ = make_paper(seats=1)
    others = fill_up(site, rule, 1, 0)
    own = make_parcel(0)
    rule.take(own)
    site.fill(IDLE)
    rule.notice_end()
    assert site.ran.index(own) < site.ran.index(others)


def test_who_gave_up_while_waiting_is_passed_over() -> None:
    site, rule, _ = make_paper(seats=1)
    gone, behind = fill_up(site, rule, 0), make_parcel(0)
    rule.take(behind)
    gone.is_over = True
    site.fill(IDLE)
    rule.notice_end()
    assert site.ran[-1] is behind
    assert gone not in site.ran


def test_a_node_accepts_four_in_five_while_idle_and_nobody_of_its_own_waits() -> None:
    site, rule, _ = make_paper(seats=2)
    accepted = sum(rule.reply(make_parcel(1)) is not None for _ in range(2_000))
    assert accepted == pytest.approx(2 * ACCEPT_PERMILLE, rel=0.05)
    site.fill(BUSY)
    assert all(rule.reply(make_parcel(1)) is None for _ in range(50))


def test_a_node_with_a_user_of_its_own_waiting_accepts_nothing() -> None:
    site, rule, _ = make_paper(seats=1)
    fill_up(site, rule, 0)
    site.fill(IDLE)
    assert all(rule.reply(make_parcel(1)) is None for _ in range(50))


# -- the paper's stake ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("usage_permille", "waiting", "has_queue", "stake"),
    [
        (0, 0, False, 4),
        (175, 0, False, 4),
        (176, 0, False, 3),
        (350, 0, False, 3),
        (525, 0, False, 2),
        (700, 0, False, 1),
        (701, 0, False, 0),
        (100, 1, False, 0),
        (100, 0, True, 2),
        (600, 0, True, 0),
    ],
)
def test_stake_tells_how_idle_a_node_is(
    usage_permille: int, waiting: int, stake: int, *, has_queue: bool
) -> None:
    use = EngineUse(usage_permille, waiting)
    assert compute_target_stake(use, has_queue=has_queue) == stake


def test_stake_moves_by_two_in_a_second_and_no_credit_is_made() -> None:
    site, _, board = make_paper(seats=2)
    seen = [board.get_staked(0)]
    for usage_permille in (0, 0, 600, 900, 900):
        site.fill(usage_permille)
        site.pass_time(SECOND)
        seen.append(board.get_staked(0))
    assert seen == [2, 4, 4, 2, 0, 0]
    assert board.get_free(0) + board.get_staked(0) == INITIAL_CREDITS


def test_the_origin_pays_one_credit_to_who_ran_it_and_none_to_relays() -> None:
    site, rule, board = make_paper()
    site.fill(1_000)
    before = [board.get_free(node) for node in range(4)]
    rule.notice_answer(make_parcel(0, 2, 3))
    rule.notice_answer(make_parcel(0))
    after = [board.get_free(node) for node in range(4)]
    assert [new - old for new, old in zip(after, before, strict=True)] == [-1, 0, 0, 1]


# -- whole worlds --------------------------------------------------------------------------------

HOT = apply_settings(SCENARIOS["hello"], ["duration_us=20000000", "workload.load_permille=900"])


def play(scenario: Scenario, name: str, trace: list[Arrival] | None = None) -> RunResult:
    result = run_scenario(scenario, 1, strategy=name, trace=trace)
    assert result.verdict is Verdict.OK, result.detail
    return result


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_answers_everything_the_same_way_each_time(name: str) -> None:
    one, again = (play(HOT, name) for _ in range(2))
    found = measure(one)
    assert found.completed == len(one.requests) == sum(found.served.values())
    assert found.offloaded > 0.2
    assert one.digest == again.digest


def test_baselines_have_the_requests_of_the_network_and_differ_in_what_they_do() -> None:
    central = play(HOT, "central-fresh")
    runs = [play(HOT, name) for name in BASELINES]
    asked = [(one.request, one.arrival_us, one.origin) for one in central.requests]
    for run in runs:
        assert [(one.request, one.arrival_us, one.origin) for one in run.requests] == asked
    assert len({run.digest for run in runs}) == len(BASELINES)


def test_users_who_leave_and_deadlines_stop_what_runs() -> None:
    nodes = {name: NodePlan(share=1, engine=EnginePlan(slots=2)) for name in "abc"}
    workload = WorkloadPlan(
        load_permille=3_000, leaver_permille=300, deadline_permille=500, deadline_us=3 * SECOND
    )
    scenario = Scenario(name="leavers", nodes=nodes, workload=workload, duration_us=20 * SECOND)
    for name in BASELINES:
        result = play(scenario, name)
        outcomes = {one.outcome for one in result.requests}
        assert outcomes == {Outcome.ANSWERED, Outcome.CANCELLED, Outcome.FAILED}
        late = [one for one in result.requests if one.deadline_us and not one.patience_us]
        assert all(one.e2e_us <= 3 * SECOND for one in late)


def make_pair(latency_us: int) -> Scenario:
    """Two nodes alike, all users at the first."""
    network = NetworkPlan(latency_us=latency_us, latency_us_min=latency_us, jitter_permille=0)
    nodes = {"home": NodePlan(share=1), "away": NodePlan()}
    return Scenario(name="pair", nodes=nodes, network=network, duration_us=200 * SECOND)


ONE_BY_ONE = [Arrival(number * 5 * SECOND, 10, 10) for number in range(40)]


@pytest.mark.parametrize("name", BASELINES)
def test_who_does_not_serve_a_model_sends_it_to_who_does(name: str) -> None:
    scenario = apply_settings(make_pair(MILLISECOND), ['nodes.home.models=["other/model"]'])
    result = play(scenario, name, ONE_BY_ONE)
    served = {(one.model, one.executor) for one in result.requests}
    assert served == {("other/model", 0), ("pretend/base", 1)}


def test_a_hop_takes_its_time_there_and_back() -> None:
    result = play(make_pair(100 * MILLISECOND), "random", ONE_BY_ONE)
    home, away = (
        {(one.ttft_us, one.e2e_us) for one in result.requests if one.executor == node}
        for node in (0, 1)
    )
    ((home_ttft_us, home_e2e_us),), ((away_ttft_us, away_e2e_us),) = home, away
    assert away_ttft_us - home_ttft_us == pytest.approx(200 * MILLISECOND, rel=0.01)
    assert away_e2e_us - home_e2e_us == pytest.approx(200 * MILLISECOND, rel=0.01)
    assert result.message_counts == {}
    assert result.frame_count == 3 * sum(one.is_offloaded for one in result.requests)


def test_a_probe_is_waited_for_but_not_for_ever() -> None:
    result = play(make_pair(100 * MILLISECOND), "p2c", ONE_BY_ONE)
    assert all(one.ttft_us > 200 * MILLISECOND for one in result.requests)
    assert result.message_counts == {"Probe": len(ONE_BY_ONE), "Quote": len(ONE_BY_ONE)}
    slow = play(make_pair(REPLY_WAIT_US), "p2c", ONE_BY_ONE)
    assert all(one.executor == 0 for one in slow.requests)
    assert all(REPLY_WAIT_US < one.ttft_us < 2 * REPLY_WAIT_US for one in slow.requests)


def test_who_was_just_given_to_an_engine_counts_before_its_next_iteration() -> None:
    engine = EnginePlan(profile="RTX-4090:Qwen3-8B")
    nodes = {"home": NodePlan(share=1, engine=engine), "away": NodePlan(engine=engine)}
    scenario = Scenario(name="burst", nodes=nodes, duration_us=SECOND)
    burst = [Arrival(0, 5_000, 10)] * 20
    served = measure(play(scenario, "stake", burst)).served
    assert served["home"] in {4, 5, 6}, "so many prompts take 70 % of its 34 900 tokens of cache"
    assert served["away"] == 20 - served["home"]
