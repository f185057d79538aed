"""Asking who is still there: directly, then through others (SWIM 3 and 4, Lifeguard).

Who is watched: every member we have a link to, so a node is watched by its neighbours, however
large the network. Whoever was not heard of for longest is next; what has just spoken is there, so
probes go where the silence is. Beyond these

- a member whose link was lost is asked for through others, until somebody's link to it answers or
  `LOST_ROUNDS` rounds found nobody with a link;
- now and then a member without a link is asked for in the same way, through everybody linked, so
  that one whose neighbours all went with it is found dead too;
- alone, a node has lost everybody, and asks for each in turn.
"""

from dataclasses import dataclass, field

from wwwserve.core.facts import MemberStatus
from wwwserve.core.gossip.agenda import Task
from wwwserve.core.gossip.roster import Roster
from wwwserve.core.gossip.rules import (
    JITTER_PERMILLE,
    compute_doubt,
    is_late,
    is_live,
    pick_some,
)
from wwwserve.core.gossip.spreading import Spreader
from wwwserve.core.gossip.state import (
    CONFIRMATIONS_MAX,
    LOST_ROUNDS,
    OVERDUE_ROUNDS,
    SEARCHES_PER_MEMORY,
    URGENT_LOOKED_AT,
    State,
)
from wwwserve.core.gossip.table import Table
from wwwserve.values.ids import NodeId
from wwwserve.values.moments import Moment, after
from wwwserve.wire import Nack, Ping, PingRequest, Suspect

_ALIVE = MemberStatus.ALIVE


@dataclass(slots=True)
class Probe:
    """The one question of this period."""

    node: NodeId
    number: int
    started_at: Moment
    ends_at: Moment
    is_pinged: bool
    """Whether we asked it ourselves: then its answer measures the round trip."""
    asked: tuple[NodeId, ...] = ()
    """Members asked to ask it."""
    nacks: dict[NodeId, bool] = field(default_factory=dict)
    """Those of them who heard us but had no answer; whether each has a link to it."""
    is_answered: bool = False


@dataclass(slots=True)
class Search:
    """Asking around for a member to which no link is known."""

    rounds_left: int
    """After so many more in which nobody has a link, it is suspect."""
    asked: dict[NodeId, None] = field(default_factory=dict)
    """Who was asked in earlier rounds: others come first."""


class Prober:
    """One member is probed in each period; whoever did not answer by its end is suspect."""

    def __init__(self, state: State, table: Table, spreader: Spreader) -> None:
        """Nobody is probed before `on_started`."""
        self._state = state
        self._table = table
        self._spreader = spreader
        self._probe: Probe | None = None
        # In no order: what many were told of at once, each begins elsewhere.
        self._urgent = Roster(state.entropy.split("urgent"))
        self._searches: dict[NodeId, Search] = {}
        """For each a next round is urgent, or under way."""
        self._was_urgent = False
        """Whether the last probe went before others' turns."""
        self._is_deaf = False
        """Whether nobody asked has said a word since the last answer."""

    def on_started(self) -> None:
        """Begin at a random point of the period, so that nodes started together do not beat."""
        wait_us = self._state.entropy.below(self._state.parameters.probe_period_us)
        self._state.agenda.set(after(self._state.now, wait_us), Task.PROBE)
        self._set_seek()

    def probe_soon(self, node: NodeId) -> None:
        """There is reason to ask this member before its turn."""
        if node in self._state.members:
            self._urgent.add(node)
            if len(self._urgent) > 2 * len(self._state.members):
                self._drop_forgotten()

    # -- whom to ask -----------------------------------------------------------------------------

    def on_shown(self, node: NodeId) -> None:
        """A link to a member is new, or was let go of on purpose: it is there, answer or not."""
        self._searches.pop(node, None)
        if self._probe is not None and self._probe.node == node:
            self._probe.is_answered = True

    def on_link_closed(self, node: NodeId, *, is_shed: bool) -> None:
        """A closed link is evidence, not proof: ask those who may still have one."""
        if is_shed and self._state.links:
            self.on_shown(node)
        else:
            self._search(node, LOST_ROUNDS)
            self.on_unreachable(node)

    def on_seek_due(self) -> None:
        """Ask around for some member, whom nobody else may be watching either."""
        state = self._state
        strangers = [
            node
            for node, member in state.members.items()
            if is_live(member) and node not in state.links
        ]
        if strangers and state.links:
            rounds = -(-len(state.links) // state.parameters.indirect_probes)
            self._search(state.entropy.pick(strangers), rounds)
        self._set_seek()

    def _search(self, node: NodeId, rounds: int) -> None:
        if node in self._state.members:
            self._searches[node] = Search(rounds)
            self.probe_soon(node)

    def _set_seek(self) -> None:
        """The larger the network the later: so it makes few searches, whatever its size."""
        state = self._state
        share = max(1, len(state.members) // SEARCHES_PER_MEMORY)
        wait_us = state.entropy.jitter(state.parameters.dead_memory_us * share, JITTER_PERMILLE)
        state.agenda.set(after(state.now, wait_us), Task.SEEK)

    def _choose(self) -> NodeId | None:
        links, members = self._state.links, self._state.members
        watched = [node for node in links if self._is_probeable(node)]
        silent = min(watched, key=lambda node: links[node].noticed_at, default=None)
        is_overdue = silent is not None and self._is_overdue(silent)
        urgent = None if self._was_urgent and is_overdue else self._draw_urgent()
        self._was_urgent = urgent is not None
        if urgent is not None or links:
            return urgent or silent
        return next((node for node in members if members[node].status is _ALIVE), None)

    def _draw_urgent(self) -> NodeId | None:
        for _ in range(URGENT_LOOKED_AT):
            node = self._urgent.draw()
            if node is None:
                return None
            self._urgent.remove(node)
            if self._is_probeable(node) and not self._is_settled(node):
                return node
            self._searches.pop(node, None)
        return None

    def _drop_forgotten(self) -> None:
        """Whoever is no member any more is not waited for."""
        for node in [node for node in self._urgent if node not in self._state.members]:
            self._urgent.remove(node)
            self._searches.pop(node, None)

    def _is_overdue(self, node: NodeId) -> bool:
        """Whether a neighbour's turn should have come long ago.

        A few peers whose links come and go are reason enough to ask for somebody in each period.
        """
        state = self._state
        turns_us = OVERDUE_ROUNDS * len(state.links) * state.parameters.probe_period_us
        return state.now >= after(state.links[node].noticed_at, turns_us)

    def _is_settled(self, node: NodeId) -> bool:
        """Whether more accusers would change nothing: then it may wait for its turn.

        When many fall silent at once, there is no time to ask all of them about all.
        """
        member = self._state.members[node]
        return member.status is MemberStatus.DEAD or len(member.accusers) > CONFIRMATIONS_MAX

    def _is_probeable(self, node: NodeId) -> bool:
        """Whether its answer matters: a dead one's does while we still have a link to it."""
        member = self._state.members.get(node)
        if member is None:
            return False
        is_reachable_dead = member.status is MemberStatus.DEAD and node in self._state.links
        return is_live(member) or is_reachable_dead

    # -- the question ----------------------------------------------------------------------------

    def on_period(self, due: Moment) -> None:
        """Judge the last probe and begin the next."""
        state, probe = self._state, self._probe
        began_at = due
        if is_late(state.parameters, due, state.now):
            # It is we who slept: the answer may lie unread.
            began_at = state.now
            state.health.apply_probe(1)
            if probe is not None and not probe.is_answered:
                self.probe_soon(probe.node)
        elif probe is not None:
            self._judge(probe)
        ends_at = after(began_at, state.health.stretch(state.parameters.probe_period_us))
        state.agenda.set(ends_at, Task.PROBE)
        self._begin(ends_at)

    def _begin(self, ends_at: Moment) -> None:
        state = self._state
        state.agenda.cancel(Task.PROBE_TIMEOUT)
        node = self._choose()
        if node is None:
            self._probe = None
            return
        number, is_linked = state.take_number(), node in state.links
        self._probe = Probe(node, number, state.now, ends_at, is_pinged=is_linked)
        if is_linked:
            state.links[node].noticed_at = state.now
            # A member in doubt is told so first of all: nobody dies without having been told.
            doubt = compute_doubt(state.members[node])
            state.send(node, Ping(number, self._spreader.take_claims(doubt)))
            timeout_us = state.health.stretch(state.parameters.probe_timeout_us)
            state.agenda.set(after(state.now, timeout_us), Task.PROBE_TIMEOUT)
        else:
            self.on_timeout()

    def on_timeout(self) -> None:
        """No direct answer: ask some others, who may reach it where we cannot."""
        state, probe = self._state, self._probe
        if probe is None or probe.is_answered or probe.asked:
            return
        probe.asked = self._pick_helpers(probe.node)
        doubt = compute_doubt(state.members[probe.node]) if probe.node in state.members else None
        # Half of what is left for its answer, the other half for the ways there and back.
        wait_us = max(0, probe.ends_at - state.now) // 2
        for peer in probe.asked:
            claims = self._spreader.take_claims(doubt)
            state.send(peer, PingRequest(probe.number, probe.node, wait_us, claims))

    def _pick_helpers(self, node: NodeId) -> tuple[NodeId, ...]:
        state, search = self._state, self._searches.get(node)
        able = [
            peer
            for peer in state.links
            if peer != node and peer in state.members and state.members[peer].status is _ALIVE
        ]
        fresh = able if search is None else [peer for peer in able if peer not in search.asked]
        picked = pick_some(state.entropy, fresh or able, state.parameters.indirect_probes)
        if search is not None:
            search.asked.update(dict.fromkeys(picked))
        return tuple(picked)

    def on_unreachable(self, node: NodeId, number: int | None = None) -> None:
        """The link to a member closed, or a ping (by its number) could not go: ask others now."""
        probe = self._probe
        if probe is not None and probe.node == node and number in (None, probe.number):
            self.on_timeout()

    # -- what came of it -------------------------------------------------------------------------

    def on_ack(self, sender: NodeId, number: int) -> None:
        """An answer, if it is to our own probe and from whom it was asked; else it is ignored."""
        probe = self._probe
        if probe is None or probe.number != number or probe.is_answered:
            return
        if sender == probe.node and probe.is_pinged:
            self._table.on_round_trip(sender, self._state.now - probe.started_at)
        probe.is_answered = sender == probe.node or sender in probe.asked

    def on_nack(self, sender: NodeId, nack: Nack) -> None:
        """Somebody asked has no answer: it shows that we can be heard, and hear."""
        probe = self._probe
        if probe is not None and probe.number == nack.number and sender in probe.asked:
            probe.nacks[sender] = nack.is_linked

    def _judge(self, probe: Probe) -> None:
        """The period is over: what its probe says of the member, and of ourselves."""
        if probe.is_answered:
            self._state.health.apply_probe(-1)
            self._searches.pop(probe.node, None)
            self._is_deaf = False
            return
        member = self._state.members.get(probe.node)
        if member is None or member.status is MemberStatus.DEAD:
            # Its silence was to be expected, and says nothing of our hearing.
            self._searches.pop(probe.node, None)
            return
        self._state.health.apply_probe(0 if probe.nacks else max(1, len(probe.asked)))
        was_deaf, self._is_deaf = self._is_deaf, bool(probe.asked) and not probe.nacks
        if self._is_deaf and not was_deaf:
            # Not a word from anybody: more likely it is we who do not hear. Try once more, slower.
            self.probe_soon(probe.node)
        elif not probe.asked or self._has_evidence(probe):
            self._accuse(probe.node)
        else:
            self._on_nobody_linked(probe.node)

    def _has_evidence(self, probe: Probe) -> bool:
        """Whether a link to the member, ours or another's, was silent."""
        is_linked = probe.is_pinged and probe.node in self._state.links
        return is_linked or any(probe.nacks.values())

    def _on_nobody_linked(self, node: NodeId) -> None:
        search = self._searches.setdefault(node, Search(LOST_ROUNDS))
        search.rounds_left -= 1
        if search.rounds_left > 0:
            self.probe_soon(node)
        else:
            self._accuse(node)

    def _accuse(self, node: NodeId) -> None:
        self._searches.pop(node, None)
        self._table.apply_own_doubt(node, Suspect)
