"""The ledger's part of a peer, which may not be there, or not yet.

A network without a genesis has no ledger. One whose genesis only has a name here asks neighbours
for it. Else, and from then on, there is `Accounting`.
"""

from collections.abc import Callable
from dataclasses import replace

from wwwserve.core.accounting import (
    Accounting,
    AccountingEffect,
    AccountingEvent,
    AccountingSetup,
)
from wwwserve.core.chain import GenesisSearch, LedgerView, Loaded, begin_chain
from wwwserve.core.deciding import KeepsStake
from wwwserve.core.entropy import Entropy
from wwwserve.core.events import SetPrices
from wwwserve.core.setup import PeerSetup
from wwwserve.core.snapshot import LedgerStatus, WalletView
from wwwserve.values.moments import NEVER, Moment
from wwwserve.values.parameters import compute_network_id


class LedgerDoor:
    """Whatever of the ledger there is."""

    def __init__(
        self,
        setup: PeerSetup,
        loaded: Loaded | None,
        entropy: Entropy,
        stake: KeepsStake,
        on_begun: Callable[[Accounting], None],
    ) -> None:
        """`loaded` is what is on disk; `on_begun` hears of accounting once it is there.

        `entropy` is the peer's: what the ledger draws is split off it.
        """
        own = entropy.split("ledger")
        self._setup = AccountingSetup(setup.signer, own, setup.wallet, setup.prices, stake)
        self._loaded = loaded
        """Until the peer is started."""
        self._on_begun = on_begun
        self._accounting: Accounting | None = None
        self._search: GenesisSearch | None = None
        if setup.genesis_id and loaded is None:
            parameters = compute_network_id(setup.parameters)
            self._search = GenesisSearch(setup.genesis_id, parameters)

    @property
    def is_paid(self) -> bool:
        """Whether this network has a ledger, known here or not."""
        return not (self._loaded is None and self._search is None and self._accounting is None)

    @property
    def view(self) -> LedgerView | None:
        """The ledger as it is here now, if it is known."""
        return self._accounting.ledger if self._accounting else None

    def get_status(self, now: Moment) -> LedgerStatus | None:
        """Where the ledger stands."""
        return self._accounting.get_status(now) if self._accounting else None

    def get_wallet(self) -> WalletView | None:
        """This node's own account."""
        return self._accounting.get_wallet() if self._accounting else None

    def start(self, now: Moment) -> list[AccountingEffect]:
        """The peer is started."""
        return self._begin(self._loaded, now)

    def handle(self, event: AccountingEvent, now: Moment) -> list[AccountingEffect]:
        """The ledger's part of an event: nothing where the network has none."""
        if self._accounting is not None:
            return self._accounting.handle(event, now)
        if isinstance(event, SetPrices):
            # Nobody was told others yet.
            wallet = replace(self._setup.wallet, reserve=event.reserve)
            self._setup = replace(self._setup, wallet=wallet, prices=event.prices)
        if self._search is None:
            return []
        asked = self._search.handle(event, now)
        genesis = self._search.found
        # Once in a node's life, and then the ledger is as small as it ever is.
        return [*asked, *self._begin(begin_chain(genesis) if genesis else None, now)]

    def take_effects(self, now: Moment) -> list[AccountingEffect]:
        """What answers to questions of requests ask of others."""
        return self._accounting.take_effects(now) if self._accounting else []

    def next_deadline(self) -> Moment:
        """When to call `handle(DeadlineReached(), now)`, if nothing happens before."""
        if self._accounting is not None:
            return self._accounting.next_deadline()
        return self._search.next_deadline() if self._search else NEVER

    def _begin(self, loaded: Loaded | None, now: Moment) -> list[AccountingEffect]:
        if loaded is None:
            return []
        links = self._search.links if self._search else ()
        self._loaded = self._search = None
        self._accounting = Accounting(self._setup, loaded, now)
        self._on_begun(self._accounting)
        return self._accounting.start(links, now)
