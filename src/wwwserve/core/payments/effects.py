"""What payments ask of the wallet, the ledger and the data plane."""

import msgspec

from wwwserve.core.effects import ExtendPayment, Persist, ReleaseOutput, Report, TakeExtension
from wwwserve.core.paying import WorkUnpaid
from wwwserve.core.payments.counts import CountsDiffer
from wwwserve.values.ids import NodeId
from wwwserve.wire.ledger import OpenedFeed, SealedFeed


class SubmitHold(msgspec.Struct, frozen=True):
    """To the wallet: the offer with this hold was answered, its feed block may be ordered."""

    hold_id: bytes


class ForwardHold(msgspec.Struct, frozen=True):
    """Have a payer's feed block ordered: whoever works for a hold sees to it itself."""

    feed: OpenedFeed


class KeepPreimage(msgspec.Struct, frozen=True):
    """To the wallet: write down what was shown of a hold; a deeper one replaces it."""

    hold_id: bytes
    depth: int
    preimage: bytes
    """At depth 0 the anchor."""
    worth: int
    """Micro-credits that this depth pays."""


class ClaimHold(msgspec.Struct, frozen=True):
    """To the wallet: no unit of a hold comes any more: claim what is kept, give the rest back."""

    hold_id: bytes


class HoldOver(msgspec.Struct, frozen=True):
    """To the wallet: no own unit goes out any more: close there if the payee does not claim."""

    hold_id: bytes
    depth: int


class ProveFork(msgspec.Struct, frozen=True):
    """To the wallet: a payer signed two feed blocks of one number: show both to the ledger."""

    payer: NodeId
    seq: int
    entered: SealedFeed
    """The one in the log."""
    void: SealedFeed
    """The one with a hold that this node was offered."""


PaymentsEffect = (
    ReleaseOutput
    | ExtendPayment
    | TakeExtension
    | WorkUnpaid
    | Persist
    | Report
    | SubmitHold
    | ForwardHold
    | KeepPreimage
    | ClaimHold
    | HoldOver
    | ProveFork
    | CountsDiffer
)
"""The closed set. `CountsDiffer` is news for whoever ranks executors, and for people."""
