"""Handing out records: what a peer lacks goes in parts, with a pause between them.

So no peer is sent faster than it reads, no call of the core is long, and a node that is asked for
its whole table by many newcomers at once still does everything else.
"""

from typing import Final

from wwwserve.core.facts import MemberStatus
from wwwserve.core.gossip.agenda import Task
from wwwserve.core.gossip.claims import compute_claim_bytes
from wwwserve.core.gossip.own import OwnRecord
from wwwserve.core.gossip.rules import compute_doubt
from wwwserve.core.gossip.state import State
from wwwserve.values.ids import NodeId
from wwwserve.values.limits import KIB, PUSH_PULL_RECORDS_MAX
from wwwserve.values.moments import after
from wwwserve.wire import Alive, Dead, PushPull, SealedRecord, Suspect

PART_BYTES_MAX: Final = 48 * KIB
"""Records and doubts in one part; more are in the next."""
PARTS_PER_GOSSIP_PERIOD: Final = 2
"""Parts a peer is given in a gossip period: with `MAIN`, half of what a link lets a peer say."""


class Giver:
    """Whom to give which records; bounded by the links and the members there are."""

    def __init__(self, state: State, own: OwnRecord) -> None:
        """Nobody is owed anything."""
        self._state = state
        self._own = own
        # A peer with an empty entry was given the last part just before.
        self._owed: dict[NodeId, dict[NodeId, None]] = {}

    def owe(self, peer: NodeId, nodes: list[NodeId]) -> None:
        """Give a linked peer these nodes' records: now, and what is too much for one part later."""
        if not nodes:
            return
        owed = self._owed.get(peer)
        if owed is None:
            self._owed[peer] = dict.fromkeys(nodes)
            self.on_give_due(peer)
        else:
            owed.update(dict.fromkeys(nodes))

    def on_give_due(self, peer: NodeId) -> None:
        """Give the next part, as the records are now."""
        owed = self._owed.get(peer)
        if not owed:
            self._owed.pop(peer, None)
            return
        self._give_part(peer, owed)
        state = self._state
        pause_us = state.parameters.gossip_period_us // PARTS_PER_GOSSIP_PERIOD
        state.agenda.set(after(state.now, pause_us), Task.GIVE, peer)

    def on_link_closed(self, peer: NodeId) -> None:
        """The peer is owed nothing more."""
        self._owed.pop(peer, None)
        self._state.agenda.cancel(Task.GIVE, peer)

    def _give_part(self, peer: NodeId, owed: dict[NodeId, None]) -> None:
        records: list[SealedRecord] = []
        doubts: list[Suspect | Dead] = []
        has_own = False
        room = PART_BYTES_MAX
        for node in list(owed):
            record, doubt = self._find(node)
            size = 0 if record is None else compute_claim_bytes(Alive(record))
            size += 0 if doubt is None else compute_claim_bytes(doubt)
            if size > room or len(records) == PUSH_PULL_RECORDS_MAX:
                break
            room -= size
            del owed[node]
            if record is not None:
                records.append(record)
                has_own = has_own or node == self._state.node
            if doubt is not None:
                doubts.append(doubt)
        if records:
            part = PushPull(tuple(records), tuple(doubts))
            self._state.send(peer, part, self._own.lane if has_own else None)

    def _find(self, node: NodeId) -> tuple[SealedRecord | None, Suspect | Dead | None]:
        """A node's record with what is held against it; nothing of the dead [GOSSIP-EXCHANGE.4]."""
        if node == self._state.node:
            return self._own.opened.sealed, None
        member = self._state.members.get(node)
        if member is None or member.status is MemberStatus.DEAD:
            return None, None
        return member.opened.sealed, compute_doubt(member)
