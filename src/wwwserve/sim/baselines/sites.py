"""What a baseline's rule sees of the node it decides for, and what it may ask of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from wwwserve.core.entropy import Entropy
from wwwserve.enginemodel import EngineProfile
from wwwserve.sim.jobs import Job
from wwwserve.sim.world import Action
from wwwserve.values.moments import SECOND

REPLY_WAIT_US = 2 * SECOND
"""A probe without a reply for so long counts as refused: the prototype's own bound."""
PERMILLE = 1000
TARGET_PERMILLE = 700
"""Use of an engine's cache below which a node is idle: the paper's target utilisation."""

Reply = int | None
"""What the rule compares, the less the better; None: refused, or nothing came in time."""


@dataclass(slots=True, eq=False)
class Parcel:
    """One request on its way."""

    job: Job
    path: list[int]
    """Every node it has been at, its own user's first."""
    is_over: bool = False
    """Its user gave up: who still has it drops it."""

    @property
    def is_at_home(self) -> bool:
        """Whether no node has sent it on yet."""
        return len(self.path) == 1


@dataclass(frozen=True, slots=True)
class EngineUse:
    """What a node's own engine tells of itself at this instant."""

    usage_permille: int
    """Of its cache, the prompts that wait for it included, so that who was just given to it counts;
    of its slots, where it has nothing but those."""
    waiting: int
    """Requests in its own queue."""

    @property
    def is_idle(self) -> bool:
        """Below the target; otherwise a node is overloaded."""
        return self.usage_permille < TARGET_PERMILLE


class Site(Protocol):
    """One node, as its rule sees it."""

    number: int
    entropy: Entropy
    """All chance of this node's decisions."""
    profile: EngineProfile
    """Of its engine."""

    def read_use(self) -> EngineUse:
        """What its engine tells now."""
        ...

    def list_others(self, parcel: Parcel) -> list[int]:
        """The nodes that could run a request and have not had it, this one left out."""
        ...

    def get_seats(self, node: int) -> int:
        """A node's stake: in proportion to what its engine does saturated, or as planned."""
        ...

    def run(self, parcel: Parcel) -> None:
        """Give a request to this node's engine."""
        ...

    def send(self, parcel: Parcel, node: int) -> None:
        """Pass a request on to another node."""
        ...

    def ask(self, parcel: Parcel, node: int, on_reply: Callable[[Reply], None]) -> None:
        """Ask a node about a request; `on_reply` is called once, in `REPLY_WAIT_US` at most."""
        ...

    def after(self, span_us: int, action: Action) -> None:
        """Do something later."""
        ...


class Rule(Protocol):
    """What one node does; each is told of everything that happens at its own node alone."""

    def take(self, parcel: Parcel) -> None:
        """A request is here, from a user or from another node: run it, send it or keep it."""
        ...

    def reply(self, parcel: Parcel) -> Reply:
        """Another node asks whether it may send this request."""
        ...

    def notice_end(self) -> None:
        """A run here is over: there may be room."""
        ...

    def notice_answer(self, parcel: Parcel) -> None:
        """A user of this node has the whole answer; who ran it is the last on the path."""
        ...


class PlainRule:
    """The part of a `Rule` that is nothing for who decides about a request only when it comes."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def reply(self, parcel: Parcel) -> Reply:
        """See `Rule`; nobody asks."""
        assert parcel.path, parcel
        return None

    def notice_end(self) -> None:
        """See `Rule`."""

    def notice_answer(self, parcel: Parcel) -> None:
        """See `Rule`."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """One strategy: a rule for each node."""

    about: str
    create_rules: Callable[[Sequence[Site]], list[Rule]]
    """Rules of one world may share what its nodes share, as the paper's do their ledger."""
