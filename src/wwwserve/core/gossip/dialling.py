"""Making links: to every live member, to the addresses the operator gave, and to the absent."""

from collections.abc import Iterable
from dataclasses import dataclass

from wwwserve.core.effects import Dial
from wwwserve.core.gossip.agenda import Task
from wwwserve.core.gossip.own import OwnRecord
from wwwserve.core.gossip.rules import JITTER_PERMILLE, compute_backoff_us, is_live
from wwwserve.core.gossip.state import (
    DIALS_BURST_MAX,
    DIALS_MAX,
    DIALS_PER_PERIOD,
    JOIN_ATTEMPTS_MAX,
    LINKS_DIALLED_MAX,
    MEETINGS_MAX,
    Meeting,
    State,
)
from wwwserve.core.gossip.table import Table
from wwwserve.values.ids import NodeId
from wwwserve.values.limits import LINK_HANDSHAKE_US
from wwwserve.values.moments import Moment, after

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
        self._attempts: dict[str, Attempt] = {}
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

    def on_join(self, addresses: tuple[str, ...], node: NodeId | None) -> None:
        """The operator wants somebody met: now, and again for a while if it fails."""
        if not addresses:
            return
        meeting = Meeting(addresses, node, is_lasting=False)
        known = self._meetings.pop(meeting.subject, None)
        if known is not None:
            meeting.is_lasting = known.is_lasting
        elif len(self._meetings) >= MEETINGS_MAX:
            oldest = next(iter(self._meetings))
            del self._meetings[oldest]
            self._state.agenda.cancel(Task.MEET, oldest)
        self._meetings[meeting.subject] = meeting
        self._state.agenda.set(self._state.now, Task.MEET, meeting.subject)

    # -- what is due -----------------------------------------------------------------------------

    def on_dial_due(self, node: NodeId) -> None:
        """A live member without a link: dial it, if there is room and it has an address."""
        state = self._state
        member = state.members.get(node)
        if member is None or not is_live(member) or node in state.links:
            return
        addresses = member.opened.record.addresses
        if not addresses:
            return
        if len(state.links) + len(self._attempts) >= LINKS_DIALLED_MAX:
            self._retry(Task.DIAL, node, state.parameters.push_pull_period_us)
            return
        if not self._take_ration():
            self._retry(Task.DIAL, node, state.parameters.probe_period_us)
            return
        address = addresses[member.dial_attempts % len(addresses)]
        self._dial(address, node, Task.DIAL, node)

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
        state, meeting = self._state, self._meetings.get(subject)
        if meeting is None:
            return
        address = meeting.addresses[meeting.attempts % len(meeting.addresses)]
        is_own = meeting.expected == state.node or address in self._own.opened.record.addresses
        if is_own or self._is_linked_at(meeting):
            self._on_met(meeting)
            return
        self._dial(address, meeting.expected, Task.MEET, subject)

    def on_knock_due(self) -> None:
        """Somebody who is dead, or in the book and not heard of: each in turn, unhurried.

        So separated halves of a network find each other again [GOSSIP-LINKS.4].
        """
        state = self._state
        absent = self._table.get_absent()
        if absent is not None and absent[0] not in state.links:
            node, addresses = absent
            address = state.entropy.pick(addresses)
            self._dial(address, node, Task.KNOCK, b"")
        parameters = state.parameters
        alone_us, usual_us = parameters.probe_period_us, parameters.push_pull_period_us
        self._retry(Task.KNOCK, b"", usual_us if state.links else alone_us)

    # -- what came of it -------------------------------------------------------------------------

    def on_link_opened(self, peer: NodeId, address: str, *, is_dialled: bool) -> None:
        """A link is there, whoever made it."""
        state = self._state
        state.agenda.cancel(Task.DIAL, peer)
        member = state.members.get(peer)
        if member is not None:
            member.dial_attempts = 0
        if is_dialled:
            self._on_found(self._attempts.pop(address, None), peer)

    def on_link_closed(self, peer: NodeId) -> None:
        """A link is gone: make it anew soon, unless its member is."""
        state = self._state
        if peer in state.members:
            self._retry(Task.DIAL, peer, state.parameters.probe_period_us)

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
            meeting.found = peer
            self._on_met(meeting)

    def _is_linked_at(self, meeting: Meeting) -> bool:
        """Whether there is a link already to who is at these addresses, whoever dialled it.

        To dial once more would only make the shells close one of the two, with all it carries.
        """
        state = self._state
        if meeting.expected in state.links or meeting.found in state.links:
            return True
        linked = (
            state.members[node].opened.record for node in state.links if node in state.members
        )
        return meeting.expected is None and any(
            address in meeting.addresses for record in linked for address in record.addresses
        )

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
        state = self._state
        if attempt.task is Task.DIAL:
            member = state.members.get(NodeId(attempt.subject))
            if member is not None:
                member.dial_attempts += 1
                addresses = member.opened.record.addresses
                wait_us = compute_backoff_us(state.parameters, member.dial_attempts, addresses)
                self._retry(Task.DIAL, attempt.subject, wait_us)
        elif attempt.task is Task.MEET:
            meeting = self._meetings.get(attempt.subject)
            if meeting is not None:
                meeting.attempts += 1
                self._meet_again(meeting)

    def _meet_again(self, meeting: Meeting) -> None:
        if meeting.attempts >= JOIN_ATTEMPTS_MAX and not meeting.is_lasting:
            del self._meetings[meeting.subject]
            return
        wait_us = compute_backoff_us(self._state.parameters, meeting.attempts, meeting.addresses)
        self._retry(Task.MEET, meeting.subject, wait_us)

    def _on_met(self, meeting: Meeting) -> None:
        meeting.attempts = 0
        if meeting.is_lasting:
            period_us = self._state.parameters.push_pull_period_us
            self._retry(Task.MEET, meeting.subject, period_us)
        else:
            del self._meetings[meeting.subject]

    def _retry(self, task: Task, subject: bytes, wait_us: int) -> None:
        state = self._state
        jittered = state.entropy.jitter(wait_us, JITTER_PERMILLE)
        state.agenda.set(after(state.now, jittered), task, subject)
