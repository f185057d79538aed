"""The ledger's state from nothing but values: from a genesis, or from the entries of a snapshot."""

from collections.abc import Mapping
from typing import Final, TypeVar

import msgspec

from wwwserve.core.ledger.entries import (
    CONSTITUTION_KEY,
    LOG_KEY,
    Account,
    Constitution,
    Log,
    OpenHold,
)
from wwwserve.core.ledger.state import State
from wwwserve.values.ids import NodeId
from wwwserve.values.refusals import Refusal
from wwwserve.wire import decode_canonical
from wwwserve.wire.ledger import (
    Genesis,
    compute_genesis_held,
    compute_genesis_id,
    validate_genesis,
)

T = TypeVar("T")

ENTRY_BYTES_MAX: Final = 65_536
"""One entry of a snapshot; an account with everything in it is about 4 KiB."""

_ACCOUNT = msgspec.msgpack.Decoder(Account)
_HOLD = msgspec.msgpack.Decoder(OpenHold)
_ALLOWANCE = msgspec.msgpack.Decoder(int)
_LOG = msgspec.msgpack.Decoder(Log)
_CONSTITUTION = msgspec.msgpack.Decoder(Constitution)


def make_state(genesis: Genesis) -> State:
    """The state before the first block; raises `Refusal` for a genesis that is none."""
    validate_genesis(genesis)
    network_id = compute_genesis_id(genesis)
    price = genesis.parameters.seat_price
    treasuries = [account.key for account in genesis.accounts if account.flags]
    constitution = Constitution(
        network_id=network_id,
        parameters=genesis.parameters,
        sequencer=genesis.sequencer,
        circulation=genesis.circulation,
        doors=genesis.doors,
        supply=genesis.supply,
        treasury=treasuries[0] if treasuries else b"",
    )
    pool = genesis.supply - compute_genesis_held(genesis)
    log = Log(network_id, network_id, network_id, network_id, pool)
    state = State(constitution, log)
    for first in genesis.accounts:
        state.accounts[NodeId(first.key)] = Account(
            seq=0, avail=first.amount, bond=first.seats * price, flags=first.flags
        )
    return state


def read_state(entries: Mapping[bytes, bytes]) -> State:
    """The state that a snapshot describes; raises `Refusal` if an entry cannot be read."""
    try:
        constitution, log = entries[CONSTITUTION_KEY], entries[LOG_KEY]
    except KeyError as error:
        raise Refusal("snapshot-entry", f"entry {error} is missing") from error
    state = State(_read(constitution, _CONSTITUTION), _read(log, _LOG))
    for key, value in entries.items():
        kind, subject = key[:1], key[1:]
        match kind:
            case b"a":
                state.accounts[NodeId(subject)] = _read(value, _ACCOUNT)
            case b"h":
                state.holds[subject] = _read(value, _HOLD)
            case b"p":
                state.allowances[NodeId(subject)] = _read(value, _ALLOWANCE)
            case _ if key in {CONSTITUTION_KEY, LOG_KEY}:
                continue
            case _:
                raise Refusal("snapshot-entry", f"an entry of an unknown kind, {kind!r}")
    state.rebuild_dues()
    return state


def _read(value: bytes, decoder: "msgspec.msgpack.Decoder[T]") -> T:
    return decode_canonical(value, decoder, bytes_max=ENTRY_BYTES_MAX)
