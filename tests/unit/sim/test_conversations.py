"""Conversations are the same for all, begin alike where they say so, and are worth knowing of.

The scenario `chat` is drawn and looked at as its users' nodes would see it; then a short, calm one
is played with peers that know which prompts begin alike and with peers that do not.
"""

from itertools import pairwise

import pytest

from wwwserve.sim import SCENARIOS, Verdict, apply_settings, draw_requests, measure, run_scenario
from wwwserve.sim.conversations import compute_prefixes
from wwwserve.sim.summaries import create_summary
from wwwserve.sim.truth import UserRequest
from wwwserve.sim.workload import compute_interval_us
from wwwserve.values.moments import SECOND
from wwwserve.wire import PREFIX_TOKENS

CHAT = SCENARIOS["chat"]


@pytest.fixture(scope="module")
def requests() -> list[UserRequest]:
    return draw_requests(CHAT, 1)


@pytest.fixture(scope="module")
def talks(requests: list[UserRequest]) -> dict[int, list[UserRequest]]:
    found: dict[int, list[UserRequest]] = {}
    for request in requests:
        assert request.thread is not None
        found.setdefault(request.thread.name, []).append(request)
    return found


def test_each_turn_says_all_that_was_said_before_and_stays_at_its_node(
    talks: dict[int, list[UserRequest]],
) -> None:
    assert sum(len(turns) > 1 for turns in talks.values()) > len(talks) // 2
    for turns in talks.values():
        assert len({turn.origin for turn in turns}) == 1
        for before, after in pairwise(turns):
            assert after.prompt_tokens > before.prompt_tokens + before.completion_tokens
            assert after.arrival_us > before.arrival_us


def test_they_come_at_the_load_and_by_the_shares(requests: list[UserRequest]) -> None:
    wanted = CHAT.duration_us * 700 // 1000 // compute_interval_us(CHAT)
    assert len(requests) == pytest.approx(wanted, rel=0.1)
    assert sum(one.origin == 3 for one in requests) == pytest.approx(len(requests) / 2, rel=0.15)
    times = [one.arrival_us - CHAT.join_us for one in requests]
    assert times == sorted(times)
    early = sum(at_us < CHAT.duration_us // 2 for at_us in times)
    assert early == pytest.approx(len(times) / 2, rel=0.1), "it begins in the middle of things"


def test_turns_share_hashes_as_far_as_they_begin_alike(
    talks: dict[int, list[UserRequest]],
) -> None:
    # [REQUESTS-PREFIX.5]
    roots: dict[tuple[int, int], set[bytes]] = {}
    for turns in talks.values():
        for before, after in pairwise(turns):
            known = compute_prefixes(before)
            assert compute_prefixes(after)[: len(known)] == known
        thread = turns[0].thread
        assert thread is not None
        common = sum(tokens <= thread.root_tokens for tokens in PREFIX_TOKENS)
        hashes = set(compute_prefixes(turns[-1])[:common])
        assert hashes == roots.setdefault((turns[0].origin, thread.root), hashes)
    every = [one for hashes in roots.values() for one in hashes]
    assert len(every) == len(set(every)), "another origin's are others"


def test_who_is_not_to_know_is_told_nothing(requests: list[UserRequest]) -> None:
    told, untold = (
        create_summary(requests[0], body_bytes_per_token=4, is_prefix_told=is_told)
        for is_told in (True, False)
    )
    assert told.prefixes
    assert untold.prefixes == ()


def test_who_knows_which_prompts_begin_alike_reads_less_of_them() -> None:
    # [REQUESTS-PREFIX.1] [REQUESTS-PREFIX.2]
    plan = apply_settings(
        CHAT,
        [
            "nodes.*.engine.profile=L40S:Qwen3-8B",
            "workload.load_permille=400",
            f"duration_us={60 * SECOND}",
        ],
    )
    aware, unaware = (
        run_scenario(plan, 1, strategy=strategy) for strategy in ("wwwserve", "wwwserve-no-prefix")
    )
    assert aware.verdict is unaware.verdict is Verdict.OK
    assert measure(aware).prefix_hits > measure(unaware).prefix_hits > 0
