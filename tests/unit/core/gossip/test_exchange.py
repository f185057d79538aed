"""Tables are compared when links open and now and then; equal ones cost little, others get equal.

Node 5 asks and is asked; what it sends is looked at message by message.
Claims: [GOSSIP-EXCHANGE.1] to [GOSSIP-EXCHANGE.5], [GOSSIP-LINKS.5].
"""

from itertools import pairwise

import pytest

from tests.unit.core.gossip.driver import (
    Driver,
    dead,
    push_pull,
    sends,
    suspect,
    targets,
)
from tests.unit.core.gossip.pretend import make_record, name
from tests.unit.core.gossip.tables import NOTHING, answer, digest, entry, given, grow, listing
from wwwserve.core.effects import CloseLink
from wwwserve.core.facts import MemberStatus
from wwwserve.core.gossip.digests import FIRST_ID, Digests
from wwwserve.core.gossip.exchange import (
    BRISK_QUESTIONS,
    INTRODUCTIONS_MAX,
    ROUNDS_MAX,
)
from wwwserve.values.ids import NodeId
from wwwserve.values.limits import (
    LISTING_ENTRIES_MAX,
    MESSAGE_BYTES_MAX,
)
from wwwserve.values.moments import SECOND
from wwwserve.values.parameters import TINY
from wwwserve.wire import (
    Alive,
    Dead,
    Digest,
    Entry,
    Gossip,
    Listing,
    OpenedRecord,
    Ping,
    PushPull,
    Standing,
    Suspect,
    encode_message,
)

# -- links and time ------------------------------------------------------------------------------


def test_both_ends_show_themselves_and_who_dialled_asks() -> None:
    # [GOSSIP-EXCHANGE.1]: one exchange says everything both ways.
    node = Driver()
    dialled, taken = node.open(1, is_dialled=True), node.open(2)
    for effects in (dialled, taken):
        (shown,) = sends(effects, Gossip)
        assert shown.claims == (Alive(node.gossip.own.sealed),)
    assert [asked.first for asked in sends(dialled, Digest)] == [FIRST_ID]
    assert sends(taken, Digest) == []


def test_a_peer_we_hold_dead_is_told_so_by_the_first_words() -> None:
    # [GOSSIP-EXCHANGE.1]
    node = Driver()
    node.link(1, 2)
    node.tell(2, dead(1))
    (shown,) = sends(node.open(1), Gossip)
    assert shown.claims == (Alive(node.gossip.own.sealed), dead(1))


def test_who_lost_its_disk_is_told_its_old_record() -> None:
    # [GOSSIP-EXCHANGE.1]: a newer one, or another of the same version.
    node = Driver()
    node.link(1)
    reborn = make_record(1, version=1, slots=3)
    told = sends(node.tell(1, reborn), Gossip)
    assert told == [Gossip((Alive(make_record(1).sealed),))]
    newer = make_record(1, version=40)
    node.tell(1, newer)
    assert sends(node.tell(1, reborn), Gossip) == [Gossip((Alive(newer.sealed),))]
    assert sends(node.tell(1, newer), Gossip) == []


def test_a_peer_without_a_record_is_asked_again_and_then_let_go() -> None:
    # [GOSSIP-EXCHANGE.1], [GOSSIP-LINKS.5]
    node = Driver()
    node.open(2)
    effects = node.wait((INTRODUCTIONS_MAX + 1) * TINY.probe_period_us)
    assert len(sends(effects, Digest)) >= INTRODUCTIONS_MAX
    assert [effect.peer for effect in effects if isinstance(effect, CloseLink)] == [name(2)]
    shown = Driver()
    shown.link(2)
    shown.wait(10 * TINY.probe_period_us)
    assert not any(isinstance(effect, CloseLink) for effect in shown.effects)


def test_one_linked_peer_is_asked_each_period_not_on_the_beat() -> None:
    # [GOSSIP-EXCHANGE.1]
    node = Driver()
    node.link(1, 2, 3)
    node.wait(SECOND)
    moments = [node.now for _ in range(20_000) if sends(node.wait(1000), Digest)]
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert 15 <= len(moments) <= 27
    assert len({gap // 10_000 for gap in gaps}) > 5


def test_while_exchanges_bring_news_the_next_comes_soon() -> None:
    # [GOSSIP-EXCHANGE.1]: halves of a network that find each other have much to say.
    node = Driver()
    node.link(1)
    node.wait(5 * SECOND)
    for version in range(2, 7):
        newer = make_record(9, version=version)
        node.hear(1, push_pull(newer), newer)
        soon = sends(node.wait(6 * TINY.probe_period_us), Digest)
        assert len(soon) == BRISK_QUESTIONS + 1
        node.hear(1, push_pull(newer), newer)
        assert not sends(node.wait(2 * TINY.probe_period_us), Digest), "nothing new"


# -- question and answer -------------------------------------------------------------------------


def test_equal_tables_cost_a_few_hundred_bytes_whatever_their_size() -> None:
    # [GOSSIP-EXCHANGE.2]
    node = Driver()
    node.link(1)
    grow(node, 1000)
    known = [make_record(number, addresses=()) for number in range(100, 1100)]
    question = digest(node.gossip.own, make_record(1), *known)
    (listed,) = sends(node.hear(1, question), Listing)
    assert (listed.buckets, listed.entries, listed.until) == (b"", (), None)
    assert len(encode_message(question)) + len(encode_message(listed)) < 700


def test_the_order_in_which_a_table_came_about_does_not_show() -> None:
    # [GOSSIP-EXCHANGE.2]
    one, other = Digests(), Digests()
    for number in range(50):
        one.hold(name(number), 7, MemberStatus.ALIVE)
    for number in reversed(range(60)):
        other.hold(name(number), 6, MemberStatus.SUSPECT)
        other.hold(name(number), 7, MemberStatus.ALIVE)
    assert one.get_sums() != other.get_sums()
    for number in range(50, 60):
        other.hold(name(number), 7, MemberStatus.DEAD)
    assert one.get_sums() == other.get_sums()


@pytest.mark.parametrize("change", ["version", "suspect", "dead"])
def test_any_difference_shows(change: str) -> None:
    # [GOSSIP-EXCHANGE.2]
    node = Driver()
    node.link(1, 2)
    node.tell(1, make_record(9))
    question = digest(node.gossip.own, make_record(1), make_record(2), make_record(9))
    assert sends(node.hear(1, question), Listing)[0].buckets == b""
    news: dict[str, OpenedRecord | Suspect | Dead] = {
        "version": make_record(9, version=2),
        "suspect": suspect(9),
        "dead": dead(9),
    }
    node.tell(2, news[change])
    (listed,) = sends(node.hear(1, question), Listing)
    standing = {
        "version": entry(9, 2),
        "suspect": entry(9, 1, Standing.SUSPECT),
        "dead": entry(9, 1, Standing.DEAD),
    }
    assert listed.buckets
    assert standing[change] in listed.entries


def test_a_long_listing_says_where_to_ask_on() -> None:
    # [GOSSIP-EXCHANGE.3]
    node = Driver()
    node.link(1)
    grow(node, 600)
    first, listed = FIRST_ID, list[Entry]()
    for _ in range(3):
        (part,) = sends(node.hear(1, Digest(first, NOTHING)), Listing)
        assert part.first == first
        assert len(part.entries) <= LISTING_ENTRIES_MAX
        assert len(encode_message(part)) <= MESSAGE_BYTES_MAX
        listed += part.entries
        if part.until is None:
            break
        first = NodeId(part.until)
    numbers = [1, 5, *range(100, 700)]
    assert [item.node for item in listed] == [name(number) for number in numbers]


def test_the_asker_asks_on_and_gives_up_when_it_never_ends() -> None:
    # [GOSSIP-EXCHANGE.3]
    node = Driver()
    node.link(1)
    node.open(1, is_dialled=True)
    first, count = FIRST_ID, 0
    for number in range(100, 300):
        asked = sends(node.hear(1, listing(first=first, until=name(number))), Digest)
        if not asked:
            break
        (first,) = [NodeId(question.first) for question in asked]
        assert first == name(number)
        count += 1
    assert count == ROUNDS_MAX - 1


def test_an_answer_to_no_question_is_ignored() -> None:
    # [GOSSIP-EXCHANGE.3]
    node = Driver()
    node.link(1, 2)
    assert sends(node.hear(1, listing(entry(9))), PushPull) == []
    node.open(1, is_dialled=True)
    assert sends(node.hear(2, listing(entry(9))), PushPull) == []
    assert sends(node.hear(1, listing(entry(9), first=name(3))), PushPull) == []
    (wanting, _) = sends(node.hear(1, listing(entry(9))), PushPull)
    assert wanting == PushPull((), (), (name(9),))
    assert sends(node.hear(1, listing(entry(10))), PushPull) == []


# -- what is given, wanted and told --------------------------------------------------------------


def test_each_gets_what_the_other_has_newer() -> None:
    # [GOSSIP-EXCHANGE.4]
    node = Driver()
    node.link(1)
    node.tell(1, make_record(7, version=3), make_record(8, version=2), make_record(9))
    effects = answer(node, 1, entry(1), entry(5), entry(7, 2), entry(8, 5), entry(10))
    assert given(effects) == [make_record(7, version=3).sealed, make_record(9).sealed]
    assert sends(effects, PushPull)[0].wanted == (name(8), name(10))


def test_a_peer_that_does_not_know_us_is_given_our_record() -> None:
    # [GOSSIP-EXCHANGE.4]
    node = Driver()
    node.link(1)
    assert given(answer(node, 1, entry(1))) == [node.gossip.own.sealed]


def test_wanted_records_are_given_and_unknown_ones_are_not() -> None:
    # [GOSSIP-EXCHANGE.4]
    node = Driver()
    node.link(1)
    node.tell(1, make_record(9))
    effects = node.hear(1, PushPull((), (), (name(9), name(77), name(5))))
    assert given(effects) == [make_record(9).sealed, node.gossip.own.sealed]
    assert all(part.wanted == () for part in sends(effects, PushPull))


def test_goodbyes_are_news_like_any_other() -> None:
    # [GOSSIP-EXCHANGE.4]
    node = Driver()
    node.link(1)
    gone = make_record(9, version=2, is_leaving=True)
    node.tell(1, make_record(9), make_record(8))
    node.tell(1, gone)
    effects = answer(
        node,
        1,
        entry(1),
        entry(5),
        entry(9, 1),
        entry(8, 4, Standing.LEFT),
        entry(7, 1, Standing.LEFT),
    )
    assert given(effects) == [gone.sealed]
    assert sends(effects, PushPull)[0].wanted == (name(8),), "a stranger that left is no news"


def test_the_records_of_the_dead_are_neither_given_nor_wanted_but_the_doubt_is_told() -> None:
    # [GOSSIP-EXCHANGE.4]: told to who has forgotten them, they would come back.
    node = Driver()
    node.link(1)
    grow(node, 3)
    node.tell(1, dead(100), suspect(101), dead(102))
    assert given(node.hear(1, PushPull((), (), (name(100),)))) == []
    effects = answer(
        node, 1, entry(1), entry(5), entry(100), entry(101), entry(90, 3, Standing.DEAD)
    )
    assert given(effects) == []
    assert sends(effects, PushPull) == [PushPull((), (dead(100), suspect(101)), ())]


def test_a_suspect_is_given_with_its_doubt() -> None:
    # [GOSSIP-EXCHANGE.4]
    node = Driver()
    node.link(1)
    node.tell(1, make_record(9))
    node.tell(1, suspect(9))
    (part,) = sends(answer(node, 1, entry(1), entry(5)), PushPull)
    assert (part.records, part.doubts) == ((make_record(9).sealed,), (suspect(9),))


def test_an_old_doubt_about_a_linked_member_is_taken_to_itself() -> None:
    # [GOSSIP-EXCHANGE.5]: who was cut off doubts everybody; that must not stop a network.
    node = Driver()
    node.link(1, 2)
    effects = node.hear(1, push_pull(doubts=[dead(2)]))
    assert node.gossip.is_routable(name(2))
    assert targets(effects, Gossip) == [name(2)]
    assert sends(effects, Gossip)[0].claims == (suspect(2, accuser=1),)
    pinged = targets([], Ping)
    while not pinged:
        pinged = targets(node.wait(1000), Ping)
    assert pinged == [name(2)]


def test_a_listing_that_doubts_a_linked_member_is_taken_to_it_too() -> None:
    # [GOSSIP-EXCHANGE.5]
    node = Driver()
    node.link(1, 2)
    node.open(1, is_dialled=True)
    effects = node.hear(1, listing(entry(1), entry(5), entry(2, 1, Standing.DEAD)))
    assert node.gossip.is_routable(name(2))
    assert sends(effects, Gossip) == [Gossip((suspect(2, accuser=1),))]


def test_an_old_doubt_about_others_gives_them_time_to_refute() -> None:
    # [GOSSIP-EXCHANGE.5]
    node = Driver()
    node.link(1)
    grow(node, 2)
    node.hear(1, push_pull(doubts=[dead(100), dead(777)]))
    assert node.status(100) is MemberStatus.SUSPECT
    assert node.status(777) is None
    node.open(1, is_dialled=True)
    node.hear(1, listing(entry(101, 1, Standing.DEAD)))
    assert node.status(101) is MemberStatus.SUSPECT


def test_a_listing_that_doubts_us_is_refuted() -> None:
    # [GOSSIP-EXCHANGE.5]
    node = Driver()
    node.link(1)
    answer(node, 1, entry(5, 1, Standing.DEAD))
    assert node.version == 2
