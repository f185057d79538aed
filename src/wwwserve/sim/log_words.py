"""The log's words in the simulator: opened on the way in, answered from pretend disks.

The same rules as of a real node's mail, but that opening takes no time: a peer's words are opened
in the order in which they arrive.
"""

from typing import assert_never

from wwwserve.core.chain import ChainWord, Receiver, read_blocks
from wwwserve.core.effects import AnswerOrder, OpenFeed, PublishBlock
from wwwserve.core.events import EnvelopeReceived
from wwwserve.core.lanes import Lane
from wwwserve.sim.hosts import Host
from wwwserve.sim.network import Network
from wwwserve.values.ids import NodeId
from wwwserve.values.moments import MILLISECOND
from wwwserve.wire import Envelope
from wwwserve.wire.chain import (
    BLOCKS_TOLD_MAX,
    FEED_HOPS_MAX,
    BlocksWanted,
    BlockTold,
    ChainRecord,
    FeedTold,
    ForkTold,
    HeadTold,
    read_chain_record,
)
from wwwserve.wire.ledger import FeedOpener

READING_US = 5 * MILLISECOND
"""How long a disk takes to read blocks for somebody who missed them."""


class SoundKeys:
    """Pretend keys are all sound (`wire.ledger.PointChecker`)."""

    def is_sound_key(self, key: bytes) -> bool:
        """Whether it is there."""
        return bool(key)


class LogWords:
    """What all hosts of one world say about the log."""

    def __init__(self, network: Network, opener: FeedOpener) -> None:
        """`opener` is the same for all: nothing it knows is a host's own."""
        self._network = network
        self._opener = opener
        self._receivers: dict[tuple[int, int, NodeId], Receiver] = {}
        """By host, life of its process, and peer."""
        network.open_envelope = self._receive
        self.answers: list[tuple[int, AnswerOrder]] = []
        """What became of orders to wallets, by host."""

    def carry_out(self, host: Host, effect: PublishBlock | OpenFeed | AnswerOrder) -> None:
        """Do what a host's peer asks concerning the log."""
        match effect:
            case PublishBlock(record):
                self._publish(host, record)
            case OpenFeed(feed, lane):
                word = FeedTold(feed, FEED_HOPS_MAX)
                host.disk.hold(lane, lambda: self._open(host, host.node_id, word))
            case AnswerOrder():
                self.answers.append((host.index, effect))
            case _:
                assert_never(effect)

    def _publish(self, host: Host, record: ChainRecord) -> None:
        """Tell all links of a host of a block it made."""
        for link in self._network.get_links(host):
            self._tell(host, link.get_other(host).node_id, record)

    def _receive(self, host: Host, envelope: Envelope) -> None:
        """Tell the peer what it is to hear of a message."""
        word, sender = envelope.message, envelope.sender
        match word:
            case FeedTold() | BlockTold() | HeadTold() | ForkTold():
                self._open(host, sender, word)
            case BlocksWanted(first, last):
                last = min(last, first + BLOCKS_TOLD_MAX - 1)
                host.do_later(READING_US, lambda: self._answer(host, sender, first, last))
            case _:
                host.tell(EnvelopeReceived(envelope))

    def _open(self, host: Host, sender: NodeId, word: ChainWord) -> None:
        key = host.index, host.life, sender
        receiver = self._receivers.get(key)
        if receiver is None:
            receiver = self._receivers[key] = Receiver(self._opener)
        news = receiver.receive(sender, word)
        if news is not None:
            host.tell(news)

    def _answer(self, host: Host, peer: NodeId, first: int, last: int) -> None:
        def read(begin: bytes, beyond: bytes, count_max: int) -> list[tuple[bytes, bytes]]:
            return host.disk.read_range(Lane.CHAIN, begin, beyond, count_max)

        for _, record in read_blocks(read, first, last):
            self._tell(host, peer, read_chain_record(record))

    def _tell(self, host: Host, peer: NodeId, record: ChainRecord) -> None:
        for feed in record.feeds:
            self._network.send(host, peer, FeedTold(feed))
        self._network.send(host, peer, BlockTold(record.block))
