"""Proofs against other accounts that this one is to show to the ledger, each in a word of its own.

They are forgotten with the process: the holds by which they were found are, too.
"""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from wwwserve.core.ledger_facts import Fined
from wwwserve.values.ids import NodeId
from wwwserve.wire import encode
from wwwserve.wire.ledger import LATER_BYTES_MAX, Evidence, EvidenceKind, SealedFeed

PROOFS_MAX: Final = 64
"""Proofs that wait; one more is let go: its like will come again from whoever does such things."""


class Proofs:
    """What is to be shown, the oldest first; one for each number of an account."""

    __slots__ = ("_ready", "_signed")

    def __init__(self) -> None:
        self._ready: dict[tuple[NodeId, int], Evidence] = {}
        self._signed: dict[Evidence, tuple[NodeId, int]] = {}

    @property
    def ready_count(self) -> int:
        """Proofs that could be signed now."""
        return len(self._ready)

    def add(self, account: NodeId, seq: int, feeds: tuple[SealedFeed, SealedFeed]) -> None:
        """An account signed two feed blocks of one number: the one in the log, and the void one."""
        entered, void = feeds
        place = (account, seq)
        if place in self._signed.values() or len(self._ready) >= PROOFS_MAX:
            return
        second = encode(void)
        if len(second) > LATER_BYTES_MAX:
            # Without its ops it proves the same; who was cheated by them is not told by it.
            second = encode(replace(void, ops=b""))
        first = encode(replace(entered, ops=b""))
        self._ready[place] = Evidence(EvidenceKind.FEED, first, second)

    def take(self) -> tuple[Evidence, ...]:
        """The next one, which is to be signed now."""
        for place, proof in self._ready.items():
            del self._ready[place]
            self._signed[proof] = place
            return (proof,)
        return ()

    def note_unsigned(self, proof: Evidence) -> None:
        """A proof that was signed will not be in the log: it waits again."""
        place = self._signed.pop(proof, None)
        if place is not None:
            self._ready[place] = proof

    def forget(self, proof: Evidence) -> None:
        """A proof is in the log, or was refused there."""
        self._signed.pop(proof, None)

    def note_fined(self, fined: Sequence[Fined]) -> None:
        """These are punished already, whoever showed it."""
        for fact in fined:
            self._ready.pop((fact.account, fact.seq), None)
