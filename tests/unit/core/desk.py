"""One node's requests, routing and policy at a desk: events go in by hand, effects come out.

Nodes are small integers, this node is 0. The desk plays `core.peer` (experience goes to routing)
and nothing else: every answer of an engine or of another node is the test's own.
"""

from collections.abc import Iterator
from typing import TypeVar

from wwwserve.core.effects import Effect, EndRequest, Report, SendMessage
from wwwserve.core.engines import EngineHealth, EngineReading
from wwwserve.core.entropy import Entropy
from wwwserve.core.events import (
    DeadlineReached,
    EngineRead,
    OfferReceived,
    StreamEnded,
    StreamFailed,
    SubmitRequest,
)
from wwwserve.core.facts import Fact, MemberStatus
from wwwserve.core.placing import Experience
from wwwserve.core.policy import Policy
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.core.requests import (
    AsksPayments,
    ProbeReceived,
    QuoteReceived,
    Requests,
    RequestsEvent,
    Unpaid,
)
from wwwserve.core.routing import Routing
from wwwserve.core.sessions import Role, Route, ServedModel, SessionId
from wwwserve.core.snapshot import MemberView
from wwwserve.values.ids import NodeId, RequestId
from wwwserve.values.moments import Moment
from wwwserve.values.refusals import DeclineReason, FailureKind
from wwwserve.wire import (
    OFFER_VERSION,
    RECORD_FORMAT,
    Endpoint,
    ModelOffer,
    Offer,
    PeerRecord,
    Probe,
    Quote,
    RequestSummary,
    Usage,
)

E = TypeVar("E")
F = TypeVar("F")

MODEL = "org/small"
DIGEST = bytes(32)


def node(number: int) -> NodeId:
    return NodeId(bytes([number]) * 32)


def request_id(number: int) -> RequestId:
    return RequestId(number.to_bytes(16, "big"))


def summary(number: int = 1, **fields: object) -> RequestSummary:
    values: dict[str, object] = {
        "request": request_id(number),
        "endpoint": Endpoint.CHAT,
        "models": (MODEL,),
        "prompt_tokens": 100,
        "completion_tokens_max": 100,
        "body_bytes": 1000,
    }
    return RequestSummary(**(values | fields))  # type: ignore[arg-type]


def served(
    slots: int = 2, *, model: str = MODEL, engine: str = "gpu", **fields: object
) -> ServedModel:
    return ServedModel(ModelOffer(model, **fields), engine, model, slots)  # type: ignore[arg-type]


def member(
    number: int,
    *offers: ModelOffer,
    status: MemberStatus = MemberStatus.ALIVE,
    is_linked: bool = True,
    is_draining: bool = False,
    slots: int = 4,
) -> MemberView:
    record = PeerRecord(
        format=RECORD_FORMAT,
        node=node(number),
        version=1,
        addresses=(),
        models=offers or (ModelOffer(MODEL),),
        slots=slots,
        protocol_min=1,
        protocol_max=1,
        is_draining=is_draining,
    )
    return MemberView(node(number), status, record, is_linked, None)


def reading(health: EngineHealth = EngineHealth.READY, **fields: object) -> EngineReading:
    return EngineReading(health, **fields)  # type: ignore[arg-type]


def probe(number: int, asked: RequestSummary | None = None, *, peer: int = 1) -> ProbeReceived:
    return ProbeReceived(node(peer), Probe(number, asked or summary(number)))


def offer(
    number: int, asked: RequestSummary | None = None, *, peer: int = 1, version: int = OFFER_VERSION
) -> OfferReceived:
    """Offer `number` of a peer, on a session of the same number."""
    asked = asked or summary(number)
    session = SessionId(Role.EXECUTOR, number)
    return OfferReceived(session, node(peer), Offer(version, asked, 1, asked.models[0]))


def ended(session: SessionId, completion_tokens: int = 50) -> StreamEnded:
    return StreamEnded(session, Usage(100, completion_tokens), DIGEST)


def failed(
    session: SessionId,
    kind: FailureKind = FailureKind.UNAVAILABLE,
    *,
    is_delivered: bool = False,
    decline: DeclineReason | None = None,
    retry_after_us: int = 0,
) -> StreamFailed:
    return StreamFailed(
        session, kind, 0, "it broke", is_delivered, decline=decline, retry_after_us=retry_after_us
    )


def declined(session: SessionId, retry_after_us: int = 0) -> StreamFailed:
    return failed(
        session,
        FailureKind.DECLINED,
        decline=DeclineReason.BUSY,
        retry_after_us=retry_after_us,
    )


class Desk:
    """Requests with its two neighbours, and all it has asked for so far."""

    def __init__(
        self,
        *models: ServedModel,
        policy: PolicySettings | None = None,
        seed: bytes = b"desk",
        payments: AsksPayments | None = None,
        is_read: bool = True,
    ) -> None:
        """A node 0 that serves these models, its engines read as ready unless told otherwise."""
        entropy = Entropy(seed)
        self.policy = Policy(policy or PolicySettings(), entropy.split("policy"))
        self.routing = Routing(node(0), {}, entropy.split("routing"))
        self.routing.set_models(models)
        self.requests = Requests(
            node(0),
            models,
            policy=self.policy,
            routing=self.routing,
            payments=payments or Unpaid(),
            entropy=entropy.split("requests"),
        )
        self.now = Moment(1_000_000)
        self.log: list[Effect] = []
        self.moments: list[Moment] = []
        """When each effect in the log was asked for."""
        if is_read:
            for engine in dict.fromkeys(model.engine for model in models):
                self.tell(EngineRead(engine, reading()))

    def meet(self, *members: MemberView) -> None:
        """Gossip says so of these members."""
        for view in members:
            self.routing.set_member(view)

    def tell(self, event: RequestsEvent) -> list[Effect]:
        """One event now; what it asks for, without what routing learns."""
        effects: list[Effect] = []
        for effect in self.requests.handle(event, self.now):
            match effect:
                case _ if isinstance(effect, Experience):
                    self.routing.learn(effect, self.now)
                case _:
                    effects.append(effect)
        self.log.extend(effects)
        self.moments.extend(self.now for _ in effects)
        return effects

    def submit(
        self,
        number: int = 1,
        route: Route = Route.AUTO,
        allowed: tuple[NodeId, ...] = (),
        **fields: object,
    ) -> list[Effect]:
        return self.tell(SubmitRequest(summary(number, **fields), route, allowed))

    def quote(
        self,
        asked: Probe,
        peer: int,
        finish_us: int = 0,
        decline: DeclineReason | None = None,
        **fields: object,
    ) -> list[Effect]:
        """A peer's answer to a probe of ours."""
        model = "" if decline else asked.summary.models[0]
        answer = Quote(asked.probe, decline, model, finish_us=finish_us, **fields)  # type: ignore[arg-type]
        return self.tell(QuoteReceived(node(peer), answer))

    def wait(self, span_us: int, *, reading_every_us: int = 1_000_000) -> list[Effect]:
        """Let time pass; the shell wakes the machine when it asks for it, and reads the engines."""
        effects: list[Effect] = []
        end = self.now + span_us
        engines = [view.name for view in self.requests.get_engines(self.now) if view.reading]
        read_at = self.now + reading_every_us
        while True:
            moment = max(min(self.requests.next_deadline(), read_at), self.now)
            if moment > end:
                break
            self.now = Moment(moment)
            if self.now >= read_at:
                read_at += reading_every_us
                for engine in engines:
                    view = next(v for v in self.requests.get_engines(self.now) if v.name == engine)
                    if view.reading is not None:
                        effects += self.tell(EngineRead(engine, view.reading))
            else:
                effects += self.tell(DeadlineReached())
        self.now = Moment(end)
        return effects

    def pass_time(self, span_us: int) -> None:
        """Time passes and nobody wakes the machine."""
        self.now = Moment(self.now + span_us)

    def get_ends(self) -> list[EndRequest]:
        return list(pick_all(self.log, EndRequest))


def pick_all(effects: list[Effect], kind: type[E]) -> Iterator[E]:
    return (effect for effect in effects if isinstance(effect, kind))


def pick(effects: list[Effect], kind: type[E]) -> E:
    """The one effect of a kind."""
    found = list(pick_all(effects, kind))
    assert len(found) == 1, effects
    return found[0]


def facts(effects: list[Effect], kind: type[F]) -> list[F]:
    told: list[Fact] = [effect.fact for effect in effects if isinstance(effect, Report)]
    return [fact for fact in told if isinstance(fact, kind)]


def probes(effects: list[Effect]) -> dict[int, Probe]:
    """The probes sent, by the number of the node they go to."""
    return {
        effect.peer[0]: effect.message
        for effect in pick_all(effects, SendMessage)
        if isinstance(effect.message, Probe)
    }
