"""Rounds of probes: who was asked about which request, and which answers are still to come."""

from wwwserve.core.effects import SendMessage
from wwwserve.core.entropy import Entropy
from wwwserve.core.requests.quotes import QuotePool
from wwwserve.core.requests.rules import ROUNDS_OPEN_MAX
from wwwserve.core.requests.state import Answer, OpenRequest, Phase, Round
from wwwserve.values.ids import NodeId, RequestId
from wwwserve.values.limits import PROBE_DEADLINE_MIN_US, PROBE_DEADLINE_US
from wwwserve.values.moments import Moment, after
from wwwserve.wire import Probe, Quote, RequestSummary

_NUMBER_BOUND = 2**48
_WAITED_SHARE = 8
"""Of the time that a request has left, quotes have one part in so many (market.md 1.3)."""


def _compute_round_end(request: OpenRequest, now: Moment) -> Moment:
    """When a round that starts now is decided with what has come."""
    left_us = min(request.due_at, request.deadline_at) - now
    if request.phase is not Phase.SEEKING or left_us <= 0:
        # It waits or runs meanwhile, or is late already: distant nodes may well be its only ones.
        return after(now, PROBE_DEADLINE_US)
    share_us = max(left_us // _WAITED_SHARE, PROBE_DEADLINE_MIN_US)
    return after(now, min(share_us, PROBE_DEADLINE_US))


class Rounds:
    """Every open round, found by the number of any of its probes."""

    def __init__(self, entropy: Entropy) -> None:
        # From a random start, so that quotes for an earlier life of this node pair with nothing.
        self._number = entropy.below(_NUMBER_BOUND)
        self._asked: dict[NodeId, dict[int, OpenRequest]] = {}
        """The unanswered probes of each node, by number."""
        self._pool = QuotePool()
        self._renewals: dict[NodeId, tuple[int, RequestSummary, Moment]] = {}
        """The probe by which each node's quote is being renewed, at most one of each."""
        self._open = 0

    @property
    def is_full(self) -> bool:
        """Whether no further round may start now."""
        return self._open >= ROUNDS_OPEN_MAX

    def is_asking(self, node: NodeId) -> bool:
        """Whether a node has yet to answer."""
        return node in self._asked

    def start(
        self,
        request: OpenRequest,
        summary: RequestSummary,
        nodes: tuple[NodeId, ...],
        now: Moment,
    ) -> list[SendMessage]:
        """Ask these nodes about a request; they have until the round's end to answer.

        Who quoted a moment ago is not waited for: the round may be complete at once.
        """
        assert request.round is None
        assert nodes
        messages: list[SendMessage] = []
        request.round = Round(now, _compute_round_end(request, now), {})
        self._open += 1
        for node in nodes:
            known = self._pool.find(node, summary, now)
            if known is None:
                messages.append(self._probe(node, summary))
                request.round.waiting[self._number] = node
                self._asked.setdefault(node, {})[self._number] = request
                continue
            request.round.answers[node] = known
            if self._pool.begin_renewal(node, now):
                messages.append(self._probe(node, summary))
                self._renewals[node] = (self._number, summary, now)
        return messages

    def _probe(self, node: NodeId, summary: RequestSummary) -> SendMessage:
        self._number += 1
        return SendMessage(node, Probe(self._number, summary))

    def take_quote(self, node: NodeId, quote: Quote, now: Moment) -> OpenRequest | None:
        """An answer came; gives its request if it was the last one. Strays are ignored."""
        request = self._answer(quote.probe, node)
        if request is None or request.round is None:
            self._take_renewal(node, quote, now)
            return None
        asked_at = request.round.asked_at
        answer = Answer(quote, asked_at, now - asked_at)
        request.round.answers[node] = answer
        self._pool.keep(node, request.summary, answer)
        return None if request.round.waiting else request

    def _take_renewal(self, node: NodeId, quote: Quote, now: Moment) -> None:
        renewal = self._renewals.get(node)
        if renewal is not None and renewal[0] == quote.probe:
            _, summary, asked_at = self._renewals.pop(node)
            self._pool.keep(node, summary, Answer(quote, asked_at, now - asked_at))

    def take_failure(self, node: NodeId, probe: int) -> OpenRequest | None:
        """A probe will not be answered; gives its request if nothing else is waited for."""
        request = self._answer(probe, node)
        if request is None or request.round is None or request.round.waiting:
            return None
        return request

    def forget_quote(self, node: NodeId) -> None:
        """What the node quoted holds no longer: it declined or failed."""
        self._pool.forget(node)

    def lose_node(self, node: NodeId) -> list[RequestId]:
        """A node will answer nothing any more; gives the requests that waited for it alone."""
        self._pool.forget(node)
        self._renewals.pop(node, None)
        complete = (self.take_failure(node, number) for number in list(self._asked.get(node, ())))
        return [request.request for request in complete if request is not None]

    def end(self, request: OpenRequest) -> Round | None:
        """A request's round is over, whatever has come; gives it if there was one."""
        ended = request.round
        if ended is None:
            return None
        for number, node in ended.waiting.items():
            self._forget(number, node)
        request.round = None
        self._open -= 1
        return ended

    def _answer(self, number: int, node: NodeId) -> OpenRequest | None:
        """The request a probe was about, which now waits for it no more."""
        request = self._asked.get(node, {}).get(number)
        if request is None or request.round is None:
            return None
        self._forget(number, node)
        del request.round.waiting[number]
        return request

    def _forget(self, number: int, node: NodeId) -> None:
        del self._asked[node][number]
        if not self._asked[node]:
            del self._asked[node]
