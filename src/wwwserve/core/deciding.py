"""What a provider's policy is asked, what its answer rests on, and how the answer is told.

A `Case` is everything a decision looks at beside the settings in force. It is a value: decided
again, a case has the same answer, which is how decisions are explained and replayed.
"""

from enum import Enum
from typing import Protocol

import msgspec

from wwwserve.core.placing import LoadView, Verdict
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.core.sessions import SessionId
from wwwserve.values.ids import NodeId
from wwwserve.values.moments import Moment
from wwwserve.wire import ModelOffer, RequestSummary


class Question(Enum):
    """What a policy is asked about a request."""

    OFFER = "offer"
    """Another node's: does it run here?"""
    OWN = "own"
    """An own user's: does it run here, look for another node, or wait here?"""
    WAIT = "wait"
    """An own user's for which no place was found: does it wait here?"""


class Counts(msgspec.Struct, frozen=True):
    """What a node has taken of others so far, by a policy's counting."""

    minute_requests: int = 0
    """Requests taken within the last minute."""
    minute_requests_asker: int = 0
    """Of these, the asking node's."""
    day_tokens: int = 0
    """Tokens within the last 24 hours, with the most that running requests may still come to."""
    day_tokens_asker: int = 0
    """Of these, the asking node's."""


NO_COUNTS = Counts()


class Case(msgspec.Struct, frozen=True):
    """One request to be decided about, and all that its decision rests on beside the settings."""

    question: Question
    summary: RequestSummary
    at: Moment
    load: LoadView | None
    """How busy the model is that would run it; None = none here can run it now."""
    draw: int | None = None
    """The request's own number from 0 to 999 for this question; None = not drawn, for the share it
    is compared with was nothing or all."""
    asker: NodeId | None = None
    """Another node whose request it is; None = an own user's."""
    offer: ModelOffer | None = None
    """With an asker: the own model that would run it."""
    week_us: int | None = None
    """Time of the week where the provider is; None = not told yet."""
    closed_us: int = 0
    """For how long the hours keep other nodes' requests out; 0 = they are open."""
    idle_us: int = 0
    """For how long this machine has been idle; 0 as well where nobody watches it."""
    counts: Counts = NO_COUNTS


class Said(msgspec.Struct, frozen=True):
    """What one rule of a policy says about a case."""

    rule: str
    """The setting it goes by, or a word for what is no setting."""
    detail: str
    """What it compared, for a person."""
    verdict: Verdict | None
    """Its answer; None = it leaves the answer to the rules after it."""


class RequestDecided(msgspec.Struct, frozen=True):
    """Fact: a policy has answered about a request."""

    case: Case
    verdict: Verdict
    rule: str
    """Which rule's answer it is."""
    guest_fault: str = ""
    """Why the provider's own Python policy was not heeded, if it was asked in vain."""


class UseCounted(msgspec.Struct, frozen=True):
    """Fact: another node's request was taken, or is over, and counts so much from now on."""

    session: SessionId
    request: bytes
    asker: NodeId
    model: str
    at: Moment
    prompt_tokens: int
    completion_tokens: int
    """The most there may be when it is taken; what there was when it is over."""
    is_over: bool

    @property
    def tokens(self) -> int:
        """Of both."""
        return self.prompt_tokens + self.completion_tokens


class SpendingCounted(msgspec.Struct, frozen=True):
    """Fact: an own user's request is paid for elsewhere, or is over, and counts so much."""

    session: SessionId
    at: Moment
    microcredits: int
    """The most its holds can pay; what they paid when it is over."""
    is_over: bool


class PolicyInForce(msgspec.Struct, frozen=True):
    """Fact: another policy holds from now on."""

    at: Moment
    settings: PolicySettings


class GuestFailed(msgspec.Struct, frozen=True):
    """Fact: the provider's own Python policy gave no answer that counts; the built-in one did."""

    guest: str
    detail: str


class Holdings(msgspec.Struct, frozen=True):
    """This node's own account as far as its stake goes, by the newest block. Micro-credits."""

    epoch: int
    """Of the ledger."""
    free: int
    """What one order can set aside now: its fee, the minimum and all that waits are taken off."""
    bond: int
    """Staked by the node itself."""
    seat_price: int


class StakeCase(msgspec.Struct, frozen=True):
    """All that a decision about the node's own stake rests on beside the settings."""

    at: Moment
    holdings: Holdings
    set_aside: int
    """Micro-credits of income that are to be staked, and are not yet."""
    rest_epochs: int
    """Until the policy may order again; 0 = now."""
    surplus_epochs: int
    """For how long more has been staked than is wanted; 0 = it is not, or only just."""


class StakeDecided(msgspec.Struct, frozen=True):
    """Fact: the policy has another answer about the node's own stake."""

    case: StakeCase
    seats: int
    """To stake; to take out, if below nothing."""
    rule: str


class IncomeSetAside(msgspec.Struct, frozen=True):
    """Fact: so much of the income is to be staked, and no order for it is in the log yet."""

    at: Moment
    microcredits: int
    orders: int = 0
    """How many orders have been taken off it, over all processes; a later one is not yet."""


class StakeOrder(msgspec.Struct, array_like=True, frozen=True):
    """The newest order about the own stake, written down in one with the feed block that says it.

    A new process that knows fewer orders takes it off what was set aside: it is in the log, or will
    be.
    """

    number: int
    """Counted from 1, over all processes."""
    microcredits: int
    """What it stakes of what was set aside."""


PolicyFact = (
    RequestDecided
    | UseCounted
    | SpendingCounted
    | PolicyInForce
    | GuestFailed
    | StakeDecided
    | IncomeSetAside
)
"""What a policy tells, for whoever keeps its log."""


class PastSpending(msgspec.Struct, frozen=True):
    """Micro-credits that own requests cost before this process began."""

    at: Moment
    """On the new process's clock, so usually before its start."""
    microcredits: int


class PastUse(msgspec.Struct, frozen=True):
    """Tokens of another node's requests before this process began."""

    asker: NodeId | None
    """None = of several nodes that are not told apart."""
    at: Moment
    """On the new process's clock, so usually before its start."""
    tokens: int


class GuestFault(msgspec.Struct, frozen=True):
    """A guest gave no answer that counts."""

    detail: str


class AsksGuest(Protocol):
    """Where a policy finds the provider's own Python policy, which the host keeps."""

    def ask(self, name: str, case: Case) -> Verdict | GuestFault | None:
        """The guest's answer, within its time; None = what the settings say. It must not raise."""
        ...


class NoGuests:
    """A host without guests."""

    def ask(self, name: str, case: Case) -> Verdict | GuestFault | None:
        """There is nobody to ask."""
        return GuestFault(f"no policy {name!r} is installed here")


class KeepsStake(Protocol):
    """What decides about this node's own stake, as the ledger goes on."""

    @property
    def keeps_stake(self) -> bool:
        """Whether anything is to be decided."""
        ...

    def note_income(self, microcredits: int, now: Moment) -> None:
        """Other nodes' work was paid."""
        ...

    @property
    def stake_order(self) -> StakeOrder:
        """The newest order, as it is to be written down."""
        ...

    def resume_stake(self, order: StakeOrder, now: Moment) -> None:
        """A process has begun, and this is the newest order that was signed before."""
        ...

    def decide_stake(self, holdings: Holdings, now: Moment) -> int:
        """Seats to stake now, or if below nothing to take out; 0 = leave it.

        Unless it is 0, an order is on its way until `end_stake_order`.
        """
        ...

    def end_stake_order(self, now: Moment, *, is_done: bool) -> None:
        """The order is in the log, or came to nothing."""
        ...


class PolicyMemory(msgspec.Struct, frozen=True):
    """What a policy is born with beside its settings."""

    use: tuple[PastUse, ...] = ()
    """In order of time."""
    spending: tuple[PastSpending, ...] = ()
    """In order of time."""
    set_aside: int = 0
    """Micro-credits of income that are to be staked."""
    orders: int = 0
    """How many orders about the own stake have been taken off them."""
    guests: AsksGuest = msgspec.field(default_factory=NoGuests)


NO_MEMORY = PolicyMemory()
