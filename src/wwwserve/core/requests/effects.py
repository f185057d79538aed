"""What the requests machine asks for: effects for the shell, and experience for routing."""

from wwwserve.core.effects import (
    AcceptOffer,
    DeclineOffer,
    EndRequest,
    Persist,
    Report,
    SendMessage,
    StartLocal,
    StartRemote,
    StopSession,
)
from wwwserve.core.placing import ExecutorFailed, OfferSent, RunMeasured

RequestsEffect = (
    SendMessage
    | StartLocal
    | StartRemote
    | StopSession
    | EndRequest
    | AcceptOffer
    | DeclineOffer
    | Persist
    | Report
    | OfferSent
    | RunMeasured
    | ExecutorFailed
)
"""The closed set; the last three are told to routing, the others go out."""
