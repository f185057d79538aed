"""The lanes of durable writing: each keeps its own order and none waits for another.

A slow disk must not delay a token, so an effect is held back only by unfinished `Persist`s of the
lane it names itself (ledger.md 3, Durability).
"""

from enum import Enum


class Lane(Enum):
    """One ordered sequence of durable writes."""

    BOOK = "book"
    """Who is there: own record version and peers' records. Survives kill -9."""
    OPERATOR = "operator"
    """What the operator told the node and its host must not forget. Survives power loss."""
    FEED = "feed"
    """Reserved for the ledger's wallet. Survives kill -9."""
    VOTES = "votes"
    """Reserved for consensus. Survives power loss."""
    CHAIN = "chain"
    """The ledger's blocks, and the state below the newest. Survives power loss."""
