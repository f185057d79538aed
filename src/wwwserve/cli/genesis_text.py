"""A ledger's first record in words: what its founder chose of its rules, and who holds it."""

from wwwserve.values.credits import credits_text
from wwwserve.values.ids import NodeId, node_prefix, node_text
from wwwserve.wire.ledger import (
    Circulation,
    Genesis,
    GenesisAccount,
    compute_genesis_held,
    compute_genesis_id,
)

ONE_SEQUENCER = "one sequencer: no Byzantine tolerance yet"
"""Said wherever somebody might take the log for more than it is."""
ACCOUNTS_SHOWN_MAX = 8
_CIRCULATION = {
    Circulation.PRIVATE: "each day the treasury takes a part of what lies above the mean, "
    "pays allowances, and shares out the rest",
    Circulation.OPEN: "by prices alone",
}


def describe_genesis(genesis: Genesis) -> list[tuple[str, str]]:
    """Names with their values, one a line."""
    parameters = genesis.parameters
    rows = [
        ("ledger", compute_genesis_id(genesis).hex()),
        ("supply", f"{credits_text(genesis.supply)}, all there will ever be"),
    ]
    rows += [("held by", _describe_holder(genesis, each)) for each in _list_shown(genesis)]
    more = len(genesis.accounts) - ACCOUNTS_SHOWN_MAX
    if more > 0:
        rows.append(("held by", f"{more} more"))
    pool = genesis.supply - compute_genesis_held(genesis)
    rows += [
        ("held by", f"the pool, which nobody signs for: {credits_text(pool)}"),
        ("doors", ", ".join(door.name.lower() for door in genesis.doors)),
        ("circulation", _CIRCULATION[genesis.circulation]),
        ("seat", credits_text(parameters.seat_price)),
        ("epoch", f"{parameters.epoch_ms // 1_000} s"),
        ("order", f"{ONE_SEQUENCER}; it is {node_prefix(NodeId(genesis.sequencer))}"),
    ]
    return rows


def make_genesis_json(genesis: Genesis) -> dict[str, object]:
    """The same for programs; amounts are micro-credits."""
    return {
        "genesis": compute_genesis_id(genesis).hex(),
        "supply": genesis.supply,
        "accounts": [
            {
                "node": node_text(NodeId(account.key)),
                "amount": account.amount,
                "seats": account.seats,
                "is_treasury": bool(account.flags),
            }
            for account in genesis.accounts
        ],
        "pool": genesis.supply - compute_genesis_held(genesis),
        "doors": [door.name.lower() for door in genesis.doors],
        "circulation": genesis.circulation.name.lower(),
        "sequencer": node_text(NodeId(genesis.sequencer)),
        "byzantine_tolerance": False,
    }


def _list_shown(genesis: Genesis) -> tuple[GenesisAccount, ...]:
    return genesis.accounts[:ACCOUNTS_SHOWN_MAX]


def _describe_holder(genesis: Genesis, account: GenesisAccount) -> str:
    who = node_prefix(NodeId(account.key))
    if account.key == genesis.sequencer:
        who = f"the founder {who}" + (", as treasury" if account.flags else "")
    staked = credits_text(account.seats * genesis.parameters.seat_price)
    return f"{who}: {credits_text(account.amount)} free, {staked} staked in {account.seats} seats"
