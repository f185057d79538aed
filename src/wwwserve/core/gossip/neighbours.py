"""Whom to keep links to: everybody in a small network, in a large one a few chosen by lot.

Up to `MESH_MEMBERS_MAX` live members, each node wants a link to each. Above, it draws lots: a keyed
hash gives every member a rank that only this node knows, and those of the lowest ranks are chosen.
So each node's choice is random and independent of all others', which makes the network a random
expander: connected, with short ways, whoever drops out. The choice hardly moves as members come
and go, moves to where it would have been drawn when two networks become one, and nobody can sign
itself into it, for the key is secret and new with each start.

Links that others chose are kept too. Whoever dialled a link sheds it in time when it is no longer
of its choice and all that are have links; of more than `LINKS_CROWDED`, any that are not, so that
newcomers find room.
Nothing is shed while something runs on it. Who is shed and wants the link dials it again, or, if it
was shed soon, chooses another.

Work goes only to linked nodes. Therefore a node also chooses some members for the models they
serve, if it has too few links to any that serve them.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from heapq import nsmallest
from itertools import islice
from typing import Final

from wwwserve.core.gossip.rules import is_live, pick_some
from wwwserve.core.gossip.state import Member, State
from wwwserve.values.ids import NodeId
from wwwserve.values.moments import Moment, after
from wwwserve.values.parameters import PROTOCOL_VERSION, PROTOCOL_VERSION_MIN
from wwwserve.wire import PeerRecord

MESH_MEMBERS_MAX: Final = 32
"""Live members up to which each is linked to; half of `LINKS_MAX`."""
MEMBERS_LOOKED_AT: Final = 128
"""Members looked at in each probe period, which takes about 0.2 ms; the next are in the next."""
CALM_CALLS_SKIPPED: Final = 9
"""Calls after one with nothing to do, while nobody comes or goes; a record may still change."""
MESH_MEMBERS_SPARE: Final = 8
"""So many more before that ends, so that a network of about this size does not waver."""
NEIGHBOURS_CHOSEN: Final = 8
"""Members chosen by lot in a larger network. About as many choose us, so a node has some 16 links.
A random graph of 3 such choices is connected already, so most of a node's links may fail at once.
"""
NEIGHBOURS_CHOSEN_MIN: Final = 2
"""However few accept links."""
NEIGHBOURS_TAKEN_FAIR: Final = 32
"""Choosers each member that accepts links is to have at most, on the mean. Where most nodes only
dial out, each chooses fewer, so that those who can be dialled have room for all."""
EXECUTORS_CHOSEN_MAX: Final = 8
"""Members chosen for their models, beside those chosen by lot."""
EXECUTORS_PER_MODEL: Final = 2
"""Linked members that serve a model, of which one may be busy; with fewer, another is chosen."""
LINKS_CROWDED: Final = 48
"""Links above which those not of our choice are shed: the rest of `LINKS_MAX` is for who comes."""
LINK_KEPT_PERIODS: Final = 2
"""Push/pull periods for which a link that we dialled is kept, though no longer of our choice."""
_RANK_BYTES = 8
_AFTER_ALL = 1 << (8 * _RANK_BYTES)
"""Every rank is below this."""


class Neighbours:
    """The members of our choice; decided anew by `choose`, from what is known of all."""

    def __init__(self, state: State) -> None:
        """Nobody is chosen yet."""
        self._state = state
        self._entropy = state.entropy.split("neighbours")
        self._was_mesh = True
        self._key = self._entropy.bytes(32)
        self._ranks: dict[NodeId, int] = {}
        self._looked_at = 0
        self._count = NEIGHBOURS_CHOSEN
        self._chosen: dict[NodeId, None] = {}
        self._executors: dict[NodeId, None] = {}
        self._resting: dict[NodeId, Moment] = {}
        """Who could not be linked to, and until when others are preferred."""
        self._counts = (0, 0, 0)
        self._looked_at_in_calm = 0
        """Members looked at since anybody came, went or was missing."""
        self._calls_skipped = 0

    @property
    def is_mesh(self) -> bool:
        """Whether the network is small enough to be linked to all of it."""
        spare = MESH_MEMBERS_SPARE if self._was_mesh else 0
        return self._state.live_count <= MESH_MEMBERS_MAX + spare

    def is_wanted(self, node: NodeId) -> bool:
        """Whether a link to this live member is of our choice."""
        return self.is_mesh or node in self._chosen or node in self._executors

    def rest(self, node: NodeId, until: Moment) -> None:
        """A member could not be linked to: prefer others for a while."""
        self._resting[node] = until

    def wake(self, node: NodeId) -> None:
        """There is a new reason to try a member."""
        self._resting.pop(node, None)

    def choose(self) -> list[NodeId]:
        """Decide whom to be linked to; the answer is who is not and can be dialled.

        Looks at `MEMBERS_LOOKED_AT` members in each call and remembers the best so far. While none
        is missing, comes or goes, most calls look at nobody.
        """
        state = self._state
        counts = (state.live_count, len(state.members), len(state.links))
        if counts != self._counts:
            self._counts, self._looked_at_in_calm = counts, 0
        is_calm = self._looked_at_in_calm >= len(state.members)
        if is_calm and self._calls_skipped < CALM_CALLS_SKIPPED:
            self._calls_skipped += 1
            return []
        missing = self._choose_now()
        self._calls_skipped = 0
        self._looked_at_in_calm += MEMBERS_LOOKED_AT
        if missing or self._resting:
            self._looked_at_in_calm = 0
        return missing

    def _choose_now(self) -> list[NodeId]:
        state = self._state
        for node in [node for node, until in self._resting.items() if until <= state.now]:
            del self._resting[node]
        if self._was_mesh and not self.is_mesh:
            # Not the first ones heard of, which may be the same for many.
            self._looked_at = self._entropy.below(len(state.members))
        self._was_mesh = self.is_mesh
        live = self._take_some_live()
        if self.is_mesh:
            self._chosen, self._executors = {}, {}
            return [node for node in live if self._is_missing(node)]
        self._draw_lots(live)
        self._choose_executors(live)
        return [node for node in (*self._chosen, *self._executors) if self._is_missing(node)]

    def _take_some_live(self) -> list[NodeId]:
        """The live of the next so many members, in turn."""
        members = self._state.members
        if self._looked_at >= len(members):
            self._looked_at = 0
        start, self._looked_at = self._looked_at, self._looked_at + MEMBERS_LOOKED_AT
        some = islice(members, start, self._looked_at)
        return [node for node in some if is_live(members[node])]

    def pick_shed(self, dialled: Mapping[NodeId, Moment]) -> list[NodeId]:
        """Linked peers to part with now; `dialled` says which links are our own, and since when."""
        state = self._state
        if self.is_mesh:
            return []
        unwanted = [node for node in state.links if not self.is_wanted(node)]
        if len(state.links) > LINKS_CROWDED:
            return pick_some(self._entropy, unwanted, len(state.links) - LINKS_CROWDED)
        if sum(node in state.links for node in self._chosen) < self._count:
            # Who is chosen instead may not be there at all: anybody can sign records of nobody.
            return []
        kept_us = LINK_KEPT_PERIODS * state.parameters.push_pull_period_us
        own = [node for node in unwanted if node in dialled]
        return [node for node in own if state.now >= after(dialled[node], kept_us)][:1]

    # -- by lot ----------------------------------------------------------------------------------

    def _draw_lots(self, live: Sequence[NodeId]) -> None:
        if live:
            self._count = compute_chosen_count(self._count_dialable(live), len(live))
        chosen = [node for node in self._chosen if self._is_possible(node)]
        # Those chosen are in the order of their ranks: who comes after enough of them has no part.
        bound = _AFTER_ALL if len(chosen) < self._count else self._get_rank(chosen[self._count - 1])
        better = [node for node in live if self._get_rank(node) < bound and self._is_possible(node)]
        possible = dict.fromkeys((*chosen, *better))
        self._chosen = dict.fromkeys(nsmallest(self._count, possible, key=self._get_rank))
        if len(self._ranks) > 2 * len(self._state.members) + MEMBERS_LOOKED_AT:
            self._ranks.clear()

    def _count_dialable(self, live: Sequence[NodeId]) -> int:
        members = self._state.members
        return sum(can_be_dialled(members[node].opened.record) for node in live)

    def _is_possible(self, node: NodeId) -> bool:
        """Whether it may be chosen: it is there, and we are linked or can dial it."""
        return self._is_there(node) and (
            node in self._state.links or can_be_dialled(self._state.members[node].opened.record)
        )

    def _get_rank(self, node: NodeId) -> int:
        rank = self._ranks.get(node)
        if rank is None:
            digest = hashlib.blake2b(node, key=self._key, digest_size=_RANK_BYTES).digest()
            rank = self._ranks[node] = int.from_bytes(digest, "big")
        return rank

    # -- for their models ------------------------------------------------------------------------

    def _choose_executors(self, live: Sequence[NodeId]) -> None:
        linked: dict[str, int] = {}
        for node in self._state.links:
            self._count_models(node, linked)
        self._executors = {node: None for node in self._executors if self._is_there(node)}
        for node in live:
            if not self._is_needed(node, linked, EXECUTORS_PER_MODEL) or not self._is_missing(node):
                continue
            if len(self._executors) == EXECUTORS_CHOSEN_MAX and not self._free_place(linked):
                return
            self._executors[node] = None
            self._count_models(node, linked)

    def _free_place(self, linked: dict[str, int]) -> bool:
        """Let one go whose models enough others serve; not before its place is needed."""
        for node in self._executors:
            if not self._is_needed(node, linked, EXECUTORS_PER_MODEL + 1):
                del self._executors[node]
                return True
        return False

    def _count_models(self, node: NodeId, counts: dict[str, int]) -> None:
        for model in _list_models(self._state.members.get(node)):
            counts[model] = counts.get(model, 0) + 1

    def _is_there(self, node: NodeId) -> bool:
        member = self._state.members.get(node)
        return member is not None and is_live(member) and node not in self._resting

    def _is_missing(self, node: NodeId) -> bool:
        """Whether it is live and not linked, and can be dialled now."""
        return (
            node not in self._state.links
            and self._is_there(node)
            and can_be_dialled(self._state.members[node].opened.record)
        )

    def _is_needed(self, node: NodeId, linked: dict[str, int], count_min: int) -> bool:
        """Whether a live member serves a model that fewer linked members serve than this."""
        # A loop, for it is asked of each member that is looked at.
        for offer in self._state.members[node].opened.record.models:
            if linked.get(offer.model, 0) < count_min:
                return True
        return False


def compute_chosen_count(dialable: int, live: int) -> int:
    """How many members each chooses, where so many of the live accept links."""
    fair = NEIGHBOURS_TAKEN_FAIR * dialable // live
    return min(NEIGHBOURS_CHOSEN, max(NEIGHBOURS_CHOSEN_MIN, fair))


def can_be_dialled(record: PeerRecord) -> bool:
    """Whether a member accepts links, by a protocol that this node speaks too."""
    return (
        bool(record.addresses)
        and record.protocol_min <= PROTOCOL_VERSION
        and record.protocol_max >= PROTOCOL_VERSION_MIN
    )


def _list_models(member: Member | None) -> Iterable[str]:
    """The models a live member serves."""
    if member is None or not is_live(member):
        return ()
    return (offer.model for offer in member.opened.record.models)
