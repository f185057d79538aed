"""What takes the place of feed blocks that can never enter the log any more.

A hold is named by its number, and its payee may have worked for it; so it is signed again under the
same number, or not at all. Everything else may come under any number.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from wwwserve.core.wallet.line import Signed
from wwwserve.wire.ledger import Hold, Op


@dataclass(frozen=True, slots=True)
class Renewal:
    """A feed block to be signed in place of another."""

    ops: tuple[Op, ...]
    order: int | None
    hold_id: bytes | None
    """The hold it opens again, if it does."""


def choose_renewals(
    dead: Sequence[Signed], first_seq: int, epoch: int, is_wanted: Callable[[Signed, Op], bool]
) -> list[Renewal]:
    """Feed blocks to be signed from `first_seq` on, with those ops of the dead that are wanted."""
    pinned = [block.seq for block in dead if block.hold_id and is_wanted(block, block.ops[0])]
    renewals: list[Renewal] = []
    for block in dead:
        is_in_place = block.seq == first_seq + len(renewals)
        ops = tuple(
            op
            for op in block.ops
            if is_wanted(block, op) and (is_in_place or not isinstance(op, Hold))
        )
        if not ops and is_in_place and pinned and block.seq < pinned[-1]:
            # It costs a fee to be said for nothing; without it the holds behind lose their names.
            ops = block.ops
        if ops:
            ops = tuple(_renew(op, epoch) for op in ops)
            hold_id = block.hold_id if isinstance(ops[0], Hold) else None
            renewals.append(Renewal(ops, block.order, hold_id))
    return renewals


def _renew(op: Op, epoch: int) -> Op:
    return replace(op, seed_epoch=epoch) if isinstance(op, Hold) else op
