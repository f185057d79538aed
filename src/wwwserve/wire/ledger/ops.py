"""What a feed block can ask of the ledger: every op, with its final number and fields.

An op is an array led by its number. Ops of later stages are read and refused with a reason, so
that what is stored today keeps its meaning when they are switched on (ledger op table, stages 1 to
3). Which rules an op must keep is the state machine's to say; here is only what it looks like.
"""

from enum import IntEnum, IntFlag
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from wwwserve.wire.ledger.fields import (
    MODELS_MAX,
    Amount,
    Depth,
    Digest,
    Later,
    MaybeDigest,
    Millis,
    Number,
    Seats,
)
from wwwserve.wire.records import Key, Name
from wwwserve.wire.signing import SIGNATURE_BYTES

HOLD_FLAGS_MAX: Final = 7
ACCOUNT_FLAGS_MAX: Final = 15


class HoldFlag(IntFlag):
    """What is special about a hold."""

    AUDIT_IN = 1
    """Its owner lets the request be audited."""
    TAB = 2
    """Pays many small requests to one payee."""
    EXTENDS = 4
    """Goes on where an earlier hold for the same request was used up."""


class AccountFlag(IntFlag):
    """What an account does besides paying and being paid."""

    VALIDATOR = 1
    JUDGE = 2
    ISSUER = 4
    TREASURY = 8


class Door(IntEnum):
    """A way for a new key into the network."""

    SPONSOR = 1
    """A member locks seats for it."""
    EARN = 2
    """It gets a newcomer's slot and earns its first seat."""
    FAUCET = 3
    """The pool grants it a little, capped each epoch, behind a puzzle."""
    DEV = 4
    """The same without a puzzle: for one laptop."""


class EvidenceKind(IntEnum):
    """What two signed records prove."""

    FEED = 1
    """Two feed blocks at one sequence number."""
    SEQUENCER = 2
    """Two blocks of the sequencer at one height."""
    VALIDATOR = 3
    """Two votes, or a finalize and a dummy, at one height (stage 2)."""
    GOLD = 4
    """A false gold proof (stage 3)."""


class Role(IntEnum):
    """Which key of an account is replaced."""

    HOT = 1
    VRF = 2
    BOND = 3


# -- payment -----------------------------------------------------------------------------------


class Hold(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """Lock the most a request can cost, for one payee, to be claimed with preimages."""

    n: Number
    """Tells the holds of one feed block apart."""
    payee: Key
    first: Amount
    """What the first preimage pays: the prompt."""
    unit: Amount
    """What each further one pays."""
    units_max: Annotated[int, Meta(ge=1, le=1_024)]
    unit_tokens: Annotated[int, Meta(ge=1, le=256)]
    """Completion tokens a unit stands for; the payer and payee count them, the ledger does not."""
    anchor: Digest
    """The end of the hash chain; its d-th preimage is worth d units."""
    req_commit: Digest
    """Commitment to the request, opened only in an audit."""
    quote_hash: Digest
    """The quote this pays."""
    deadline_ms: Millis
    """When the request must be done, after inclusion."""
    seed_epoch: Number
    """Whose audit seed decides about it."""
    flags: Annotated[int, Meta(ge=0, le=HOLD_FLAGS_MAX)] = 0


class Claim(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """The payee takes what a preimage is worth; the rest goes back. Final at once."""

    hold_id: Digest
    depth: Depth
    preimage: Digest


class Close(msgspec.Struct, array_like=True, frozen=True, tag=3):
    """The payer says how deep it paid; settled after a window in which the payee may go deeper."""

    hold_id: Digest
    depth: Depth
    preimage: Digest


class Transfer(msgspec.Struct, array_like=True, frozen=True, tag=4):
    """Give credits to a key."""

    target: Key
    amount: Annotated[int, Meta(ge=1, le=2**63 - 1)]


# -- stake and standing ------------------------------------------------------------------------


class Bond(msgspec.Struct, array_like=True, frozen=True, tag=5):
    """Put credits into seats; they weigh from the next epoch."""

    seats: Seats


class Unbond(msgspec.Struct, array_like=True, frozen=True, tag=6):
    """Take seats out; they come free after the unbonding time and can be slashed until then."""

    seats: Seats


class Register(msgspec.Struct, array_like=True, frozen=True, tag=7):
    """Say what this account does, with which keys and models."""

    flags: Annotated[int, Meta(ge=0, le=ACCOUNT_FLAGS_MAX)]
    vrf_key: MaybeDigest
    vrf_proof: Annotated[bytes, Meta(max_length=80)]
    hot_key: MaybeDigest
    """Signs votes, so that the account's key can stay elsewhere; empty for none."""
    models: Annotated[tuple[Digest, ...], Meta(max_length=MODELS_MAX)]
    """Tags of the models it serves."""
    seed_anchor: MaybeDigest
    """The end of its chain of audit seeds; empty for none."""
    endpoint_hash: MaybeDigest


class Leave(msgspec.Struct, array_like=True, frozen=True, tag=8):
    """Unbond everything, and weigh nothing from the next epoch."""


class Sponsor(msgspec.Struct, array_like=True, frozen=True, tag=9):
    """Lock own seats for another key; they weigh for it, and its fines reach them."""

    key: Key
    seats: Seats


class Unsponsor(msgspec.Struct, array_like=True, frozen=True, tag=10):
    """Take such seats back, through unbonding."""

    key: Key
    seats: Seats


class Rotate(msgspec.Struct, array_like=True, frozen=True, tag=11):
    """Replace a key, with the new key's consent (stage 2)."""

    role: Role
    new_key: Key
    consent: Annotated[bytes, Meta(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)]


class Puzzle(msgspec.Struct, array_like=True, frozen=True):
    """Work done for an entry: a nonce found after a beacon was known."""

    beacon: Digest
    nonce: Annotated[bytes, Meta(min_length=8, max_length=8)]


class Join(msgspec.Struct, array_like=True, frozen=True, tag=12):
    """Come in by a door."""

    door: Door
    proof: Puzzle | None = None


class Allow(msgspec.Struct, array_like=True, frozen=True, tag=13):
    """The treasury of a private network pays a key so much each day; 0 ends it."""

    key: Key
    amount: Amount


class Evidence(msgspec.Struct, array_like=True, frozen=True, tag=20):
    """Two signed records that cannot both be honest."""

    kind: EvidenceKind
    first: Later
    second: Later


# -- stage 2: validators -----------------------------------------------------------------------


class Veto(msgspec.Struct, array_like=True, frozen=True, tag=21):
    """A validator objects to a candidate."""

    key: Key


class SetParams(msgspec.Struct, array_like=True, frozen=True, tag=22):
    """Change network numbers, by name, inside their ranges."""

    changes: Annotated[tuple[tuple[Name, Number], ...], Meta(min_length=1, max_length=64)]


class Rejoin(msgspec.Struct, array_like=True, frozen=True, tag=23):
    """A validator that was away votes again."""


# -- stage 3: audits ---------------------------------------------------------------------------


class SeedReveal(msgspec.Struct, array_like=True, frozen=True, tag=30):
    """Open the audit seed of an epoch."""

    epoch: Number
    seed: Digest


class DuelOpen(msgspec.Struct, array_like=True, frozen=True, tag=31):
    """File the audit of a hold, with a second answer or as void."""

    hold: Digest
    challenge: MaybeDigest
    """The second hold; empty for a void audit."""
    model: Digest
    inner_hash: Digest
    final: Later
    challenge_final: Later
    declines: Annotated[tuple[Later, ...], Meta(max_length=16)]
    bundle_commit: Digest


class VoteCommit(msgspec.Struct, array_like=True, frozen=True, tag=32):
    """A judge has decided, and cannot change it."""

    duel: Digest
    commit: Digest


class VoteReveal(msgspec.Struct, array_like=True, frozen=True, tag=33):
    """What it decided."""

    duel: Digest
    vote: Annotated[int, Meta(ge=1, le=4)]
    """1, 2, 3 for a tie, 4 for bad data."""
    flagged: Annotated[int, Meta(ge=0, le=3)]
    """Answers that are unacceptable: 0 none, 1, 2, 3 both."""
    salt: Digest


class GoldProof(msgspec.Struct, array_like=True, frozen=True, tag=34):
    """Open a gold prompt and its exact answer."""

    vrf_proof: Annotated[bytes, Meta(max_length=80)]
    holds: Annotated[tuple[Digest, ...], Meta(min_length=1, max_length=16)]
    answer: Later


class Purse(msgspec.Struct, array_like=True, frozen=True, tag=35):
    """Move credits between an account and its audit purse."""

    amount: Amount
    is_out: bool


PaymentOp = Hold | Claim | Close | Transfer
StandingOp = Bond | Unbond | Register | Leave | Sponsor | Unsponsor | Join | Allow | Evidence
LaterOp = (
    Rotate
    | Veto
    | SetParams
    | Rejoin
    | SeedReveal
    | DuelOpen
    | VoteCommit
    | VoteReveal
    | GoldProof
    | Purse
)
Op = PaymentOp | StandingOp | LaterOp

_AUDIT_OPS: Final = (SeedReveal, DuelOpen, VoteCommit, VoteReveal, GoldProof, Purse)


def get_stage(op: Op) -> int:
    """The building stage from which an op is switched on."""
    match op:
        case Rotate() | Veto() | SetParams() | Rejoin():
            return 2
        case Evidence(kind=EvidenceKind.VALIDATOR):
            return 2
        case Evidence(kind=EvidenceKind.GOLD):
            return 3
        case Register(flags=flags, vrf_key=vrf_key, vrf_proof=vrf_proof):
            return _get_register_stage(flags, has_vrf=bool(vrf_key or vrf_proof))
        case _ if isinstance(op, _AUDIT_OPS):
            return 3
        case _:
            return 1


def _get_register_stage(flags: int, *, has_vrf: bool) -> int:
    if flags & (AccountFlag.JUDGE | AccountFlag.ISSUER):
        return 3
    return 2 if flags & AccountFlag.VALIDATOR or has_vrf else 1
