"""What a node says of itself is signed, durable before it is heard, and stronger than any doubt.

Node 5 is linked to 1 and 2. Its disk answers at once, except where a test holds it. Claims:
[GOSSIP-OWN.1] to [GOSSIP-OWN.6], [GOSSIP-DEPART.1], [GOSSIP-DEPART.2].
"""

import msgspec
import pytest

from tests.unit.core.gossip.driver import (
    ME,
    Driver,
    claims_about,
    dead,
    facts,
    push_pull,
    sends,
    suspect,
    targets,
)
from tests.unit.core.gossip.pretend import (
    NETWORK_ID,
    PretendVerifier,
    address_of,
    make_model,
    make_record,
    name,
)
from wwwserve.core.effects import CloseLink, Persist, SendMessage
from wwwserve.core.events import Depart, Departure, SetAddresses
from wwwserve.core.facts import PeerRefused
from wwwserve.core.gossip import Described, GossipEffect
from wwwserve.core.gossip.book import OWN_VERSION_KEY
from wwwserve.core.lanes import Lane
from wwwserve.core.sessions import ServedModel
from wwwserve.values.limits import RECORD_BYTES_MAX, RECORD_MODELS_MAX
from wwwserve.values.moments import SECOND
from wwwserve.values.parameters import TINY
from wwwserve.wire import Ack, Alive, Gossip, ModelOffer, Ping, PushPull, open_record


@pytest.fixture
def node() -> Driver:
    driver = Driver()
    driver.link(1, 2)
    return driver


def stored(version: int) -> dict[bytes, bytes]:
    return {OWN_VERSION_KEY: version.to_bytes(8, "big")}


def own_news(effects: list[GossipEffect]) -> list[SendMessage]:
    """Messages that carry the own record of node 5."""
    return [
        effect
        for effect in effects
        if isinstance(effect, SendMessage)
        and (
            isinstance(effect.message, PushPull)
            or any(isinstance(claim, Alive) for claim in claims_about([effect], 5))
        )
    ]


def test_the_record_is_signed_and_says_what_the_node_is() -> None:
    opened = Driver().gossip.own
    assert open_record(opened.sealed, PretendVerifier(), NETWORK_ID).record == opened.record
    assert opened.node == name(5)


@pytest.mark.parametrize(("on_disk", "version"), [({}, 1), (stored(41), 42), (stored(2**62), 1)])
def test_a_restart_continues_above_the_disk(on_disk: dict[bytes, bytes], version: int) -> None:
    # [GOSSIP-OWN.1]; nonsense on the disk counts as a lost disk.
    node = Driver(restored=on_disk)
    assert node.version == version
    assert Driver(restored=node.disk).version == version + 1


def test_a_version_is_on_disk_before_anybody_hears_it() -> None:
    # [GOSSIP-OWN.2]
    node = Driver(restored=stored(7))
    node.is_disk_stuck = True
    node.link(1)
    node.feed(Described((make_model("org/model"),), 2))
    node.tell(1, suspect(5, node.version))
    effects = node.wait(2 * SECOND)
    news = own_news(effects)
    assert news
    assert all(effect.lane is Lane.BOOK for effect in news)
    writes = [effect for effect in node.effects if isinstance(effect, Persist)]
    assert node.effects.index(writes[0]) < node.effects.index(own_news(node.effects)[0])


def test_a_probe_does_not_wait_for_the_disk(node: Driver) -> None:
    # [GOSSIP-OWN.2]: else a slow disk would look like death.
    node.is_disk_stuck = True
    node.feed(Described((make_model("org/model"),), 2))
    effects = node.hear(1, Ping(1)) + node.wait(3 * TINY.probe_period_us)
    probes = [
        effect
        for effect in effects
        if isinstance(effect, SendMessage) and isinstance(effect.message, Ping | Ack)
    ]
    assert len(probes) >= 3
    assert all(effect.lane is None for effect in probes)
    assert not any(isinstance(claim, Alive) for claim in claims_about(probes, 5))


@pytest.mark.parametrize("doubt", [suspect, dead])
def test_a_doubt_is_refuted_at_once(node: Driver, doubt: type) -> None:
    # [GOSSIP-OWN.4]
    before = node.version
    effects = node.tell(1, doubt(5, before))
    assert node.version == before + 1
    assert targets(effects, Gossip) == [name(1)], "who doubts hears first"
    assert claims_about(effects, 5) == [Alive(node.gossip.own.sealed)]
    assert Alive(node.gossip.own.sealed) in claims_about(node.wait(SECOND), 5)


def test_a_doubt_in_a_ping_or_an_exchange_is_refuted_too(node: Driver) -> None:
    node.hear(1, Ping(1, (suspect(5, node.version),)))
    node.wait(SECOND)
    node.hear(2, push_pull(doubts=[dead(5, node.version)]))
    assert node.version == 3


def test_an_old_doubt_needs_no_answer(node: Driver) -> None:
    node.tell(1, suspect(5, 0), dead(5, 0))
    assert node.version == 1


def test_endless_lies_cost_one_signature_a_gossip_period(node: Driver) -> None:
    # [GOSSIP-OWN.4]
    start = node.now
    while node.now < start + 10 * TINY.gossip_period_us:
        for _ in range(10):
            node.tell(1, suspect(5, node.version))
        node.wait(TINY.gossip_period_us // 10)
    assert 10 <= node.version <= 13
    node.wait(TINY.gossip_period_us)
    version = node.version
    node.wait(TINY.gossip_period_us)
    assert node.version == version, "and stop when the lies stop"


def test_a_lost_disk_is_made_up_for_by_what_others_hold(node: Driver) -> None:
    # [GOSSIP-OWN.3]: by a record of ours, and by the number in a doubt.
    node.hear(1, push_pull(make_record(5, version=90)), make_record(5, version=90))
    assert node.version == 91
    node.wait(SECOND)
    node.tell(2, dead(5, 300))
    assert node.version == 301


def test_another_record_of_the_same_version_is_overruled(node: Driver) -> None:
    # [GOSSIP-OWN.3]: from before the disk was lost, by coincidence at our version.
    node.tell(1, make_record(5, version=node.version, slots=77))
    assert node.version == 2
    node.wait(SECOND)
    own = node.gossip.own
    node.tell(1, own)
    assert node.gossip.own == own, "our own words, come back to us, are no news"


@pytest.mark.parametrize("version", [2**33, 2**61, 2**63 - 1])
def test_nobody_can_use_up_our_versions(node: Driver, version: int) -> None:
    # [GOSSIP-OWN.5]
    effects = node.tell(1, suspect(5, version), dead(5, version))
    assert node.version == 1
    assert [fact.rule for fact in facts(effects, PeerRefused)] == ["version-jump"] * 2


def test_a_changed_description_is_passed_on_and_an_equal_one_is_not(node: Driver) -> None:
    node.feed(Described((make_model("org/model"), make_model("org/model", 4)), 6))
    record = node.gossip.own.record
    assert (record.version, record.slots) == (2, 6)
    assert [offer.model for offer in record.models] == ["org/model"]
    assert claims_about(node.wait(SECOND), 5)
    node.feed(Described((make_model("org/model"), make_model("org/model", 4)), 6))
    assert node.version == 2


def test_a_record_stays_within_its_bounds_whatever_is_served(node: Driver) -> None:
    node.feed(Described(tuple(make_model(f"org/model-{n}") for n in range(500)), 1))
    assert len(node.gossip.own.record.models) == RECORD_MODELS_MAX
    long = tuple(
        msgspec.structs.replace(
            ModelOffer(f"org/model-{n}"), aliases=tuple("x" * 199 for _ in range(16))
        )
        for n in range(20)
    )
    models = tuple(
        type(make_model(""))(offer, engine="engine", engine_model="", slots=1) for offer in long
    )
    node.feed(Described(models, 1))
    assert 0 < len(node.gossip.own.record.models) < 20
    assert len(node.gossip.own.sealed.body) <= RECORD_BYTES_MAX
    open_record(node.gossip.own.sealed, PretendVerifier(), NETWORK_ID)


def test_draining_is_told_and_taken_back(node: Driver) -> None:
    # [GOSSIP-DEPART.2]
    said = []
    for departure in (Departure.DRAIN, Departure.DRAIN, Departure.RESUME):
        node.feed(Depart(departure))
        is_told = bool(claims_about(node.wait(SECOND), 5))
        said.append((node.version, node.gossip.own.record.is_draining, is_told))
    assert said == [(2, True, True), (2, True, False), (3, False, True)]


def test_goodbye_is_written_and_said_to_everybody_at_once(node: Driver) -> None:
    # [GOSSIP-DEPART.1]
    node.is_disk_stuck = True
    effects = node.feed(Depart(Departure.LEAVE))
    assert node.gossip.own.record.is_leaving
    assert sorted(targets(effects, Gossip)) == [name(1), name(2)]
    assert all(effect.lane is Lane.BOOK for effect in own_news(effects))
    kinds = [type(effect) for effect in effects]
    assert kinds.index(Persist) < kinds.index(SendMessage)


def test_who_leaves_remembers_whom_it_met_last(node: Driver) -> None:
    # [GOSSIP-BOOK.1]
    node.wait(SECOND)
    node.link(3)
    assert b"peer/" + name(3) not in node.disk
    node.feed(Depart(Departure.LEAVE))
    assert b"peer/" + name(3) in node.disk


def test_who_has_left_asks_nothing_and_refutes_nothing(node: Driver) -> None:
    # [GOSSIP-DEPART.1]
    node.feed(Depart(Departure.LEAVE))
    version = node.version
    node.tell(1, suspect(5, version), dead(5, version))
    node.feed(Depart(Departure.RESUME))
    assert node.version == version
    assert sends(node.wait(10 * SECOND), Ping) == []
    assert sends(node.hear(1, Ping(3)), Ack)


def test_a_goodbye_is_above_a_doubt_not_yet_refuted(node: Driver) -> None:
    # [GOSSIP-DEPART.1]: two doubts in one gossip period, the second of them put off.
    node.tell(1, suspect(5, 1), dead(5, 500))
    node.feed(Depart(Departure.LEAVE))
    assert node.version > 500


def test_who_left_comes_back_by_restarting(node: Driver) -> None:
    node.feed(Depart(Departure.LEAVE))
    again = Driver(restored=node.disk)
    assert again.version > node.version
    assert not again.gossip.own.record.is_leaving


# -- moving --------------------------------------------------------------------------------------


def test_a_node_that_moves_says_so_and_keeps_its_links() -> None:
    # [GOSSIP-OWN.6]
    node = Driver()
    node.link(1)
    effects = node.feed(SetAddresses(("elsewhere:2",), "north"))
    effects += node.wait(TINY.probe_period_us)
    record = node.gossip.own.record
    assert (record.version, record.addresses, record.region) == (2, ("elsewhere:2",), "north")
    (told, *_) = claims_about(effects, ME)
    assert told == Alive(node.gossip.own.sealed)
    assert not any(isinstance(effect, CloseLink) for effect in node.effects)
    assert node.gossip.is_routable(name(1))


def test_to_move_to_where_one_is_says_nothing() -> None:
    # [GOSSIP-OWN.6]
    node = Driver()
    node.link(1)
    node.feed(SetAddresses((address_of(ME),), ""))
    assert node.version == 1


def test_a_move_leaves_out_the_models_there_is_no_more_room_for() -> None:
    # [GOSSIP-OWN.6]
    node = Driver()
    aliases = tuple("alias" * 38 + str(number) for number in range(16))
    models = tuple(
        ServedModel(ModelOffer(f"org/m{n}", aliases=aliases), "engine", f"m{n}", slots=1)
        for n in range(5)
    )
    node.feed(Described(models, 1))
    before = node.gossip.own.record.models
    node.feed(SetAddresses(tuple(f"{'host' * 45}-{n}:1" for n in range(8)), ""))
    assert len(node.gossip.own.sealed.body) <= RECORD_BYTES_MAX
    assert node.gossip.own.record.models == before[:-1]
    node.feed(SetAddresses((address_of(ME),), ""))
    assert node.gossip.own.record.models == before
