"""How long one iteration takes: the cost of what is computed in it, on one GPU with one model."""

from math import sqrt

import msgspec

from wwwserve.values.moments import SECOND


class IterationTiming(msgspec.Struct, frozen=True):
    """The constants of one GPU with one model; seconds, for each unit named.

    Field names are those of the published profiles (`data/profiles.json`).
    """

    t0_s: float
    """Every iteration: launching kernels, scheduling."""
    w_s: float
    """Streaming the weights from memory, once for all."""
    g_s_per_token: float
    """Computing one token; hidden behind the weights until there are many."""
    r_s_per_token: float
    """Adding up one token's parts between GPUs; 0 with one GPU."""
    c_s_per_seq: float
    """The host's work and sampling, for one decoding sequence."""
    d_s_per_kv_token: float
    """Reading one token of context while decoding."""
    e_s_per_pair: float
    """Attention of a prompt, for one pair of query and key."""


class IterationWork(msgspec.Struct, frozen=True):
    """What is computed in one iteration."""

    prefill_tokens: int
    """P: tokens of prompts."""
    prefill_pairs: float
    """Q: for each piece of a prompt, its tokens times (those before it + half of its own)."""
    sequences: int
    """B: sequences that decode, one token each."""
    context_tokens: int
    """KV: what those sequences read of the cache."""


def compute_iteration_us(timing: IterationTiming, work: IterationWork) -> int:
    """Length of one iteration, rounded to microseconds.

        t0 + (w^4 + (g*(P+B))^4)^(1/4) + r*(P+B) + c*B + d*KV + e*Q

    The fourth root is a smooth maximum: computing and streaming the weights happen at once, and
    the slower of them is what one waits for.
    """
    tokens = work.prefill_tokens + work.sequences
    # Roots and products only: they are exact everywhere, `pow` differs between platforms.
    streaming, computing = timing.w_s * timing.w_s, (timing.g_s_per_token * tokens) ** 2
    seconds = (
        timing.t0_s
        + sqrt(sqrt(streaming * streaming + computing * computing))
        + timing.r_s_per_token * tokens
        + timing.c_s_per_seq * work.sequences
        + timing.d_s_per_kv_token * work.context_tokens
        + timing.e_s_per_pair * work.prefill_pairs
    )
    return max(1, round(seconds * SECOND))
