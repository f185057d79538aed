"""Carrying out what the peer asks for: each kind of effect goes to the one part that can do it."""

from dataclasses import dataclass
from typing import assert_never

from wwwserve.core.effects import (
    AcceptOffer,
    CloseLink,
    DeclineOffer,
    Dial,
    Effect,
    EndRequest,
    Persist,
    Report,
    SendMessage,
    StartLocal,
    StartRemote,
    StopSession,
)
from wwwserve.core.events import SendFailed
from wwwserve.core.sessions import Role
from wwwserve.node.fact_hub import FactHub
from wwwserve.node.links import LinkTable
from wwwserve.node.runner import Runner
from wwwserve.node.streams import Replies, Works
from wwwserve.ports.transport import CloseReason


@dataclass(frozen=True, slots=True)
class NodeCarrier:
    """The `runner.Carrier` of a real node."""

    runner: Runner
    links: LinkTable
    replies: Replies
    works: Works
    facts: FactHub

    def carry(self, effect: Effect) -> None:
        """See `Carrier`."""
        match effect:
            # The most frequent first: each is compared with those before it.
            case Report():
                self.facts.tell(effect.fact)
            case SendMessage() | Dial() | CloseLink():
                self._carry_to_links(effect)
            case StartLocal() | StartRemote() | StopSession() | EndRequest():
                self._carry_to_requests(effect)
            case AcceptOffer():
                self.works.accept(effect)
            case DeclineOffer():
                self.works.decline(effect)
            case Persist():
                raise AssertionError("the runner writes to disk itself")
            case _:
                assert_never(effect)

    def _carry_to_links(self, effect: SendMessage | Dial | CloseLink) -> None:
        match effect:
            case SendMessage():
                if not self.links.send(effect.peer, effect.message):
                    self.runner.deliver(SendFailed(effect.peer, effect.message))
            case Dial():
                self.links.dial(effect.address, effect.expected)
            case CloseLink(peer, is_shed=True):
                self.links.shed(peer)
            case CloseLink(peer):
                self.links.close(peer, CloseReason.UNWANTED)
            case _:
                assert_never(effect)

    def _carry_to_requests(
        self, effect: StartLocal | StartRemote | StopSession | EndRequest
    ) -> None:
        match effect:
            case StartLocal():
                self.replies.start_local(effect)
            case StartRemote():
                self.replies.start_remote(effect)
            case StopSession():
                is_own = effect.session.role is Role.ORIGIN
                (self.replies if is_own else self.works).stop(effect.session)
            case EndRequest():
                self.replies.end(effect)
            case _:
                assert_never(effect)
