"""Making links: to the members wanted as neighbours, to given addresses, and to the absent."""

from collections.abc import Iterable
from dataclasses import dataclass

from wwwserve.core.effects import CloseLink, Dial
from wwwserve.core.facts import MemberStatus
from wwwserve.core.gossip.agenda import Task
from wwwserve.core.gossip.neighbours import LINKS_CROWDED, Neighbours, can_be_dialled
from wwwserve.core.gossip.own import OwnRecord
from wwwserve.core.gossip.rules import (
    JITTER_PERMILLE,
    compute_backoff_us,
    compute_knock_us,
    is_live,
)
from wwwserve.core.gossip.state import (
    DIALS_BURST_MAX,
    DIALS_MAX,
    DIALS_PER_PERIOD,
    JOIN_ATTEMPTS_MAX,
    MEETINGS_MAX,
    Meeting,
    State,
)
from wwwserve.core.gossip.table import Table
from wwwserve.values.ids import NodeId
from wwwserve.values.limits import LINK_HANDSHAKE_US, LINKS_MAX
from wwwserve.values.moments import Moment, after

DOUBTED_LINK_PERIODS = 10
"""Probe periods for which the link of a member in doubt is kept; a living one refutes sooner."""
SHED_REST_PERIODS = 10
"""Push/pull periods in which a member that had no room is not chosen again, nor one that often was
not there. It had room if the link lasted as long."""
_ANSWER_WAIT_US = 2 * LINK_HANDSHAKE_US
"""A dial not answered by then counts as failed, so that no lost answer blocks an address."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A dial not yet answered, and for what it was made."""

    task: Task
    subject: bytes
    expected: NodeId | None
    expires_at: Moment


class Dialler:
    """Who is dialled, when, and when again. Duplicate links are resolved by the shell."""

    def __init__(
        self,
        state: State,
        table: Table,
        own: OwnRecord,
        bootstrap: Iterable[tuple[str, NodeId | None]],
    ) -> None:
        """The bootstrap addresses are met from `on_started` on, and never given up."""
        self._state = state
        self._table = table
        self._own = own
        self._neighbours = Neighbours(state)
        self._attempts: dict[str, Attempt] = {}
        self._opened_at: dict[NodeId, Moment] = {}
        """When we made the links that we dialled."""
        self._doubted_since: dict[NodeId, Moment] = {}
        """Since when the members of these links were seen in doubt."""
        self._ration = DIALS_BURST_MAX
        """Members that may be dialled at once."""
        self._rationed_at = state.now
        self._meetings: dict[bytes, Meeting] = {}
        for address, node in bootstrap:
            meeting = Meeting((address,), node, is_lasting=True)
            self._meetings[meeting.subject] = meeting

    def on_started(self) -> None:
        """Meet the bootstrap addresses now, and knock at those in the book."""
        for subject in self._meetings:
            self._state.agenda.set(self._state.now, Task.MEET, subject)
        self._state.agenda.set(self._state.now, Task.KNOCK)
        self._retry(Task.TEND, b"", self._state.parameters.probe_period_us)

    def on_join(self, addresses: tuple[str, ...], node: NodeId | None) -> None:
        """The operator wants somebody met: now, and again for a while if it fails."""
        if not addresses:
            return
        meeting = Meeting(addresses, node, is_lasting=False)
        known = self._meetings.pop(meeting.subject, None)
        if known is not None:
            meeting.is_lasting = known.is_lasting
        self._make_room()
        self._meetings[meeting.subject] = meeting
        self._state.agenda.set(self._state.now, Task.MEET, meeting.subject)

    def _make_room(self) -> None:
        """Give up the oldest `Join` for a new one; a bootstrap entry never."""
        joins = [subject for subject, one in self._meetings.items() if not one.is_lasting]
        if len(joins) >= MEETINGS_MAX:
            del self._meetings[joins[0]]
            self._state.agenda.cancel(Task.MEET, joins[0])

    # -- what is due -----------------------------------------------------------------------------

    def on_tend_due(self) -> None:
        """Dial whom we want a link to, and shed links when others need the room."""
        state = self._state
        under_way = {attempt.expected for attempt in self._attempts.values()}
        for node in self._neighbours.choose():
            if node not in under_way:
                state.agenda.set_once(state.now, Task.DIAL, node)
        for peer in self._neighbours.pick_shed(self._opened_at):
            state.effects.append(CloseLink(peer, "too many links", is_shed=True))
        for peer in self._pick_silent():
            state.effects.append(CloseLink(peer, "its node is in doubt", is_shed=True))
        self._retry(Task.TEND, b"", state.parameters.probe_period_us)

    def _pick_silent(self) -> list[NodeId]:
        """Links whose members have been in doubt for long: nothing comes over them.

        An idle link takes a while to notice by itself, and as long as it is there nobody dials.
        """
        state = self._state
        self._doubted_since = {
            node: self._doubted_since.get(node, state.now)
            for node in state.links
            if node in state.members and state.members[node].status is not MemberStatus.ALIVE
        }
        kept_us = DOUBTED_LINK_PERIODS * state.parameters.probe_period_us
        doubted = self._doubted_since.items()
        return [node for node, since in doubted if state.now >= after(since, kept_us)]

    def on_dial_due(self, node: NodeId) -> None:
        """A member without a link: dial it, if it is wanted and there is room."""
        state = self._state
        member = state.members.get(node)
        if member is None or not is_live(member) or node in state.links:
            return
        if not self._neighbours.is_wanted(node) or not can_be_dialled(member.opened.record):
            return
        if len(state.links) + len(self._attempts) >= LINKS_MAX:
            self._retry(Task.DIAL, node, state.parameters.push_pull_period_us)
            return
        if not self._take_ration():
            self._retry(Task.DIAL, node, state.parameters.probe_period_us)
            return
        addresses = member.opened.record.addresses
        self._dial(addresses[member.dial_attempts % len(addresses)], node, Task.DIAL, node)

    def on_moved(self, node: NodeId) -> None:
        """A member says that it accepts links elsewhere: what failed before says nothing now."""
        state = self._state
        member = state.members.get(node)
        if member is not None and node not in state.links and not state.has_left:
            member.dial_attempts = 0
            self._neighbours.wake(node)
            state.agenda.set(state.now, Task.DIAL, node)

    def _take_ration(self) -> bool:
        """Whether one more member may be dialled now.

        Anybody can sign records that name other people's addresses, and gossip brings them to all;
        without a ration, a few hundred keys would make a network knock at any door for them.
        """
        state = self._state
        pause_us = state.parameters.probe_period_us // DIALS_PER_PERIOD
        earned = (state.now - self._rationed_at) // pause_us
        if self._ration + earned >= DIALS_BURST_MAX:
            self._ration, self._rationed_at = DIALS_BURST_MAX, state.now
        else:
            self._ration += earned
            self._rationed_at = after(self._rationed_at, earned * pause_us)
        if self._ration == 0:
            return False
        self._ration -= 1
        return True

    def on_meet_due(self, subject: bytes) -> None:
        """Somebody the operator wants met."""
        meeting = self._meetings.get(subject)
        if meeting is None:
            return
        addresses = self._list_useful(meeting)
        if not addresses or self._is_met(meeting):
            self._on_met(meeting)
            return
        address = addresses[meeting.attempts % len(addresses)]
        self._dial(address, meeting.expected, Task.MEET, subject)

    def _list_useful(self, meeting: Meeting) -> tuple[str, ...]:
        """A meeting's addresses at which somebody other than this node may be found.

        Another key may well be expected at an own address: two private networks have the same.
        """
        if meeting.expected == self._state.node:
            return ()
        if meeting.expected is not None:
            return meeting.addresses
        own = self._own.opened.record.addresses
        return tuple(address for address in meeting.addresses if address not in own)

    def on_knock_due(self) -> None:
        """Somebody who is dead, or in the book and not heard of: all nodes share the work.

        So separated halves of a network find each other again [GOSSIP-LINKS.4].
        """
        state = self._state
        absent = self._table.get_absent()
        if absent is not None and absent[0] not in state.links and self._take_ration():
            node, addresses = absent
            address = state.entropy.pick(addresses)
            self._dial(address, node, Task.KNOCK, b"")
        live_count = state.live_count if state.links else 0
        self._retry(Task.KNOCK, b"", compute_knock_us(state.parameters, live_count))

    # -- what came of it -------------------------------------------------------------------------

    def on_link_opened(self, peer: NodeId, address: str, *, is_dialled: bool) -> None:
        """A link is there, whoever made it."""
        state = self._state
        state.agenda.cancel(Task.DIAL, peer)
        self._neighbours.wake(peer)
        if len(state.links) > LINKS_CROWDED:
            # A table is learned in less than this; then there is room for the next newcomer.
            soon = after(state.now, state.parameters.gossip_period_us)
            state.agenda.set(soon, Task.TEND)
        if is_dialled:
            self._opened_at[peer] = state.now
            self._on_found(self._attempts.pop(address, None), peer)

    def on_link_closed(self, peer: NodeId, *, is_shed: bool) -> None:
        """A link is gone: make it anew soon, unless the peer has no room or ends all at once."""
        state = self._state
        opened_at = self._opened_at.pop(peer, None)
        member = state.members.get(peer)
        if member is None:
            return
        period_us = state.parameters.probe_period_us
        rest_us = SHED_REST_PERIODS * state.parameters.push_pull_period_us
        lasting_us = rest_us if is_shed else period_us
        has_lasted = opened_at is None or state.now >= after(opened_at, lasting_us)
        if is_shed and not has_lasted and not self._neighbours.is_mesh:
            self._try_later(peer, rest_us)
        elif not has_lasted:
            self._on_member_failed(peer)
        else:
            member.dial_attempts = 0
            self._try_later(peer, period_us)

    def on_dial_failed(self, address: str, peer: NodeId | None) -> None:
        """Nobody answered there, or not whom we expected, or a `peer` we have a link to already."""
        attempt = self._attempts.pop(address, None)
        if peer in self._state.links:
            self._on_found(attempt, peer)
        elif attempt is not None:
            self._on_failed(attempt)

    def _on_found(self, attempt: Attempt | None, peer: NodeId) -> None:
        if attempt is None or attempt.task is not Task.MEET:
            return
        meeting = self._meetings.get(attempt.subject)
        if meeting is not None:
            # Met for good when the link is still there a while later: it may have had no room.
            meeting.found = peer
            meeting.attempts += 1
            self._meet_again(meeting)

    def _is_met(self, meeting: Meeting) -> bool:
        """Whether we know already who is at these addresses: there is nobody to be met.

        Of two links to one node the shells close one, with all it carries. And in a large network
        not everybody can be linked to the nodes that all have on their lists: to know them as live
        is enough, as long as there is a link to anybody. Without a link its id must be known: any
        key can sign that it is at this address.
        """
        state = self._state
        if meeting.expected in state.links or meeting.found in state.links:
            return True
        known: Iterable[NodeId] = state.members if meeting.is_lasting else state.links
        return bool(state.links) and any(self._is_at(node, meeting) for node in known)

    def _is_at(self, node: NodeId, meeting: Meeting) -> bool:
        member = self._state.members.get(node)
        if member is None or meeting.expected not in (None, node):
            return False
        if node not in self._state.links:
            return is_live(member) and node in (meeting.expected, meeting.found)
        is_there = any(place in meeting.addresses for place in member.opened.record.addresses)
        return is_there or node in (meeting.expected, meeting.found)

    # -- the one place where dials are made ------------------------------------------------------

    def _dial(self, address: str, node: NodeId | None, task: Task, subject: bytes) -> None:
        state = self._state
        self._drop_unanswered()
        if address in self._attempts or len(self._attempts) >= DIALS_MAX:
            if task is not Task.KNOCK:
                self._retry(task, subject, state.parameters.probe_period_us)
            return
        expires_at = after(state.now, _ANSWER_WAIT_US)
        self._attempts[address] = Attempt(task, subject, node, expires_at)
        state.effects.append(Dial(address, node))

    def _drop_unanswered(self) -> None:
        while self._attempts:
            address, oldest = next(iter(self._attempts.items()))
            if self._state.now < oldest.expires_at:
                return
            self.on_dial_failed(address, oldest.expected)

    def _on_failed(self, attempt: Attempt) -> None:
        """Try again, later each time; knocks go on at their own pace."""
        if attempt.task is Task.DIAL:
            self._on_member_failed(NodeId(attempt.subject))
        elif attempt.task is Task.MEET:
            meeting = self._meetings.get(attempt.subject)
            if meeting is not None:
                meeting.attempts += 1
                self._meet_again(meeting)

    def _on_member_failed(self, node: NodeId) -> None:
        member = self._state.members.get(node)
        if member is not None:
            member.dial_attempts += 1
            addresses = member.opened.record.addresses
            parameters, failures = self._state.parameters, member.dial_attempts
            # Where not all are wanted, whoever is not there is soon left alone for long: a crowd of
            # records with nobody behind them must not take all dials.
            periods = 1 if self._neighbours.is_mesh else SHED_REST_PERIODS
            longest_us = periods * parameters.push_pull_period_us
            self._try_later(node, compute_backoff_us(parameters, failures, addresses, longest_us))

    def _try_later(self, node: NodeId, wait_us: int) -> None:
        """Prefer other members for so long; where all are wanted, dial this one then."""
        until = self._retry(Task.DIAL, node, wait_us)
        self._neighbours.rest(node, until)

    def _meet_again(self, meeting: Meeting) -> None:
        if meeting.attempts >= JOIN_ATTEMPTS_MAX and not meeting.is_lasting:
            del self._meetings[meeting.subject]
            return
        parameters = self._state.parameters
        wait_us = compute_backoff_us(
            parameters, meeting.attempts, meeting.addresses, parameters.push_pull_period_us
        )
        self._retry(Task.MEET, meeting.subject, wait_us)

    def _on_met(self, meeting: Meeting) -> None:
        meeting.attempts = 0
        if meeting.is_lasting:
            period_us = self._state.parameters.push_pull_period_us
            self._retry(Task.MEET, meeting.subject, period_us)
        else:
            del self._meetings[meeting.subject]

    def _retry(self, task: Task, subject: bytes, wait_us: int) -> Moment:
        state = self._state
        at = after(state.now, state.entropy.jitter(wait_us, JITTER_PERMILLE))
        state.agenda.set(at, task, subject)
        return at
