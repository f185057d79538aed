"""Two wallets beside a ledger that makes blocks when told to, for tests that follow one story."""

from dataclasses import dataclass, field

from tests.fakes.wallet_node import FeedDisk, WalletNode
from tests.property.ledger_world import name
from tests.property.wallet_world import ALICE, BOB, UNITS, WalletWorld
from wwwserve.core.holding import HoldDraft, SignedHold
from wwwserve.core.ledger import HoldSettled
from wwwserve.core.wallet import KeepPreimage, SignOps
from wwwserve.values.moments import MILLISECOND
from wwwserve.wire.ledger import Op

HOLD_MAX = UNITS * 100
"""What the holds of these tests lock."""


def make_draft(unit: int = 100, payee: int = BOB) -> HoldDraft:
    return HoldDraft(
        payee=name(payee),
        first=unit,
        unit=unit,
        units_max=UNITS,
        unit_tokens=4,
        req_commit=b"r" * 32,
        quote_hash=b"q" * 32,
        deadline_ms=1_000,
    )


@dataclass
class Stage:
    """A world, and short words for what happens in it."""

    world: WalletWorld = field(default_factory=WalletWorld)

    @property
    def alice(self) -> WalletNode:
        return self.world.nodes[ALICE]

    @property
    def bob(self) -> WalletNode:
        return self.world.nodes[BOB]

    def block(self, dt_ms: int = 100) -> None:
        """A block with all that waits."""
        self.world.close_block(dt_ms, len(self.world.pool))

    def wait(self, span_us: int) -> None:
        """Own time passes."""
        self.world.at += span_us
        for node in self.world.nodes.values():
            node.run(self.world.at)

    def pass_time(self, span_ms: int) -> None:
        """The ledger clock moves, and own time with it."""
        while span_ms > 0:
            step_ms = min(span_ms, 500)
            self.wait(step_ms * MILLISECOND)
            self.block(step_ms)
            span_ms -= step_ms

    def restart(self, number: int, *, is_clean_boot: bool = True) -> WalletNode:
        """The process ends, and another begins over the same disk."""
        node = self.world.nodes[number]
        node.end(0)
        self.world.start(number, node.disk, node.ledger, is_clean_boot=is_clean_boot)
        return self.world.nodes[number]

    def replace_disk(self, number: int, values: dict[bytes, bytes]) -> WalletNode:
        """Another lane is put in the place of a node's own."""
        node = self.world.nodes[number]
        node.end(0)
        self.world.start(number, FeedDisk(dict(values)), node.ledger)
        return self.world.nodes[number]

    def pay(self, signed: SignedHold, depth: int) -> None:
        """Bob receives a preimage of Alice's."""
        preimage = signed.links[32 * depth :][:32]
        self.bob.tell(KeepPreimage(signed.hold_id, depth, preimage, 100 * depth))

    def find_end(self, signed: SignedHold) -> HoldSettled | None:
        return next(
            (
                fact
                for fact in self.world.facts
                if isinstance(fact, HoldSettled) and fact.hold_id == signed.hold_id
            ),
            None,
        )

    def avail(self, number: int) -> int:
        return self.world.ledger.accounts[name(number)].avail


def order(node: WalletNode, number: int, *ops: Op) -> None:
    node.tell(SignOps(number, ops))
