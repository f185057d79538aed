"""`AsksLedger` over a real ledger, for wallets and payments under test."""

from collections.abc import Callable
from dataclasses import dataclass

from wwwserve.core.ledger import Ledger
from wwwserve.core.ledger_view import AccountView, HoldView
from wwwserve.values.ids import NodeId
from wwwserve.values.ledger_parameters import LedgerParameters


@dataclass
class AskedLedger:
    """Answers from whatever ledger there is now."""

    get: Callable[[], Ledger]

    @property
    def network_id(self) -> bytes:
        return self.get().constitution.network_id

    @property
    def parameters(self) -> LedgerParameters:
        return self.get().parameters

    @property
    def time_ms(self) -> int:
        return self.get().log.time_ms

    @property
    def epoch(self) -> int:
        return self.get().log.epoch

    @property
    def height(self) -> int:
        return self.get().log.height

    @property
    def is_halted(self) -> bool:
        return self.get().log.halt is not None

    def find_account(self, key: NodeId) -> AccountView | None:
        ledger = self.get()
        held, log, parameters = ledger.accounts.get(key), ledger.log, ledger.parameters
        if held is None:
            return None
        newcomer = held.newcomer
        owed = max(parameters.newcomer_debt_max - newcomer.debt, 0) if newcomer else 0
        lent = held.sponsorship.amount if held.sponsorship else 0
        return AccountView(
            seq=held.seq,
            head=held.head,
            avail=held.avail,
            spendable=max(held.avail - parameters.balance_min, 0),
            bond=held.bond,
            stake=held.bond + lent,
            unbonding=sum(amount for _, amount in held.unbonding),
            seats=ledger.seats.get(key, 0),
            holds_out=held.holds_out,
            debt=newcomer.debt if newcomer else 0,
            ops_used=held.ops_used if held.ops_epoch == log.epoch else 0,
            fees_max=held.avail + owed,
        )

    def find_hold(self, hold_id: bytes) -> HoldView | None:
        hold = self.get().holds.get(hold_id)
        if hold is None:
            return None
        return HoldView(
            payer=NodeId(hold.payer),
            payee=NodeId(hold.payee),
            locked=hold.locked,
            units_max=hold.units_max,
            anchor=hold.anchor,
            close_depth=hold.close_depth,
            ttl_ms=hold.ttl_ms,
        )
