"""News waiting to be passed on: each piece rides on so many messages, the least told first.

What peers say themselves is no news to them, so it need not be told as often: rumours that lose
interest when they are met again (Demers et al., "Epidemic algorithms for replicated database
maintenance", 1987). Yet a peer that repeats everything must not be able to hush news up, so a
share of the tellings stays.
"""

from collections.abc import Iterator
from itertools import chain

from wwwserve.values.ids import NodeId
from wwwserve.values.limits import PIGGYBACK_BYTES_MAX, PIGGYBACK_CLAIMS_MAX
from wwwserve.wire import SIGNATURE_BYTES, Alive, Claim

_DOUBT_BYTES = 96
"""Two keys, a version and their framing; rounded up."""
_FRAMING_BYTES = 16
"""What msgpack adds around a record's body and signature; rounded up."""
_KEPT_SHARE = 3
"""One in so many tellings is left to a claim that peers repeat, however often they do."""


class ClaimQueue:
    """At most one claim about each node: a newer one takes the older's place and starts afresh.

    Claims are kept in levels by how often they were told. Its size is bounded by the members known.
    """

    __slots__ = ("_levels", "_where")

    def __init__(self) -> None:
        """Nothing to tell yet."""
        self._levels: list[dict[NodeId, Claim]] = []
        self._where: dict[NodeId, int] = {}

    def __len__(self) -> int:
        """How many pieces of news there are."""
        return len(self._where)

    def put(self, node: NodeId, claim: Claim) -> None:
        """Tell this about the node, and nothing older."""
        self.drop(node)
        self._place(node, claim, level=0)

    def hear_again(self, node: NodeId, claim: Claim, *, tellings_max: int) -> None:
        """A peer says the same: only the last tellings are left, unless fewer were."""
        level = self._where.get(node)
        left = -(-tellings_max // _KEPT_SHARE)
        if level is None or level >= tellings_max - left or self._levels[level][node] != claim:
            return
        self.drop(node)
        self._place(node, claim, level=tellings_max - left)

    def drop(self, node: NodeId) -> None:
        """Tell nothing about the node any more."""
        level = self._where.pop(node, None)
        if level is not None:
            del self._levels[level][node]

    def clear(self) -> None:
        """Tell nothing any more."""
        self._levels.clear()
        self._where.clear()

    def take(
        self, *, tellings_max: int, first: Claim | None = None, skip: NodeId | None = None
    ) -> tuple[Claim, ...]:
        """Claims for one message, within its bounds, counted as told once more.

        `first` goes before all and is not of the queue; news about `skip` waits for another time.
        """
        taken: list[tuple[NodeId, Claim]] = []
        count_max = PIGGYBACK_CLAIMS_MAX - (first is not None)
        room = PIGGYBACK_BYTES_MAX - (0 if first is None else compute_claim_bytes(first))
        for node, claim in self._walk():
            if node == skip:
                continue
            room -= compute_claim_bytes(claim)
            if len(taken) == count_max or room < 0:
                break
            taken.append((node, claim))
        for node, claim in taken:
            self._count_telling(node, claim, tellings_max)
        claims = tuple(claim for _, claim in taken)
        return claims if first is None else (first, *claims)

    def _walk(self) -> Iterator[tuple[NodeId, Claim]]:
        return chain.from_iterable(level.items() for level in self._levels)

    def _count_telling(self, node: NodeId, claim: Claim, tellings_max: int) -> None:
        level = self._where[node] + 1
        self.drop(node)
        if level < tellings_max:
            self._place(node, claim, level=level)

    def _place(self, node: NodeId, claim: Claim, *, level: int) -> None:
        while len(self._levels) <= level:
            self._levels.append({})
        self._levels[level][node] = claim
        self._where[node] = level


def compute_claim_bytes(claim: Claim) -> int:
    """At most how many bytes a claim takes in a message."""
    if isinstance(claim, Alive):
        return len(claim.sealed.body) + SIGNATURE_BYTES + _FRAMING_BYTES
    return _DOUBT_BYTES
