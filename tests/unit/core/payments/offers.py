"""Offers made by hand in the town of `tests.property.payments_world`, good ones and spoilt ones."""

from dataclasses import replace as replace_fields

from msgspec.structs import replace

from tests.property.ledger_world import Pen, name
from tests.property.payments_stream import (
    EXECUTOR,
    Stream,
    make_summary,
)
from tests.property.payments_world import Town
from wwwserve.core.paying import Unpayable
from wwwserve.core.sessions import Role, SessionId
from wwwserve.values.ledger_parameters import TINY_LEDGER
from wwwserve.wire.ledger import seal_feed
from wwwserve.wire.paying import (
    OpenedHold,
)

SUMMARY = make_summary()
WORK = SessionId(Role.EXECUTOR, 1)
WAIT_MS = TINY_LEDGER.hold_wait_ms


def offer(town: Town, payer: int, executor: int = EXECUTOR, number: int = 1) -> OpenedHold:
    """A good hold, as it reaches its executor."""
    offered = town.offer(payer, executor, SUMMARY, number)
    assert not isinstance(offered, Unpayable)
    return offered[0]


def rewrite(town: Town, payer: int, hold: OpenedHold, **changes: object) -> OpenedHold:
    """The same offer with another hold in it, signed by the same payer at the same number."""
    op = replace(hold.hold, **changes)
    header = hold.opened.header
    feed = seal_feed(
        (op,),
        seq=header.seq,
        previous=header.previous,
        valid_until_ms=header.valid_until_ms,
        signer=Pen(name(payer)),
        network_id=town.network_id,
    )
    return replace_fields(hold, opened=town.opener.open(feed), hold=op)


def admit(town: Town, payer: int, hold: OpenedHold, number: int = 1) -> object:
    return town.admit(EXECUTOR, payer, SUMMARY, hold, number)


def start(town: Town, payer: int, executor: int = EXECUTOR) -> Stream:
    stream = town.start(payer, executor)
    assert stream is not None
    return stream


def why(town: Town, executor: int = EXECUTOR) -> list[str]:
    return town.nodes[executor].refused
