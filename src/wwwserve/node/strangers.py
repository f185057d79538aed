"""Nodes that are there and cannot be talked to: other versions, other networks, other manners.

They come again and again, and a crowd of them costs nothing to make. So each is told of once in a
while, and only so many of them.
"""

from dataclasses import dataclass, field
from typing import Final

from wwwserve.core.facts import PeerRefused
from wwwserve.ports.transport import AT_ODDS, LinkEnded
from wwwserve.values.ids import NodeId
from wwwserve.values.moments import SECOND, Moment, after

TOLD_AGAIN_US: Final = 600 * SECOND
"""A node is not told of again sooner."""
STRANGERS_MAX: Final = 64
"""Nodes told of in that time; of more, nothing is said."""


@dataclass(slots=True)
class Strangers:
    """Who was told of lately."""

    _told: dict[NodeId, Moment] = field(default_factory=dict)
    """And until when nothing more is said; the longest ago first."""

    def note(self, ended: LinkEnded, now: Moment) -> PeerRefused | None:
        """The fact to tell about a link that could not be made, if it is time for one."""
        if ended.peer is None or ended.reason not in AT_ODDS:
            return None
        while self._told:
            node, until = next(iter(self._told.items()))
            if until > now:
                break
            del self._told[node]
        if ended.peer in self._told or len(self._told) >= STRANGERS_MAX:
            return None
        self._told[ended.peer] = after(now, TOLD_AGAIN_US)
        return PeerRefused(ended.peer, f"link-{ended.reason.name.lower()}", ended.detail)
