"""For providers who write a policy of their own in Python: what it is given and what it may answer.

A guest is a class with a method `decide`, named by an entry point of the group `wwwserve.policies`
and by `policy.guest` in the node's configuration. It is given a `Case`, a frozen value, and answers
with one of `Accepted`, `Declined` and `Queued`, or with None, which leaves the answer to the
settings. Rules:

- Settings go first: of other nodes' requests a guest sees only those that the settings accept, and
  it can decline them. An own user's request it places as it likes, unless nothing may leave.
- It has `GUEST_TIME_US`, with a little grace for a busy machine. A guest that is slower, raises,
  or answers what cannot be answered is not heard: the settings decide, the node says so in its
  log, and leaves the guest alone for a while. What must never be accepted, refuse by settings.
- It runs in the node's process, so install only what you would run yourself. A wait inside it costs
  the node no more than that time and grace; one that computes on keeps a processor busy.

`wwwserve.policies.testing` tries a guest before it is let in.
"""

from typing import Final, Protocol

from wwwserve.core.deciding import Case, Counts, Question
from wwwserve.core.placing import Accepted, Declined, LoadView, Queued, Verdict
from wwwserve.values.moments import MILLISECOND
from wwwserve.values.refusals import DeclineReason
from wwwserve.wire import ModelOffer, RequestSummary

__all__ = [
    "ENTRY_POINTS",
    "GUEST_TIME_US",
    "Accepted",
    "Case",
    "Counts",
    "DeclineReason",
    "Declined",
    "Guest",
    "LoadView",
    "ModelOffer",
    "Question",
    "Queued",
    "RequestSummary",
    "Verdict",
    "find_fault",
]

ENTRY_POINTS: Final = "wwwserve.policies"
"""The group of entry points that name guests."""
GUEST_TIME_US: Final = 1 * MILLISECOND
"""What a guest may take for one answer."""
_POSSIBLE: Final[dict[Question, tuple[type, ...]]] = {
    Question.OFFER: (Accepted, Declined),
    Question.OWN: (Accepted, Declined, Queued),
    Question.WAIT: (Declined, Queued),
}


class Guest(Protocol):
    """A provider's own policy."""

    def decide(self, case: Case) -> Verdict | None:
        """The answer to one case; None = what the settings say."""
        ...


def find_fault(case: Case, answer: object) -> str:
    """What is wrong with a guest's answer to a case; empty if nothing is."""
    possible = _POSSIBLE[case.question]
    if answer is None or isinstance(answer, possible):
        return ""
    names = ", ".join(kind.__name__ for kind in possible)
    question = case.question.name
    return f"it answered {type(answer).__name__} to {question}, expected one of {names}, or None"
