"""Asking who is still there: directly, through others, and on behalf of others (SWIM 3 and 4)."""

from dataclasses import dataclass

from wwwserve.core.facts import MemberStatus
from wwwserve.core.gossip.agenda import Task
from wwwserve.core.gossip.roster import Roster
from wwwserve.core.gossip.rules import compute_doubt, is_live, pick_some
from wwwserve.core.gossip.spreading import Spreader
from wwwserve.core.gossip.state import RELAYS_MAX, State
from wwwserve.core.gossip.table import Table
from wwwserve.values.ids import NodeId
from wwwserve.values.moments import Moment, after
from wwwserve.wire import Ack, Ping, PingRequest, Suspect


@dataclass(slots=True)
class Probe:
    """The one question of this period."""

    node: NodeId
    number: int
    started_at: Moment
    is_pinged: bool
    """Whether we asked it ourselves: then its answer measures the round trip."""
    asked: tuple[NodeId, ...] = ()
    """Members asked to ask it."""
    is_answered: bool = False


@dataclass(frozen=True, slots=True)
class Relay:
    """A probe on behalf of a peer: its answer goes back under the peer's own number."""

    peer: NodeId
    number: int
    node: NodeId
    expires_at: Moment


class Prober:
    """One member is probed in each period; whoever did not answer by its end is suspect."""

    def __init__(self, state: State, table: Table, roster: Roster, spreader: Spreader) -> None:
        """Nobody is probed before `on_started`."""
        self._state = state
        self._table = table
        self._roster = roster
        self._spreader = spreader
        self._probe: Probe | None = None
        self._urgent: dict[NodeId, None] = {}
        self._relays: dict[int, Relay] = {}
        self._number = 0

    def on_started(self) -> None:
        """Begin at a random point of the period, so that nodes started together do not beat."""
        wait_us = self._state.entropy.below(self._state.parameters.probe_period_us)
        self._state.agenda.set(after(self._state.now, wait_us), Task.PROBE)

    def probe_soon(self, node: NodeId) -> None:
        """There is reason to ask this member before its turn."""
        if node in self._state.members:
            self._urgent[node] = None

    # -- our own question ------------------------------------------------------------------------

    def on_period(self, due: Moment) -> None:
        """Judge the last probe and begin the next."""
        state, probe = self._state, self._probe
        period_us = state.parameters.probe_period_us
        # If we are a whole period late, it is we who slept: the answer may lie unread.
        is_late = state.now >= after(due, period_us)
        if probe is not None and not probe.is_answered and not is_late:
            self._table.apply_own_doubt(probe.node, Suspect)
        state.agenda.set(after(state.now if is_late else due, period_us), Task.PROBE)
        self._begin()

    def on_timeout(self) -> None:
        """No direct answer: ask some others, who may reach it where we cannot."""
        state, probe = self._state, self._probe
        if probe is None or probe.is_answered or probe.asked:
            return
        able = [
            peer
            for peer in state.links
            if peer != probe.node
            and peer in state.members
            and state.members[peer].status is MemberStatus.ALIVE
        ]
        asked = pick_some(state.entropy, able, state.parameters.indirect_probes)
        probe.asked = tuple(asked)
        for peer in asked:
            state.send(peer, PingRequest(probe.number, probe.node, self._spreader.take_claims()))

    def on_unreachable(self, node: NodeId, number: int | None = None) -> None:
        """The link to a member closed, or a ping (by its number) could not go: ask others now."""
        probe = self._probe
        if probe is not None and probe.node == node and number in (None, probe.number):
            self.on_timeout()

    def on_ack(self, sender: NodeId, number: int) -> None:
        """An answer: to our own probe, or to one on behalf of a peer; any other is ignored."""
        state, probe = self._state, self._probe
        relay = self._relays.get(number)
        if relay is not None and sender == relay.node:
            del self._relays[number]
            if relay.peer in state.links and state.now < relay.expires_at:
                state.send(relay.peer, Ack(relay.number, self._spreader.take_claims()))
        elif probe is not None and probe.number == number and not probe.is_answered:
            if sender == probe.node and probe.is_pinged:
                self._table.on_round_trip(sender, state.now - probe.started_at)
            probe.is_answered = sender == probe.node or sender in probe.asked

    def _begin(self) -> None:
        state = self._state
        state.agenda.cancel(Task.PROBE_TIMEOUT)
        node = self._choose()
        if node is None:
            self._probe = None
            return
        self._number += 1
        is_linked = node in state.links
        self._probe = Probe(node, self._number, state.now, is_pinged=is_linked)
        if is_linked:
            # A member in doubt is told so first of all: nobody dies without having been told.
            doubt = compute_doubt(state.members[node])
            state.send(node, Ping(self._number, self._spreader.take_claims(doubt)))
            timeout_at = after(state.now, state.parameters.probe_timeout_us)
            state.agenda.set(timeout_at, Task.PROBE_TIMEOUT)
        else:
            self.on_timeout()

    def _choose(self) -> NodeId | None:
        while self._urgent:
            node = next(iter(self._urgent))
            del self._urgent[node]
            if self._is_probeable(node):
                return node
        return self._roster.draw(self._is_probeable)

    def _is_probeable(self, node: NodeId) -> bool:
        """Whether its answer matters: a dead one's does while we still have a link to it."""
        member = self._state.members.get(node)
        if member is None:
            return False
        is_reachable_dead = member.status is MemberStatus.DEAD and node in self._state.links
        return is_live(member) or is_reachable_dead

    # -- others' questions -----------------------------------------------------------------------

    def on_ping(self, sender: NodeId, number: int) -> None:
        """Somebody asks whether we are there."""
        self._state.send(sender, Ack(number, self._spreader.take_claims()))

    def on_ping_request(self, sender: NodeId, request: PingRequest) -> None:
        """Somebody asks us to probe a member, which we do if we can and it does not ask too often.

        Raises `Refusal` when it does.
        """
        state, node = self._state, NodeId(request.node)
        if node == state.node:
            self.on_ping(sender, request.number)
            return
        state.links[sender].relays.spend(state.now)
        if node not in state.links or node == sender:
            return
        self._drop_relays()
        self._number += 1
        expires_at = after(state.now, state.parameters.probe_period_us)
        self._relays[self._number] = Relay(sender, request.number, node, expires_at)
        state.send(node, Ping(self._number, self._spreader.take_claims()))

    def _drop_relays(self) -> None:
        """Make room: drop what has expired (they are in that order), and the oldest if full."""
        while self._relays:
            number, oldest = next(iter(self._relays.items()))
            if self._state.now < oldest.expires_at and len(self._relays) < RELAYS_MAX:
                return
            del self._relays[number]
