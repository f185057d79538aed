"""Whole tables between two peers, as the safety net under all gossip (push/pull).

An exchange is a question and an answer, each in as many messages as it takes. Only the last message
of a question says `is_answer=False`, so it is answered once, and no answer is ever answered. A lost
message costs what it said, until the next exchange; nothing waits for one.
"""

from collections.abc import Iterator, Mapping

from wwwserve.core.effects import CloseLink
from wwwserve.core.facts import MemberStatus
from wwwserve.core.gossip.agenda import Task
from wwwserve.core.gossip.claims import compute_claim_bytes
from wwwserve.core.gossip.own import OwnRecord
from wwwserve.core.gossip.rules import JITTER_PERMILLE, compute_doubt
from wwwserve.core.gossip.state import (
    INTRODUCTIONS_MAX,
    PUSH_PULL_PART_RECORDS_MAX,
    State,
)
from wwwserve.core.gossip.table import Table
from wwwserve.values.ids import NodeId
from wwwserve.values.limits import KIB, MESSAGE_BYTES_MAX, PUSH_PULL_RECORDS_MAX
from wwwserve.values.moments import after
from wwwserve.wire import Alive, Dead, OpenedRecord, PushPull, SealedRecord, Suspect

_PART_BYTES_MAX = MESSAGE_BYTES_MAX - KIB
"""Content of one message; the rest is for framing."""

Item = tuple[OpenedRecord | None, Suspect | Dead | None]
"""What is said of one node: its record, and what is held against it."""


class Exchange:
    """Asks for tables and answers with one."""

    def __init__(self, state: State, table: Table, own: OwnRecord) -> None:
        """Nothing is asked before `on_started`."""
        self._state = state
        self._table = table
        self._own = own

    def on_started(self) -> None:
        """Begin the round of exchanges."""
        self._set_next()

    def on_period(self) -> None:
        """Ask one linked peer."""
        if self._state.links:
            self.ask(self._state.entropy.pick(list(self._state.links)))
        self._set_next()

    def on_introduce_due(self, peer: NodeId) -> None:
        """A linked peer that has not shown its record is asked again, and in the end let go."""
        link = self._state.links.get(peer)
        if link is None or peer in self._state.members:
            return
        if link.introductions >= INTRODUCTIONS_MAX:
            self._state.effects.append(CloseLink(peer, "it has not shown a record we can take in"))
            return
        self.introduce(peer)

    def introduce(self, peer: NodeId) -> None:
        """Ask a peer for its table, and look later whether its own record came."""
        self._state.links[peer].introductions += 1
        self.ask(peer)
        self.expect_record(peer)

    def expect_record(self, peer: NodeId) -> None:
        """Look later whether a linked peer has shown its record; whoever dialled asks first."""
        due = after(self._state.now, self._state.parameters.probe_period_us)
        self._state.agenda.set(due, Task.INTRODUCE, peer)

    def ask(self, peer: NodeId) -> None:
        """Send our table, and want the peer's."""
        self._send(peer, {}, is_answer=False)

    def on_question(self, sender: NodeId, told: tuple[OpenedRecord, ...]) -> None:
        """Answer with what the asker has not just told us itself.

        Raises `Refusal` when it asks too often.
        """
        self._state.links[sender].answers.spend(self._state.now)
        self._send(sender, {opened.node: opened for opened in told}, is_answer=True)

    def _send(self, peer: NodeId, told: Mapping[NodeId, OpenedRecord], *, is_answer: bool) -> None:
        parts = list(_pack(self._walk(peer, told)))
        for index, (records, doubts) in enumerate(parts):
            is_last = index == len(parts) - 1
            message = PushPull(records, doubts, is_answer=is_answer or not is_last)
            # Our own record is in the first part; the others need not wait for it.
            self._state.send(peer, message, self._own.lane if index == 0 else None)

    def _walk(self, peer: NodeId, told: Mapping[NodeId, OpenedRecord]) -> Iterator[Item]:
        """What to say, the most urgent first: ourselves, what we hold of the peer, then others."""
        yield self._own.opened, None
        members = self._state.members
        if peer in members:
            # Its own record is said even if we hold it dead: if it lost its disk, so it learns its
            # old version.
            yield _get_news(members[peer].opened, told), compute_doubt(members[peer])
        for node in self._table.get_some(PUSH_PULL_RECORDS_MAX - 2):
            member = members[node]
            if node != peer:
                # Records of the dead stay here: whoever forgot them would take them for alive.
                is_dead = member.status is MemberStatus.DEAD
                yield None if is_dead else _get_news(member.opened, told), compute_doubt(member)

    def _set_next(self) -> None:
        state = self._state
        wait_us = state.entropy.jitter(state.parameters.push_pull_period_us, JITTER_PERMILLE)
        state.agenda.set(after(state.now, wait_us), Task.PUSH_PULL)


def _get_news(opened: OpenedRecord, told: Mapping[NodeId, OpenedRecord]) -> OpenedRecord | None:
    """The record, unless the one we were told is the same or newer."""
    other = told.get(opened.node)
    if other is None or other.record.version < opened.record.version:
        return opened
    is_newer = other.record.version > opened.record.version
    return None if is_newer or other.sealed == opened.sealed else opened


Part = tuple[tuple[SealedRecord, ...], tuple[Suspect | Dead, ...]]


def _pack(items: Iterator[Item]) -> Iterator[Part]:
    """Fill messages one after the other; a doubt never comes before the record it is about."""
    records: list[SealedRecord] = []
    doubts: list[Suspect | Dead] = []
    room = _PART_BYTES_MAX
    for opened, doubt in items:
        size = 0 if opened is None else compute_claim_bytes(Alive(opened.sealed))
        size += 0 if doubt is None else compute_claim_bytes(doubt)
        if size > room or len(records) == PUSH_PULL_PART_RECORDS_MAX:
            yield tuple(records), tuple(doubts)
            records, doubts, room = [], [], _PART_BYTES_MAX
        room -= size
        if opened is not None:
            records.append(opened.sealed)
        if doubt is not None:
            doubts.append(doubt)
    yield tuple(records), tuple(doubts)
