"""Comparing tables with one peer, as the safety net under all gossip (push/pull).

1. A node asks with the sums of its table (`digests`).
2. The peer answers with a listing: all it knows in the buckets whose sums differ, a bounded number
   of nodes, and where to ask on. Equal tables cost this much and no more.
3. The asker gives what it has newer, tells what it doubts, and wants what the peer has newer.
4. The peer gives what was wanted. Records go in parts, with pauses (`giving`).

A lost message costs what it said, until the next exchange; nothing waits for one. While exchanges
still bring news, the next comes soon.
"""

from bisect import insort
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from wwwserve.core.effects import CloseLink
from wwwserve.core.facts import MemberStatus
from wwwserve.core.gossip.agenda import Task
from wwwserve.core.gossip.comparing import DOUBTS, STANDINGS, Held, Step, compute_step
from wwwserve.core.gossip.digests import AFTER_ALL, FIRST_ID, compute_bounds
from wwwserve.core.gossip.giving import Giver
from wwwserve.core.gossip.own import OwnRecord
from wwwserve.core.gossip.rules import JITTER_PERMILLE, compute_doubt, is_live
from wwwserve.core.gossip.state import Allowance, State
from wwwserve.core.gossip.table import Table
from wwwserve.values.ids import NodeId
from wwwserve.values.limits import LISTING_ENTRIES_MAX, MEMBERS_MAX
from wwwserve.values.moments import after
from wwwserve.values.refusals import Refusal, Severity
from wwwserve.wire import (
    BUCKETS,
    Alive,
    Claim,
    Dead,
    Digest,
    Entry,
    Gossip,
    Listing,
    OpenedRecord,
    PushPull,
    Suspect,
)

INTRODUCTIONS_MAX: Final = 5
"""Times a linked peer is asked for its record before the link is closed as useless."""
ROUNDS_MAX: Final = 2 * MEMBERS_MAX // LISTING_ENTRIES_MAX
"""Questions in one exchange: enough for two full tables that have nothing in common."""
BRISK_QUESTIONS: Final = 3
"""Questions asked soon one after the other, each of somebody else, when exchanges bring news."""
LISTINGS_PER_PEER_MAX: Final = 2 * ROUNDS_MAX
"""Listings and old records one peer may ask of us in a push/pull period; an honest one asks for one
or two, a newcomer for the rounds of one exchange."""
RECORDS_PER_PEER_MAX: Final = 2 * MEMBERS_MAX
"""Records one peer may want of us in a push/pull period: the whole table, twice."""


@dataclass(slots=True)
class _Talk:
    """What was asked of a linked peer, and by it."""

    listings: Allowance
    records: Allowance
    asked: NodeId | None = None
    """From which id on it was asked to list; None when no answer is awaited."""
    rounds: int = 0
    """Questions of this exchange so far."""
    introductions: int = 0
    """Times it was asked because it had not shown its record."""


@dataclass(slots=True)
class _Findings:
    """What a listing comes to."""

    steps: dict[Step, list[NodeId]] = field(default_factory=lambda: {step: [] for step in Step})
    heard: list[Suspect | Dead] = field(default_factory=list)
    told: list[Suspect | Dead] = field(default_factory=list)


class Exchange:
    """Asks how peers' tables differ, and answers when they ask."""

    def __init__(self, state: State, table: Table, own: OwnRecord) -> None:
        """Nothing is asked before `on_started`."""
        self._state = state
        self._table = table
        self._own = own
        self._giver = Giver(state, own)
        self._talks: dict[NodeId, _Talk] = {}
        self._brisk_left = 0
        """How many of the next questions come a probe period after the one before."""

    # -- links and time --------------------------------------------------------------------------

    def on_started(self) -> None:
        """Begin the round of exchanges."""
        self._set_next(self._state.parameters.push_pull_period_us)

    def on_link_opened(self, peer: NodeId, *, is_dialled: bool) -> None:
        """Show who we are and what we hold against the peer; who dialled asks for the rest."""
        period_us = self._state.parameters.push_pull_period_us
        now = self._state.now
        self._talks[peer] = _Talk(
            listings=Allowance(LISTINGS_PER_PEER_MAX, period_us, now),
            records=Allowance(RECORDS_PER_PEER_MAX, period_us, now),
        )
        member = self._state.members.get(peer)
        doubt = None if member is None else compute_doubt(member)
        claims: tuple[Claim, ...] = (Alive(self._own.opened.sealed),)
        # Said first, so that a peer held dead refutes it before anything else is compared.
        self._state.send(
            peer, Gossip(claims if doubt is None else (*claims, doubt)), self._own.lane
        )
        if is_dialled:
            self.ask(peer)
        self._expect_record(peer)

    def on_link_closed(self, peer: NodeId) -> None:
        """Nothing more is asked of this peer, or owed to it."""
        self._talks.pop(peer, None)
        self._giver.on_link_closed(peer)
        self._state.agenda.cancel(Task.INTRODUCE, peer)

    def on_period(self) -> None:
        """Ask one linked peer."""
        parameters = self._state.parameters
        if self._state.links:
            self.ask(self._state.entropy.pick(list(self._state.links)))
        is_brisk = self._brisk_left > 0
        self._brisk_left -= is_brisk
        self._set_next(parameters.probe_period_us if is_brisk else parameters.push_pull_period_us)

    def on_introduce_due(self, peer: NodeId) -> None:
        """A linked peer that has not shown its record is asked again, and in the end let go."""
        talk = self._talks.get(peer)
        if talk is None or peer in self._state.members:
            return
        if talk.introductions >= INTRODUCTIONS_MAX:
            self._state.effects.append(CloseLink(peer, "it has not shown a record we can take in"))
            return
        talk.introductions += 1
        self.ask(peer)
        self._expect_record(peer)

    def on_give_due(self, peer: NodeId) -> None:
        """Give the next part of what a peer is owed."""
        self._giver.on_give_due(peer)

    def _expect_record(self, peer: NodeId) -> None:
        due = after(self._state.now, self._state.parameters.probe_period_us)
        self._state.agenda.set(due, Task.INTRODUCE, peer)

    def _set_next(self, period_us: int) -> None:
        state = self._state
        wait_us = state.entropy.jitter(period_us, JITTER_PERMILLE)
        state.agenda.set(after(state.now, wait_us), Task.PUSH_PULL)

    # -- the asker -------------------------------------------------------------------------------

    def ask(self, peer: NodeId) -> None:
        """Begin an exchange."""
        self._talks[peer].rounds = 0
        self._ask_from(peer, FIRST_ID)

    def _ask_from(self, peer: NodeId, first: NodeId) -> None:
        talk = self._talks[peer]
        talk.asked = first
        talk.rounds += 1
        self._state.send(peer, Digest(first, self._state.digests.get_sums()))

    def on_listing(self, sender: NodeId, listing: Listing) -> list[Suspect | Dead]:
        """Take in where a peer's table differs; the answer is what it doubts and we do not.

        Raises `Refusal` for an answer to no question.
        """
        talk = self._talks[sender]
        if listing.first != talk.asked:
            raise Refusal("listing-unasked", "no such answer is awaited", Severity.IGNORE)
        talk.asked = None
        findings = self._compare(sender, listing.entries)
        wanted = tuple(findings.steps[Step.WANT])
        if wanted or findings.told:
            self._state.send(sender, PushPull((), tuple(findings.told), wanted))
        self._giver.owe(sender, findings.steps[Step.OWE] + self._find_lacking(listing))
        if listing.until is not None and talk.rounds < ROUNDS_MAX:
            self._ask_from(sender, NodeId(listing.until))
        return findings.heard

    def on_records(self, records: Sequence[OpenedRecord]) -> None:
        """A peer gives records: while they are news, the tables are compared again soon."""
        if any(self._is_news(opened) for opened in records):
            if not self._brisk_left:
                self._set_next(self._state.parameters.probe_period_us)
            self._brisk_left = BRISK_QUESTIONS

    def _is_news(self, opened: OpenedRecord) -> bool:
        held = self._get_held(opened.node)
        if held is None:
            return self._table.has_room
        return held[0].record.version < opened.record.version

    def _compare(self, sender: NodeId, entries: Iterable[Entry]) -> _Findings:
        findings = _Findings()
        for entry in entries:
            node = NodeId(entry.node)
            held = self._get_held(node)
            if held is None and not self._table.has_room:
                continue  # Each exchange would bring it, and each time for nothing.
            step = compute_step(entry, held)
            findings.steps[step].append(node)
            if step is Step.HEAR:
                kind = DOUBTS[entry.standing]
                findings.heard.append(kind(node, entry.version, sender))
            if step is Step.TELL and (doubt := compute_doubt(self._state.members[node])):
                findings.told.append(doubt)
        return findings

    def _find_lacking(self, listing: Listing) -> list[NodeId]:
        """Whom we hold live and the peer does not know, where it has listed all it knows."""
        named = {entry.node for entry in listing.entries}
        until = AFTER_ALL if listing.until is None else listing.until
        return [
            node
            for node in self._walk(listing.buckets, listing.first, until)
            if node not in named and self._is_live(node)
        ]

    # -- the asked -------------------------------------------------------------------------------

    def on_question(self, sender: NodeId, digest: Digest) -> None:
        """List what we know where the tables differ. Raises `Refusal` when asked too often."""
        self._talks[sender].listings.spend(self._state.now)
        buckets = bytes(self._state.digests.find_differing(digest.sums))
        entries: list[Entry] = []
        until: NodeId | None = None
        for node in self._walk(buckets, digest.first, AFTER_ALL):
            if len(entries) == LISTING_ENTRIES_MAX:
                until = node
                break
            held = self._get_held(node)
            assert held is not None, "only known nodes are walked"
            opened, status = held
            entries.append(Entry(node, opened.record.version, STANDINGS[status]))
        self._state.send(sender, Listing(digest.first, buckets, tuple(entries), until))

    def on_wanted(self, sender: NodeId, wanted: Sequence[bytes]) -> None:
        """Give the records a peer wants. Raises `Refusal` when it wants too many."""
        if wanted:
            self._talks[sender].records.spend(self._state.now, len(wanted))
            known = [NodeId(node) for node in wanted if self._get_held(NodeId(node)) is not None]
            self._giver.owe(sender, known)

    def on_shown(self, opened: OpenedRecord) -> None:
        """A peer shows its own record: if we hold another, it is from before it lost its disk.

        Raises `Refusal` when that happens too often.
        """
        peer = opened.node
        member = self._state.members.get(peer)
        if member is not None and member.opened.sealed != opened.sealed:
            self._talks[peer].listings.spend(self._state.now)
            self._state.send(peer, Gossip((Alive(member.opened.sealed),)))

    # -- the table, with ourselves in it ---------------------------------------------------------

    def _get_held(self, node: NodeId) -> Held | None:
        if node == self._state.node:
            return self._own.opened, MemberStatus.ALIVE
        member = self._state.members.get(node)
        return None if member is None else (member.opened, member.status)

    def _is_live(self, node: NodeId) -> bool:
        return node == self._state.node or is_live(self._state.members[node])

    def _walk(self, buckets: bytes, first: bytes, until: bytes) -> Iterator[NodeId]:
        """All nodes known in these buckets, between these ids, in order."""
        own = self._state.node
        for bucket in sorted(dict.fromkeys(buckets)):
            if bucket >= BUCKETS:
                return
            start, end = compute_bounds(bucket)
            start, end = max(start, first), min(end, until)
            nodes = self._table.get_range(start, end)
            if start <= own < end:
                insort(nodes, own)
            yield from nodes
