"""Getting feed blocks to the sequencer: over a link if there is one, else from node to node.

Whoever brought a feed block says it again until it is in the log or has expired. Others pass it on
once, and only if its account could have said it, so that a stranger cannot fill links.
"""

from dataclasses import dataclass
from typing import Final

from wwwserve.core.effects import SendMessage
from wwwserve.core.ledger import Ledger
from wwwserve.core.ledger_facts import FeedApplied, FeedVoid, LedgerFact
from wwwserve.core.log_news import FeedTold
from wwwserve.values.ids import NodeId
from wwwserve.values.moments import NEVER, SECOND, Moment, after
from wwwserve.wire import chain as words
from wwwserve.wire.chain import FEED_HOPS_MAX
from wwwserve.wire.ledger import OpenedFeed

SAY_AGAIN_US: Final = 5 * SECOND
"""Until a feed block that is not in the log is said again."""
FEEDS_SAID_MAX: Final = 1_024
"""Feed blocks of one's own, and of those whose holds one accepted, on their way at once; the oldest
gives way."""
FEEDS_PASSED_MAX: Final = 4_096
"""Feed blocks of others remembered, so that none is passed on twice: a second's worth at most."""


@dataclass(slots=True)
class _Said:
    feed: OpenedFeed
    again_at: Moment


class FeedRelay:
    """Feed blocks on their way from and through this node."""

    __slots__ = ("_ledger", "_links", "_passed", "_said", "_sequencer")

    def __init__(self, ledger: Ledger) -> None:
        """`ledger` says who has an account, and who orders."""
        self._ledger = ledger
        self._sequencer = NodeId(ledger.constitution.sequencer)
        self._links: dict[NodeId, None] = {}
        self._said: dict[bytes, _Said] = {}
        self._passed: dict[bytes, None] = {}

    def next_deadline(self) -> Moment:
        """When to call `take_due`; all wait equally long, so the first said is due first."""
        return next((said.again_at for said in self._said.values()), NEVER)

    def keep(self, feed: OpenedFeed, now: Moment) -> None:
        """See that a feed block is said again if it is not in the log by then."""
        self._said.pop(feed.feed_id, None)
        self._said[feed.feed_id] = _Said(feed, after(now, SAY_AGAIN_US))
        if len(self._said) > FEEDS_SAID_MAX:
            del self._said[next(iter(self._said))]

    def say(self, feed: OpenedFeed) -> list[SendMessage]:
        """Send a feed block on its way."""
        self._remember(feed.feed_id)
        return self._send(feed, FEED_HOPS_MAX, None)

    def take_due(self, now: Moment) -> list[OpenedFeed]:
        """Feed blocks that are to be kept and said again now; what has expired is forgotten."""
        if self.next_deadline() > now:
            return []
        due = [said.feed for said in self._said.values() if said.again_at <= now]
        for feed in due:
            del self._said[feed.feed_id]
        time_ms = self._ledger.log.time_ms
        return [feed for feed in due if feed.header.valid_until_ms >= time_ms]

    def pass_on(self, told: FeedTold) -> list[SendMessage]:
        """Another node's feed block came: let it go one link further, if it may."""
        feed = told.feed
        if told.hops <= 1 or feed.feed_id in self._passed or not self._is_plausible(feed):
            return []
        self._remember(feed.feed_id)
        return self._send(feed, told.hops - 1, told.sender)

    def on_link_opened(self, peer: NodeId) -> list[SendMessage]:
        """Somebody new may bring the sequencer what waits here."""
        self._links[peer] = None
        is_heard = self._sequencer in self._links and peer != self._sequencer
        if is_heard:
            return []
        return [_tell(peer, said.feed, FEED_HOPS_MAX) for said in self._said.values()]

    def on_link_closed(self, peer: NodeId) -> None:
        """A way less."""
        self._links.pop(peer, None)

    def on_facts(self, facts: tuple[LedgerFact, ...]) -> None:
        """What is in the log need not be said again."""
        for fact in facts:
            if isinstance(fact, FeedApplied | FeedVoid):
                self._said.pop(fact.feed_id, None)

    def _send(self, feed: OpenedFeed, hops: int, sender: NodeId | None) -> list[SendMessage]:
        if self._sequencer in self._links:
            return [_tell(self._sequencer, feed, 1)]
        return [_tell(peer, feed, hops) for peer in self._links if peer != sender]

    def _is_plausible(self, feed: OpenedFeed) -> bool:
        account = self._ledger.accounts.get(feed.account)
        return feed.header.seq > account.seq if account else feed.header.seq == 0

    def _remember(self, feed_id: bytes) -> None:
        self._passed[feed_id] = None
        if len(self._passed) > FEEDS_PASSED_MAX:
            del self._passed[next(iter(self._passed))]


def _tell(peer: NodeId, feed: OpenedFeed, hops: int) -> SendMessage:
    return SendMessage(peer, words.FeedTold(feed.signed.sealed, hops))
