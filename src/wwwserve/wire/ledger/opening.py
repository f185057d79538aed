"""Everything slow about a feed block, done once, outside the state machine, by any worker.

Signatures, hash chains, puzzles and evidence depend on the feed block alone. So they are checked
where it is opened, and what was found goes along as proof; the state machine compares it with what
it knows, in microseconds.
"""

from dataclasses import dataclass
from typing import Final, Protocol, assert_never

import msgspec

from wwwserve.values.ids import NodeId
from wwwserve.values.refusals import Refusal
from wwwserve.wire.encoding import decode_canonical
from wwwserve.wire.ledger.blocks import OpenedBlock, SealedBlock, is_head_fork, open_block_header
from wwwserve.wire.ledger.feeds import (
    FeedHeader,
    SealedFeed,
    SignedFeed,
    read_evidence_feed,
    read_feed,
)
from wwwserve.wire.ledger.fields import LATER_BYTES_MAX
from wwwserve.wire.ledger.ops import Claim, Close, Evidence, EvidenceKind, Hold, Join, Op, Register
from wwwserve.wire.ledger.payword import compute_anchor
from wwwserve.wire.ledger.puzzles import compute_puzzle, count_zero_bits
from wwwserve.wire.signing import Verifier

PUZZLES_MAX: Final = 1
"""Puzzles that one feed block may show: each takes as long as a hundred thousand hashes, and a
stranger may send as many feed blocks as it likes. A key needs one in its life."""


class PointChecker(Protocol):
    """Says which keys are sound, so that no odd one is ever registered."""

    def is_sound_key(self, key: bytes) -> bool:
        """Whether these 32 bytes are a point of the prime-order group, canonically encoded."""
        ...


@dataclass(frozen=True, slots=True)
class Anchor:
    """The anchor that a Claim's or Close's preimage belongs to at its depth."""

    value: bytes


@dataclass(frozen=True, slots=True)
class PuzzleBits:
    """Zero bits that the puzzle of a Join begins with."""

    count: int


@dataclass(frozen=True, slots=True)
class FeedFork:
    """Two feed blocks of one account at one number, both signed by it."""

    first: SignedFeed
    second: SignedFeed


@dataclass(frozen=True, slots=True)
class HeadFork:
    """Two blocks at one height, both signed by one leader."""

    first: OpenedBlock
    second: OpenedBlock


@dataclass(frozen=True, slots=True)
class Unproven:
    """What an op shows is false, or it needs no showing: `detail` says which."""

    detail: str


Proof = Anchor | PuzzleBits | FeedFork | HeadFork | Unproven
NOTHING_TO_SHOW = Unproven("")
"""The proof of an op that needs none."""


@dataclass(frozen=True, slots=True)
class OpenedFeed:
    """A feed block with everything checked that can be checked without the state."""

    signed: SignedFeed
    proofs: tuple[Proof, ...]
    """One for each op."""

    @property
    def account(self) -> NodeId:
        """Who speaks."""
        return self.signed.account

    @property
    def header(self) -> FeedHeader:
        """Its header."""
        return self.signed.header

    @property
    def ops(self) -> tuple[Op, ...]:
        """What it asks."""
        return self.signed.ops

    @property
    def feed_id(self) -> bytes:
        """Its id."""
        return self.signed.feed_id


@dataclass(frozen=True, slots=True)
class FeedOpener:
    """Opens feed blocks of one network."""

    verifier: Verifier
    points: PointChecker
    network_id: bytes
    puzzle_memory_log2: int

    def open(self, sealed: SealedFeed) -> OpenedFeed:
        """Check all of a feed block; raises `Refusal` if it is not one that its account signed."""
        signed = read_feed(sealed, self.verifier, self.network_id)
        puzzles = sum(isinstance(op, Join) and op.proof is not None for op in signed.ops)
        if puzzles > PUZZLES_MAX:
            raise Refusal("feed-puzzles", f"{puzzles} puzzles; a feed block shows {PUZZLES_MAX}")
        return self._prove_all(signed)

    def open_offered(self, sealed: SealedFeed) -> OpenedFeed:
        """As `open`, for one with a hold, which somebody offers who has not paid for anything yet.

        A wallet puts holds and claims together, and nothing else; what else there is could cost
        seconds. Raises `Refusal`.
        """
        signed = read_feed(sealed, self.verifier, self.network_id)
        if not all(isinstance(op, Hold | Claim) for op in signed.ops):
            raise Refusal("offer-ops", "beside a hold there is more than holds and claims")
        return self._prove_all(signed)

    def _prove_all(self, signed: SignedFeed) -> OpenedFeed:
        return OpenedFeed(signed, tuple(self._prove(signed.account, op) for op in signed.ops))

    def _prove(self, account: NodeId, op: Op) -> Proof:
        match op:
            case Claim(depth=depth, preimage=preimage) | Close(depth=depth, preimage=preimage):
                return Anchor(compute_anchor(preimage, depth))
            case Join(proof=puzzle) if puzzle is not None:
                memory = self.puzzle_memory_log2
                digest = compute_puzzle(account, self.network_id, puzzle, memory)
                return PuzzleBits(count_zero_bits(digest))
            case Register(hot_key=key) if key and not self.points.is_sound_key(key):
                return Unproven("the hot key is no sound point")
            case Evidence():
                return self._open_evidence(op)
            case _:
                return NOTHING_TO_SHOW

    def _open_evidence(self, evidence: Evidence) -> Proof:
        try:
            match evidence.kind:
                case EvidenceKind.FEED:
                    return self._open_feed_fork(evidence)
                case EvidenceKind.SEQUENCER:
                    return self._open_head_fork(evidence)
                case EvidenceKind.VALIDATOR | EvidenceKind.GOLD:
                    return NOTHING_TO_SHOW
                case _:
                    assert_never(evidence.kind)
        except Refusal as refusal:
            return Unproven(str(refusal))

    def _open_feed_fork(self, evidence: Evidence) -> Proof:
        decoder = msgspec.msgpack.Decoder(SealedFeed)
        first, second = (
            read_evidence_feed(
                decode_canonical(record, decoder, bytes_max=LATER_BYTES_MAX),
                self.verifier,
                self.network_id,
            )
            for record in (evidence.first, evidence.second)
        )
        if not is_feed_fork(first, second):
            return Unproven("the two feed blocks are not one account's at one number")
        return FeedFork(first, second)

    def _open_head_fork(self, evidence: Evidence) -> Proof:
        decoder = msgspec.msgpack.Decoder(SealedBlock)
        first, second = (
            open_block_header(
                decode_canonical(record, decoder, bytes_max=LATER_BYTES_MAX),
                self.verifier,
                self.network_id,
            )
            for record in (evidence.first, evidence.second)
        )
        if not is_head_fork(first, second):
            return Unproven("the two blocks are not one leader's at one height")
        return HeadFork(first, second)


def is_feed_fork(first: SignedFeed, second: SignedFeed) -> bool:
    """Whether two feed blocks are of one account, at one number, and not the same."""
    return (
        first.header.account == second.header.account
        and first.header.seq == second.header.seq
        and first.feed_id != second.feed_id
    )
