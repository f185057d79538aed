"""Tables are exchanged when links open and now and then; every exchange ends and none is too large.

Node 5 asks and is asked; what it sends is looked at message by message. Claims:
[GOSSIP-EXCHANGE.1] to [GOSSIP-EXCHANGE.6], [GOSSIP-LINKS.5].
"""

from itertools import pairwise

from tests.unit.core.gossip.driver import (
    Driver,
    dead,
    facts,
    push_pull,
    sends,
    suspect,
    targets,
)
from tests.unit.core.gossip.pretend import make_record, name
from wwwserve.core.effects import CloseLink
from wwwserve.core.facts import MemberStatus, PeerRefused
from wwwserve.core.gossip.state import (
    ANSWERS_PER_PEER_MAX,
    INTRODUCTIONS_MAX,
    PUSH_PULL_PART_RECORDS_MAX,
)
from wwwserve.values.limits import MESSAGE_BYTES_MAX, PUSH_PULL_RECORDS_MAX
from wwwserve.values.moments import SECOND
from wwwserve.values.parameters import TINY
from wwwserve.wire import Gossip, ModelOffer, Ping, PushPull, encode_message

QUESTION = PushPull((), (), is_answer=False)


def grow(node: Driver, count: int, *, region: str = "") -> None:
    """Have node 5 know so many members it has no link to, 100 and up."""
    for number in range(100, 100 + count):
        node.tell(1, make_record(number, addresses=(), region=region))


def test_who_dials_asks_at_once_and_who_is_dialled_waits() -> None:
    # [GOSSIP-EXCHANGE.1]: one exchange says everything both ways.
    node = Driver()
    (asked,) = sends(node.open(1, is_dialled=True), PushPull)
    assert not asked.is_answer
    assert asked.records == (node.gossip.own.sealed,)
    assert sends(node.open(2), PushPull) == []


def test_a_peer_without_a_record_is_asked_again_and_then_let_go() -> None:
    # [GOSSIP-EXCHANGE.1], [GOSSIP-LINKS.5]
    node = Driver()
    node.open(2)
    effects = node.wait((INTRODUCTIONS_MAX + 1) * TINY.probe_period_us)
    assert len(sends(effects, PushPull)) >= INTRODUCTIONS_MAX
    assert [effect.peer for effect in effects if isinstance(effect, CloseLink)] == [name(2)]
    shown = Driver()
    shown.link(2)
    shown.wait(10 * TINY.probe_period_us)
    assert not any(isinstance(effect, CloseLink) for effect in shown.effects)


def test_one_linked_peer_is_asked_each_period_not_on_the_beat() -> None:
    # [GOSSIP-EXCHANGE.1]
    node = Driver()
    node.link(1, 2, 3)
    moments = [node.now for _ in range(20_000) if sends(node.wait(1000), PushPull)]
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert 15 <= len(moments) <= 27
    assert len({gap // 10_000 for gap in gaps}) > 5


def test_a_question_has_one_answer_and_an_answer_none() -> None:
    # [GOSSIP-EXCHANGE.2]
    node = Driver()
    node.link(1)
    grow(node, 3)
    answers = sends(node.hear(1, QUESTION), PushPull)
    assert [answer.is_answer for answer in answers] == [True]
    assert len(answers[0].records) == 5
    assert sends(node.hear(1, push_pull(make_record(1))), PushPull) == []


def test_a_long_table_goes_in_parts_of_which_only_the_last_asks() -> None:
    # [GOSSIP-EXCHANGE.2], [GOSSIP-EXCHANGE.5]
    node = Driver()
    node.link(1)
    grow(node, 100)
    parts = sends(node.open(1, is_dialled=True), PushPull)
    assert [part.is_answer for part in parts] == [True, False]
    assert all(len(part.records) <= PUSH_PULL_PART_RECORDS_MAX for part in parts)
    assert sum(len(part.records) for part in parts) == 102
    assert all(part.is_answer for part in sends(node.hear(1, QUESTION), PushPull))


def test_no_part_is_longer_than_a_message() -> None:
    # [GOSSIP-EXCHANGE.5]
    node = Driver()
    node.link(1)
    aliases = tuple(chr(48 + n) * 190 for n in range(16))
    for number in range(100, 140):
        offers = tuple(ModelOffer(f"org/m{n}", aliases=aliases) for n in range(3))
        node.tell(1, make_record(number, addresses=(), models=offers))
    parts = sends(node.hear(1, QUESTION), PushPull)
    sizes = [len(encode_message(part)) for part in parts]
    assert len(sizes) > 5
    assert max(sizes) <= MESSAGE_BYTES_MAX
    assert sum(len(part.records) for part in parts) == 42


def test_of_a_huge_table_a_random_run_is_told() -> None:
    # [GOSSIP-EXCHANGE.5]
    node = Driver()
    node.link(1)
    grow(node, 600)
    told: dict[bytes, None] = {}
    for _ in range(40):
        records = [
            record
            for part in sends(node.open(1, is_dialled=True), PushPull)
            for record in part.records
        ]
        assert len(records) <= PUSH_PULL_RECORDS_MAX
        told.update(dict.fromkeys(record.body for record in records))
    assert len(told) > 550


def test_an_answer_leaves_out_what_the_question_said() -> None:
    # [GOSSIP-EXCHANGE.2]
    node = Driver()
    node.link(1)
    grow(node, 3)
    known = [make_record(1), make_record(100, addresses=()), make_record(101, addresses=())]
    question = PushPull(tuple(item.sealed for item in known), (), is_answer=False)
    (answer,) = sends(node.hear(1, question, *known), PushPull)
    last = make_record(102, addresses=()).sealed
    assert answer.records == (node.gossip.own.sealed, last)


def test_who_lost_its_disk_is_told_its_old_record() -> None:
    # [GOSSIP-EXCHANGE.2]
    node = Driver()
    node.link(1)
    newer = make_record(1, version=40)
    node.tell(1, newer)
    reborn = make_record(1, version=1, slots=3)
    (answer,) = sends(node.hear(1, QUESTION, reborn), PushPull)
    assert newer.sealed in answer.records


def test_the_records_of_the_dead_are_not_passed_on_but_the_doubt_is() -> None:
    # [GOSSIP-EXCHANGE.4]: told to who has forgotten them, they would come back.
    node = Driver()
    node.link(1)
    grow(node, 2)
    node.tell(1, dead(100), suspect(101))
    (answer,) = sends(node.hear(1, QUESTION), PushPull)
    assert make_record(100, addresses=()).sealed not in answer.records
    assert make_record(101, addresses=()).sealed in answer.records
    assert answer.doubts == (dead(100), suspect(101))


def test_a_peer_we_hold_dead_is_told_so_by_the_first_words() -> None:
    # [GOSSIP-EXCHANGE.4]
    node = Driver()
    node.link(1, 2)
    node.tell(2, dead(1))
    (asked,) = sends(node.open(1, is_dialled=True), PushPull)
    assert asked.doubts == (dead(1),)


def test_an_old_doubt_about_a_linked_member_is_taken_to_itself() -> None:
    # [GOSSIP-EXCHANGE.3]: who was cut off doubts everybody; that must not stop a network.
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


def test_an_old_doubt_about_others_gives_them_time_to_refute() -> None:
    # [GOSSIP-EXCHANGE.3]
    node = Driver()
    node.link(1)
    grow(node, 1)
    node.hear(1, push_pull(doubts=[dead(100), dead(777)]))
    assert node.status(100) is MemberStatus.SUSPECT
    assert node.status(777) is None


def test_tables_are_given_to_one_peer_only_so_often() -> None:
    # [GOSSIP-EXCHANGE.6]
    node = Driver()
    node.link(1, 2)
    effects = [effect for _ in range(50) for effect in node.hear(1, QUESTION)]
    assert len(sends(effects, PushPull)) == ANSWERS_PER_PEER_MAX
    assert [fact.rule for fact in facts(effects, PeerRefused)] == ["rate"]
    assert sends(node.hear(2, QUESTION), PushPull)
    node.wait(SECOND)
    assert sends(node.hear(1, QUESTION), PushPull)
