"""Orders to the wallet as the operator's API takes them, and the ops of the ledger they become."""

from typing import Annotated, assert_never

import msgspec
from msgspec import Meta

from wwwserve.values.credits import MICROCREDITS_MAX
from wwwserve.values.ids import parse_node_id
from wwwserve.values.refusals import BadInput
from wwwserve.wire.ledger import Allow, Bond, Op, Sponsor, Transfer, Unbond, Unsponsor

SEATS_MAX = 2**31
_Key = str
_Amount = Annotated[int, Meta(ge=0, le=MICROCREDITS_MAX)]
_Seats = Annotated[int, Meta(ge=1, le=SEATS_MAX)]


class _Order(msgspec.Struct, tag_field="order", frozen=True, forbid_unknown_fields=True):
    """What all have: `order` says which it is."""


class SendOrder(_Order, tag="send", frozen=True):
    """Give credits to a key."""

    key: _Key
    microcredits: Annotated[int, Meta(ge=1, le=MICROCREDITS_MAX)]


class StakeOrder(_Order, tag="stake", frozen=True):
    """Put credits into seats."""

    seats: _Seats


class UnstakeOrder(_Order, tag="unstake", frozen=True):
    """Take seats out."""

    seats: _Seats


class SponsorOrder(_Order, tag="sponsor", frozen=True):
    """Lend own seats to a key."""

    key: _Key
    seats: _Seats


class UnsponsorOrder(_Order, tag="unsponsor", frozen=True):
    """Take lent seats back."""

    key: _Key
    seats: _Seats


class AllowOrder(_Order, tag="allow", frozen=True):
    """Have the treasury pay a key so much each period; 0 ends it."""

    key: _Key
    microcredits: _Amount


Order = SendOrder | StakeOrder | UnstakeOrder | SponsorOrder | UnsponsorOrder | AllowOrder

_ORDERS: "msgspec.json.Decoder[Order]" = msgspec.json.Decoder(Order)


def read_order(body: bytes) -> Op:
    """The op that a JSON order asks for; raises `BadInput` when it is none."""
    try:
        order = _ORDERS.decode(body)
    except (ValueError, RecursionError) as error:
        expected = "send, stake, unstake, sponsor, unsponsor or allow, with its fields"
        raise BadInput("order", str(error), expected, "see wwwserve wallet --help") from error
    return make_op(order)


def make_op(order: Order) -> Op:
    """What the wallet is to sign."""
    match order:
        case SendOrder():
            return Transfer(parse_node_id(order.key), order.microcredits)
        case StakeOrder():
            return Bond(order.seats)
        case UnstakeOrder():
            return Unbond(order.seats)
        case SponsorOrder():
            return Sponsor(parse_node_id(order.key), order.seats)
        case UnsponsorOrder():
            return Unsponsor(parse_node_id(order.key), order.seats)
        case AllowOrder():
            return Allow(parse_node_id(order.key), order.microcredits)
        case _:
            assert_never(order)
