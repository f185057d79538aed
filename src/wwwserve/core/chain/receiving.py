"""What one peer says of the log, opened: its feed blocks wait here for the block that names them.

Opening is slow (signatures, hash chains, puzzles), so a shell does it in a worker; but in the order
in which the peer spoke, or a block would come before what it names.
"""

from typing import Final, assert_never

from wwwserve.core.log_news import BlockTold, FeedTold, ForkTold, HeadTold
from wwwserve.values.ids import NodeId
from wwwserve.wire import chain as words
from wwwserve.wire.chain import BLOCK_FEEDS_BYTES_MAX, strip_list
from wwwserve.wire.ledger import (
    FEEDS_PER_BLOCK_MAX,
    FeedOpener,
    OpenedFeed,
    SealedFeed,
    open_block,
    open_block_header,
)

FEEDS_KEPT_MAX: Final = FEEDS_PER_BLOCK_MAX
"""Feed blocks of one peer that wait for their block, and ..."""
FEEDS_KEPT_BYTES_MAX: Final = BLOCK_FEEDS_BYTES_MAX
"""... their bytes: those of one block. Of more, the oldest are forgotten."""

ChainWord = words.FeedTold | words.BlockTold | words.HeadTold | words.ForkTold
"""What must be opened before the core may see it."""
ChainNews = FeedTold | BlockTold | HeadTold | ForkTold


class Receiver:
    """Opens what one peer says of the log."""

    __slots__ = ("_bytes", "_kept", "_opener")

    def __init__(self, opener: FeedOpener) -> None:
        """`opener` is the network's."""
        self._opener = opener
        self._kept: dict[bytes, OpenedFeed] = {}
        self._bytes = 0

    def receive(self, sender: NodeId, word: ChainWord) -> ChainNews | None:
        """What the core is to hear of it, if anything yet; raises `Refusal` if it breaks a rule."""
        match word:
            case words.FeedTold(feed, hops):
                opened = self._opener.open(feed)
                if hops:
                    return FeedTold(sender, opened, hops)
                self._keep(opened)
                return None
            case words.BlockTold():
                return self._receive_block(sender, word)
            case words.HeadTold(head):
                verifier, network_id = self._opener.verifier, self._opener.network_id
                return HeadTold(sender, open_block_header(strip_list(head), verifier, network_id))
            case words.ForkTold(first, second):
                verifier, network_id = self._opener.verifier, self._opener.network_id
                both = [
                    open_block_header(strip_list(head), verifier, network_id)
                    for head in (first, second)
                ]
                return ForkTold(sender, *both)
            case _:
                assert_never(word)

    def _receive_block(self, sender: NodeId, word: words.BlockTold) -> BlockTold | HeadTold:
        verifier, network_id = self._opener.verifier, self._opener.network_id
        block = open_block(word.block, verifier, network_id)
        feeds = tuple(self._kept[feed_id] for feed_id in block.feed_ids if feed_id in self._kept)
        for feed_id in block.feed_ids:
            self._forget(feed_id)
        if len(feeds) < len(block.feed_ids):
            # Some were lost on the way, or forgotten: who knows the height asks for all of it.
            head = open_block_header(strip_list(word.block), verifier, network_id)
            return HeadTold(sender, head)
        return BlockTold(sender, block, feeds)

    def _keep(self, opened: OpenedFeed) -> None:
        self._forget(opened.feed_id)
        self._kept[opened.feed_id] = opened
        self._bytes += _count_bytes(opened.signed.sealed)
        while len(self._kept) > FEEDS_KEPT_MAX or self._bytes > FEEDS_KEPT_BYTES_MAX:
            self._forget(next(iter(self._kept)))

    def _forget(self, feed_id: bytes) -> None:
        opened = self._kept.pop(feed_id, None)
        if opened is not None:
            self._bytes -= _count_bytes(opened.signed.sealed)


def _count_bytes(sealed: SealedFeed) -> int:
    return len(sealed.header) + len(sealed.ops) + len(sealed.signature)
