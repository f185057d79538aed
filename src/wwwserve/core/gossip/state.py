"""What gossip remembers: members, links and news. The data, and the outbox it is answered from."""

from dataclasses import dataclass, field
from typing import Final

from wwwserve.core.effects import Report, SendMessage
from wwwserve.core.entropy import Entropy
from wwwserve.core.facts import Fact, MemberStatus
from wwwserve.core.gossip.agenda import Agenda, Task
from wwwserve.core.gossip.claims import ClaimQueue
from wwwserve.core.gossip.digests import Digests
from wwwserve.core.gossip.effects import GossipEffect
from wwwserve.core.gossip.health import Health
from wwwserve.core.lanes import Lane
from wwwserve.core.snapshot import MemberView
from wwwserve.values.ids import NodeId
from wwwserve.values.limits import LINKS_MAX
from wwwserve.values.moments import Moment
from wwwserve.values.parameters import Parameters
from wwwserve.values.refusals import Refusal, Severity
from wwwserve.wire import Claim, MembershipMessage, OpenedRecord

DIALS_MAX: Final = 16
"""Dials at once; one more waits a probe period."""
DIALS_PER_PERIOD: Final = 8
"""Members dialled in a probe period, over time; the others wait their turn."""
DIALS_BURST_MAX: Final = LINKS_MAX
"""Members dialled at once after a quiet while: as many as a newcomer may want links to."""
MEETINGS_MAX: Final = 64
"""Those to be met because of a `Join`; of more, the oldest is given up, but never bootstrap."""
JOIN_ATTEMPTS_MAX: Final = 20
"""Dials for one `Join` before it is given up; bootstrap addresses are tried for ever."""
RELAYS_MAX: Final = 256
"""Probes on behalf of others at once; above it the oldest is given up."""
RELAYS_PER_PEER_MAX: Final = 4
"""Probes one peer may ask of us in a probe period; an honest one asks for one."""
ANSWERS_WITH_NEWS_MAX: Final = 2
"""Answers to one peer's probes on which news rides, in a probe period; an honest one probes once,
and now and then for others. Each telling counts, so who probes all the time would be told
everything, and nobody else anything."""
LOST_ROUNDS: Final = 2
"""Rounds of asking for a member whose link was lost, in which nobody has a link, until it is
suspect; in the second its link may be there again."""
OVERDUE_ROUNDS: Final = 2
"""Rounds of probing each neighbour once, in which one was neither heard from nor probed, until it
is probed before what is urgent, every other time."""
URGENT_LOOKED_AT: Final = 64
"""Of those to be probed before others' turn, so many are looked at in a period, until one is found
whose answer still matters; so no call is long."""
SEARCHES_PER_MEMORY: Final = 4
"""Members without a link that all nodes together search for in `dead_memory_us`; each may end in a
false suspicion, since in a large network those asked may have no link to a live one either."""
CONFIRMATIONS_MAX: Final = 3
"""Accusers after the first that shorten a suspicion (Lifeguard's k); more change nothing."""
TRUSTED_PERIODS: Final = 30
"""Probe periods in which others' doubts about a linked member that has refuted one are put to it
and not believed: a slanderer silences it for a round trip in each, not for half of the time."""
BOOK_WRITES_MAX: Final = 256
"""Records in one write of the address book; more wait for the next."""
TASKS_PER_CALL_MAX: Final = 64
"""Due tasks done in one call; the rest are due at once again, so no call is long."""
START: Final = Moment(0)
"""Before the first event nothing has a time."""
VERSION_MAX: Final = 2**62
"""No record may have this version or a higher one, so that there is always a higher one."""
VERSION_JUMP_MAX: Final = 2**32
"""How far above our own version another's bare word may lift us: lost disks need less, and versions
last for 2**30 such lies."""


@dataclass(slots=True)
class Member:
    """Another node: its newest record, and what is held of it."""

    opened: OpenedRecord
    status: MemberStatus
    accusers: tuple[NodeId, ...] = ()
    """On whose words it is suspect or dead, the first first; at most `CONFIRMATIONS_MAX` more."""
    suspected_at: Moment = START
    """When its suspicion began, while there is one."""
    refuted_at: Moment | None = None
    """When it last refuted a doubt."""
    told_at: Moment | None = None
    """When it was last told of another's doubt that is not believed here."""
    dial_attempts: int = 0
    """Failed in a row."""
    round_trip_us: int | None = None
    view: MemberView | None = None
    """As others see it; None after a change until somebody looks."""


@dataclass(slots=True)
class Allowance:
    """How often a peer may ask for something: so many times in each period."""

    count_max: int
    period_us: int
    since: Moment
    used: int = 0

    def take(self, now: Moment, count: int = 1) -> bool:
        """Use it so often; False while it is used up."""
        if now - self.since >= self.period_us:
            self.since, self.used = now, 0
        self.used += count
        return self.used <= self.count_max

    def spend(self, now: Moment, count: int = 1) -> None:
        """Use it so often; raises `Refusal` while it is used up, held against the peer but once."""
        was_within = self.used <= self.count_max or now - self.since >= self.period_us
        if not self.take(now, count):
            detail = f"asked over {self.count_max} times in {self.period_us} us"
            raise Refusal("rate", detail, Severity.REJECT if was_within else Severity.IGNORE)


@dataclass(slots=True)
class Link:
    """An open link to a peer."""

    relays: Allowance
    """Probes on its behalf."""
    answers: Allowance
    """Answers to its own probes on which news rides."""
    noticed_at: Moment
    """When the peer was last heard from, or probed; at first, when the link proved it."""

    @classmethod
    def open(cls, parameters: Parameters, now: Moment) -> "Link":
        """A link that opens now."""
        period_us = parameters.probe_period_us
        return cls(
            relays=Allowance(RELAYS_PER_PEER_MAX, period_us, now),
            answers=Allowance(ANSWERS_WITH_NEWS_MAX, period_us, now),
            noticed_at=now,
        )


@dataclass(slots=True)
class Meeting:
    """Somebody the operator wants met, at any of these addresses."""

    addresses: tuple[str, ...]
    expected: NodeId | None
    """The only node that may answer there; None for whoever does."""
    is_lasting: bool
    """A bootstrap address: kept for ever, as the way back after a long separation."""
    found: NodeId | None = None
    """Who answered there last."""
    attempts: int = 0
    """Failed in a row."""

    @property
    def subject(self) -> bytes:
        """What names it on the agenda.

        Its key is part of it: on a local network anybody can ask for another one to be met there.
        """
        return self.addresses[0].encode() + (self.expected or b"")


@dataclass(slots=True)
class State:
    """Everything the parts of the machine share."""

    node: NodeId
    parameters: Parameters
    entropy: Entropy
    now: Moment = START
    """The moment of the event being handled."""
    members: dict[NodeId, Member] = field(default_factory=dict)
    live_count: int = 0
    """Members held alive or suspect."""
    links: dict[NodeId, Link] = field(default_factory=dict)
    health: Health = field(default_factory=Health)
    agenda: Agenda = field(default_factory=Agenda)
    digests: Digests = field(default_factory=Digests)
    """Sums over the members and the own record."""
    claims: ClaimQueue = field(default_factory=ClaimQueue)
    effects: list[GossipEffect] = field(default_factory=list)
    """What is to be done, in order; the answer to the event being handled."""
    gossip_at: Moment = START
    """The next round of gossip is not before: a period after the last."""
    has_left: bool = False
    _number: int = 0

    def take_number(self) -> int:
        """A number for a ping, never used before."""
        self._number += 1
        return self._number

    def send(self, peer: NodeId, message: MembershipMessage, lane: Lane | None = None) -> None:
        """Send a message, after the lane's pending writes if one is named."""
        self.effects.append(SendMessage(peer, message, lane))

    def spread(self, node: NodeId, claim: Claim) -> None:
        """Have a piece of news about a node passed on.

        Without any link nobody is to be told: the exchange when a link opens says all we hold.
        """
        if self.links:
            self.claims.put(node, claim)
            self.agenda.set_once(max(self.now, self.gossip_at), Task.GOSSIP)

    def report(self, fact: Fact) -> None:
        """Tell whoever watches."""
        self.effects.append(Report(fact))

    def take_effects(self) -> list[GossipEffect]:
        """The answer so far; the next begins empty."""
        effects, self.effects = self.effects, []
        return effects
