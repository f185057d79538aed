"""Why something was refused: by us or by them, to be ignored or held against the sender.

A refusal is expected and raised before any change. A failure of the world is an event, a bug is
an `assert`; neither is ever a `Refusal`.
"""

from dataclasses import dataclass
from enum import Enum, IntEnum


class Severity(Enum):
    """What a refusal says about whoever caused it."""

    IGNORE = "ignore"
    """Not your fault, or not now: drop it and go on."""
    REJECT = "reject"
    """You broke a rule: the link may be closed for it."""


@dataclass(eq=False)
class Refusal(Exception):
    """Something was not accepted: `rule` names the broken rule, `detail` says it for a person."""

    # Not frozen: the interpreter and contextlib write an exception's traceback.

    rule: str
    detail: str
    severity: Severity = Severity.REJECT

    def __str__(self) -> str:
        return f"{self.rule}: {self.detail}"


@dataclass(eq=False)
class BadInput(Exception):
    """A person's input was wrong: which field, what was found, what was expected, what to try."""

    field: str
    found: str
    expected: str
    fix: str

    def __str__(self) -> str:
        return f"{self.field}: found {self.found!r}, expected {self.expected}. Try: {self.fix}"


class DeclineReason(IntEnum):
    """Why a node will not execute a request it was asked about. Numbers travel: append only."""

    BUSY = 1
    """No room now; ask again later."""
    MODEL_ABSENT = 2
    """None of the wanted models is served here."""
    ENGINE_DOWN = 3
    """The engine is loading, unreachable or failing."""
    POLICY = 4
    """The provider's policy says no (a knob, a list, a draw)."""
    TOO_LARGE = 5
    """Prompt, context or output is over this provider's caps."""
    DRAINING = 6
    """The node is finishing its work and takes no more."""
    NOT_ALLOWED = 7
    """This peer is on the deny list, or not on the allow list."""
    RATE = 8
    """This peer asks too often."""
    UNSUPPORTED = 9
    """A field or version this node does not speak."""
    CLOSED = 10
    """Outside the hours in which this provider takes other nodes' requests."""
    UNPAID = 11
    """The offer pays nothing, not what was quoted, or with credits its payer does not have."""


class FailureKind(IntEnum):
    """How an attempt to execute a request failed. Numbers travel: append only."""

    UNAVAILABLE = 1
    """Nothing answered: refused connection, still loading, gone. Another node may do it."""
    REJECTED = 2
    """The engine says the request itself is wrong (4xx): the user must hear it, nobody retries."""
    BROKEN = 3
    """It started and then broke: dropped connection, malformed stream, error mid-way."""
    TIMEOUT = 4
    """Too long without a byte."""
    LINK_LOST = 5
    """The link to the executor died."""
    DECLINED = 6
    """The executor said no to the offer itself."""
    CANCELLED = 7
    """Stopped on purpose by the origin or the user."""
    INTERNAL = 8
    """A fault of the node that reports it."""
    UNPAID = 9
    """What was delivered was not paid in time: the executor went no further."""
