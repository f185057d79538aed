"""Invite tickets as a person may paste them: a ticket that reads back, or what is wrong with it."""

from base64 import b32encode
from random import Random

from tests.fuzz.mutating import mutate_msgpack
from tests.fuzz.targets.records import KEY
from wwwserve.values.refusals import BadInput
from wwwserve.wire import Ticket, encode, parse_ticket, ticket_text
from wwwserve.wire.tickets import TICKET_PREFIX

FOUND_LENGTH_MAX = 60
"""Characters of a damaged ticket that its error repeats."""


def make_seeds() -> list[bytes]:
    """Good tickets, as copied and as damaged on the way."""
    tickets = [
        Ticket(1, "home", KEY.node_id, ("192.0.2.1:8778",)),
        Ticket(1, "", KEY.node_id, ("[2001:db8::1]:8778", "node.example.org:8778")),
    ]
    texts = [ticket_text(ticket) for ticket in tickets]
    broken = [texts[0].upper(), f"  {texts[0]}\n", texts[0][:40], TICKET_PREFIX, "wwwserve1ß="]
    return [text.encode() for text in (*texts, *broken)]


def mutate(data: bytes, chance: Random) -> bytes | None:
    """Change a field of the ticket and write it again; None for what is no ticket."""
    try:
        changed = mutate_msgpack(encode(parse_ticket(data.decode())), chance)
    except (BadInput, UnicodeDecodeError):
        return None
    return None if changed is None else _write(changed).encode()


def _write(raw: bytes) -> str:
    """The text of a ticket with these bytes, as `ticket_text` writes it."""
    return TICKET_PREFIX + b32encode(raw).decode("ascii").rstrip("=").lower()


def consume(data: bytes) -> None:
    """Read the text."""
    text = data.decode("utf-8", "surrogateescape")
    try:
        ticket = parse_ticket(text)
    except BadInput as error:
        assert len(error.found) <= FOUND_LENGTH_MAX
        assert error.fix in str(error)
        return
    assert parse_ticket(ticket_text(ticket)) == ticket
    assert len(ticket.addresses) >= 1
