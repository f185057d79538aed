"""Who is here: the table of members, and what moves one from one status to another.

All of `Member.status` is decided in `Table`; the rules are [GOSSIP-ORDER] of spec/gossip.md.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import Final

from wwwserve.core.facts import MemberChanged, MemberStatus
from wwwserve.core.gossip.agenda import Task
from wwwserve.core.gossip.book import Book
from wwwserve.core.gossip.effects import MemberUpdated
from wwwserve.core.gossip.roster import Roster
from wwwserve.core.gossip.rules import (
    compute_status_after,
    compute_suspicion_us,
    is_confirmation,
    is_late,
    is_live,
)
from wwwserve.core.gossip.state import (
    CONFIRMATIONS_MAX,
    TRUSTED_PERIODS,
    VERSION_MAX,
    Member,
    State,
)
from wwwserve.core.snapshot import MemberView
from wwwserve.values.ids import NodeId
from wwwserve.values.limits import LINKS_MAX, MEMBERS_MAX
from wwwserve.values.moments import Moment, after
from wwwserve.values.refusals import Refusal, Severity
from wwwserve.wire import Alive, Dead, Gossip, OpenedRecord, Suspect

LET_GO_LOOKED_AT: Final = 2 * LINKS_MAX
"""Members in a row of a full table of which one may be forgotten; so many are not all linked."""
_DOUBTED = (MemberStatus.SUSPECT, MemberStatus.DEAD)


class Table:
    """The members known, and every change of what is held of them."""

    def __init__(self, state: State, book: Book) -> None:
        """Nobody yet; those in the book become members when they are heard of."""
        self._state = state
        self._book = book
        self._order: list[NodeId] = []
        self._views: tuple[MemberView, ...] | None = None
        # Whom to dial now and then: the dead with an address, and those in the book not heard of
        # since the start.
        self._absent = Roster(state.entropy.split("absent"))
        for node in book.get_nodes():
            self._absent.add(node)
        # Members dead or left, the longest gone first.
        self._gone: dict[NodeId, None] = {}

    # -- looking ---------------------------------------------------------------------------------

    def get_view(self, node: NodeId) -> MemberView | None:
        """A member as others see it."""
        member = self._state.members.get(node)
        return None if member is None else self._view(node, member)

    def get_views(self) -> Sequence[MemberView]:
        """All members, in the order of their ids."""
        if self._views is None:
            members = self._state.members
            self._views = tuple(self._view(node, members[node]) for node in self._order)
        return self._views

    def is_old(self, opened: OpenedRecord) -> bool:
        """Whether a member's record as new as this one, or newer, is held already."""
        member = self._state.members.get(opened.node)
        return member is not None and opened.record.version <= member.opened.record.version

    @property
    def has_room(self) -> bool:
        """Whether a stranger could be taken in."""
        return len(self._state.members) < MEMBERS_MAX or bool(self._gone)

    def get_some(self, count: int) -> list[NodeId]:
        """Up to `count` members in a row of the order of their ids, from a random one on."""
        order = self._order
        if len(order) <= count:
            return list(order)
        start = self._state.entropy.below(len(order))
        return order[start : start + count] + order[: max(0, start + count - len(order))]

    def get_range(self, start: bytes, end: bytes) -> list[NodeId]:
        """All members from one id up to but not including another, in order."""
        order = self._order
        return order[bisect_left(order, start) : bisect_left(order, end)]

    def get_absent(self) -> tuple[NodeId, tuple[str, ...]] | None:
        """Somebody to knock at, and where: each in turn, in an order of this node's own.

        So the nodes of a network share the work.
        """
        node = self._absent.draw()
        if node is None:
            return None
        member = self._state.members.get(node)
        opened = self._book.get(node) if member is None else member.opened
        assert opened is not None, "the absent are members or in the book"
        return node, opened.record.addresses

    # -- news ------------------------------------------------------------------------------------

    def apply_record(self, opened: OpenedRecord) -> None:
        """Take in a node's own record: the higher version wins over all that was held of the lower.

        Raises `Refusal` for a version no node may use, or when there is no room for a stranger.
        """
        record, node = opened.record, opened.node
        if record.version >= VERSION_MAX:
            raise Refusal("version-bound", f"a record of version {record.version}")
        member = self._state.members.get(node)
        if member is None:
            if not record.is_leaving:
                self._admit(opened)
            return
        if record.version <= member.opened.record.version:
            return
        if member.status in _DOUBTED or self._is_trusted(member):
            member.refuted_at = self._state.now
        member.opened = opened
        self._set_status(
            node, member, MemberStatus.LEFT if record.is_leaving else MemberStatus.ALIVE
        )
        self._state.spread(node, Alive(opened.sealed))

    def apply_doubt(self, doubt: Suspect | Dead) -> bool:
        """Take in somebody's fresh doubt about a member, and pass it on if it changed anything.

        If there is a link, and the member has refuted a doubt lately, it is asked itself first. The
        answer is whether it is to be probed soon: the doubt is new, there is a link, and this node
        has not found it silent itself.
        """
        node = NodeId(doubt.node)
        member = self._state.members.get(node)
        if member is None:
            return False
        if node in self._state.links and self._is_trusted(member):
            return self._put(node, member, doubt)
        return self._believe(node, member, doubt)

    def _believe(self, node: NodeId, member: Member, doubt: Suspect | Dead) -> bool:
        state, accuser = self._state, NodeId(doubt.accuser)
        status = compute_status_after(member, doubt)
        if status is not member.status:
            self._set_status(node, member, status, (accuser,))
        elif is_confirmation(member, doubt):
            member.accusers += (accuser,)
            self._set_verdict(node, member)
        else:
            return False
        state.spread(node, doubt)
        return node in state.links and state.node not in member.accusers

    def apply_old_doubt(self, doubt: Suspect | Dead) -> bool:
        """Take in a doubt from another's table, which may be long out of date [GOSSIP-EXCHANGE.5].

        Whoever has a link to the member passes the doubt to it and judges by itself: then the
        answer is True, for the member is to be probed soon. Others suspect it, so that it has time
        to refute, and never take it for dead at once.
        """
        node = NodeId(doubt.node)
        member = self._state.members.get(node)
        if member is None or member.status is not MemberStatus.ALIVE:
            return False
        if node in self._state.links:
            return self._put(node, member, doubt)
        self._believe(node, member, Suspect(doubt.node, doubt.version, doubt.accuser))
        return False

    def _put(self, node: NodeId, member: Member, doubt: Suspect | Dead) -> bool:
        """Tell a linked member, held alive, of a doubt that is not believed, so that it refutes it.

        It could not more than once in a gossip period, and is not told more often. The answer is
        whether the doubt is about the version held, so that the member is to be probed soon.
        """
        state = self._state
        if compute_status_after(member, doubt) is MemberStatus.ALIVE:
            return False
        period_us = state.parameters.gossip_period_us
        if member.told_at is None or state.now >= after(member.told_at, period_us):
            member.told_at = state.now
            suspicion = Suspect(doubt.node, doubt.version, doubt.accuser)
            state.send(node, Gossip((suspicion,)))
        return True

    def _is_trusted(self, member: Member) -> bool:
        """Whether it is held alive, and has refuted a doubt lately."""
        if member.refuted_at is None or member.status is not MemberStatus.ALIVE:
            return False
        trusted_us = TRUSTED_PERIODS * self._state.parameters.probe_period_us
        return self._state.now < after(member.refuted_at, trusted_us)

    def apply_own_doubt(self, node: NodeId, kind: type[Suspect] | type[Dead]) -> None:
        """This node itself found a member silent, or its suspicion not refuted in time."""
        member = self._state.members.get(node)
        if member is not None:
            doubt = kind(node, member.opened.record.version, self._state.node)
            self._believe(node, member, doubt)

    def on_verdict_due(self, node: NodeId, due: Moment) -> None:
        """A suspicion was not refuted in time: its member is dead.

        Unless it is we who slept: then the refutation may lie unread, and has the shortest of times
        again.
        """
        state = self._state
        if is_late(state.parameters, due, state.now):
            again_us = compute_suspicion_us(state.parameters, state.live_count, CONFIRMATIONS_MAX)
            state.agenda.set(after(state.now, again_us), Task.DECLARE_DEAD, node)
        else:
            self.apply_own_doubt(node, Dead)

    # -- links and time --------------------------------------------------------------------------

    def on_link_changed(self, node: NodeId) -> None:
        """A link came or went. Over a link a node in the book has shown that it is alive."""
        member = self._state.members.get(node)
        if member is None and node in self._state.links:
            known = self._book.get(node)
            if known is not None:
                self._admit(known)
        elif member is not None:
            self._show(node, member)

    def on_round_trip(self, node: NodeId, round_trip_us: int) -> None:
        """A member answered a probe after so long."""
        member = self._state.members.get(node)
        if member is not None:
            member.round_trip_us = round_trip_us
            member.view = self._views = None

    def on_forget_due(self, node: NodeId) -> None:
        """A node has been gone long enough. While alone we forget nobody: the way back is here."""
        if not self._state.links:
            again = after(self._state.now, self._state.parameters.dead_memory_us)
            self._state.agenda.set(again, Task.FORGET, node)
        elif node in self._state.members:
            self._forget(node)
        else:
            self._absent.remove(node)
            self._book.remove(node)

    def on_started(self) -> None:
        """The book's nodes have until now to be heard of, then they are forgotten."""
        due = after(self._state.now, self._state.parameters.dead_memory_us)
        for node in self._absent:
            self._state.agenda.set(due, Task.FORGET, node)

    # -- the one place where members change ------------------------------------------------------

    def _admit(self, opened: OpenedRecord) -> None:
        node = opened.node
        if len(self._state.members) >= MEMBERS_MAX:
            self._make_room(node)
        # A stranger counts as gone until its status is set, two lines below.
        member = Member(opened, MemberStatus.LEFT)
        self._state.members[node] = member
        insort(self._order, node)
        self._set_status(node, member, MemberStatus.ALIVE)
        self._state.spread(node, Alive(opened.sealed))

    def _make_room(self, stranger: NodeId) -> None:
        """Forget the longest gone, or for a linked stranger some member without a link.

        A link proves that somebody is there; of records alone there may be any number. Raises
        `Refusal` when there is nobody to forget.
        """
        longest = next(iter(self._gone), None)
        if longest is None and stranger in self._state.links:
            longest = self._let_go()
        if longest is None:
            raise Refusal("members-full", f"{MEMBERS_MAX} members are known", Severity.IGNORE)
        self._forget(longest)

    def _let_go(self) -> NodeId | None:
        """Hold one of some members without a link for gone: who could be dialled least."""
        members, links = self._state.members, self._state.links
        unlinked = [node for node in self.get_some(LET_GO_LOOKED_AT) if node not in links]
        if not unlinked:
            return None
        node = max(unlinked, key=lambda node: members[node].dial_attempts)
        self._set_status(node, members[node], MemberStatus.LEFT)
        return node

    def _forget(self, node: NodeId) -> None:
        del self._gone[node], self._state.members[node]
        del self._order[bisect_left(self._order, node)]
        self._views = None
        self._absent.remove(node)
        self._state.agenda.cancel(Task.FORGET, node)
        self._state.claims.drop(node)
        self._book.remove(node)

    def _set_status(
        self,
        node: NodeId,
        member: Member,
        status: MemberStatus,
        accusers: tuple[NodeId, ...] = (),
    ) -> None:
        """Move a member to a status (or a newer record of the same), with all that follows."""
        was_live = is_live(member)
        is_changed = status is not member.status
        member.status, member.accusers = status, accusers
        self._state.live_count += is_live(member) - was_live
        self._state.digests.hold(node, member.opened.record.version, status)
        self._state.agenda.cancel(Task.DECLARE_DEAD, node)
        match status:
            case MemberStatus.ALIVE:
                self._on_alive(node, member)
            case MemberStatus.SUSPECT:
                member.suspected_at = self._state.now
                self._set_verdict(node, member)
            case MemberStatus.DEAD | MemberStatus.LEFT:
                self._on_gone(node, member)
        if is_changed:
            self._state.report(MemberChanged(node, status, member.opened.record.version))
        self._show(node, member)

    def _set_verdict(self, node: NodeId, member: Member) -> None:
        """When a suspect is to be declared dead: the sooner the more have found it silent."""
        state, confirmations = self._state, len(member.accusers) - 1
        wait_us = compute_suspicion_us(state.parameters, state.live_count, confirmations)
        due = max(state.now, after(member.suspected_at, wait_us))
        state.agenda.set(due, Task.DECLARE_DEAD, node)

    def _on_alive(self, node: NodeId, member: Member) -> None:
        state = self._state
        state.agenda.cancel(Task.FORGET, node)
        self._absent.remove(node)
        self._gone.pop(node, None)
        self._book.put(member.opened)
        if node not in state.links and not state.has_left:
            # Both may dial; the smaller id begins, so that mostly there is one link to make.
            wait_us = 0 if state.node < node else state.parameters.probe_period_us
            state.agenda.set_once(after(state.now, wait_us), Task.DIAL, node)

    def _on_gone(self, node: NodeId, member: Member) -> None:
        self._gone[node] = None
        if member.opened.record.addresses:
            # Who left may only have been restarted, and may not know where to find anybody.
            self._absent.add(node)
        due = after(self._state.now, self._state.parameters.dead_memory_us)
        self._state.agenda.set(due, Task.FORGET, node)

    def _show(self, node: NodeId, member: Member) -> None:
        member.view = self._views = None
        self._state.effects.append(MemberUpdated(self._view(node, member)))

    def _view(self, node: NodeId, member: Member) -> MemberView:
        if member.view is None:
            member.view = MemberView(
                node=node,
                status=member.status,
                record=member.opened.record,
                is_linked=node in self._state.links,
                round_trip_us=member.round_trip_us,
            )
        return member.view
