"""Quotes that came a moment ago, so that steady traffic need not wait for new ones.

A quote holds for any request that asks no more than the one it was given for, for a moment: what
this node has sent since then is counted when bids are weighed, and an executor that has filled up
meanwhile declines. Half-way through that moment the node is asked anew, which nobody waits for.
"""

from bisect import bisect_left
from collections import OrderedDict
from dataclasses import dataclass

from wwwserve.core.requests.state import Answer
from wwwserve.values.ids import NodeId
from wwwserve.values.moments import MILLISECOND, Moment
from wwwserve.wire import PREFIX_TOKENS, RequestSummary

POOLED_US = 50 * MILLISECOND
"""Age up to which a quote is used without asking again: no more than a round trip over a wide
network, which a quote that was waited for is late by too."""
RENEWED_US = POOLED_US // 2
"""Age from which a quote in use is asked for anew."""
POOLED_MAX = 256
"""Nodes whose quotes are kept; the longest unused is forgotten."""


@dataclass(slots=True)
class _Pooled:
    """A node's latest quote."""

    summary: RequestSummary
    """What it was given for."""
    answer: Answer
    is_being_renewed: bool = False


class QuotePool:
    """The latest willing quote of each node."""

    def __init__(self) -> None:
        self._pooled: OrderedDict[NodeId, _Pooled] = OrderedDict()

    def keep(self, node: NodeId, summary: RequestSummary, answer: Answer) -> None:
        """Remember a quote; one that declines only ends what was remembered."""
        self.forget(node)
        if answer.quote.decline is None:
            self._pooled[node] = _Pooled(summary, answer)
            if len(self._pooled) > POOLED_MAX:
                self._pooled.popitem(last=False)

    def find(self, node: NodeId, summary: RequestSummary, now: Moment) -> Answer | None:
        """A quote of the node that still holds for such a request, if there is one."""
        pooled = self._pooled.get(node)
        if pooled is None or now - pooled.answer.asked_at > POOLED_US:
            return None
        return pooled.answer if _is_covered(summary, pooled) else None

    def begin_renewal(self, node: NodeId, now: Moment) -> bool:
        """Whether the node's quote is to be asked for anew now; said once for each quote."""
        pooled = self._pooled.get(node)
        if pooled is None or pooled.is_being_renewed:
            return False
        pooled.is_being_renewed = now - pooled.answer.asked_at > RENEWED_US
        return pooled.is_being_renewed

    def forget(self, node: NodeId) -> None:
        """The node's quote holds no longer: it declined, failed or is gone."""
        self._pooled.pop(node, None)


def _is_covered(summary: RequestSummary, pooled: _Pooled) -> bool:
    """Whether a request asks for nothing the quote was not given for."""
    asked = pooled.summary
    is_long_enough = asked.completion_tokens_max == 0 or (
        0 < summary.completion_tokens_max <= asked.completion_tokens_max
    )
    return (
        pooled.answer.quote.model in summary.models
        and summary.endpoint is asked.endpoint
        and summary.prompt_tokens <= asked.prompt_tokens
        and summary.body_bytes <= asked.body_bytes
        and is_long_enough
        and all(need in asked.needs for need in summary.needs)
        and _shares_saved(summary, pooled)
    )


def _shares_saved(summary: RequestSummary, pooled: _Pooled) -> bool:
    """Whether what an engine saves of the prompt quoted for, it saves of this one too."""
    saved = pooled.answer.quote.saved_prompt_tokens
    if saved == 0:
        return True
    # The shortest prefix that covers it: both prompts begin alike that far.
    place = min(bisect_left(PREFIX_TOKENS, saved), len(pooled.summary.prefixes) - 1)
    known = pooled.summary.prefixes[: place + 1]
    return bool(known) and summary.prefixes[: place + 1] == known
