"""The ledger of a pretend network: its genesis, and what each process finds when it starts."""

import msgspec

from wwwserve.core.chain import Loaded, begin_chain, load_chain
from wwwserve.core.lanes import Lane
from wwwserve.sim.disk import PretendDisk
from wwwserve.sim.log_words import SoundKeys
from wwwserve.sim.plans import LedgerPlan
from wwwserve.values.credits import CREDIT
from wwwserve.values.ids import NodeId
from wwwserve.values.ledger_parameters import DEV_LEDGER, TINY_LEDGER
from wwwserve.wire import Verifier
from wwwserve.wire.ledger import (
    GENESIS_FORMAT,
    NO_DIGEST,
    Circulation,
    Door,
    FeedOpener,
    Genesis,
    GenesisAccount,
    compute_genesis_held,
    compute_genesis_id,
)

_PARAMETERS = {"dev": DEV_LEDGER, "tiny": TINY_LEDGER}


class PretendLedger:
    """One network's ledger."""

    def __init__(
        self,
        plan: LedgerPlan,
        accounts: tuple[NodeId, ...],
        peer_parameters: bytes,
        verifier: Verifier,
    ) -> None:
        """The first of the accounts is the sequencer."""
        bare = Genesis(
            format=GENESIS_FORMAT,
            name="pretend",
            salt=NO_DIGEST,
            peer_parameters=peer_parameters,
            parameters=_PARAMETERS[plan.parameters],
            sequencer=accounts[0],
            circulation=Circulation.OPEN,
            doors=(Door.DEV,),
            supply=0,
            accounts=tuple(
                GenesisAccount(account, plan.credits_each * CREDIT, plan.seats_each)
                for account in accounts
            ),
        )
        self.genesis = msgspec.structs.replace(bare, supply=compute_genesis_held(bare))
        self.genesis_id = compute_genesis_id(self.genesis)
        self._verifier = verifier

    @property
    def opener(self) -> FeedOpener:
        """Opens the network's feed blocks."""
        memory = self.genesis.parameters.puzzle_memory_log2
        return FeedOpener(self._verifier, SoundKeys(), self.genesis_id, memory)

    def load(self, disk: PretendDisk, *, is_founder: bool) -> Loaded | None:
        """What a process finds on its disk; a founder has at least the genesis."""

        def read(first: bytes, last: bytes, count_max: int) -> list[tuple[bytes, bytes]]:
            return disk.read_range(Lane.CHAIN, first, last, count_max)

        found = load_chain(read, self._verifier, SoundKeys())
        return begin_chain(self.genesis) if found is None and is_founder else found
