"""The ledger a node belongs to: making one, keeping its first record, and knowing it by a ticket.

A network without a genesis is one in which nothing is paid. With one, its hash is the network's
name, so the record itself need not come from anybody who is believed.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from wwwserve.node.config import Config
from wwwserve.node.setup_parts import make_parameters
from wwwserve.node.state_folder import StateFolder
from wwwserve.values.credits import CREDIT, MICROCREDITS_MAX, credits_text
from wwwserve.values.ids import NodeId
from wwwserve.values.ledger_parameters import DEV_LEDGER, MAIN_LEDGER, LedgerParameters
from wwwserve.values.parameters import compute_network_id
from wwwserve.values.refusals import BadInput, Refusal
from wwwserve.wire import encode, parse_ticket
from wwwserve.wire.ledger import (
    DIGEST_BYTES,
    GENESIS_FORMAT,
    AccountFlag,
    Circulation,
    Door,
    Genesis,
    GenesisAccount,
    compute_genesis_id,
    open_genesis,
    validate_genesis,
)

TRADE_PER_DAY = 10_000 * CREDIT
"""Gross trade that a new network expects a day unless its founder states a supply: ten nodes that
offload a thousand reference requests each. Far too little blocks trade, far too much only makes a
credit small."""
FOUNDER_SEATS = 8
"""Staked for the founder from the first epoch: it is drawn, and has seats to lend to whom it
sponsors. More: `wwwserve stake`."""
GENESIS_FILE_BYTES_MAX = 1024 * 1024
"""Twice the largest record; a longer file is none."""


class LedgerKind(Enum):
    """What kind of ledger a new network gets."""

    NONE = "none"
    """None: requests are not paid."""
    DEV = "dev"
    """For one laptop: epochs of 30 s, and a faucet for whoever asks."""
    PRIVATE = "private"
    """Members sponsor members; the founder's treasury pays allowances."""
    OPEN = "open"
    """Anybody may earn their way in, or take a little from a capped faucet."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """How a kind of ledger begins."""

    parameters: LedgerParameters
    circulation: Circulation
    doors: tuple[Door, ...]
    """The first is the one a newcomer takes that names none."""
    founder_permille: int
    """Of what is not staked: the founder's. The rest is in the pool, which its faucets give."""
    founder_flags: int = 0


_PLANS = {
    LedgerKind.DEV: _Plan(DEV_LEDGER, Circulation.OPEN, (Door.DEV, Door.SPONSOR), 500),
    LedgerKind.PRIVATE: _Plan(
        MAIN_LEDGER, Circulation.PRIVATE, (Door.SPONSOR,), 1_000, AccountFlag.TREASURY
    ),
    LedgerKind.OPEN: _Plan(
        MAIN_LEDGER, Circulation.OPEN, (Door.EARN, Door.FAUCET, Door.SPONSOR), 500
    ),
}


@dataclass(frozen=True, slots=True)
class KnownGenesis:
    """The ledger a node belongs to, as far as it is known here."""

    genesis_id: bytes
    """The network's identity, 32 bytes."""
    record: bytes | None
    """The record itself; None: only its id is known, and any peer may tell it."""


def make_genesis(
    kind: LedgerKind,
    founder: NodeId,
    config: Config,
    *,
    supply: int = 0,
    members: Sequence[NodeId] = (),
) -> Genesis:
    """The first record of a new network that `founder` orders and holds.

    `supply` is in micro-credits, 0 = what `compute_supply` expects. `members` share the founder's
    free credits with it in equal parts, and each begins with one seat. Raises `BadInput`.
    """
    plan = _PLANS[kind]
    total = supply or compute_supply(plan.parameters)
    price = plan.parameters.seat_price
    staked = (FOUNDER_SEATS + len(members)) * price
    free = (total - staked) * plan.founder_permille // 1_000
    least = plan.parameters.balance_min * (len(members) + 1)
    if not staked + least <= total <= MICROCREDITS_MAX or free < least:
        raise BadInput(
            field="--supply",
            found=credits_text(total),
            expected=f"at least {credits_text(2 * (staked + least))}, of which "
            f"{credits_text(staked)} are staked at once",
            fix="leave it out: the default is 30 days of expected trade",
        )
    share = free // (len(members) + 1)
    # Whole credits read better; what that leaves is the pool's.
    share -= share % CREDIT if share > CREDIT else 0
    first = GenesisAccount(founder, share, FOUNDER_SEATS, plan.founder_flags)
    genesis = Genesis(
        format=GENESIS_FORMAT,
        name=config.network.name,
        salt=secrets.token_bytes(DIGEST_BYTES),
        peer_parameters=compute_network_id(make_parameters(config)),
        parameters=plan.parameters,
        sequencer=founder,
        circulation=plan.circulation,
        doors=plan.doors,
        supply=total,
        accounts=(first, *(GenesisAccount(member, share, 1) for member in members)),
    )
    validate_genesis(genesis)
    return genesis


def compute_supply(parameters: LedgerParameters) -> int:
    """All credits of a new network by default: so many days of the trade it expects."""
    return parameters.supply_float_days * TRADE_PER_DAY


def keep_genesis(folder: StateFolder, genesis: Genesis) -> None:
    """Write a genesis record into a state folder that has none."""
    assert not folder.genesis_file.exists(), "a node's genesis is never overwritten"
    folder.write_shown(folder.genesis_file, encode(genesis))


def read_genesis(folder: StateFolder) -> Genesis | None:
    """The genesis record of a state folder, checked; None if it has none. Raises `BadInput`."""
    record = _read_record(folder)
    return None if record is None else _open_record(folder, record)


def find_genesis(folder: StateFolder, config: Config) -> KnownGenesis | None:
    """The ledger this node belongs to: by its file, else by its tickets; None: nothing is paid.

    Raises `BadInput` if they contradict each other, or the file is none.
    """
    told = get_told_genesis(config)
    record = _read_record(folder)
    if record is None:
        return KnownGenesis(told, None) if told else None
    genesis = _open_record(folder, record)
    found = compute_genesis_id(genesis)
    _validate_is_ours(folder, genesis, config)
    if told and told != found:
        raise BadInput(
            field="network.tickets",
            found=f"a ticket to the ledger {told.hex()[:16]}",
            expected=f"one to {found.hex()[:16]}, which {folder.genesis_file} begins",
            fix="join that ledger from a state folder of its own: wwwserve init --home DIR --join "
            "TICKET",
        )
    return KnownGenesis(found, record)


def get_told_genesis(config: Config) -> bytes:
    """Id of the ledger that the configured tickets lead to; empty if to none."""
    return next((ticket.genesis for ticket in map(parse_ticket, config.network.tickets)), b"")


def _read_record(folder: StateFolder) -> bytes | None:
    try:
        if folder.genesis_file.stat().st_size > GENESIS_FILE_BYTES_MAX:
            raise _make_unreadable(folder, "a file too long to be one")
        return folder.genesis_file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _make_unreadable(folder, error.strerror or str(error)) from error


def _open_record(folder: StateFolder, record: bytes) -> Genesis:
    try:
        return open_genesis(record)
    except Refusal as refusal:
        raise _make_unreadable(folder, str(refusal)) from refusal


def _validate_is_ours(folder: StateFolder, genesis: Genesis, config: Config) -> None:
    if genesis.peer_parameters != compute_network_id(make_parameters(config)):
        raise BadInput(
            field="network.name",
            found=f"{config.network.name!r}, or another version's numbers of membership",
            expected=f"{genesis.name!r}, the name {folder.genesis_file} was made for",
            fix=f"set network.name = {genesis.name!r}",
        )


def _make_unreadable(folder: StateFolder, found: str) -> BadInput:
    return BadInput(
        field=str(folder.genesis_file),
        found=found,
        expected="the first record of a ledger, as `wwwserve init --ledger` wrote it",
        fix="restore it from a backup; or move it away and join by a ticket, which names it",
    )
