"""What the requests machine asks for: effects for the shell, and experience for routing."""

from wwwserve.core.effects import (
    AcceptOffer,
    DeclineOffer,
    EndRequest,
    Persist,
    RecallSession,
    Report,
    SendMessage,
    StartLocal,
    StartRemote,
    StopSession,
)
from wwwserve.core.placing import ExecutorFailed, FirstTokenLate, OfferSent, RunMeasured

RequestsEffect = (
    SendMessage
    | StartLocal
    | StartRemote
    | StopSession
    | RecallSession
    | EndRequest
    | AcceptOffer
    | DeclineOffer
    | Persist
    | Report
    | OfferSent
    | RunMeasured
    | ExecutorFailed
    | FirstTokenLate
)
"""The closed set; the last four are told to routing, the others go out."""
