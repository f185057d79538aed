"""Carrying out what the peer asks for: each kind of effect goes to the one part that can do it."""

from dataclasses import dataclass
from typing import assert_never

from wwwserve.core.effects import (
    AcceptOffer,
    AnswerOrder,
    CloseLink,
    DeclineOffer,
    Dial,
    Effect,
    EndRequest,
    ExtendPayment,
    OpenFeed,
    Persist,
    PublishBlock,
    RecallSession,
    ReleaseOutput,
    Report,
    SendMessage,
    StartLocal,
    StartRemote,
    StopSession,
    TakeExtension,
)
from wwwserve.core.events import SendFailed
from wwwserve.core.sessions import Role
from wwwserve.node.chain_mail import ChainMail
from wwwserve.node.fact_hub import FactHub
from wwwserve.node.links import LinkTable
from wwwserve.node.runner import Runner
from wwwserve.node.streams import Replies, Works
from wwwserve.node.wallet_orders import WalletOrders
from wwwserve.ports.transport import CloseReason


@dataclass(frozen=True, slots=True)
class NodeCarrier:
    """The `runner.Carrier` of a real node."""

    runner: Runner
    links: LinkTable
    replies: Replies
    works: Works
    facts: FactHub
    mail: ChainMail
    orders: WalletOrders

    def carry(self, effect: Effect) -> None:
        """See `Carrier`."""
        match effect:
            # The most frequent first: each is compared with those before it.
            case Report():
                self.facts.tell(effect.fact)
            case SendMessage() | Dial() | CloseLink():
                self._carry_to_links(effect)
            case (
                StartLocal()
                | StartRemote()
                | ExtendPayment()
                | RecallSession()
                | StopSession()
                | EndRequest()
            ):
                self._carry_to_requests(effect)
            case AcceptOffer() | DeclineOffer() | ReleaseOutput() | TakeExtension():
                self._carry_to_works(effect)
            case PublishBlock() | OpenFeed() | AnswerOrder():
                self._carry_to_books(effect)
            case Persist():
                raise AssertionError("the runner writes to disk itself")
            case _:
                assert_never(effect)

    def _carry_to_books(self, effect: PublishBlock | OpenFeed | AnswerOrder) -> None:
        match effect:
            case PublishBlock(record):
                self.mail.publish(record)
            case OpenFeed(feed):
                self.mail.open_own(feed)
            case AnswerOrder():
                self.orders.on_answer(effect)
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
        self,
        effect: StartLocal | StartRemote | ExtendPayment | RecallSession | StopSession | EndRequest,
    ) -> None:
        match effect:
            case StartLocal():
                self.replies.start_local(effect)
            case StartRemote():
                self.replies.start_remote(effect)
            case ExtendPayment():
                self.replies.extend(effect)
            case RecallSession(session):
                self.replies.recall(session)
            case StopSession():
                self._stop(effect)
            case EndRequest():
                self.replies.end(effect)
            case _:
                assert_never(effect)

    def _stop(self, effect: StopSession) -> None:
        if effect.session.role is Role.ORIGIN:
            self.replies.stop(effect.session)
        else:
            self.works.stop(effect.session, effect.failure)

    def _carry_to_works(
        self, effect: AcceptOffer | DeclineOffer | ReleaseOutput | TakeExtension
    ) -> None:
        match effect:
            case AcceptOffer():
                self.works.accept(effect)
            case DeclineOffer():
                self.works.decline(effect)
            case ReleaseOutput(session):
                self.works.release(session)
            case TakeExtension():
                self.works.extend(effect)
            case _:
                assert_never(effect)
