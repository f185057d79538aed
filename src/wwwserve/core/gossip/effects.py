"""What gossip can ask for: effects of the peer, and one of its own for the other machines."""

from dataclasses import dataclass

from wwwserve.core.effects import CloseLink, Dial, Persist, Report, SendMessage
from wwwserve.core.snapshot import MemberView


@dataclass(frozen=True, slots=True)
class MemberUpdated:
    """The status, record or link of a member changed; this is how it stands now."""

    member: MemberView


GossipEffect = SendMessage | Dial | CloseLink | Persist | Report | MemberUpdated
"""The closed set."""
