"""What payments are told, beside the events of paid sessions."""

from dataclasses import dataclass

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
from wwwserve.values.ids import NodeId
from wwwserve.values.model_names import ModelId
from wwwserve.wire.paying import OpenedHold


@dataclass(frozen=True, slots=True)
class BlockApplied:
    """The ledger went on by a block, which changed this; an empty one counts too."""

    facts: tuple[LedgerFact, ...]


@dataclass(frozen=True, slots=True)
class PromptMeasured:
    """An engine counted a prompt."""

    model: ModelId
    body_bytes: int
    prompt_tokens: int
    is_own: bool
    """Whether it was an engine of this node; another node may say what it likes."""


@dataclass(frozen=True, slots=True)
class AnswerMeasured:
    """An answer arrived whole."""

    model: ModelId
    executor: NodeId
    """This node's own id for an answer made here."""
    completion_tokens: int
    """As its executor stated them."""
    text_bytes: int
    """Of what was delivered; 0 = not known."""


@dataclass(frozen=True, slots=True)
class OfferDeclined:
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
    SessionEvent
    | BlockApplied
    | DeadlineReached
    | OfferDeclined
    | PromptMeasured
    | AnswerMeasured
    | SetPrices
)
"""The closed set."""
