"""Tables as their holders would compare them, and what node 5 gives when they do."""

from collections.abc import Iterable

from tests.unit.core.gossip.driver import (
    Driver,
    sends,
)
from tests.unit.core.gossip.pretend import make_record, name
from wwwserve.core.effects import SendMessage
from wwwserve.core.facts import MemberStatus
from wwwserve.core.gossip import GossipEffect
from wwwserve.core.gossip.digests import FIRST_ID, Digests
from wwwserve.values.ids import NodeId
from wwwserve.values.moments import SECOND
from wwwserve.wire import (
    BUCKETS,
    SUM_BYTES,
    Digest,
    Entry,
    Listing,
    OpenedRecord,
    PushPull,
    SealedRecord,
    Standing,
)

NOTHING = bytes(BUCKETS * SUM_BYTES)
"""The sums of somebody who knows nobody."""
EVERYTHING = bytes(range(BUCKETS))
"""All buckets."""


def digest(*records: OpenedRecord, first: NodeId = FIRST_ID) -> Digest:
    """The question of a peer that holds these alive."""
    sums = Digests()
    for opened in records:
        sums.hold(opened.node, opened.record.version, MemberStatus.ALIVE)
    return Digest(first, sums.get_sums())


def entry(number: int, version: int = 1, standing: Standing = Standing.ALIVE) -> Entry:
    return Entry(name(number), version, standing)


def listing(*entries: Entry, until: NodeId | None = None, first: NodeId = FIRST_ID) -> Listing:
    return Listing(first, EVERYTHING, entries, until)


def answer(node: Driver, sender: int, *entries: Entry) -> list[GossipEffect]:
    """What node 5 does when a peer lists these, and all it gives in the second after."""
    node.open(sender, is_dialled=True)
    node.effects.clear()
    node.hear(sender, listing(*entries))
    node.wait(SECOND)
    return [
        effect
        for effect in node.effects
        if isinstance(effect, SendMessage) and effect.peer == name(sender)
    ]


def given(effects: Iterable[GossipEffect]) -> list[SealedRecord]:
    """All records in exchanges among effects."""
    return [record for part in sends(effects, PushPull) for record in part.records]


def grow(node: Driver, count: int, *, region: str = "") -> None:
    """Have node 5 know so many members it has no link to, 100 and up."""
    for number in range(100, 100 + count):
        node.tell(1, make_record(number, addresses=(), region=region))
