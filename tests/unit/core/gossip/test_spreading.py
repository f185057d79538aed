"""News is told often enough and no more, the least told first, within the bounds of a message.

The queue of claims is driven alone; then node 5 is watched telling its peers. Claims:
[GOSSIP-SPREAD.1] to [GOSSIP-SPREAD.5].
"""

from collections import Counter

import pytest

from tests.unit.core.gossip.driver import Driver, claims_about, sends, suspect, targets
from tests.unit.core.gossip.pretend import make_record, name
from wwwserve.core.events import LinkClosed
from wwwserve.core.facts import MemberStatus
from wwwserve.core.gossip.claims import ClaimQueue, compute_claim_bytes
from wwwserve.core.gossip.rules import compute_tellings_max
from wwwserve.core.gossip.state import ANSWERS_WITH_NEWS_MAX
from wwwserve.values.limits import (
    MESSAGE_BYTES_MAX,
    PIGGYBACK_BYTES_MAX,
    PIGGYBACK_CLAIMS_MAX,
    RECORD_BYTES_MAX,
)
from wwwserve.values.moments import SECOND
from wwwserve.values.parameters import MAIN, TINY
from wwwserve.wire import SIGNATURE_BYTES, Ack, Alive, Gossip, Ping, SealedRecord, encode_message


def alive(number: int, body_bytes: int = 100) -> Alive:
    body = bytes([number]) * body_bytes
    return Alive(SealedRecord(body, bytes(SIGNATURE_BYTES)))


def fill(count: int) -> ClaimQueue:
    queue = ClaimQueue()
    for number in range(count):
        queue.put(name(number), suspect(number))
    return queue


@pytest.mark.parametrize(("others", "tellings"), [(0, 4), (1, 8), (3, 12), (1000, 40)])
def test_tellings_grow_with_the_logarithm_of_the_network(others: int, tellings: int) -> None:
    # [GOSSIP-SPREAD.1]
    assert compute_tellings_max(MAIN, others) == tellings


def test_each_claim_is_told_exactly_so_often() -> None:
    # [GOSSIP-SPREAD.1]
    queue = fill(20)
    told: Counter[bytes] = Counter()
    while claims := queue.take(tellings_max=7):
        told.update(claim.node for claim in claims if not isinstance(claim, Alive))
    assert told == Counter({name(number): 7 for number in range(20)})
    assert len(queue) == 0


def test_the_least_told_go_first() -> None:
    # [GOSSIP-SPREAD.1]
    queue = fill(PIGGYBACK_CLAIMS_MAX)
    queue.take(tellings_max=10)
    queue.put(name(50), suspect(50))
    assert queue.take(tellings_max=10)[0] == suspect(50)


@pytest.mark.parametrize(("told", "left"), [(0, 4), (5, 4), (8, 4), (9, 3), (11, 1)])
def test_what_peers_repeat_is_told_a_third_of_the_times_from_then_on(told: int, left: int) -> None:
    # [GOSSIP-SPREAD.5]
    queue = ClaimQueue()
    queue.put(name(1), alive(1))
    for _ in range(told):
        queue.take(tellings_max=12)
    for _ in range(100):
        queue.hear_again(name(1), alive(1), tellings_max=12)
    for _ in range(left):
        assert queue.take(tellings_max=12) == (alive(1),)
        queue.hear_again(name(1), alive(1), tellings_max=12)
    assert queue.take(tellings_max=12) == ()


def test_an_older_record_that_is_repeated_hushes_no_newer_one_up() -> None:
    # [GOSSIP-SPREAD.5]
    queue = ClaimQueue()
    queue.put(name(1), alive(2))
    queue.hear_again(name(1), alive(1), tellings_max=12)
    queue.hear_again(name(2), alive(2), tellings_max=12)
    tellings = 0
    while queue.take(tellings_max=12):
        tellings += 1
    assert tellings == 12


def test_newer_news_takes_the_place_of_older_and_starts_afresh() -> None:
    # [GOSSIP-SPREAD.2]
    queue = ClaimQueue()
    queue.put(name(1), suspect(1, 1))
    queue.take(tellings_max=2)
    queue.put(name(1), suspect(1, 2))
    assert [queue.take(tellings_max=2) for _ in range(3)] == [
        (suspect(1, 2),),
        (suspect(1, 2),),
        (),
    ]


def test_a_message_holds_few_claims_and_few_bytes() -> None:
    # [GOSSIP-SPREAD.3]
    queue = fill(100)
    assert len(queue.take(tellings_max=9)) == PIGGYBACK_CLAIMS_MAX
    assert len(queue.take(tellings_max=9, first=suspect(200))) == PIGGYBACK_CLAIMS_MAX
    queue = ClaimQueue()
    for number in range(6):
        queue.put(name(number), alive(number, RECORD_BYTES_MAX))
    sizes = []
    while claims := queue.take(tellings_max=1, first=None):
        sizes.append(len(encode_message(Gossip(claims))))
        assert sum(compute_claim_bytes(claim) for claim in claims) <= PIGGYBACK_BYTES_MAX
    assert len(sizes) == 6, "the largest record there is still finds a message"
    assert max(sizes) <= MESSAGE_BYTES_MAX


def test_a_claims_size_is_never_taken_for_less_than_it_is() -> None:
    for claim in (suspect(1, 2**63 - 1), alive(1, 0), alive(1, 300), alive(1, RECORD_BYTES_MAX)):
        alone = len(encode_message(Gossip((claim,)))) - len(encode_message(Gossip(())))
        assert alone <= compute_claim_bytes(claim)


def test_what_must_wait_is_passed_over_and_not_lost() -> None:
    queue = fill(3)
    assert suspect(1) not in queue.take(tellings_max=1, skip=name(1))
    assert queue.take(tellings_max=1) == (suspect(1),)


def test_a_quiet_network_gossips_nothing() -> None:
    # [GOSSIP-SPREAD.4]
    node = Driver()
    node.link(1)
    told = []
    for _ in range(200):
        # Its peer answers every probe; after the first news of the peer itself, all is quiet.
        effects = node.wait(20_000)
        told.append(len(sends(effects, Gossip)))
        for ping in sends(effects, Ping):
            node.hear(1, Ack(ping.number))
    assert sum(told[:50]) > 0
    assert sum(told[50:]) == 0


def test_news_goes_to_a_few_peers_each_round_until_told_enough() -> None:
    # [GOSSIP-SPREAD.1], [GOSSIP-SPREAD.4]
    node = Driver()
    node.link(1, 2, 3, 4)
    effects = node.tell(1, make_record(9, addresses=()))
    effects += node.wait(TINY.gossip_period_us)
    assert len(targets(effects, Gossip)) <= TINY.gossip_fan_out
    effects += node.wait(10 * SECOND)
    tellings = [claim for claim in claims_about(effects, 9) if isinstance(claim, Alive)]
    # Other members died meanwhile, so the bound sank; it was set by at most five others.
    assert 3 <= len(tellings) <= compute_tellings_max(TINY, 5)


def test_a_peer_that_repeats_everything_silences_nobody() -> None:
    # [GOSSIP-SPREAD.5]
    record = make_record(9, addresses=())
    tellings: dict[bool, int] = {}
    for is_repeated in (False, True):
        node = Driver()
        node.link(*range(1, 9))
        effects = node.tell(1, record)
        for _ in range(50):
            if is_repeated:
                effects += node.tell(2, record)
            effects += node.wait(TINY.gossip_period_us)
        tellings[is_repeated] = len(claims_about(effects, 9))
    assert tellings[True] < tellings[False]
    assert tellings[True] >= tellings[False] // 3


def test_news_rides_on_answers() -> None:
    # [GOSSIP-SPREAD.3]
    node = Driver()
    node.link(1, 2)
    node.tell(1, make_record(9, addresses=()))
    (ack,) = sends(node.hear(2, Ping(1)), Ack)
    assert claims_about(node.effects, 9)
    assert 0 < len(ack.claims) <= PIGGYBACK_CLAIMS_MAX


def test_who_probes_all_the_time_does_not_use_up_what_others_are_to_be_told() -> None:
    # [GOSSIP-SPREAD.3]
    node = Driver()
    node.link(*range(1, 9))
    node.tell(1, make_record(40, addresses=()))
    before = len(node.effects)
    for number in range(1_000):
        node.hear(2, Ping(number))
    effects = node.effects[before:]
    assert len(sends(effects, Ack)) == 1_000
    assert len(claims_about(effects, 40)) <= ANSWERS_WITH_NEWS_MAX
    node.wait(SECOND)
    tellings = compute_tellings_max(TINY, 9)
    assert len(claims_about(node.effects, 40)) >= tellings - ANSWERS_WITH_NEWS_MAX


def test_without_a_link_no_news_is_kept() -> None:
    # [GOSSIP-SPREAD.4]: whoever comes is sent the whole table, and what a node thinks of others
    # while it is cut off is no news.
    node = Driver()
    node.link(1)
    node.tell(1, make_record(9, addresses=()))
    node.feed(LinkClosed(name(1), "gone"))
    node.wait(3 * SECOND)
    node.open(2)
    assert claims_about(node.wait(SECOND), 9) == []
    cut_off = Driver()
    cut_off.link(1)
    cut_off.feed(LinkClosed(name(1), "gone"))
    while cut_off.status(1) is not MemberStatus.DEAD:
        cut_off.wait(1000)
    cut_off.open(2)
    assert claims_about(cut_off.wait(SECOND), 1) == []
