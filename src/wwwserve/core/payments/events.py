"""What payments are told, beside the events of paid sessions."""

import msgspec

from wwwserve.core.events import (
    DeadlineReached,
    ExtensionReceived,
    FirstOutput,
    HoldRunsOut,
    PaymentProgressed,
    SetPrices,
    StreamEnded,
    StreamFailed,
    StreamOpened,
)
from wwwserve.core.ledger_facts import LedgerFact
from wwwserve.core.placing import RunMeasured
from wwwserve.wire.ledger import OpenedFeed
from wwwserve.wire.paying import OpenedHold


class BlockApplied(msgspec.Struct, frozen=True):
    """The ledger went on by a block, which changed this; an empty one counts too."""

    facts: tuple[LedgerFact, ...]
    feeds: tuple[OpenedFeed, ...] = ()
    """The feed blocks in it."""


class OfferDeclined(msgspec.Struct, frozen=True):
    """Another node's offer was declined for a reason that has nothing to do with its hold."""

    hold: OpenedHold


SessionEvent = (
    StreamOpened
    | FirstOutput
    | StreamEnded
    | StreamFailed
    | PaymentProgressed
    | HoldRunsOut
    | ExtensionReceived
)
"""News of sessions; of those that are not paid they are ignored."""

PaymentsEvent = (
    SessionEvent | BlockApplied | DeadlineReached | OfferDeclined | RunMeasured | SetPrices
)
"""The closed set."""
