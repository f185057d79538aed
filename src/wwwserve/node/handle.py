"""What the frontends of a node hold of it: the `ports.peer_handle.PeerHandle` of a real peer."""

import hashlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from wwwserve.core.events import Event, Join, SubmitRequest
from wwwserve.core.facts import Fact
from wwwserve.core.peer import Peer
from wwwserve.core.placing import Objective
from wwwserve.core.snapshot import Snapshot
from wwwserve.node.entering import Entering
from wwwserve.node.fact_hub import FactHub
from wwwserve.node.opening import OpeningWatch
from wwwserve.node.streams import Replies
from wwwserve.node.wallet_orders import WalletOrders
from wwwserve.ports.clock import Clock
from wwwserve.ports.opening import Opening, RestKind
from wwwserve.ports.peer_handle import (
    ConfigChange,
    FoundModels,
    Reply,
    SignedOrder,
    UserRequest,
)
from wwwserve.values.ids import REQUEST_ID_BYTES, NodeId, RequestId, parse_node_id
from wwwserve.values.refusals import BadInput
from wwwserve.wire import RequestSummary, Ticket, parse_ticket, ticket_text
from wwwserve.wire.ledger import Op
from wwwserve.wire.tickets import TICKET_PREFIX

TICKET_FORMAT = 1


def parse_meeting_point(
    text: str, network: str, genesis: bytes = b""
) -> tuple[tuple[str, ...], NodeId | None]:
    """Read a ticket, `host:port` or `NODE@host:port`: addresses and the node expected there.

    Raises `BadInput`, also for a ticket of another network, or of one with another ledger.
    """
    if text.startswith(TICKET_PREFIX):
        ticket = parse_ticket(text)
        if ticket.network != network:
            raise BadInput(
                field="invite ticket",
                found=f"a ticket for the network {ticket.network!r}",
                expected=f"one for {network!r}, the network of this node",
                fix="set network.name to the ticket's network before joining",
            )
        if ticket.genesis != genesis:
            raise BadInput(
                field="invite ticket",
                found=f"a ticket to {_name_ledger(ticket.genesis)}",
                expected=f"one to {_name_ledger(genesis)}, where this node is",
                fix="make a node for that network: wwwserve init --home DIR --join TICKET",
            )
        return ticket.addresses, NodeId(ticket.node)
    node, _, address = text.rpartition("@")
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 2**16:
        raise BadInput(
            field="address",
            found=text[:80],
            expected="an invite ticket, host:port or NODE@host:port",
            fix="run `wwwserve invite` on a member node and paste what it prints",
        )
    return (address,), parse_node_id(node) if node else None


def _name_ledger(genesis: bytes) -> str:
    return f"the ledger {genesis.hex()[:16]}" if genesis else "a network without a ledger"


@dataclass(slots=True)
class NodeHandle:
    """One running node, for its gateway, admin and commands."""

    node_id: NodeId
    peer: Peer
    network: str
    clock: Clock
    facts: FactHub
    replies: Replies
    deliver: Callable[[Event], None]
    opening: OpeningWatch
    request_stop: Callable[[], None]
    """Makes the node end, gracefully."""
    wallet_orders: WalletOrders = field(default_factory=WalletOrders)
    entering: Entering | None = None
    """Lets the node into its ledger; None where nothing is paid, and before its doors are open."""
    objectives: Mapping[str, Objective] = field(default_factory=dict)
    """See `PeerHandle`."""
    is_private_unsaid: bool = False
    """See `PeerHandle`."""
    genesis: bytes = b""
    """Id of the network's ledger; empty: nothing is paid."""
    reload_config: Callable[[], Awaitable[tuple[ConfigChange, ...]]] | None = None
    """Reads the configuration again; there is one once the doors are open."""

    def find_models(self, name: str) -> FoundModels:
        """See `PeerHandle`."""
        models, suggestions = self.peer.find_models(name)
        return FoundModels(models, suggestions)

    def submit(self, request: UserRequest) -> Reply:
        """See `PeerHandle`."""
        request_id = RequestId(secrets.token_bytes(REQUEST_ID_BYTES))
        reply = self.replies.open(request_id, request)
        summary = RequestSummary(
            request=request_id,
            endpoint=request.endpoint,
            models=request.models,
            prompt_tokens=request.prompt_tokens,
            completion_tokens_max=request.completion_tokens_max,
            body_bytes=len(request.body),
            priority=request.priority,
            deadline_us=request.deadline_us,
            needs=request.needs,
            prefixes=request.prefixes,
            is_private=request.is_private,
            is_streamed=request.is_streamed,
        )
        is_paid = self.replies.is_paid
        self.deliver(
            SubmitRequest(
                summary,
                request.route,
                request.allowed_executors,
                body_digest=hashlib.sha256(request.body).digest() if is_paid else b"",
                cost_max=request.cost_max,
                price_max=request.price_max,
                client=request.client,
                objective=request.objective,
            )
        )
        return reply

    def get_snapshot(self) -> Snapshot:
        """See `PeerHandle`."""
        return self.peer.get_snapshot(self.clock.now())

    def listen(self, listener: Callable[[Fact], None]) -> Callable[[], None]:
        """See `PeerHandle`."""
        return self.facts.listen(listener)

    def watch(self) -> AsyncIterator[Fact]:
        """See `PeerHandle`."""
        return self.facts.watch()

    def create_invite(self) -> str:
        """See `PeerHandle`."""
        record = self.get_snapshot().record
        if not record.addresses:
            raise BadInput(
                field="links.listen",
                found="no address others could dial",
                expected="at least one",
                fix="set links.listen (and links.advertise) in config.toml, and see that this "
                "machine is on a network",
            )
        ticket = Ticket(TICKET_FORMAT, self.network, self.node_id, record.addresses, self.genesis)
        return ticket_text(ticket)

    def join(self, ticket_or_address: str) -> None:
        """See `PeerHandle`."""
        addresses, expected = parse_meeting_point(ticket_or_address, self.network, self.genesis)
        if expected == self.node_id:
            raise BadInput(
                field="invite ticket",
                found="this node's own",
                expected="another node's",
                fix="run `wwwserve invite` on the other machine, or join from there",
            )
        self.deliver(Join(addresses, expected))

    def get_opening(self) -> Opening:
        """See `PeerHandle`."""
        return self.opening.describe(self.get_snapshot().opening)

    async def rest(self, kind: RestKind, for_s: int | None = None) -> None:
        """See `PeerHandle`."""
        await self.opening.rest.begin(kind, for_s)

    async def resume(self) -> None:
        """See `PeerHandle`."""
        await self.opening.rest.end()

    def get_entry(self) -> str:
        """See `PeerHandle`."""
        return self.entering.state if self.entering else ""

    async def sign(self, ops: tuple[Op, ...]) -> SignedOrder:
        """See `PeerHandle`."""
        return await self.wallet_orders.sign(ops)

    def leave(self) -> None:
        """See `PeerHandle`."""
        self.request_stop()

    async def reload(self) -> tuple[ConfigChange, ...]:
        """See `PeerHandle`."""
        if self.reload_config is None:
            raise BadInput("node", "still starting", "one that serves", "try again in a moment")
        return await self.reload_config()
