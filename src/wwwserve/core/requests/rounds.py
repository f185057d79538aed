"""Rounds of probes: who was asked about which request, and which answers are still to come."""

from wwwserve.core.effects import SendMessage
from wwwserve.core.entropy import Entropy
from wwwserve.core.requests.rules import ROUNDS_OPEN_MAX
from wwwserve.core.requests.state import OpenRequest, Round
from wwwserve.values.ids import NodeId, RequestId
from wwwserve.values.limits import PROBE_DEADLINE_US
from wwwserve.values.moments import Moment, after
from wwwserve.wire import Probe, Quote, RequestSummary

_NUMBER_BOUND = 2**48


class Rounds:
    """Every open round, found by the number of any of its probes."""

    def __init__(self, entropy: Entropy) -> None:
        # From a random start, so that quotes for an earlier life of this node pair with nothing.
        self._number = entropy.below(_NUMBER_BOUND)
        self._asked: dict[NodeId, dict[int, OpenRequest]] = {}
        """The unanswered probes of each node, by number."""
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
        """Ask these nodes about a request; they have until the round's end to answer."""
        assert request.round is None
        assert nodes
        messages: list[SendMessage] = []
        waiting: dict[int, NodeId] = {}
        for node in nodes:
            self._number += 1
            waiting[self._number] = node
            self._asked.setdefault(node, {})[self._number] = request
            messages.append(SendMessage(node, Probe(self._number, summary)))
        request.round = Round(now, after(now, PROBE_DEADLINE_US), waiting)
        self._open += 1
        return messages

    def take_quote(self, node: NodeId, quote: Quote, now: Moment) -> OpenRequest | None:
        """An answer came; gives its request if it was the last one. Strays are ignored."""
        request = self._answer(quote.probe, node)
        if request is None or request.round is None:
            return None
        request.round.quotes[node] = quote
        request.round.round_trips_us[node] = now - request.round.asked_at
        return None if request.round.waiting else request

    def take_failure(self, node: NodeId, probe: int) -> OpenRequest | None:
        """A probe will not be answered; gives its request if nothing else is waited for."""
        request = self._answer(probe, node)
        if request is None or request.round is None or request.round.waiting:
            return None
        return request

    def lose_node(self, node: NodeId) -> list[RequestId]:
        """A node will answer nothing any more; gives the requests that waited for it alone."""
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
