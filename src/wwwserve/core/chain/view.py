"""The ledger as wallet and payments ask for it (`core.ledger_view.AsksLedger`)."""

from dataclasses import dataclass

from wwwserve.core.chain.machine import Chain
from wwwserve.core.ledger import compute_spendable, compute_stake
from wwwserve.core.ledger_view import AccountView, HoldView
from wwwserve.values.ids import NodeId
from wwwserve.values.ledger_parameters import LedgerParameters
from wwwserve.wire.ledger import Door


@dataclass(frozen=True, slots=True)
class EntryView:
    """How a key may come into the ledger, or did."""

    doors: tuple[Door, ...]
    """The network's; the first is for whoever names none."""
    beacon: bytes
    """What an entry puzzle must be begun from in this epoch."""
    has_account: bool
    came_by: Door | None
    """Its door, once it came in by one."""
    is_sponsored: bool
    """Whether somebody lends it seats."""


class LedgerView:
    """Answers from the newest block applied here."""

    __slots__ = ("_chain",)

    def __init__(self, chain: Chain) -> None:
        """`chain` is this node's own."""
        self._chain = chain

    @property
    def network_id(self) -> bytes:
        """See `AsksLedger`."""
        return self._chain.ledger.constitution.network_id

    @property
    def parameters(self) -> LedgerParameters:
        """See `AsksLedger`."""
        return self._chain.ledger.parameters

    @property
    def time_ms(self) -> int:
        """See `AsksLedger`."""
        return self._chain.ledger.log.time_ms

    @property
    def epoch(self) -> int:
        """See `AsksLedger`."""
        return self._chain.ledger.log.epoch

    @property
    def height(self) -> int:
        """See `AsksLedger`."""
        return self._chain.ledger.log.height

    @property
    def is_halted(self) -> bool:
        """See `AsksLedger`."""
        return self._chain.fork is not None or self._chain.ledger.log.halt is not None

    def get_entry(self, key: NodeId) -> EntryView:
        """How a key may come in, or did."""
        ledger = self._chain.ledger
        account = ledger.accounts.get(key)
        return EntryView(
            doors=ledger.constitution.doors,
            beacon=ledger.log.epoch_beacon,
            has_account=account is not None,
            came_by=Door(account.door) if account and account.door else None,
            is_sponsored=account is not None and account.sponsorship is not None,
        )

    def find_account(self, key: NodeId) -> AccountView | None:
        """See `AsksLedger`."""
        ledger = self._chain.ledger
        account = ledger.accounts.get(key)
        if account is None:
            return None
        debt = account.newcomer.debt if account.newcomer else 0
        owing = ledger.parameters.newcomer_debt_max - debt if account.newcomer else 0
        return AccountView(
            seq=account.seq,
            head=account.head,
            avail=account.avail,
            spendable=0 if debt else compute_spendable(account, ledger.parameters),
            bond=account.bond,
            stake=compute_stake(account),
            unbonding=sum(amount for _, amount in account.unbonding),
            seats=ledger.seats.get(key, 0),
            holds_out=account.holds_out,
            debt=debt,
            ops_used=account.ops_used if account.ops_epoch == ledger.log.epoch else 0,
            fees_max=account.avail + max(owing, 0),
        )

    def find_hold(self, hold_id: bytes) -> HoldView | None:
        """See `AsksLedger`."""
        hold = self._chain.ledger.holds.get(hold_id)
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
