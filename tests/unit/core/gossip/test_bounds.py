"""A hostile peer can waste its own link: tables stay bounded, and nothing it sends stops a node.

A hostile node 1 with a link to node 5 sends records, doubts and numbers of its choice. Claims:
[GOSSIP-BOUNDS.1] to [GOSSIP-BOUNDS.3].
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.core.gossip.driver import Driver, dead, facts, push_pull, sends, suspect
from tests.unit.core.gossip.pretend import make_record, name
from wwwserve.core.entropy import Entropy
from wwwserve.core.events import DeadlineReached, EnvelopeReceived
from wwwserve.core.facts import MemberStatus, PeerRefused
from wwwserve.core.gossip.agenda import Agenda, Task
from wwwserve.core.gossip.digests import FIRST_ID
from wwwserve.core.gossip.roster import Roster
from wwwserve.core.gossip.rules import compute_suspicion_us
from wwwserve.core.gossip.state import TASKS_PER_CALL_MAX
from wwwserve.values.limits import MEMBERS_MAX
from wwwserve.values.moments import NEVER, Moment
from wwwserve.values.parameters import TINY
from wwwserve.wire import (
    BUCKETS,
    Ack,
    Digest,
    Entry,
    Envelope,
    Gossip,
    Listing,
    Nack,
    Ping,
    PingRequest,
    PushPull,
    Standing,
)


@pytest.fixture
def full() -> Driver:
    """A node whose table is full of strangers."""
    driver = Driver()
    driver.link(1)
    for start in range(100, 100 + MEMBERS_MAX - 1, 200):
        numbers = range(start, min(start + 200, 100 + MEMBERS_MAX - 1))
        records = [make_record(number, addresses=()) for number in numbers]
        driver.hear(1, push_pull(*records), *records)
    return driver


def test_a_stranger_above_the_bound_is_ignored_until_somebody_is_gone(full: Driver) -> None:
    # [GOSSIP-BOUNDS.1]
    assert len(full.gossip.get_members()) == MEMBERS_MAX
    effects = full.tell(1, make_record(9))
    assert full.status(9) is None
    assert facts(effects, PeerRefused) == [], "it is not the sender's fault"
    full.tell(1, dead(200), make_record(300, version=2, is_leaving=True))
    full.tell(1, make_record(9), make_record(10), make_record(11))
    assert [full.status(number) for number in (9, 10, 11)] == [
        MemberStatus.ALIVE,
        MemberStatus.ALIVE,
        None,
    ]
    assert full.status(200) is None, "the longest gone made room"
    assert len(full.gossip.get_members()) == MEMBERS_MAX


def test_a_crowd_of_records_keeps_out_nobody_who_comes_with_a_link(full: Driver) -> None:
    # [GOSSIP-BOUNDS.1]: one peer told of nobodies until no room was left; then somebody comes.
    full.link(9)
    assert full.status(9) is MemberStatus.ALIVE
    assert full.status(1) is not None, "who is linked stays"
    assert len(full.gossip.get_members()) == MEMBERS_MAX
    assert full.gossip.is_routable(name(9))


def test_what_there_is_no_room_for_is_not_asked_for_again_and_again(full: Driver) -> None:
    # [GOSSIP-BOUNDS.1]: two full tables that differ would be exchanged for ever.
    entries = tuple(Entry(name(number), 1, Standing.ALIVE) for number in range(9, 20))
    full.open(2, is_dialled=True)
    stranger = make_record(2, addresses=())
    full.hear(2, push_pull(stranger), stranger)
    listing = Listing(FIRST_ID, bytes(range(BUCKETS)), entries, until=None)
    wanted = [part.wanted for part in sends(full.hear(2, listing), PushPull)]
    assert not any(wanted)
    full.wait(6 * TINY.probe_period_us)
    news = [make_record(number) for number in range(9, 20)]
    full.hear(2, push_pull(*news), *news)
    asked = sends(full.wait(TINY.push_pull_period_us // 2), Digest)
    assert len(asked) <= 1, "what was not taken in is no reason to ask on"


def test_however_much_is_due_no_call_does_it_all(full: Driver) -> None:
    # [GOSSIP-BOUNDS.1]: the whole table dies at once, a part in each call, and no deadline is lost.
    full.hear(1, push_pull(doubts=[suspect(number) for number in range(100, 4000)]))
    others = sum(view.status is not MemberStatus.DEAD for view in full.gossip.get_members())
    full.now = Moment(full.now + compute_suspicion_us(TINY, others, confirmations=0))
    calls = 0
    while full.gossip.next_deadline() <= full.now:
        effects = full.feed(DeadlineReached())
        assert len(effects) <= 4 * TASKS_PER_CALL_MAX
        calls += 1
    assert calls >= 3900 // TASKS_PER_CALL_MAX
    assert full.status(3999) is MemberStatus.DEAD


def test_a_record_no_version_could_follow_is_refused() -> None:
    # [GOSSIP-BOUNDS.2]
    node = Driver()
    node.link(1)
    effects = node.tell(1, make_record(9, version=2**62), make_record(1, version=2**63 - 1))
    assert node.status(9) is None
    assert [fact.rule for fact in facts(effects, PeerRefused)] == ["version-bound"] * 2
    node.tell(1, make_record(9, version=2**62 - 1))
    assert node.status(9) is MemberStatus.ALIVE


def test_records_that_did_not_open_are_told_of_and_the_rest_counts() -> None:
    node = Driver()
    node.link(1)
    record = make_record(9)
    effects = node.feed(EnvelopeReceived(Envelope(name(1), Gossip(()), (record,), refused=2)))
    assert [fact.rule for fact in facts(effects, PeerRefused)] == ["record"]
    assert node.status(9) is MemberStatus.ALIVE


numbers = st.integers(0, 8)
versions = st.sampled_from([0, 1, 2, 3, 5, 2**32, 2**62 - 1, 2**62, 2**63 - 1])
doubts = st.builds(suspect, numbers, versions, numbers) | st.builds(
    dead, numbers, versions, numbers
)
records = st.builds(
    make_record,
    st.integers(0, 8).filter(lambda number: number != 5),
    versions,
    is_leaving=st.booleans(),
    is_draining=st.booleans(),
)
claims = st.lists(doubts, max_size=6).map(tuple)
messages = (
    st.builds(Ping, versions, claims)
    | st.builds(Ack, versions, claims)
    | st.builds(PingRequest, versions, numbers.map(name), versions, claims)
    | st.builds(Nack, versions, st.booleans(), claims)
    | st.builds(Gossip, claims)
    | st.lists(doubts, max_size=6).map(lambda told: push_pull(doubts=told))
)


@pytest.mark.slow
@settings(max_examples=150)
@given(
    st.lists(
        st.tuples(st.sampled_from([1, 2, 9]), messages, st.lists(records, max_size=3)), max_size=20
    )
)
def test_no_words_of_peers_stop_a_node_or_make_it_doubt_itself(
    words: list[tuple[int, Ping, list[object]]],
) -> None:
    # [GOSSIP-BOUNDS.3]
    node = Driver()
    node.link(1, 2)
    for sender, message, shown in words:
        node.hear(sender, message, *shown)  # type: ignore[arg-type]
        node.wait(7_000)
    assert node.gossip.get_member(name(5)) is None
    assert node.version < 2**40
    assert node.now < node.gossip.next_deadline() < NEVER
    version = node.version
    node.tell(1, suspect(5, version))
    node.wait(50_000)
    assert node.version > version, "it can still refute"


# -- the parts that keep order -------------------------------------------------------------------


def test_an_agenda_keeps_one_moment_for_each_task_and_stays_small() -> None:
    agenda = Agenda()
    for count in range(10_000):
        agenda.set(Moment(count), Task.DIAL, b"a")
        agenda.set(Moment(20_000 - count), Task.DIAL, b"b")
    agenda.set_once(Moment(0), Task.DIAL, b"b")
    agenda.set(Moment(5), Task.PROBE)
    agenda.cancel(Task.PROBE)
    assert len(agenda._heap) < 100  # noqa: SLF001 - what it costs is not to be seen otherwise
    assert agenda.pop_due(Moment(9_998)) is None
    popped = [agenda.pop_due(Moment(20_000)) for _ in range(3)]
    assert [entry and (entry.subject, entry.due) for entry in popped] == [
        (b"a", 9_999),
        (b"b", 10_001),
        None,
    ]
    assert agenda.get_next() == NEVER


@given(st.lists(st.tuples(st.integers(0, 12), st.booleans()), max_size=60), st.binary(max_size=4))
def test_a_roster_serves_each_once_a_round_and_forgets_who_is_gone(
    changes: list[tuple[int, bool]], seed: bytes
) -> None:
    roster = Roster(Entropy(seed))
    present: set[bytes] = set()
    served: list[bytes] = []
    """Of those still there, who has had a turn in the round under way."""
    for number, is_wanted in changes:
        node = name(number)
        (roster.add if is_wanted else roster.remove)(node)
        (present.add if is_wanted else present.discard)(node)
        assert (set(roster), len(roster)) == (present, len(present))
        served = [] if set(served) >= present else [one for one in served if one in present]
        drawn = roster.draw()
        assert (drawn is None) == (not present)
        if drawn is not None:
            assert drawn in present
            assert drawn not in served
            served.append(drawn)
