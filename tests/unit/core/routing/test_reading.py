"""Prompts that are read in between slow answers down, and do not spoil what is known of an engine.

Engines of the engine model read prompts while they answer (`watched.py`); what they do then is held
against what was said of them.
"""

import pytest

from tests.unit.core.routing.watched import GPU, LARGE, Watched
from wwwserve.enginemodel import EngineProfile, find_profile
from wwwserve.values.moments import MILLISECOND, SECOND

SLOW = find_profile("RTX-3090:Qwen3-8B")
PROFILES = pytest.mark.parametrize("profile", [SLOW, GPU, LARGE], ids=lambda profile: profile.gpu)


def read_often(profile: EngineProfile, share: float, seconds: int) -> Watched:
    """An engine with some answers, which spends about such a share of its time with prompts."""
    watched = Watched(profile)
    # Of an empty engine, a prompt's time is that to its first token.
    watched.begin(4_000, 1)
    began = watched.now
    while len(watched):
        watched.pass_time(MILLISECOND)
    period_us = round((watched.now - began) / share)
    for number in range(seconds * SECOND // period_us):
        if number % 4 == 0:
            watched.begin(300, 400)
        read(watched, period_us)
    return watched


def read(watched: Watched, period_us: int) -> None:
    """One long prompt with a short answer, and time until the next."""
    until = watched.now + period_us
    watched.begin(4_000, 10)
    watched.pass_time(max(until - watched.now, 1))


@PROFILES
@pytest.mark.parametrize("share", [0.2, 0.4])
def test_what_an_engine_reads_between_answers_does_not_blur_its_pace(
    profile: EngineProfile, share: float
) -> None:
    # [REQUESTS-FORECAST.1]
    watched = read_often(profile, share, 90)
    watched.pass_time(600 * SECOND)
    for prompt_tokens, answer_tokens in ((200, 800), (8_000, 20)):
        said = watched.estimate(prompt_tokens, answer_tokens)
        name = watched.begin(prompt_tokens, answer_tokens)
        assert said.finish_us == pytest.approx(watched.measure(name), rel=0.2)


@PROFILES
def test_prompts_that_will_be_read_in_between_are_reckoned_with(profile: EngineProfile) -> None:
    # [REQUESTS-FORECAST.4]
    watched = read_often(profile, 0.4, 180)
    busy = watched.estimate(100, 500)
    watched.pass_time(600 * SECOND)
    idle = watched.estimate(100, 500)
    assert 1.2 < busy.finish_us / idle.finish_us < 2.5
    name = watched.begin(100, 500)
    assert idle.finish_us == pytest.approx(watched.measure(name), rel=0.2)
