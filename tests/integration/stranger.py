"""A peer with a good key and bad manners, for tests: it says and does what a test tells it to."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable

from tests.integration.world import World, wait_until
from wwwserve.adapters.host import LibsodiumVerifier, NodeKey
from wwwserve.adapters.transports import LoopbackTransport
from wwwserve.node.living import Node
from wwwserve.ports.transport import CloseReason, Link, Stream
from wwwserve.values.ids import NodeId
from wwwserve.values.parameters import MAIN, compute_network_id
from wwwserve.wire import (
    OFFER_VERSION,
    Accept,
    Ack,
    Alive,
    BodyPart,
    Digest,
    Ended,
    ExecutorFrame,
    Gossip,
    Message,
    ModelOffer,
    OpenedRecord,
    Output,
    PeerRecord,
    Ping,
    Probe,
    Quote,
    Usage,
    decode_frame,
    encode_frame,
    encode_message,
    open_message,
    seal_record,
)

Execution = Callable[[Stream], Awaitable[None]]
"""What is done with the stream of an accepted request."""
MODEL = "local/mock-model"
NETWORK_ID = compute_network_id(MAIN)


class Stranger:
    """Keeps up one link as an honest node does; the rest is the test's."""

    def __init__(self, world: World, number: int = 99, network_id: bytes = NETWORK_ID) -> None:
        self.key = NodeKey(bytes([number]) * 32)
        self.network_id = network_id
        self._transport = LoopbackTransport(world.network, self.key.node_id, network_id)
        self.link: Link | None = None
        self.closed: CloseReason | None = None
        self.quotes: list[Quote] = []
        """Answers to its probes."""
        self.execute: Execution = _ignore
        """What it does with an offer made to it, once the whole body has come."""
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def node_id(self) -> NodeId:
        """Its key."""
        return self.key.node_id

    async def dial(self, node: Node) -> None:
        """Link to a node."""
        (address,) = node.handle.get_snapshot().record.addresses
        await self._transport.dial(address, node.handle.node_id, self._take_link)

    async def meet(self, node: Node) -> None:
        """Link to a node and become one of its members."""
        await self.dial(node)
        self.say(Gossip((Alive(self.make_record().sealed),)))
        await wait_until(
            lambda: any(
                member.node == self.node_id for member in node.handle.get_snapshot().members
            )
        )

    async def listen(self) -> str:
        """Accept links at an address."""
        return await self._transport.listen("127.0.0.1:0", self._take_link)

    def _take_link(self, link: Link) -> "Stranger":
        self.link = link
        return self

    async def leave(self) -> None:
        """End the link and all that was begun on it."""
        for task in self._tasks:
            task.cancel()
        await self._transport.close()

    def make_record(self) -> OpenedRecord:
        """What it says of itself."""
        record = PeerRecord(
            format=1,
            node=self.node_id,
            version=1,
            addresses=(),
            models=(ModelOffer(MODEL),),
            slots=1_000,
            protocol_min=1,
            protocol_max=1,
        )
        return seal_record(record, self.key, self.network_id)

    def say(self, message: Message) -> None:
        """Send a control message."""
        self.say_bytes(encode_message(message))

    def say_bytes(self, payload: bytes) -> None:
        """Send any bytes as a control message."""
        assert self.link is not None
        self.link.send_message(payload)

    # -- the owner of its link -------------------------------------------------------------------

    def on_link_message(self, link: Link, payload: bytes) -> None:
        """Answer what keeps a member alive, and promise everything at once."""
        message = open_message(
            payload, sender=link.peer, verifier=LibsodiumVerifier(), network_id=self.network_id
        ).message
        match message:
            case Ping():
                self.say(Ack(message.number))
            case Digest():
                self.say(Gossip((Alive(self.make_record().sealed),)))
            case Probe():
                self.say(self.make_quote(message))
            case Quote():
                self.quotes.append(message)
            case _:
                pass

    def make_quote(self, probe: Probe) -> Quote:
        """What it answers to a probe."""
        return Quote(probe.probe, decline=None, model=MODEL)

    def on_link_stream(self, _: Link, stream: Stream) -> None:
        """Somebody offers a request."""
        self._tasks.append(asyncio.create_task(self._take_offer(stream)))

    def on_link_closed(self, _: Link, reason: CloseReason) -> None:
        """The link is gone."""
        self.closed = reason

    async def _take_offer(self, stream: Stream) -> None:
        while True:
            data = await stream.receive()
            assert data is not None
            frame = decode_frame(data)
            if isinstance(frame, BodyPart) and frame.is_last:
                break
        await self.execute(stream)


async def _ignore(_: Stream) -> None:
    """Be silent."""


async def send(stream: Stream, *frames: ExecutorFrame) -> None:
    """Send frames of an executor."""
    for frame in frames:
        await stream.send(encode_frame(frame))


async def answer(stream: Stream, output: bytes, usage: Usage) -> None:
    """Give a whole answer, by the rules."""
    digest = hashlib.sha256(output).digest()
    await send(stream, Accept(OFFER_VERSION, MODEL), Output(output), Ended(usage, digest))
    stream.finish()
