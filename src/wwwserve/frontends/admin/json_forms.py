"""A peer's snapshot and facts as JSON: the names that commands, dashboards and scripts rely on.

Fields keep the names they have in `core.snapshot` and `core.facts`, units included. Nodes are
written by their printable names, requests as in the `x-wwwserve-request-id` header, the members of
enumerations in lower case. A fact's `event` is the name of its type.
"""

from dataclasses import fields, is_dataclass
from enum import Enum, IntEnum

import msgspec

from wwwserve.core.facts import Fact
from wwwserve.core.sessions import SessionId
from wwwserve.core.snapshot import LedgerStatus, MemberView, ModelView, Snapshot
from wwwserve.ports.opening import Opening, Rest
from wwwserve.values.ids import (
    NODE_ID_BYTES,
    REQUEST_ID_BYTES,
    NodeId,
    RequestId,
    node_text,
    request_text,
)
from wwwserve.wire import PeerRecord, get_model_ids

Json = dict[str, object]


def make_status(snapshot: Snapshot) -> Json:
    """The whole peer at one moment."""
    return {
        "node": node_text(snapshot.node),
        **_make_record(snapshot.record),
        "members": [make_member(member) for member in snapshot.members],
        "engines": _make_value(snapshot.engines),
        "requests_open": snapshot.requests_open,
        "requests_queued": snapshot.requests_queued,
        "works_open": snapshot.works_open,
        "totals": _make_value(snapshot.totals),
        "ledger": None if snapshot.ledger is None else _make_ledger(snapshot.ledger),
        "wallet": _make_value(snapshot.wallet),
    }


def make_opening(opening: Opening) -> Json:
    """Whether other nodes' requests are taken; times as ISO 8601, in the provider's zone."""
    change_at, rest = opening.hours_change_at, opening.rest
    return {
        "is_open": opening.is_open,
        "is_within_hours": opening.is_within_hours,
        "hours_change_at": None if change_at is None else change_at.isoformat(timespec="seconds"),
        "rest": None if rest is None else _make_rest(rest),
    }


def make_member(member: MemberView) -> Json:
    """One other node, with what it says about itself."""
    return {
        "node": node_text(member.node),
        "status": member.status.value,
        "is_linked": member.is_linked,
        "round_trip_us": member.round_trip_us,
        **_make_record(member.record),
    }


def make_model(model: ModelView) -> Json:
    """One model that can be asked for."""
    return _make_members(model)


def make_fact(fact: Fact) -> Json:
    """One fact, its type under `event`."""
    shown: Json = {"event": type(fact).__name__}
    return shown | _make_members(fact)


def _make_ledger(ledger: LedgerStatus) -> Json:
    """Where the ledger stands; ids of ledger and blocks are hexadecimal, amounts micro-credits."""
    shown = _make_members(ledger)
    shown["network_id"] = ledger.network_id.hex()
    shown["head"] = ledger.head.hex()
    shown["fork"] = None if ledger.fork is None else [block.hex() for block in ledger.fork]
    return shown


def _make_record(record: PeerRecord) -> Json:
    return {
        "version": record.version,
        "addresses": record.addresses,
        "models": get_model_ids(record),
        "slots": record.slots,
        "protocol_min": record.protocol_min,
        "protocol_max": record.protocol_max,
        "is_draining": record.is_draining,
        "is_leaving": record.is_leaving,
        "region": record.region,
        "software": record.software,
    }


def _make_rest(rest: Rest) -> Json:
    until = None if rest.until is None else rest.until.isoformat(timespec="seconds")
    return {"kind": rest.kind.value, "until": until, "is_by_policy": rest.is_by_policy}


def _make_value(value: object) -> object:
    """Any value of a snapshot or fact; of bytes only nodes and requests, told apart by length."""
    match value:
        case bytes() if len(value) == NODE_ID_BYTES:
            return node_text(NodeId(value))
        case bytes() if len(value) == REQUEST_ID_BYTES:
            return request_text(RequestId(value))
        case SessionId():
            return str(value)
        case IntEnum():
            return value.name.lower()
        case Enum():
            return value.value
        case tuple():
            return [_make_value(entry) for entry in value]
        case _ if isinstance(value, msgspec.Struct) or is_dataclass(value):
            return _make_members(value)
        case _:
            return value


def _make_members(value: object) -> Json:
    names = (
        value.__struct_fields__
        if isinstance(value, msgspec.Struct)
        else tuple(each.name for each in fields(value))  # type: ignore[arg-type]
    )
    return {name: _make_value(getattr(value, name)) for name in names}
