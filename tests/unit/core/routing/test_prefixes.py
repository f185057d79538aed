"""What engines hold of prompts is claimed as far as they say so, and its last reader is asked.

Routing is told of runs and asked as `core.requests` asks it; prefixes are small texts, one for each
of the lengths that travel. Hypothesis drives the table of one engine for its bounds.
"""

from hypothesis import given
from hypothesis import strategies as some
from msgspec.structs import replace
from msgspec.structs import replace as with_fields

from tests.unit.core.desk import MODEL, member, node, summary
from wwwserve.core.entropy import Entropy
from wwwserve.core.placing import Bid, LoadView, Partners, RunBegun, RunMeasured, Wanted
from wwwserve.core.routing import (
    CACHE_TOKENS_UNTOLD,
    PREFIX_FADE_US,
    PREFIXES_HELD_MAX,
    PREFIXES_RUN_MAX,
    Prefixes,
    Routing,
)
from wwwserve.core.routing.prefixes import Held
from wwwserve.core.sessions import Role, SessionId
from wwwserve.values.model_names import ModelId
from wwwserve.values.moments import NEVER, SECOND, Moment
from wwwserve.wire import PREFIX_TOKENS, RequestSummary

SMALL = ModelId(MODEL)
IDLE = LoadView(slots=4, used=0, engine="gpu")
HERE = 0


def talk(name: str, places: int, shared: int = 0) -> tuple[bytes, ...]:
    """So many prefixes of a conversation, of which the first are everybody's."""
    return tuple(
        (b"all" if place < shared else name.encode()) + b"/%d" % place for place in range(places)
    )


def ask(prefixes: tuple[bytes, ...], prompt_tokens: int = 0) -> RequestSummary:
    tokens = prompt_tokens or (PREFIX_TOKENS[len(prefixes) - 1] + 100 if prefixes else 100)
    return with_fields(summary(1), prefixes=prefixes, prompt_tokens=tokens)


def make_run(prefixes: tuple[bytes, ...], executor: int = HERE, **fields: int) -> RunMeasured:
    prompt_tokens = PREFIX_TOKENS[len(prefixes) - 1] + 100 if prefixes else 100
    values = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": 101,
        "completion_tokens_max": 0,
        "first_output_us": 20_000 + (prompt_tokens - fields.get("cached_tokens", 0)) * 100,
        "total_us": 1_100_000,
        "quoted_us": 0,
    } | fields
    run = RunMeasured(node(executor), "gpu", SMALL, **values)  # type: ignore[arg-type]
    return replace(run, prefixes=prefixes)


def make_routing(*numbers: int) -> Routing:
    routing = Routing(node(HERE), {}, Entropy(b"prefixes"))
    for number in numbers:
        routing.set_member(member(number))
    return routing


def want(prefixes: tuple[bytes, ...]) -> Wanted:
    return Wanted(ask(prefixes), Partners(), {})


# -- the executor's side -------------------------------------------------------------------------


def test_what_an_engine_says_it_saved_is_claimed_and_shortens_the_estimate() -> None:
    # [REQUESTS-PREFIX.2]
    routing = make_routing()
    for turn in range(2, 8):
        cached = PREFIX_TOKENS[turn - 2] if turn > 2 else 0
        routing.learn(make_run(talk("a", turn), cached_tokens=cached), Moment(turn * SECOND))
    known = routing.estimate(ask(talk("a", 8)), SMALL, IDLE)
    fresh = routing.estimate(ask(talk("b", 8)), SMALL, IDLE)
    assert known.saved_prompt_tokens == PREFIX_TOKENS[6]
    assert fresh.saved_prompt_tokens == 0
    assert known.first_token_us < fresh.first_token_us // 2
    assert fresh.finish_us - known.finish_us == fresh.first_token_us - known.first_token_us


def test_what_was_saved_does_not_make_an_engine_seem_faster() -> None:
    plain, saving = make_routing(), make_routing()
    for turn in range(3, 60):
        place = min(turn, 8)
        for routing, cached in ((plain, 0), (saving, PREFIX_TOKENS[place - 2])):
            run = make_run(talk("a", place), cached_tokens=cached)
            began = Moment(turn * 10 * SECOND)
            session = SessionId(Role.ORIGIN, turn)
            begun = RunBegun(session, "gpu", SMALL, 4, ask(talk("a", place)), NEVER)
            routing.begin_run(begun, began)
            routing.note_first_output(session, Moment(began + run.first_output_us))
            routing.end_run(session, 101, Moment(began + run.total_us), is_whole=True)
            routing.learn(run, Moment(began + run.total_us))
    stranger = ask(talk("b", 8))
    one = plain.estimate(stranger, SMALL, IDLE).first_token_us
    other = saving.estimate(stranger, SMALL, IDLE).first_token_us
    assert abs(one - other) < one // 4


def test_of_an_engine_that_never_says_so_nothing_is_claimed() -> None:
    # [REQUESTS-PREFIX.2]
    routing = make_routing()
    for turn in range(1, 8):
        routing.learn(make_run(talk("a", turn)), Moment(turn))
    assert routing.estimate(ask(talk("a", 8)), SMALL, IDLE).saved_prompt_tokens == 0


def test_an_engine_that_keeps_nothing_any_more_is_found_out() -> None:
    # [REQUESTS-PREFIX.2]
    held = Held()
    for _ in range(10):
        held.learn(make_run(talk("a", 4), cached_tokens=1_024), Moment(0))
    assert held.share_permille == 1_000
    for _ in range(200):
        held.learn(make_run(talk("a", 4)), Moment(0))
    assert held.share_permille < 100


def test_a_claim_never_covers_the_whole_prompt() -> None:
    # [REQUESTS-PREFIX.3]
    prefixes = Prefixes()
    for _ in range(3):
        prefixes.learn_held(make_run(talk("a", 8), cached_tokens=2_148), Moment(0))
    for tokens in (0, 1, 5, 2_048):
        asked = ask(talk("a", 8), tokens)
        asked = with_fields(asked, prompt_tokens=tokens)
        assert prefixes.compute_saved("gpu", SMALL, asked) == max(tokens - 1, 0)
    assert prefixes.compute_saved("other", SMALL, ask(talk("a", 8))) == 0


def test_the_longest_unused_is_forgotten_first_and_of_a_conversation_its_end() -> None:
    # [REQUESTS-PREFIX.3]
    held = Held()
    held.learn(make_run(talk("old", 8), kv_tokens=5_000), Moment(0))
    held.learn(make_run(talk("new", 8), kv_tokens=5_000), Moment(1))
    assert held.find(talk("old", 8)) == PREFIX_TOKENS[7]
    held.learn(make_run(talk("newer", 4), kv_tokens=5_000), Moment(2))
    assert 0 < held.find(talk("old", 8)) < PREFIX_TOKENS[7]
    assert held.find(talk("new", 8)) == PREFIX_TOKENS[7]


def test_what_was_not_used_for_long_is_forgotten() -> None:
    # [REQUESTS-PREFIX.3]
    held = Held()
    held.learn(make_run(talk("a", 4)), Moment(0))
    held.learn(make_run(talk("b", 4)), Moment(PREFIX_FADE_US + 1))
    assert held.find(talk("a", 4)) == 0
    assert held.find(talk("b", 4)) == PREFIX_TOKENS[3]


@given(
    some.lists(
        some.tuples(
            some.integers(0, 20), some.integers(0, 40), some.integers(0, 9), some.integers(0, 9_000)
        ),
        max_size=60,
    ),
    some.sampled_from([0, 300, 5_000, 10**6]),
)
def test_what_is_remembered_of_an_engine_stays_within_its_cache(
    runs: list[tuple[int, int, int, int]], kv_tokens: int
) -> None:
    # [REQUESTS-PREFIX.3]
    held = Held()
    for at, (name, places, shared, cached) in enumerate(runs):
        prefixes = talk(str(name), places, shared)[: len(PREFIX_TOKENS)]
        run = make_run(prefixes, kv_tokens=kv_tokens, cached_tokens=cached)
        held.learn(run, Moment(at))
        assert held.tokens == sum(entry.tokens for entry in held.entries.values())
        assert held.tokens <= (kv_tokens or CACHE_TOKENS_UNTOLD)
        assert len(held.entries) <= PREFIXES_HELD_MAX
        assert held.find(prefixes) <= PREFIX_TOKENS[max(places, 1) - 1 if places <= 32 else 31]


# -- the origin's side ---------------------------------------------------------------------------


def test_who_ran_the_longest_known_prefix_last_is_asked_beside_those_drawn() -> None:
    # [REQUESTS-PREFIX.1]
    routing = make_routing(*range(1, 40))
    routing.learn(make_run(talk("a", 3, shared=2), executor=7), Moment(0))
    routing.learn(make_run(talk("b", 5, shared=2), executor=9), Moment(1))
    for _ in range(20):
        assert node(7) in routing.draw(want(talk("a", 6, shared=2)), 2, Moment(2))
        assert node(9) in routing.draw(want(talk("b", 6, shared=2)), 2, Moment(2))
        assert node(9) in routing.draw(want(talk("new", 4, shared=2)), 2, Moment(2))
    assert len(routing.draw(want(talk("a", 6)), 50, Moment(2))) == 39, "nobody is asked twice"


def test_who_may_not_have_a_request_is_not_asked_for_its_prefix() -> None:
    # [REQUESTS-PREFIX.1]
    routing = make_routing(1, 2, 3)
    routing.learn(make_run(talk("a", 3), executor=1), Moment(0))
    wanted = want(talk("a", 3))
    forbidden = replace(wanted, partners=Partners(never=frozenset({node(1)})))
    declined = replace(wanted, excluded={node(1): Moment(10 * SECOND)})
    for one in (forbidden, declined):
        assert node(1) not in routing.draw(one, 3, Moment(1))
    gone = make_routing(2, 3)
    gone.learn(make_run(talk("a", 3), executor=1), Moment(0))
    assert node(1) not in gone.draw(wanted, 3, Moment(1))


def test_what_ran_here_last_adds_nobody() -> None:
    routing = make_routing(1, 2, 3)
    routing.learn(make_run(talk("a", 3), executor=1), Moment(0))
    routing.learn(make_run(talk("a", 4), executor=HERE), Moment(1))
    assert len(routing.draw(want(talk("a", 5)), 1, Moment(2))) == 1


def test_work_for_others_says_nothing_of_who_runs_own_prompts() -> None:
    prefixes = Prefixes()
    routing = make_routing(1)
    routing.learn(replace(make_run(talk("a", 3)), is_work=True), Moment(0))
    assert prefixes.find_executor(talk("a", 3), Moment(0)) is None
    assert routing.draw(want(talk("a", 3)), 1, Moment(1)) == (node(1),)


def test_who_ran_a_prefix_is_forgotten_in_time_and_in_number() -> None:
    # [REQUESTS-PREFIX.3]
    prefixes = Prefixes()
    prefixes.learn_executor(make_run(talk("a", 2), executor=1), Moment(0))
    assert prefixes.find_executor(talk("a", 3), Moment(PREFIX_FADE_US)) == node(1)
    assert prefixes.find_executor(talk("a", 3), Moment(PREFIX_FADE_US + 1)) is None
    for number in range(PREFIXES_RUN_MAX):
        prefixes.learn_executor(make_run((b"%d" % number,), executor=2), Moment(1))
    assert prefixes.find_executor(talk("a", 3), Moment(1)) is None


# -- liars ---------------------------------------------------------------------------------------


def test_who_claims_savings_it_does_not_have_loses_its_credit_like_any_liar() -> None:
    # [REQUESTS-PREFIX.4]
    routing = make_routing(1, 2)
    claimed_us, liars_us, honest_us = 900_000, 1_200_000, 1_050_000
    chosen: list[int] = []
    for turn in range(100):
        now = Moment(turn * SECOND // 5)
        bids = [Bid(node(1), SMALL, claimed_us, now), Bid(node(2), SMALL, honest_us, now)]
        best, quoted_us, took_us = 2, honest_us, honest_us
        if routing.rank(bids, now)[0].node == node(1):
            best, quoted_us, took_us = 1, claimed_us, liars_us
        chosen.append(best)
        routing.learn(
            make_run(
                talk("a", 8),
                executor=best,
                quoted_us=quoted_us,
                first_output_us=took_us,
                total_us=took_us,
            ),
            now,
        )
    assert chosen[:5] == [1] * 5, "it is believed at first"
    assert chosen[20:].count(1) <= 30, chosen
