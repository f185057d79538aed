"""Own quotes: what was asked, of whom, and whether a hold's quote is one of them."""

from typing import Final

from wwwserve.values.ids import NodeId
from wwwserve.values.limits import LINKS_MAX, QUOTE_LIFE_US
from wwwserve.values.moments import MILLISECOND
from wwwserve.wire.ledger import FirmQuote
from wwwserve.wire.paying import compute_quote_hash

QUOTED_PEERS_MAX: Final = 2 * LINKS_MAX
"""Peers whose quotes are remembered; of more, those of the peer quoted longest ago are void."""
QUOTES_PER_PEER_MAX: Final = 1_024
"""Quotes remembered of one peer, more than it may ask for in their life; of more, the oldest are
void. So nobody can push out another's."""
QUOTE_LIFE_MS: Final = QUOTE_LIFE_US // MILLISECOND
"""How long a quote holds; on the ledger clock, the longest block is added to it."""


class Quotes:
    """Quotes this node has signed, by peer and hash."""

    def __init__(self) -> None:
        self._peers: dict[NodeId, dict[bytes, FirmQuote]] = {}

    def remember(self, quote: FirmQuote) -> None:
        """A quote is given to its peer."""
        peer = NodeId(quote.peer)
        of_peer = self._peers.pop(peer, {})
        if len(self._peers) >= QUOTED_PEERS_MAX:
            del self._peers[next(iter(self._peers))]
        self._peers[peer] = of_peer
        if len(of_peer) >= QUOTES_PER_PEER_MAX:
            del of_peer[next(iter(of_peer))]
        of_peer[compute_quote_hash(quote)] = quote

    def find(self, peer: NodeId, quote_hash: bytes, time_ms: int) -> FirmQuote | None:
        """A quote given to a peer that still holds."""
        quote = self._peers.get(peer, {}).get(quote_hash)
        return quote if quote is not None and time_ms <= quote.expiry_ms else None
