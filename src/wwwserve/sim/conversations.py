"""Conversations that begin alike: each turn's prompt is all that was said before, and a question.

Those of one tenant begin with its system prompt. Users wait for an answer, at a usual pace, read it
and think; they do so on their own clock, so that every strategy gets the same requests.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from wwwserve.core.entropy import Entropy
from wwwserve.enginemodel import Thread
from wwwserve.sim.chance import draw_exponential, draw_length
from wwwserve.sim.plans import ConversationsPlan, WorkloadPlan
from wwwserve.sim.truth import UserRequest
from wwwserve.values.moments import SECOND
from wwwserve.wire import PREFIX_TOKENS

LEAD_US = 900 * SECOND
"""Conversations begin so long before the run does, so that it finds them in all their stages."""
_HASH_BYTES = 16


@dataclass(frozen=True, slots=True)
class Turn:
    """One question of a conversation."""

    at_us: int
    """Since the conversation began, or since the run did."""
    prompt_tokens: int
    completion_tokens: int
    thread: Thread
    client: str


def draw_conversations(plan: WorkloadPlan, entropy: Entropy) -> Iterator[list[Turn]]:
    """One conversation after the other, without end, each from its own beginning."""
    talks = plan.conversations
    assert talks is not None, "asked for by the plan"
    roots = [draw_length(entropy, talks.system_tokens) for _ in range(talks.tenants)]
    number = 0
    while True:
        number += 1
        # Some tenants have many more users than others.
        tenant = entropy.below(1 + entropy.below(talks.tenants))
        thread = Thread(number, root=tenant, root_tokens=roots[tenant])
        yield list(_draw_turns(plan, talks, thread, entropy))


def _draw_turns(
    plan: WorkloadPlan, talks: ConversationsPlan, thread: Thread, entropy: Entropy
) -> Iterator[Turn]:
    at_us, said_tokens = 0, thread.root_tokens
    while True:
        prompt_tokens = said_tokens + draw_length(entropy, talks.question_tokens)
        completion_tokens = draw_length(entropy, plan.completion_tokens)
        if prompt_tokens + completion_tokens > talks.context_tokens:
            return
        yield Turn(at_us, prompt_tokens, completion_tokens, thread, f"tenant-{thread.root + 1}")
        if not entropy.chance(talks.more_permille):
            return
        said_tokens = prompt_tokens + completion_tokens
        at_us += completion_tokens * talks.token_us + draw_exponential(entropy, talks.think_us)


def draw_turns(
    plan: WorkloadPlan, entropy: Entropy, *, interval_us: int, duration_us: int
) -> list[Turn]:
    """The turns of all conversations that fall into a run; one begins every `interval_us`."""
    turns: list[Turn] = []
    begin_us = -LEAD_US
    for talk in draw_conversations(plan, entropy):
        begin_us += draw_exponential(entropy, interval_us)
        if begin_us >= duration_us:
            break
        for turn in talk:
            at_us = begin_us + turn.at_us
            if 0 <= at_us < duration_us:
                turns.append(
                    Turn(
                        at_us, turn.prompt_tokens, turn.completion_tokens, turn.thread, turn.client
                    )
                )
    return sorted(turns, key=lambda turn: turn.at_us)


def compute_prefixes(request: UserRequest) -> tuple[bytes, ...]:
    """What its origin's gateway would make of its prompt: hashes that others share so far."""
    thread = request.thread
    if thread is None:
        return ()
    return tuple(
        _hash_prefix(request.origin, thread, tokens)
        for tokens in PREFIX_TOKENS
        if tokens <= request.prompt_tokens
    )


def _hash_prefix(origin: int, thread: Thread, tokens: int) -> bytes:
    is_root = tokens <= thread.root_tokens
    name = f"root {thread.root}" if is_root else f"thread {thread.name}"
    return hashlib.blake2b(f"{origin} {name} {tokens}".encode(), digest_size=_HASH_BYTES).digest()
