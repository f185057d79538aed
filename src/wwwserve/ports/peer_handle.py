"""What frontends hold of a running peer: submit, look, watch, and the operator's commands."""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import msgspec

from wwwserve.core.effects import RequestErrorCode
from wwwserve.core.facts import Fact, StartReason
from wwwserve.core.placing import Objective
from wwwserve.core.sessions import Route
from wwwserve.core.snapshot import Snapshot
from wwwserve.ports.opening import Opening, RestKind
from wwwserve.values.credits import MICROCREDITS_MAX
from wwwserve.values.ids import NodeId, RequestId
from wwwserve.values.model_names import ModelId
from wwwserve.wire import Endpoint, Usage
from wwwserve.wire.ledger import Op


class UserRequest(msgspec.Struct, frozen=True):
    """One checked request of an own user."""

    endpoint: Endpoint
    models: tuple[ModelId, ...]
    """Canonical ids that would do, from `PeerHandle.find_models`."""
    public_model: str
    """The name the user asked by, which every answer repeats; empty where the user left the choice
    open (`auto`, a group), and the answer says which model it was."""
    body: bytes
    """The user's JSON without this product's own fields."""
    prompt_tokens: int
    """Estimated."""
    completion_tokens_max: int = 0
    """0 = the user states no limit."""
    is_streamed: bool = False
    shows_usage: bool = False
    """Whether the user asked to see the usage chunk of a stream."""
    route: Route = Route.AUTO
    priority: int = 0
    deadline_us: int = 0
    """0 = none."""
    needs: tuple[str, ...] = ()
    prefixes: tuple[bytes, ...] = ()
    is_private: bool = False
    allowed_executors: tuple[NodeId, ...] = ()
    cost_max: int = MICROCREDITS_MAX
    """Micro-credits that may be spent on it: its user's wish, and what its key has left."""
    price_max: int = MICROCREDITS_MAX
    """Micro-credits for a million tokens, prompt or answer, that a node may ask."""
    client: str = ""
    """Whose it is, as its API key tells: answers to one client are alike in length. No other node
    hears it; empty = nobody's in particular."""
    objective: Objective | None = None
    """What its user hopes for; None = as soon as possible."""


@dataclass(eq=False)
class RequestFailed(Exception):
    """A request has no (further) answer; `status` and `body` are the engine's when REJECTED."""

    code: RequestErrorCode
    detail: str
    retry_after_us: int = 0
    status: int = 0
    body: bytes = b""

    def __str__(self) -> str:
        return f"{self.code.value}: {self.detail}"


@dataclass(slots=True)
class ReplyInfo:
    """How a request was answered; complete once the first bytes have been read."""

    request: RequestId
    executor: NodeId | None = None
    is_local: bool = True
    queue_us: int = 0
    """From its arrival to the start of the attempt that answered."""
    attempts: int = 0
    reason: StartReason | None = None
    """What settled where the attempt that answered ran."""
    places: int = 0
    """How many would have taken it then, as far as they were asked; 0 = none was."""
    usage: Usage | None = None
    """Known after the last read."""
    cost: int | None = None
    """Micro-credits paid for it, by the last read all of them; None where nothing is ever paid."""


class Reply(Protocol):
    """The answer to one request, as it comes."""

    @property
    def info(self) -> ReplyInfo:
        """How it was answered, filled in as that becomes known."""
        ...

    async def read(self) -> bytes | None:
        """The next bytes, or None at the end. Raises `RequestFailed`.

        A streamed request yields whole server-sent events, ready for the user (its model name, its
        wish about usage, `[DONE]` included); any other yields one JSON body.
        """
        ...

    def cancel(self) -> None:
        """The user has gone: stop the work wherever it runs. Idempotent; harmless after the end.

        Must be called (or the end reached) for every reply.
        """
        ...


class FoundModels(msgspec.Struct, frozen=True):
    """What a user's model name means here and now."""

    models: tuple[ModelId, ...]
    """Canonical ids it stands for, best first; empty if it is unknown."""
    suggestions: tuple[str, ...] = ()
    """With no models: names that would work."""


class ConfigChange(msgspec.Struct, frozen=True):
    """One setting that has another value than before; a secret is told as one, not what it is."""

    key: str
    """Dotted, as `wwwserve config show` prints it."""
    old: object
    """In plain form: numbers, texts, lists and mappings of them."""
    new: object


class SignedOrder(msgspec.Struct, frozen=True):
    """What became of an operator's order to the wallet."""

    feed_id: bytes
    """The feed block that carries it: `wwwserve ledger show` finds it."""
    seq: int
    """Its number in this node's feed."""
    is_final: bool
    """Whether it is in the log. If not, it is durable here and will be, unless it expires."""


class PeerHandle(Protocol):
    """A running peer, from a frontend's side."""

    @property
    def node_id(self) -> NodeId:
        """This node."""
        ...

    @property
    def objectives(self) -> Mapping[str, Objective]:
        """What users may hope for, by the names they choose it by."""
        ...

    @property
    def is_private_unsaid(self) -> bool:
        """Whether a request is private whose user says nothing about that."""
        ...

    def find_models(self, name: str) -> FoundModels:
        """Resolve a canonical id, alias, folded spelling, group or `auto`."""
        ...

    def submit(self, request: UserRequest) -> Reply:
        """Take on a request. Raises `RequestFailed` when the node is full or leaving."""
        ...

    def get_snapshot(self) -> Snapshot:
        """The peer as it is now."""
        ...

    def listen(self, listener: Callable[[Fact], None]) -> Callable[[], None]:
        """Call `listener` with each fact at once, from now on; the answer ends that.

        It must return quickly, raise nothing, and ask the peer for nothing.
        """
        ...

    def watch(self) -> AsyncIterator[Fact]:
        """All facts from now on, until the iterator is closed; a slow watcher loses the oldest."""
        ...

    def create_invite(self) -> str:
        """An invite ticket for this node. Raises `BadInput` if it accepts no links."""
        ...

    def join(self, ticket_or_address: str) -> None:
        """Meet a node by ticket or `host:port`. Raises `BadInput`."""
        ...

    def get_opening(self) -> Opening:
        """Whether other nodes' requests are taken now, and if not, why and until when."""
        ...

    async def rest(self, kind: RestKind, for_s: int | None = None) -> None:
        """Take no work of others from now on; what runs goes on, own users are served.

        It takes the place of a rest before it, and ends by itself after `for_s` seconds, if given.
        Returns once it would outlive the process. Raises `BadInput`, and `StoreFailed` if it will
        not outlive it.
        """
        ...

    async def resume(self) -> None:
        """End the rest, if any; the hours still hold. Raises `StoreFailed` as `rest` does."""
        ...

    def get_entry(self) -> str:
        """What this node waits for to come into its ledger; empty once it is in, or without one."""
        ...

    async def sign(self, ops: tuple[Op, ...]) -> SignedOrder:
        """Have the wallet sign these ops, and wait a while until they are in the log.

        Raises `BadInput` if there is no ledger, or wallet or ledger refuse them; then no credit has
        moved, but for fees.
        """
        ...

    def leave(self) -> None:
        """Stop, once the others have been told and what runs has ended, or its time is over."""
        ...

    async def reload(self) -> tuple[ConfigChange, ...]:
        """Read the configuration again, and live by it: all of it, or after `BadInput` none."""
        ...
