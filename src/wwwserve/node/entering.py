"""How a node without an account comes into its network's ledger, by the door its operator chose.

| door | what happens |
|---|---|
| sponsor | it waits for a member to lend it seats, then says Join |
| earn, faucet | it solves a puzzle in a worker, begun from this epoch's beacon, then says Join |
| dev | it says Join |
| none | nothing: somebody sends it credits, or it only watches |

A refusal (all slots taken, this epoch's grants given, a beacon too old) is told once, and it tries
again in the next epoch. Once it has an account, this ends for good.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from threading import Event as ThreadEvent
from typing import assert_never

from wwwserve.core.chain import EntryView, LedgerView
from wwwserve.node.config import DoorChoice
from wwwserve.node.logs import NodeLog
from wwwserve.node.wallet_orders import WAITS_RULE
from wwwserve.ports.peer_handle import SignedOrder
from wwwserve.values.ids import NodeId, node_text
from wwwserve.values.refusals import BadInput
from wwwserve.wire.ledger import Door, Join, Op, Puzzle, compute_puzzle, count_zero_bits

LOOK_S = 1.0
"""How often the ledger is looked at: a block comes in a quarter of a second at the soonest."""
_NONCE_BYTES = 8
_DOORS = {
    DoorChoice.SPONSOR: Door.SPONSOR,
    DoorChoice.EARN: Door.EARN,
    DoorChoice.FAUCET: Door.FAUCET,
    DoorChoice.DEV: Door.DEV,
}


@dataclass(slots=True)
class PuzzleWork:
    """One puzzle, solved in a thread of its own; `tries` may be read at any time."""

    account: NodeId
    network_id: bytes
    beacon: bytes
    bits: int
    memory_log2: int
    tries: int = 0
    _is_over: ThreadEvent = field(default_factory=ThreadEvent)

    async def solve(self) -> Puzzle | None:
        """Try until it is solved, or until `stop`."""
        try:
            return await asyncio.to_thread(self._try_all)
        finally:
            self.stop()

    def stop(self) -> None:
        """Give up after the present try."""
        self._is_over.set()

    def _try_all(self) -> Puzzle | None:
        while not self._is_over.is_set():
            puzzle = Puzzle(self.beacon, self.tries.to_bytes(_NONCE_BYTES, "big"))
            value = compute_puzzle(self.account, self.network_id, puzzle, self.memory_log2)
            self.tries += 1
            if count_zero_bits(value) >= self.bits:
                return puzzle
        return None


@dataclass(slots=True)
class Entering:
    """One node's way into its ledger."""

    own: NodeId
    get_ledger: Callable[[], LedgerView | None]
    sign: Callable[[tuple[Op, ...]], Awaitable[SignedOrder]]
    log: NodeLog
    door: DoorChoice = DoorChoice.ANY
    """Followed when the configuration changes."""
    _state: str = ""
    _told: str = ""
    """What the log has said last."""
    _puzzle: PuzzleWork | None = None

    @property
    def state(self) -> str:
        """What it waits for, for its operator; empty once it is in, or need not come in."""
        if self._puzzle is None:
            return self._state
        expected = 2**self._puzzle.bits
        return f"solving the puzzle: {self._puzzle.tries} tries, about {expected} are needed"

    async def run(self) -> None:
        """Come in; returns once the node has an account."""
        while True:
            ledger = self.get_ledger()
            if ledger is None:
                self._wait("the ledger's first record, which any neighbour may tell")
            elif _is_in(entry := ledger.get_entry(self.own)):
                self._state = ""
                return
            elif await self._try(ledger, entry):
                await self._wait_turn(ledger, ledger.epoch)
            await asyncio.sleep(LOOK_S)

    async def _try(self, ledger: LedgerView, entry: EntryView) -> bool:
        """Take a step; whether nothing more can be done in this epoch."""
        door = self._choose(entry)
        match door:
            case None:
                self._wait("credits that somebody sends it: ledger.door is none")
                return False
            case Door.SPONSOR if not entry.is_sponsored:
                name = node_text(self.own)
                self._wait(f"a sponsor: on a member, wwwserve wallet sponsor {name}")
                return False
            case Door.EARN | Door.FAUCET:
                puzzle = await self._solve(ledger, entry)
                return puzzle is not None and await self._join(Join(door, puzzle))
            case Door.SPONSOR | Door.DEV:
                return await self._join(Join(door))
            case _:
                assert_never(door)

    def _choose(self, entry: EntryView) -> Door | None:
        if entry.is_sponsored:
            return Door.SPONSOR
        if self.door is DoorChoice.NONE:
            return None
        return _DOORS.get(self.door) or (entry.doors[0] if entry.doors else None)

    async def _solve(self, ledger: LedgerView, entry: EntryView) -> Puzzle | None:
        """Solve this epoch's puzzle; None if the epoch went by before, and it must begin anew."""
        parameters = ledger.parameters
        work = PuzzleWork(
            self.own,
            ledger.network_id,
            entry.beacon,
            parameters.puzzle_bits,
            parameters.puzzle_memory_log2,
        )
        self._puzzle = work
        self.log.logger.info("solving the entry puzzle", tries_expected=2**work.bits)
        task = asyncio.ensure_future(work.solve())
        try:
            # A beacon holds for the epoch after its own, too.
            last_epoch = ledger.epoch + 1
            while not task.done() and ledger.epoch <= last_epoch:
                await asyncio.wait((task,), timeout=LOOK_S)
            work.stop()
            return await task
        finally:
            work.stop()
            self._puzzle = None

    async def _join(self, op: Join) -> bool:
        """Say it; whether it was refused or is not final, so that the next epoch may bring more."""
        try:
            signed = await self.sign((op,))
        except BadInput as refused:
            if refused.found.startswith(WAITS_RULE):
                # The wallet itself is not ready: that has nothing to do with the door.
                self._wait(refused.found.removeprefix(f"{WAITS_RULE}: the wallet waits for "))
                return False
            self._wait(f"the next epoch: door {op.door.name.lower()} is shut ({refused.found})")
            return True
        if not signed.is_final:
            self._wait(f"a block with its Join by door {op.door.name.lower()}")
        else:
            self.log.logger.info("came into the ledger", door=op.door.name.lower())
        return not signed.is_final

    async def _wait_turn(self, ledger: LedgerView, epoch: int) -> None:
        """Wait until the epoch is over, or somebody else has let this node in."""
        before = ledger.get_entry(self.own)
        while ledger.epoch == epoch and ledger.get_entry(self.own) == before:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_S)

    def _wait(self, what: str) -> None:
        """Remember what is waited for, and tell the log if it is news."""
        self._state = f"waits for {what}"
        if what != self._told:
            self._told = what
            self.log.logger.info("coming into the ledger", waits_for=what)


def _is_in(entry: EntryView) -> bool:
    """Whether there is nothing left to do: who is sponsored has to say Join itself."""
    return entry.has_account and not (entry.is_sponsored and entry.came_by is None)
