"""What one may expect of an engine: alone with a request, and when it has more than it can do.

For objectives, for what a load means, and for whoever spreads work over engines.
"""

from collections.abc import Sequence

import msgspec

from wwwserve.enginemodel.batching import BatchingEngine
from wwwserve.enginemodel.demands import Demand, SequenceId
from wwwserve.enginemodel.profiles import EngineProfile
from wwwserve.enginemodel.timing import IterationTiming, IterationWork, compute_iteration_us
from wwwserve.values.moments import Moment

PLAIN_BATCHED_TOKENS = 2_048
"""Tokens one iteration of a plain profile may compute: as in the published ones."""
_BACKLOG_ROUNDS = 5
_BACKLOG_MIN = 40
"""A backlog is so many requests for each that runs at once, and so many more."""


def compute_alone_us(profile: EngineProfile, demand: Demand) -> int:
    """Time from a request's arrival at an idle engine to its last token."""
    return compute_alone_first_us(profile, demand) + _compute_alone_decode_us(profile, demand)


def compute_alone_first_us(profile: EngineProfile, demand: Demand) -> int:
    """Time from a request's arrival at an idle engine to its first token."""
    span_us, done = 0, 0
    while done < demand.prompt_tokens:
        piece = min(demand.prompt_tokens - done, profile.max_batched_tokens)
        work = IterationWork(piece, piece * (done + piece / 2), 0, 0)
        span_us += compute_iteration_us(profile.iteration_model, work)
        done += piece
    return span_us


def compute_share_us(profile: EngineProfile, demand: Demand) -> float:
    """What a request costs a full engine: an iteration for each token, shared with all who run.

    Too low by what bursts of prompts and preemptions cost besides; it is for comparing requests.
    """
    context = demand.prompt_tokens + demand.output_tokens / 2
    running = _count_running(profile, context)
    work = IterationWork(
        prefill_tokens=round(running * demand.prompt_tokens / demand.output_tokens),
        prefill_pairs=running * demand.prompt_tokens**2 / 2 / demand.output_tokens,
        sequences=running,
        context_tokens=round(running * context),
    )
    iteration_us = compute_iteration_us(profile.iteration_model, work)
    return iteration_us * demand.output_tokens / running


def compute_saturated_us(profile: EngineProfile, demands: Sequence[Demand]) -> int:
    """Time for each request, on average, while more such requests wait than the engine can run.

    Found by running the engine with such a backlog, between the time when as many have ended as it
    runs at once, and the time when nobody waits any more.
    """
    contexts = sum(demand.prompt_tokens + demand.output_tokens / 2 for demand in demands)
    running = _count_running(profile, contexts / len(demands))
    count = _BACKLOG_ROUNDS * running + _BACKLOG_MIN
    engine = BatchingEngine(profile)
    for number in range(count):
        engine.submit(SequenceId(number), demands[number % len(demands)], Moment(0))
    ends: list[Moment] = []
    while engine.read_load().waiting or len(ends) <= running + 1:
        for iteration in engine.advance(engine.find_news()):
            ends += [iteration.ended] * len(iteration.finished)
    ended = len(ends) - running
    return max(1, (ends[-1] - ends[running - 1]) // ended)


def speed_up(profile: EngineProfile, times: float) -> EngineProfile:
    """The same engine, `times` as fast in everything."""
    timing = profile.iteration_model
    faster = {name: getattr(timing, name) / times for name in IterationTiming.__struct_fields__}
    return msgspec.structs.replace(profile, iteration_model=IterationTiming(**faster))


def create_plain_profile(
    *, slots: int, prefill_tokens_per_s: int, decode_tokens_per_s: int, kv_capacity_tokens: int
) -> EngineProfile:
    """A pretend GPU one can do sums about: prompts at one pace, answers at another, no more.

    Each iteration takes one token's time at `decode_tokens_per_s`, or that of all it computes at
    `prefill_tokens_per_s`, whichever is longer.
    """
    timing = IterationTiming(
        t0_s=0.0,
        w_s=1 / decode_tokens_per_s,
        g_s_per_token=1 / prefill_tokens_per_s,
        r_s_per_token=0.0,
        c_s_per_seq=0.0,
        d_s_per_kv_token=0.0,
        e_s_per_pair=0.0,
    )
    return EngineProfile(
        gpu="plain",
        model="plain",
        tp=1,
        dtype="none",
        iteration_model=timing,
        kv_bytes_per_token=1,
        kv_capacity_tokens=kv_capacity_tokens,
        max_num_seqs=slots,
        max_batched_tokens=PLAIN_BATCHED_TOKENS,
        confidence="low",
        evidence=(),
    )


def _compute_alone_decode_us(profile: EngineProfile, demand: Demand) -> int:
    # The cost is linear in the context, so the mean context gives the exact sum but for rounding.
    steps = demand.output_tokens - 1
    first = IterationWork(0, 0.0, 1, demand.prompt_tokens)
    last = IterationWork(0, 0.0, 1, demand.prompt_tokens + max(0, steps - 1))
    spans = [compute_iteration_us(profile.iteration_model, work) for work in (first, last)]
    return steps * sum(spans) // 2


def _count_running(profile: EngineProfile, context_tokens: float) -> int:
    """How many requests of such a mean context an engine runs at once."""
    return max(1, min(profile.max_num_seqs, int(profile.kv_capacity_tokens / context_tokens)))
