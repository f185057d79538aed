"""However large the tables and greedy the peers, an exchange stays in bounds and ends whole.

Node 5 is asked for too much; then two full tables that have nothing in common are brought together
by one exchange. Claims: [GOSSIP-EXCHANGE.3], [GOSSIP-EXCHANGE.4], [GOSSIP-EXCHANGE.6],
[GOSSIP-EXCHANGE.7].
"""

from tests.unit.core.gossip.driver import (
    Driver,
    facts,
    push_pull,
    sends,
)
from tests.unit.core.gossip.pretend import make_record, name
from tests.unit.core.gossip.tables import NOTHING, given, grow
from wwwserve.core.effects import SendMessage
from wwwserve.core.events import LinkClosed
from wwwserve.core.facts import MemberStatus, PeerRefused
from wwwserve.core.gossip import GossipEffect
from wwwserve.core.gossip.digests import FIRST_ID
from wwwserve.core.gossip.exchange import (
    LISTINGS_PER_PEER_MAX,
    RECORDS_PER_PEER_MAX,
)
from wwwserve.values.limits import (
    LISTING_ENTRIES_MAX,
    MEMBERS_MAX,
    MESSAGE_BYTES_MAX,
    PUSH_PULL_RECORDS_MAX,
)
from wwwserve.values.moments import SECOND
from wwwserve.values.parameters import TINY
from wwwserve.wire import (
    Digest,
    Listing,
    ModelOffer,
    OpenedRecord,
    PushPull,
    SealedRecord,
    encode_message,
)

# -- bounds --------------------------------------------------------------------------------------


def test_no_part_is_longer_than_a_message_and_they_come_with_pauses() -> None:
    # [GOSSIP-EXCHANGE.6]
    node = Driver()
    node.link(1)
    aliases = tuple(chr(48 + n) * 190 for n in range(16))
    for number in range(100, 140):
        offers = tuple(ModelOffer(f"org/m{n}", aliases=aliases) for n in range(3))
        node.tell(1, make_record(number, addresses=(), models=offers))
    grow(node, 3 * PUSH_PULL_RECORDS_MAX)
    first = sends(node.hear(1, PushPull((), (), tuple(name(n) for n in range(100, 300)))), PushPull)
    assert len(first) == 1
    pause_us = TINY.gossip_period_us // 2
    rest = [part for _ in range(30) for part in sends(node.wait(pause_us), PushPull)]
    for part in (*first, *rest):
        assert len(part.records) <= PUSH_PULL_RECORDS_MAX
        assert len(encode_message(part)) <= MESSAGE_BYTES_MAX
    assert sum(len(part.records) for part in (*first, *rest)) == 3 * PUSH_PULL_RECORDS_MAX
    assert len(rest) > 5


def test_nothing_is_given_over_a_link_that_is_gone() -> None:
    # [GOSSIP-EXCHANGE.6]
    node = Driver()
    node.link(1)
    grow(node, 200)
    node.hear(1, PushPull((), (), tuple(name(n) for n in range(100, 300))))
    node.feed(LinkClosed(name(1), "reset"))
    node.open(1)
    assert given(node.wait(SECOND)) == []


def test_a_peer_can_ask_only_so_often() -> None:
    # [GOSSIP-EXCHANGE.7]
    node = Driver()
    node.link(1, 2)
    asked = [
        effect
        for _ in range(2 * LISTINGS_PER_PEER_MAX)
        for effect in node.hear(1, Digest(FIRST_ID, NOTHING))
    ]
    assert len(sends(asked, Listing)) == LISTINGS_PER_PEER_MAX
    assert [fact.rule for fact in facts(asked, PeerRefused)] == ["rate"]
    assert sends(node.hear(2, Digest(FIRST_ID, NOTHING)), Listing)
    node.wait(SECOND)
    assert sends(node.hear(1, Digest(FIRST_ID, NOTHING)), Listing)


def test_a_peer_can_want_only_so_much() -> None:
    # [GOSSIP-EXCHANGE.7]
    node = Driver()
    node.link(1)
    grow(node, LISTING_ENTRIES_MAX)
    want = PushPull((), (), tuple(name(100 + n) for n in range(LISTING_ENTRIES_MAX)))
    count = RECORDS_PER_PEER_MAX // LISTING_ENTRIES_MAX
    effects = [effect for _ in range(count + 3) for effect in node.hear(1, want)]
    assert [fact.rule for fact in facts(effects, PeerRefused)] == ["rate"]


def test_a_listing_of_buckets_that_do_not_exist_harms_nobody() -> None:
    node = Driver()
    node.link(1)
    node.open(1, is_dialled=True)
    node.hear(1, Listing(FIRST_ID, bytes([255, 0, 0, 0, 200]), (), None))
    assert node.status(1) is MemberStatus.ALIVE


# -- two tables become one -----------------------------------------------------------------------


def test_two_full_tables_with_nothing_in_common_become_one_by_one_exchange() -> None:
    # [GOSSIP-EXCHANGE.3], [GOSSIP-EXCHANGE.4]: here all ids are in one bucket, the worst of all.
    half = MEMBERS_MAX // 2 - 1
    one, other = Driver(seed=b"one", number=1), Driver(seed=b"other", number=2)
    for node, start in ((one, 100), (other, 100 + half)):
        node.link(3)
        for first in range(start, start + half, PUSH_PULL_RECORDS_MAX):
            numbers = range(first, min(first + PUSH_PULL_RECORDS_MAX, start + half))
            records = [make_record(number, addresses=()) for number in numbers]
            node.hear(3, push_pull(*records), *records)
    talk(one, other, span_us=2 * SECOND)
    everybody = range(100, 100 + 2 * half)
    for node in (one, other):
        assert all(node.status(number) is not None for number in everybody)


def talk(one: Driver, other: Driver, *, span_us: int) -> None:
    """Link two nodes for a while; only what concerns exchanges is carried."""
    outgoing = {1: one.open(2, is_dialled=True), 2: other.open(1)}
    records = {opened.sealed: opened for opened in map(_bare, range(100, 100 + MEMBERS_MAX))}
    for _ in range(span_us // 10_000):
        while any(outgoing.values()):
            # Nobody answers probes here, so each refutes what the other takes it for.
            records |= {node.gossip.own.sealed: node.gossip.own for node in (one, other)}
            for node, number, peer in ((one, 1, 2), (other, 2, 1)):
                effects, outgoing[peer] = outgoing[peer], []
                for effect in effects:
                    if isinstance(effect, SendMessage) and effect.peer == name(number):
                        outgoing[number] += _carry(node, peer, effect, records)
        outgoing = {1: one.wait(10_000), 2: other.wait(10_000)}


def _bare(number: int) -> OpenedRecord:
    return make_record(number, addresses=())


def _carry(
    node: Driver, sender: int, effect: SendMessage, records: dict[SealedRecord, OpenedRecord]
) -> list[GossipEffect]:
    match effect.message:
        case PushPull() | Digest() | Listing() as message:
            assert len(encode_message(message)) <= MESSAGE_BYTES_MAX
            sealed = message.records if isinstance(message, PushPull) else ()
            return node.hear(sender, message, *(records[one] for one in sealed))
        case _:
            return []
