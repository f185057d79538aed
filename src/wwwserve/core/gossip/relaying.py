"""Asking on behalf of others: the answer goes back to them, and so does its absence (SWIM 3.1)."""

from dataclasses import dataclass

from wwwserve.core.gossip.agenda import Task
from wwwserve.core.gossip.health import HEALTH_SCORE_MAX
from wwwserve.core.gossip.rules import compute_doubt
from wwwserve.core.gossip.spreading import Spreader
from wwwserve.core.gossip.state import RELAYS_MAX, State
from wwwserve.values.ids import NodeId
from wwwserve.values.moments import after
from wwwserve.wire import Ack, Nack, Ping, PingRequest

_SUBJECT_BYTES = 8


@dataclass(slots=True)
class Relay:
    """A probe on behalf of a peer: its answer goes back under the peer's own number."""

    peer: NodeId
    number: int
    node: NodeId
    wait_us: int
    """After so long without an answer the peer is told; after twice as long it waits no more."""
    is_overdue: bool = False


class Relayer:
    """Probes made for peers, each with a number of its own."""

    def __init__(self, state: State, spreader: Spreader) -> None:
        """Nobody has asked yet."""
        self._state = state
        self._spreader = spreader
        self._relays: dict[int, Relay] = {}

    def on_request(self, sender: NodeId, request: PingRequest) -> None:
        """A peer asks us to probe a member, which we do if we can and it does not ask too often.

        Raises `Refusal` when it does.
        """
        state, node = self._state, NodeId(request.node)
        if node == state.node:
            self._spreader.answer(sender, request.number)
            return
        state.links[sender].relays.spend(state.now)
        if node == sender:
            return
        # As long as the worst of health lets an honest node ask for.
        wait_us_max = (1 + HEALTH_SCORE_MAX) * state.parameters.probe_period_us
        relay = Relay(sender, request.number, node, min(request.wait_us, wait_us_max))
        if node in state.links:
            self._begin(relay)
        else:
            self._deny(relay, is_linked=False)

    def on_ack(self, sender: NodeId, number: int) -> bool:
        """Pass an answer on, if it is to a relayed probe of the sender; whether it is."""
        relay = self._relays.get(number)
        if relay is None or relay.node != sender:
            return False
        self._drop(number)
        if relay.peer in self._state.links:
            self._state.send(relay.peer, Ack(relay.number, self._spreader.take_claims()))
        return True

    def on_unsent(self, number: int) -> None:
        """A ping could not go: if it was for a peer, it is told that there is no link."""
        relay = self._relays.get(number)
        if relay is not None:
            self._drop(number)
            self._deny(relay, is_linked=False)

    def on_wait_over(self, subject: bytes) -> None:
        """Without an answer so far, tell the peer; the second time, expect none any more."""
        number = int.from_bytes(subject, "big")
        relay = self._relays[number]
        if relay.is_overdue:
            self._drop(number)
            return
        relay.is_overdue = True
        self._state.agenda.set(after(self._state.now, relay.wait_us), Task.RELAY, subject)
        self._deny(relay, is_linked=True)

    def _begin(self, relay: Relay) -> None:
        state = self._state
        if len(self._relays) >= RELAYS_MAX:
            self._drop(next(iter(self._relays)))
        number = state.take_number()
        self._relays[number] = relay
        state.agenda.set(after(state.now, relay.wait_us), Task.RELAY, _name(number))
        # Whoever asks may have told us of a doubt: the member hears it first [GOSSIP-SUSPICION.3].
        member = state.members.get(relay.node)
        doubt = None if member is None else compute_doubt(member)
        state.send(relay.node, Ping(number, self._spreader.take_claims(doubt)))

    def _deny(self, relay: Relay, *, is_linked: bool) -> None:
        if relay.peer in self._state.links:
            claims = self._spreader.take_claims()
            self._state.send(relay.peer, Nack(relay.number, is_linked, claims))

    def _drop(self, number: int) -> None:
        del self._relays[number]
        self._state.agenda.cancel(Task.RELAY, _name(number))


def _name(number: int) -> bytes:
    return number.to_bytes(_SUBJECT_BYTES, "big")
