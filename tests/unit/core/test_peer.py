"""The machines hear of each other as they must: whole peers, with links, quotes and offers.

Two to four peers are wired by hand: messages, offers and answers are carried between them, and the
test decides when engines finish. Nodes are small integers.
"""

from collections import deque
from dataclasses import replace
from typing import TypeVar

import pytest

from tests.unit.core.desk import MODEL, failed, node, reading, request_id, served, summary
from wwwserve.core.effects import (
    AcceptOffer,
    DeclineOffer,
    Effect,
    EndRequest,
    Persist,
    Report,
    SendMessage,
    StartLocal,
    StartRemote,
    StopSession,
)
from wwwserve.core.events import (
    DeadlineReached,
    Depart,
    Departure,
    EngineRead,
    EnvelopeReceived,
    Event,
    LinkClosed,
    LinkOpened,
    OfferReceived,
    Persisted,
    SendFailed,
    SetGroups,
    SetModels,
    SetPolicy,
    Started,
    StreamEnded,
    StreamFailed,
    SubmitRequest,
)
from wwwserve.core.facts import EngineChanged, WorkStarted
from wwwserve.core.peer import Peer
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.core.requests.quotes import POOLED_US
from wwwserve.core.sessions import Role, Route, SessionId
from wwwserve.core.setup import PeerSetup
from wwwserve.values.ids import NodeId
from wwwserve.values.model_names import ModelId
from wwwserve.values.moments import MILLISECOND, SECOND, Moment
from wwwserve.values.parameters import TINY, compute_network_id
from wwwserve.values.refusals import FailureKind
from wwwserve.wire import Envelope, Message, Probe, Usage, encode_message, open_message

E = TypeVar("E")


class PlainSigner:
    """Signs with its own name."""

    def __init__(self, number: int) -> None:
        self.node_id = node(number)

    def sign(self, message: bytes) -> bytes:
        return (self.node_id + message[-32:])[:64]


class PlainVerifier:
    def is_signed_by(self, node_id: NodeId, message: bytes, signature: bytes) -> bool:
        return signature == (node_id + message[-32:])[:64]


class Town:
    """A few peers and the carrier between them; sending takes a millisecond."""

    def __init__(self, **setups: PeerSetup) -> None:
        self.peers = {int(name[1:]): Peer(setup) for name, setup in setups.items()}
        self.now = Moment(0)
        self.mail: deque[tuple[int, int, Event]] = deque()
        self.log: dict[int, list[Effect]] = {number: [] for number in self.peers}
        self.origins: dict[SessionId, tuple[int, SessionId]] = {}
        self.refuse_probes_to: set[int] = set()
        for number in self.peers:
            self.tell(number, Started())
            self.tell(number, EngineRead("gpu", reading()))
        for number in self.peers:
            for other in self.peers:
                if other != number:
                    self.tell(number, LinkOpened(node(other), "", is_dialled=number < other))
        self.run(SECOND)

    def tell(self, number: int, event: Event) -> list[Effect]:
        effects = self.peers[number].handle(event, self.now)
        self.log[number].extend(effects)
        for effect in effects:
            self.carry(number, effect)
        return effects

    def carry(self, number: int, effect: Effect) -> None:
        match effect:
            case SendMessage(peer, Probe() as probe) if peer[0] in self.refuse_probes_to:
                self.post(number, SendFailed(peer, probe))
            case SendMessage(peer, message):
                self.post(peer[0], EnvelopeReceived(self.open(number, message)))
            case Persist(lane, persisted):
                self.post(number, Persisted(lane, persisted))
            case StartRemote(session, _, peer, sent):
                theirs = SessionId(Role.EXECUTOR, len(self.origins))
                self.origins[theirs] = (number, session)
                self.post(peer[0], OfferReceived(theirs, node(number), sent))
            case DeclineOffer(session, decline):
                origin, own = self.origins[session]
                event = StreamFailed(
                    own,
                    FailureKind.DECLINED,
                    0,
                    "",
                    is_delivered=False,
                    decline=decline.reason,
                    retry_after_us=decline.retry_after_us,
                )
                self.post(origin, event)
            case _:
                pass

    def open(self, sender: int, message: Message) -> Envelope:
        return open_message(
            encode_message(message),
            sender=node(sender),
            verifier=PlainVerifier(),
            network_id=compute_network_id(TINY),
        )

    def post(self, number: int, event: Event) -> None:
        self.mail.append((self.now + MILLISECOND, number, event))

    def run(self, span_us: int) -> None:
        """Deliver the mail and wake who asks for it."""
        end = self.now + span_us
        while True:
            wake, sleeper = min((peer.next_deadline(), n) for n, peer in self.peers.items())
            arrival = self.mail[0][0] if self.mail else end + 1
            if min(wake, arrival) > end:
                break
            self.now = Moment(max(self.now, min(wake, arrival)))
            if arrival <= wake:
                _, number, event = self.mail.popleft()
                self.tell(number, event)
            else:
                self.tell(sleeper, DeadlineReached())
        self.now = Moment(end)
        for number in self.peers:
            self.tell(number, EngineRead("gpu", reading()))

    def find(self, number: int, kind: type[E]) -> list[E]:
        return [effect for effect in self.log[number] if isinstance(effect, kind)]


def make_setup(number: int, slots: int = 1, policy: PolicySettings | None = None) -> PeerSetup:
    return PeerSetup(
        signer=PlainSigner(number),
        parameters=TINY,
        entropy_seed=bytes([number]),
        models=(served(slots),) if slots else (),
        groups={"any": (ModelId(MODEL),)},
        policy=policy or PolicySettings(),
    )


def submit(number: int, route: Route = Route.AUTO) -> SubmitRequest:
    return SubmitRequest(summary(number), route)


def reports(effects: list[Effect], kind: type[WorkStarted]) -> list[WorkStarted]:
    facts = [effect.fact for effect in effects if isinstance(effect, Report)]
    return [fact for fact in facts if isinstance(fact, kind)]


@pytest.fixture
def town() -> Town:
    return Town(n1=make_setup(1), n2=make_setup(2), n3=make_setup(3))


def test_work_spreads_over_those_who_are_here(town: Town) -> None:
    for number in range(3):
        town.tell(1, submit(number))
        town.run(20 * MILLISECOND)
    assert len(town.find(1, StartLocal)) == 1
    assert {start.peer for start in town.find(1, StartRemote)} == {node(2), node(3)}
    assert len(town.find(2, AcceptOffer)) == len(town.find(3, AcceptOffer)) == 1


def test_an_answer_from_afar_ends_the_request(town: Town) -> None:
    town.tell(1, submit(1, Route.NETWORK))
    town.run(20 * MILLISECOND)
    (start,) = town.find(1, StartRemote)
    town.tell(1, StreamEnded(start.session, Usage(1, 2), bytes(32)))
    (end,) = town.find(1, EndRequest)
    assert end == EndRequest(request_id(1), None)
    assert town.peers[1].get_snapshot(town.now).totals.offloaded == 1


def test_a_member_that_dies_is_not_asked_and_the_asked_are_given_up(town: Town) -> None:
    town.refuse_probes_to = {2}
    town.tell(1, submit(1, Route.NETWORK))
    town.run(20 * MILLISECOND)
    (start,) = town.find(1, StartRemote)
    assert start.peer == node(3)
    town.tell(1, LinkClosed(node(3), "cut"))
    effects = town.tell(1, failed(start.session, FailureKind.LINK_LOST))
    probed = [effect.peer for effect in effects if isinstance(effect, SendMessage)]
    assert node(3) not in probed


def test_a_node_that_failed_one_request_is_not_asked_about_the_next(town: Town) -> None:
    town.tell(1, submit(1, Route.NETWORK))
    town.run(20 * MILLISECOND)
    (start,) = town.find(1, StartRemote)
    town.tell(1, failed(start.session))
    town.run(POOLED_US + MILLISECOND)
    effects = town.tell(1, submit(2, Route.NETWORK))
    probed = [effect.peer for effect in effects if isinstance(effect, SendMessage)]
    assert probed
    assert start.peer not in probed


def test_a_policy_and_models_not_shared_are_told_to_nobody(town: Town) -> None:
    town.tell(2, SetPolicy(PolicySettings(deny_models=(ModelId(MODEL),))))
    town.run(SECOND)
    members = {view.node: view for view in town.peers[1].get_snapshot(town.now).members}
    assert members[node(2)].record.models == ()
    assert members[node(3)].record.slots == 1


def test_new_models_are_served_and_told(town: Town) -> None:
    town.tell(2, SetModels((served(5, model="org/new", aliases=("fresh",)),)))
    town.run(SECOND)
    assert town.peers[1].find_models("fresh") == ((ModelId("org/new"),), ())
    assert town.peers[1].find_models("any") == ((ModelId(MODEL),), ())
    found, suggestions = town.peers[1].find_models("org/newer")
    assert not found
    assert "org/new" in suggestions


def test_a_model_on_several_engines_is_told_once_with_what_they_can_do_together(
    town: Town,
) -> None:
    # [REQUESTS-ENGINES.6]
    small = served(3, engine="a", context_tokens=4_096, capabilities=("chat",), aliases=("x",))
    large = served(5, engine="b", context_tokens=8_192, capabilities=("chat", "tools"))
    town.tell(2, SetModels((small, large)))
    town.run(SECOND)
    members = {view.node: view for view in town.peers[1].get_snapshot(town.now).members}
    record = members[node(2)].record
    assert record.slots == 8
    (offer,) = record.models
    assert (offer.context_tokens, offer.capabilities) == (8_192, ("chat", "tools"))
    assert offer.aliases == ("x",)
    (view,) = town.peers[2].get_snapshot(town.now).models
    assert (view.context_tokens, view.capabilities) == (8_192, ("chat", "tools"))


def test_what_one_of_several_engines_does_not_tell_may_be_anything(town: Town) -> None:
    # [REQUESTS-ENGINES.6]
    told = served(1, engine="a", context_tokens=4_096, capabilities=("chat",))
    town.tell(2, SetModels((told, served(1, engine="b"))))
    town.run(SECOND)
    members = {view.node: view for view in town.peers[1].get_snapshot(town.now).members}
    (offer,) = members[node(2)].record.models
    assert (offer.context_tokens, offer.capabilities) == (0, ())


def test_new_groups_stand_for_their_models_and_old_ones_for_nothing(town: Town) -> None:
    peer = town.peers[1]
    assert peer.find_models("any") == ((MODEL,), ())
    town.tell(1, SetGroups({"small": (ModelId(MODEL),)}))
    assert peer.find_models("small") == ((MODEL,), ())
    found, suggested = peer.find_models("any")
    assert found == ()
    assert "small" in suggested


def test_what_is_wrong_with_an_engine_is_told_once_for_each_change(town: Town) -> None:
    told = [
        effect.fact.detail
        for detail in ("", "no load", "no load", "", "no load")
        for effect in town.tell(1, EngineRead("gpu", replace(reading(), detail=detail)))
        if isinstance(effect, Report) and isinstance(effect.fact, EngineChanged)
    ]
    assert told == ["no load", "", "no load"]


def test_a_drained_node_gets_no_work(town: Town) -> None:
    town.tell(2, Depart(Departure.DRAIN))
    town.run(SECOND)
    for number in range(4):
        town.tell(1, submit(number, Route.NETWORK))
        town.run(20 * MILLISECOND)
    assert not town.find(2, AcceptOffer)


def test_two_origins_that_take_the_same_slot_both_get_answers() -> None:
    town = Town(n1=make_setup(1, 0), n2=make_setup(2, 0), n3=make_setup(3), n4=make_setup(4))
    town.tell(1, submit(1))
    town.tell(2, submit(2))
    town.run(5 * SECOND)
    started = [*reports(town.log[3], WorkStarted), *reports(town.log[4], WorkStarted)]
    assert {fact.request for fact in started} == {request_id(1), request_id(2)}
    assert not town.find(1, EndRequest)
    assert not town.find(2, EndRequest)


def test_a_refused_quote_is_not_news_for_gossip(town: Town) -> None:
    town.tell(2, EnvelopeReceived(town.open(1, Probe(1, summary(1)))))
    (sent,) = [
        effect
        for effect in town.log[2]
        if isinstance(effect, SendMessage) and type(effect.message).__name__ == "Quote"
    ]
    assert town.tell(2, SendFailed(node(1), sent.message)) == []


def test_equal_peers_told_the_same_answer_the_same() -> None:
    def run() -> dict[int, list[Effect]]:
        town = Town(n1=make_setup(1), n2=make_setup(2), n3=make_setup(3))
        for number in range(8):
            town.tell(1, submit(number))
            town.run(50 * MILLISECOND)
        return town.log

    assert run() == run()


def test_a_leaving_node_stops_nothing_that_runs(town: Town) -> None:
    town.tell(1, submit(1))
    effects = town.tell(1, Depart(Departure.LEAVE))
    assert not [effect for effect in effects if isinstance(effect, StopSession)]
