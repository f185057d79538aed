"""Invite tickets: one line of text that lets a new node find a network and know whom it meets.

A ticket names the network, its ledger if it has one, a node's key and its addresses. It is no
secret and grants nothing: it only removes the guessing.
"""

import base64
import binascii
from typing import Annotated

import msgspec
from msgspec import Meta

from wwwserve.values.limits import RECORD_ADDRESSES_MAX
from wwwserve.values.refusals import BadInput, Refusal
from wwwserve.wire.encoding import decode_canonical, encode
from wwwserve.wire.records import Count, Key, Name

TICKET_PREFIX = "wwwserve1"
TICKET_BYTES_MAX = 4096
GENESIS_ID_BYTES = 32


class Ticket(msgspec.Struct, array_like=True, frozen=True):
    """Where to meet one member of a network."""

    format: Count
    network: Name
    node: Key
    addresses: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=RECORD_ADDRESSES_MAX)]
    genesis: Annotated[bytes, Meta(max_length=GENESIS_ID_BYTES)] = b""
    """Id of the genesis record of the network's ledger, 32 bytes; empty: requests are not paid."""


_TICKET_DECODER = msgspec.msgpack.Decoder(Ticket)


def ticket_text(ticket: Ticket) -> str:
    """The ticket as one printable word."""
    return TICKET_PREFIX + base64.b32encode(encode(ticket)).decode("ascii").rstrip("=").lower()


def parse_ticket(text: str) -> Ticket:
    """Read a ticket; raises `BadInput` when it is damaged or of another kind."""
    word = text.strip()
    payload = word.removeprefix(TICKET_PREFIX).upper()
    try:
        raw = base64.b32decode(payload + "=" * (-len(payload) % 8))
        ticket = decode_canonical(raw, _TICKET_DECODER, bytes_max=TICKET_BYTES_MAX)
        _validate_genesis(ticket)
    except (Refusal, binascii.Error, ValueError) as error:
        raise BadInput(
            field="invite ticket",
            found=word[:60],
            expected=f"one word beginning with {TICKET_PREFIX} ({error})",
            fix="copy it whole from `wwwserve invite` on a member node",
        ) from error
    return ticket


def _validate_genesis(ticket: Ticket) -> None:
    if len(ticket.genesis) not in (0, GENESIS_ID_BYTES):
        raise Refusal("ticket-genesis", f"a ledger's id has {GENESIS_ID_BYTES} bytes, or none")
