"""The payments of a network without a ledger: nothing is charged, and nothing is asked for it."""

from wwwserve.core.paying import Payable, PayeeTerms, PayOrder, Unpayable
from wwwserve.core.requests.questions import Payment
from wwwserve.core.sessions import SessionId
from wwwserve.values.ids import NodeId
from wwwserve.values.model_names import ModelId
from wwwserve.values.moments import Moment
from wwwserve.values.refusals import DeclineReason
from wwwserve.wire import Quote, RequestSummary
from wwwserve.wire.paying import OpenedHold

_FREE = Payable(0)


class Unpaid:
    """`AsksPayments` where no money is."""

    def quote(self, peer: NodeId, model: ModelId, first_token_us: int, ask_permille: int) -> bytes:
        """No price."""
        return b""

    def refuse(self, peer: NodeId) -> DeclineReason | None:
        """Nobody is refused."""
        return None

    def weigh(
        self, peer: NodeId, quote: Quote, summary: RequestSummary, cost_max: int
    ) -> Payable | Unpayable:
        """All can be paid."""
        return _FREE

    def pay(self, order: PayOrder, now: Moment) -> Payment | None:
        """Nothing is paid."""
        return None

    def admit(
        self,
        session: SessionId,
        peer: NodeId,
        summary: RequestSummary,
        model: ModelId,
        hold: OpenedHold | None,
        now: Moment,
    ) -> PayeeTerms | DeclineReason | None:
        """Everybody may come, and whatever a hold says is not read."""
        return None


class LedgerUnknown:
    """`AsksPayments` of a network that pays, while its ledger is not known here yet."""

    def quote(self, peer: NodeId, model: ModelId, first_token_us: int, ask_permille: int) -> bytes:
        """No price: nobody is quoted anything."""
        return b""

    def refuse(self, peer: NodeId) -> DeclineReason | None:
        """Nobody can pay here yet."""
        return DeclineReason.UNPAID

    def weigh(
        self, peer: NodeId, quote: Quote, summary: RequestSummary, cost_max: int
    ) -> Payable | Unpayable:
        """Nothing can be paid yet."""
        return Unpayable("the network's ledger is not known here yet", is_out_of_credits=True)

    def pay(self, order: PayOrder, now: Moment) -> Payment | None:
        """Nothing is paid."""
        return None

    def admit(
        self,
        session: SessionId,
        peer: NodeId,
        summary: RequestSummary,
        model: ModelId,
        hold: OpenedHold | None,
        now: Moment,
    ) -> PayeeTerms | DeclineReason | None:
        """Nobody's hold can be judged."""
        return DeclineReason.UNPAID
