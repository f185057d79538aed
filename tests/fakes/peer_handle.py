"""A pretend peer for frontends: it answers as it is told to, and remembers what it was asked."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import msgspec

from wwwserve.core.facts import Fact, StartReason
from wwwserve.core.placing import Objective
from wwwserve.core.snapshot import (
    EngineView,
    LedgerStatus,
    ModelView,
    Snapshot,
    Totals,
    WalletView,
)
from wwwserve.ports.opening import Opening, Rest, RestKind
from wwwserve.ports.peer_handle import (
    ConfigChange,
    FoundModels,
    Reply,
    ReplyInfo,
    RequestFailed,
    SignedOrder,
    UserRequest,
)
from wwwserve.ports.store import StoreFailed
from wwwserve.values.ids import NodeId, RequestId
from wwwserve.values.model_names import AUTO, ModelId, fold_model_name
from wwwserve.values.refusals import BadInput
from wwwserve.wire import Endpoint, PeerRecord, Usage
from wwwserve.wire.ledger import Op

NODE = NodeId(b"\x01" * 32)
MODEL = ModelId("acme/Echo-1B")
ALIAS = "echo"

Step = bytes | RequestFailed | asyncio.Event
"""One thing a scripted answer does: give bytes, fail, or wait."""
Json = dict[str, object]


@dataclass
class FakeReply:
    """An answer that follows its script."""

    info: ReplyInfo
    steps: list[Step]
    usage: Usage | None = None
    is_cancelled: bool = False
    is_over: bool = False
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self) -> bytes | None:
        while self.steps:
            step = self.steps.pop(0)
            if isinstance(step, bytes):
                return step
            if isinstance(step, RequestFailed):
                self.is_over = True
                raise step
            await step.wait()
        self.is_over = True
        self.info.usage = self.usage
        return None

    def cancel(self) -> None:
        if not self.is_over:
            self.is_cancelled = True
            self.cancelled.set()


class FakePeerHandle:
    """`ports.peer_handle.PeerHandle` without a peer behind it."""

    def __init__(self) -> None:
        self.script: Callable[[UserRequest], Sequence[Step]] = speak
        """What the next request's answer does; may raise `RequestFailed` to refuse it."""
        self.asked = asyncio.Event()
        """Set once the first request has come."""
        self.is_private_unsaid = False
        self.objectives = dict[str, Objective]()
        self.requests: list[UserRequest] = []
        self.replies: list[FakeReply] = []
        self.facts: list[Fact] = []
        self.joined: list[str] = []
        self.resting: Rest | None = None
        self.has_left = False
        self.is_disk_full = False
        self.accepts_links = True
        self.changes: tuple[ConfigChange, ...] | BadInput = ()
        """What reading the configuration again brings."""
        self.signed: list[tuple[Op, ...]] = []
        self.wallet_refuses: BadInput | None = None
        """What its wallet says to every order, if it refuses."""
        self.entry = ""
        self.ledger: LedgerStatus | None = None
        self.wallet: WalletView | None = None
        self.cost: int | None = None
        """What every answer costs, from its first byte on."""
        self.reason: StartReason | None = None
        """What settled where the next answers ran, of so many places."""
        self.places = 0
        self.usage = Usage(prompt_tokens=5, completion_tokens=3)

    @property
    def node_id(self) -> NodeId:
        return NODE

    def find_models(self, name: str) -> FoundModels:
        names = (MODEL, ALIAS, AUTO)
        if any(fold_model_name(name) == fold_model_name(known) for known in names):
            return FoundModels((MODEL,))
        return FoundModels((), (MODEL,))

    def submit(self, request: UserRequest) -> Reply:
        self.requests.append(request)
        number = len(self.requests).to_bytes(16, "big")
        info = ReplyInfo(
            RequestId(number),
            executor=NODE,
            reason=self.reason,
            places=self.places,
            cost=self.cost,
        )
        reply = FakeReply(info, list(self.script(request)), self.usage)
        self.replies.append(reply)
        self.asked.set()
        return reply

    def get_snapshot(self) -> Snapshot:
        model = ModelView(
            model=MODEL,
            aliases=(ALIAS,),
            context_tokens=4096,
            capabilities=("chat", "tools"),
            quantisations=("Q4",),
            is_local=True,
            nodes=2,
            engines=("engine",),
        )
        record = PeerRecord(
            format=1, node=NODE, version=1, addresses=("127.0.0.1:1",), models=(), slots=4,
            protocol_min=1, protocol_max=1,
        )  # fmt: skip
        return Snapshot(
            node=NODE,
            record=record,
            members=(),
            engines=(EngineView("engine", None, own_running=1, peer_running=0),),
            models=(model,),
            requests_open=1,
            requests_queued=0,
            works_open=0,
            totals=Totals(requests=3),
            ledger=self.ledger,
            wallet=self.wallet,
        )

    def listen(self, listener: Callable[[Fact], None]) -> Callable[[], None]:
        for fact in self.facts:
            listener(fact)
        return lambda: None

    async def watch(self) -> AsyncIterator[Fact]:
        for fact in self.facts:
            yield fact

    def create_invite(self) -> str:
        if not self.accepts_links:
            raise BadInput("links.listen", "nothing", "an address", "set links.listen")
        return "ticket"

    def join(self, ticket_or_address: str) -> None:
        if ":" not in ticket_or_address:
            raise BadInput("address", ticket_or_address, "host:port", "192.0.2.1:8778")
        self.joined.append(ticket_or_address)

    def get_opening(self) -> Opening:
        return Opening(
            is_open=self.resting is None,
            is_within_hours=True,
            hours_change_at=datetime(2024, 5, 6, 18, tzinfo=UTC),
            rest=self.resting,
        )

    async def rest(self, kind: RestKind, for_s: int | None = None) -> None:
        if self.is_disk_full:
            raise StoreFailed("no space left")
        until = (
            None if for_s is None else datetime(2024, 5, 6, tzinfo=UTC) + timedelta(seconds=for_s)
        )
        self.resting = Rest(kind, until)

    async def resume(self) -> None:
        self.resting = None

    def get_entry(self) -> str:
        return self.entry

    async def sign(self, ops: tuple[Op, ...]) -> SignedOrder:
        if self.wallet_refuses is not None:
            raise self.wallet_refuses
        self.signed.append(ops)
        return SignedOrder(bytes(31) + bytes([len(self.signed)]), len(self.signed), is_final=True)

    def leave(self) -> None:
        self.has_left = True

    async def reload(self) -> tuple[ConfigChange, ...]:
        if isinstance(self.changes, BadInput):
            raise self.changes
        return self.changes


def speak(request: UserRequest) -> list[Step]:
    """Answer any request as a good engine would, in the shape its user asked for."""
    if request.endpoint is Endpoint.EMBEDDINGS:
        data = [{"object": "embedding", "index": 0, "embedding": [0.25, -0.5]}]
        return [_encode(request, {"object": "list", "data": data})]
    if not request.is_streamed:
        return [_encode(request, {"choices": [_speak_whole(request.endpoint)]})]
    return list(stream(request))


def stream(request: UserRequest, words: Sequence[str] = ("Hel", "lo", "!")) -> list[bytes]:
    """The events of a streamed answer in these words."""
    is_chat = request.endpoint is Endpoint.CHAT
    choices: list[Json] = [{"delta": {"role": "assistant", "content": ""}}] if is_chat else []
    choices += [{"delta": {"content": word}} if is_chat else {"text": word} for word in words]
    end: Json = {"delta": {}} if is_chat else {"text": ""}
    choices.append(end | {"finish_reason": "stop"})
    events = [
        b"data: " + _encode(request, {"choices": [{"index": 0, "finish_reason": None} | choice]})
        for choice in choices
    ]
    if request.shows_usage:
        usage = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
        events.append(b"data: " + _encode(request, {"choices": [], "usage": usage}))
    return [event + b"\n\n" for event in [*events, b"data: [DONE]"]]


def _speak_whole(endpoint: Endpoint) -> Json:
    if endpoint is Endpoint.CHAT:
        message = {"role": "assistant", "content": "Hello!", "new_of_engine": 7}
        return {"index": 0, "message": message, "finish_reason": "stop"}
    return {"index": 0, "text": "Hello!", "finish_reason": "stop", "logprobs": None}


def _encode(request: UserRequest, fields: Json) -> bytes:
    kind = "chat.completion" if request.endpoint is Endpoint.CHAT else "text_completion"
    usage = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
    shown = {} if request.is_streamed else {"usage": usage}
    head: Json = {
        "id": "answer-1",
        "object": kind + (".chunk" if request.is_streamed else ""),
        "created": 1,
        "model": request.public_model,
        "unknown_to_clients": {"deep": [1]},
    }
    return msgspec.json.encode(head | shown | fields)
