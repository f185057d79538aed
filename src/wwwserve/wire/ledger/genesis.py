"""The first record of a ledger: its rules, its whole supply, and who holds it.

Its hash is the name of the network, so whoever believes in another genesis is in another network.
"""

import hashlib
from enum import IntEnum
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from wwwserve.values.ledger_parameters import LedgerParameters
from wwwserve.values.ledger_ranges import find_parameter_fault
from wwwserve.values.refusals import Refusal
from wwwserve.wire.encoding import decode_canonical, encode
from wwwserve.wire.ledger.fields import Amount, Digest
from wwwserve.wire.ledger.ops import AccountFlag, Door
from wwwserve.wire.records import Count, Key, Name

GENESIS_FORMAT: Final = 1
"""The genesis format this code writes and reads."""
GENESIS_ACCOUNTS_MAX: Final = 4_096
GENESIS_BYTES_MAX: Final = 512 * 1_024


class Circulation(IntEnum):
    """How credits keep moving."""

    PRIVATE = 1
    """The treasury takes of what lies above the mean, pays allowances, and shares out the rest."""
    OPEN = 2
    """Not by any rule: by prices alone."""


class GenesisAccount(msgspec.Struct, array_like=True, frozen=True):
    """One of the first holders."""

    key: Key
    amount: Amount
    """Free credits."""
    seats: Count = 0
    """Staked, on top of it, and weighing from epoch 0."""
    flags: Annotated[int, Meta(ge=0, le=15)] = 0


class Genesis(msgspec.Struct, array_like=True, frozen=True):
    """What everybody in a network agrees on before its first block."""

    format: Count
    name: Name
    """For people."""
    salt: Digest
    """Makes two networks of one operator two networks."""
    peer_parameters: Digest
    """Hash of the numbers of membership, so that they too are part of the network's name."""
    parameters: LedgerParameters
    sequencer: Key
    """Who orders the log until a handover."""
    circulation: Circulation
    doors: Annotated[tuple[Door, ...], Meta(max_length=4)]
    supply: Amount
    """All credits there will ever be. What no account holds is in the pool."""
    accounts: Annotated[tuple[GenesisAccount, ...], Meta(max_length=GENESIS_ACCOUNTS_MAX)]


_DECODER = msgspec.msgpack.Decoder(Genesis)


def compute_genesis_id(genesis: Genesis) -> bytes:
    """The network id."""
    return hashlib.sha256(b"wwwserve genesis\0" + encode(genesis)).digest()


def open_genesis(data: bytes) -> Genesis:
    """Read and check a genesis record; raises `Refusal` naming the first rule it breaks."""
    genesis = decode_canonical(data, _DECODER, bytes_max=GENESIS_BYTES_MAX)
    validate_genesis(genesis)
    return genesis


def validate_genesis(genesis: Genesis) -> None:
    """Refuse a genesis that no ledger could start from."""
    if genesis.format != GENESIS_FORMAT:
        raise Refusal("genesis-format", f"format {genesis.format}, not {GENESIS_FORMAT}")
    if fault := find_parameter_fault(genesis.parameters):
        raise Refusal("genesis-parameters", fault)
    if len(dict.fromkeys(genesis.doors)) != len(genesis.doors):
        raise Refusal("genesis-doors", "a door is named twice")
    if len({account.key for account in genesis.accounts}) != len(genesis.accounts):
        raise Refusal("genesis-accounts", "an account is named twice")
    _validate_treasury(genesis)
    _validate_money(genesis)


def compute_genesis_held(genesis: Genesis) -> int:
    """What the first accounts hold, free and staked."""
    price = genesis.parameters.seat_price
    return sum(account.amount + account.seats * price for account in genesis.accounts)


def _validate_treasury(genesis: Genesis) -> None:
    if any(account.flags & ~AccountFlag.TREASURY for account in genesis.accounts):
        raise Refusal("genesis-flags", "an account can begin only as a treasury")
    treasuries = sum(1 for account in genesis.accounts if account.flags)
    wanted = 1 if genesis.circulation is Circulation.PRIVATE else 0
    if treasuries != wanted:
        raise Refusal("genesis-treasury", f"{treasuries} treasuries where {wanted} belong")
    if Door.SPONSOR not in genesis.doors and wanted:
        raise Refusal("genesis-doors", "a private network needs the sponsor's door")


def _validate_money(genesis: Genesis) -> None:
    least = genesis.parameters.balance_min
    if any(account.amount < least for account in genesis.accounts if not account.flags):
        raise Refusal("genesis-balance", f"an account begins with less than {least}")
    held = compute_genesis_held(genesis)
    if held > genesis.supply:
        raise Refusal("genesis-supply", f"accounts hold {held} of a supply of {genesis.supply}")
