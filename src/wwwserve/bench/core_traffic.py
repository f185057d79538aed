"""A busy day of one peer at full size, as a repeatable sequence of events.

A thousand members, sixty-four of them linked; thousands of own requests open at once, hundreds of
other nodes' works, a full queue; quotes, declines, failures, cancels, probes and offers of others,
membership news and lost links, all mixed. Which event comes next is drawn from a seed, and what it
refers to comes from the peer's own effects, so equal seeds give equal runs.
"""

from collections.abc import Callable, Iterator
from typing import TypeVar

from wwwserve.adapters.host import NodeKey
from wwwserve.core.effects import (
    AcceptOffer,
    CloseLink,
    Effect,
    EndRequest,
    Persist,
    RecallSession,
    SendMessage,
    StartLocal,
    StartRemote,
    StopSession,
)
from wwwserve.core.engines import EngineHealth, EngineReading
from wwwserve.core.entropy import Entropy
from wwwserve.core.events import (
    CancelRequest,
    DeadlineReached,
    EngineRead,
    EnvelopeReceived,
    Event,
    FirstOutput,
    LinkClosed,
    LinkOpened,
    OfferCancelled,
    OfferReceived,
    Persisted,
    RecallAnswered,
    SendFailed,
    SetModels,
    SetPolicy,
    Started,
    StreamEnded,
    StreamFailed,
    StreamOpened,
    StreamProgressed,
    SubmitRequest,
)
from wwwserve.core.peer import Peer
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.core.sessions import Role, Route, ServedModel, SessionId
from wwwserve.core.setup import PeerSetup
from wwwserve.values.ids import NodeId, RequestId
from wwwserve.values.limits import LINKS_MAX, PUSH_PULL_RECORDS_MAX
from wwwserve.values.moments import SECOND, Moment
from wwwserve.values.parameters import MAIN
from wwwserve.values.refusals import DeclineReason, FailureKind
from wwwserve.wire import (
    OFFER_VERSION,
    RECORD_FORMAT,
    Ack,
    Alive,
    Dead,
    Endpoint,
    Envelope,
    Gossip,
    ModelOffer,
    Offer,
    OpenedRecord,
    PeerRecord,
    Ping,
    Probe,
    PushPull,
    Quote,
    RequestSummary,
    SealedRecord,
    Suspect,
    Usage,
    encode,
)

MEMBERS = 1_000
OPEN_REQUESTS = 5_000
"""Own requests open at once when the run is warm: some run here, a thousand wait, most run away."""

_SHARED, _OWN_ONLY, _ELSEWHERE = "bench/shared", "bench/own-only", "bench/elsewhere"
_ENGINE = "engine"
_SLOTS = 300
_STEP_US = 150
"""Virtual time from one event to the next: some 6 000 events a second."""
_DIGEST = bytes(32)

T = TypeVar("T")


class Traffic:
    """One peer, and everything that happens to it."""

    def __init__(self, seed: bytes) -> None:
        self._entropy = Entropy(seed)
        self._nodes = [NodeId(number.to_bytes(32, "big")) for number in range(1, MEMBERS + 1)]
        self._models = (_serve(_SHARED), _serve(_OWN_ONLY))
        policy = PolicySettings(target_utilisation_permille=1_000)
        self.peer = Peer(
            PeerSetup(
                signer=NodeKey(bytes(32)),
                parameters=MAIN,
                entropy_seed=seed,
                addresses=("bench:1",),
                models=self._models,
                policy=policy,
            )
        )
        self.now = Moment(0)
        self._number = 0
        self._version = 1
        self._read_at = Moment(0)
        self._requests: list[RequestId] = []
        self._probes: list[tuple[NodeId, Probe]] = []
        self._runs: list[SessionId] = []
        self._works: list[SessionId] = []
        self._due: list[Event] = [Started(), *self._make_links(), *self._make_members()]
        self._menu = self._write_menu()
        self._weights = sum(weight for weight, _ in self._menu)

    def make_event(self) -> Event:
        """The next thing that happens, a little later than the last."""
        if self._due:
            return self._due.pop(0)
        self.now = Moment(self.now + _STEP_US)
        if self.now >= self._read_at:
            self._read_at = Moment(self.now + SECOND)
            return EngineRead(_ENGINE, EngineReading(EngineHealth.READY, running=len(self._works)))
        if self.peer.next_deadline() <= self.now:
            return DeadlineReached()
        drawn = self._entropy.below(self._weights)
        for weight, make in self._menu:
            if drawn < weight:
                return make()
            drawn -= weight
        raise AssertionError(drawn)

    def note(self, effects: list[Effect]) -> None:
        """What the peer asked for becomes what later events are about."""
        for effect in effects:
            match effect:
                case SendMessage(peer, Probe() as probe):
                    self._probes.append((peer, probe))
                case StartLocal(session) | StartRemote(session):
                    self._runs.append(session)
                case AcceptOffer(session):
                    self._works.append(session)
                case StopSession(session):
                    self._runs.remove(session)
                case RecallSession(session):
                    self._runs.remove(session)
                    self._due.append(RecallAnswered(session, is_stopped=True))
                case EndRequest(request):
                    self._requests.remove(request)
                case _:
                    self._due.extend(_answer(effect))

    # -- the menu --------------------------------------------------------------------------------

    def _write_menu(self) -> list[tuple[int, Callable[[], Event]]]:
        """Every kind of event with how often it comes."""
        return [
            (100, self._submit),
            (10, self._cancel),
            (300, self._quote),
            (5, self._fail_probe),
            (60, self._open),
            (60, self._first_output),
            (200, self._progress),
            (80, self._end),
            (15, self._fail),
            (60, self._probe),
            (40, self._offer),
            (5, self._cancel_offer),
            (30, self._ping),
            (30, self._ack),
            (60, self._gossip),
            (1, self._push_pull),
            (1, self._lose_link),
            (1, self._set_policy),
            (1, self._set_models),
        ]

    def _submit(self) -> Event:
        if len(self._requests) >= OPEN_REQUESTS:
            return self._cancel()
        request = RequestId(self._entropy.bytes(16))
        self._requests.append(request)
        model = self._entropy.pick((_SHARED, _OWN_ONLY, _ELSEWHERE, _ELSEWHERE, _ELSEWHERE))
        deadline_us = self._entropy.pick((0, 30 * SECOND, 600 * SECOND))
        return SubmitRequest(_summarise(request, model, deadline_us), Route.AUTO)

    def _cancel(self) -> Event:
        if not self._requests:
            return DeadlineReached()
        return CancelRequest(self._entropy.pick(self._requests))

    def _quote(self) -> Event:
        if not self._probes:
            return self._submit()
        peer, probe = self._take(self._probes)
        decline = DeclineReason.BUSY if self._entropy.chance(200) else None
        quote = Quote(
            probe.probe,
            decline,
            model="" if decline else probe.summary.models[0],
            finish_us=self._entropy.below(10 * SECOND),
        )
        return EnvelopeReceived(Envelope(peer, quote))

    def _fail_probe(self) -> Event:
        if not self._probes:
            return self._submit()
        return SendFailed(*self._take(self._probes))

    def _open(self) -> Event:
        return StreamOpened(self._pick_session())

    def _first_output(self) -> Event:
        return FirstOutput(self._pick_session())

    def _progress(self) -> Event:
        return StreamProgressed(self._pick_session(), 10)

    def _end(self) -> Event:
        sessions = self._works if self._works and self._entropy.chance(300) else self._runs
        if not sessions:
            return self._submit()
        return StreamEnded(self._take(sessions), Usage(500, 200), _DIGEST)

    def _fail(self) -> Event:
        if not self._runs:
            return self._submit()
        session = self._take(self._runs)
        is_delivered = self._entropy.chance(200)
        kind = self._entropy.pick((FailureKind.UNAVAILABLE, FailureKind.DECLINED))
        return StreamFailed(session, kind, 0, "bench", is_delivered)

    def _probe(self) -> Event:
        summary = _summarise(self._entropy.bytes(16), _SHARED, 0)
        self._number += 1
        return EnvelopeReceived(Envelope(self._pick_linked(), Probe(self._number, summary)))

    def _offer(self) -> Event:
        self._number += 1
        summary = _summarise(self._entropy.bytes(16), _SHARED, 0)
        session = SessionId(Role.EXECUTOR, self._number)
        offer = Offer(OFFER_VERSION, summary, 1, _SHARED)
        return OfferReceived(session, self._pick_linked(), offer)

    def _cancel_offer(self) -> Event:
        if not self._works:
            return self._offer()
        return OfferCancelled(self._take(self._works))

    def _ping(self) -> Event:
        self._number += 1
        return EnvelopeReceived(Envelope(self._pick_linked(), Ping(self._number)))

    def _ack(self) -> Event:
        return EnvelopeReceived(Envelope(self._pick_linked(), Ack(self._number)))

    def _gossip(self) -> Event:
        """News of one member: doubt, death, or a newer record of its own."""
        node = self._entropy.pick(self._nodes)
        sender = self._pick_linked()
        if self._entropy.chance(500):
            self._version += 1
            opened = _make_record(node, self._version)
            return EnvelopeReceived(
                Envelope(sender, Gossip((Alive(opened.sealed),)), records=(opened,))
            )
        doubt = Suspect if self._entropy.chance(500) else Dead
        return EnvelopeReceived(Envelope(sender, Gossip((doubt(node, self._version, sender),))))

    def _push_pull(self) -> Event:
        self._version += 1
        start = self._entropy.below(MEMBERS - PUSH_PULL_RECORDS_MAX)
        return self._share(self._nodes[start : start + PUSH_PULL_RECORDS_MAX])

    def _lose_link(self) -> Event:
        peer = self._pick_linked()
        self._due.append(LinkOpened(peer, "bench", is_dialled=False))
        return LinkClosed(peer, "lost")

    def _set_policy(self) -> Event:
        return SetPolicy(PolicySettings(offload_permille=900 + self._entropy.below(101)))

    def _set_models(self) -> Event:
        return SetModels(self._models)

    # -- what the menu is made of ----------------------------------------------------------------

    def _make_links(self) -> Iterator[Event]:
        for node in self._nodes[:LINKS_MAX]:
            yield LinkOpened(node, "bench", is_dialled=True)

    def _make_members(self) -> Iterator[Event]:
        for start in range(0, MEMBERS, PUSH_PULL_RECORDS_MAX):
            yield self._share(self._nodes[start : start + PUSH_PULL_RECORDS_MAX])

    def _share(self, nodes: list[NodeId]) -> Event:
        opened = tuple(_make_record(node, self._version) for node in nodes)
        message = PushPull(tuple(one.sealed for one in opened))
        return EnvelopeReceived(Envelope(self._pick_linked(), message, opened))

    def _pick_linked(self) -> NodeId:
        return self._entropy.pick(self._nodes[:LINKS_MAX])

    def _pick_session(self) -> SessionId:
        sessions = self._works if self._works and self._entropy.chance(300) else self._runs
        return self._entropy.pick(sessions) if sessions else SessionId(Role.ORIGIN, 0)

    def _take(self, items: list[T]) -> T:
        place = self._entropy.below(len(items))
        items[place], items[-1] = items[-1], items[place]
        return items.pop()


def _answer(effect: Effect) -> list[Event]:
    """What the host says at once to an effect."""
    match effect:
        case Persist(lane, number):
            return [Persisted(lane, number)]
        case CloseLink(peer):
            return [LinkClosed(peer, "asked for"), LinkOpened(peer, "bench", is_dialled=True)]
        case _:
            return []


def _serve(model: str) -> ServedModel:
    return ServedModel(ModelOffer(model, context_tokens=32_768), _ENGINE, model, _SLOTS)


def _summarise(request: bytes, model: str, deadline_us: int) -> RequestSummary:
    return RequestSummary(
        request=request,
        endpoint=Endpoint.CHAT,
        models=(model,),
        prompt_tokens=500,
        completion_tokens_max=500,
        body_bytes=2_000,
        deadline_us=deadline_us,
    )


def _make_record(node: NodeId, version: int) -> OpenedRecord:
    """A member's record; its signature was checked before the core, so it is not made here."""
    record = PeerRecord(
        format=RECORD_FORMAT,
        node=node,
        version=version,
        addresses=(f"{node.hex()[-8:]}.example:7443",),
        models=(
            ModelOffer(_SHARED, aliases=("shared",), context_tokens=32_768),
            ModelOffer(_ELSEWHERE, aliases=("elsewhere",), context_tokens=32_768),
        ),
        slots=64,
        protocol_min=1,
        protocol_max=1,
    )
    return OpenedRecord(record, SealedRecord(encode(record), bytes(64)))
