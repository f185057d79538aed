"""One real peer, assembled: the pure `core.Peer` with sockets, engines, a disk and frontends.

`runner` is the loop, `links` and `streams` carry bytes beside it, `assemble` builds everything,
`living` is the life of what was built, `config` is what its operator chose, `reloading` what
becomes of a change of mind, `addresses` and `lan` follow the networks the machine is on, and
`doctor` looks at all of it from outside.
"""

from collections.abc import Callable, Mapping, Sequence

from wwwserve.node.config import (
    DEFAULT_ORIGIN,
    Config,
    DoorChoice,
    Layer,
    LoadedConfig,
    StakeConfig,
    list_values,
    load_config,
    make_config_text,
    parse_config,
)
from wwwserve.node.findings import Finding, Level
from wwwserve.node.genesis import (
    KnownGenesis,
    LedgerKind,
    find_genesis,
    keep_genesis,
    make_genesis,
    read_genesis,
)
from wwwserve.node.history import HistoryEntry, read_history
from wwwserve.node.ledger_book import (
    Found,
    FoundAccount,
    FoundBlock,
    FoundFeed,
    FoundHold,
    LedgerBook,
)
from wwwserve.node.orders import Orders
from wwwserve.node.policy_book import (
    Explained,
    check_policy,
    explain_request,
    explain_stake,
    replay_day,
)
from wwwserve.node.ready import ReadyInfo
from wwwserve.node.state_folder import RunInfo, StateFolder, find_state_folder

__all__ = [
    "DEFAULT_ORIGIN",
    "Config",
    "DoorChoice",
    "Explained",
    "Finding",
    "Found",
    "FoundAccount",
    "FoundBlock",
    "FoundFeed",
    "FoundHold",
    "HistoryEntry",
    "KnownGenesis",
    "Layer",
    "LedgerBook",
    "LedgerKind",
    "Level",
    "LoadedConfig",
    "Orders",
    "ReadyInfo",
    "RunInfo",
    "StakeConfig",
    "StateFolder",
    "check_policy",
    "examine",
    "explain_request",
    "explain_stake",
    "find_genesis",
    "find_state_folder",
    "keep_genesis",
    "list_values",
    "load_config",
    "make_config_text",
    "make_genesis",
    "parse_config",
    "read_genesis",
    "read_history",
    "replay_day",
    "run_node",
]


async def run_node(
    load: Callable[[], LoadedConfig],
    home: StateFolder,
    *,
    on_ready: Callable[[ReadyInfo], None],
    orders: Orders,
) -> None:
    """Run one node until it is told to stop, then stop it in good order.

    `load` reads its configuration, now and whenever it is told to read it again. Nobody else may
    use its state folder meanwhile. `on_ready` is called once, when the gateway
    serves. Raises `BadInput` if the node cannot start as configured.
    """
    # Only here: commands that just read the configuration should not load sockets and engines.
    from wwwserve.node import assemble  # noqa: PLC0415

    await assemble.run_node(load, home, on_ready=on_ready, orders=orders)


async def examine(
    folder: StateFolder,
    environ: Mapping[str, str],
    overrides: Sequence[str] = (),
    *,
    info: RunInfo | None = None,
    status: Mapping[str, object] | None = None,
) -> list[Finding]:
    """Look at everything about one node, running or not; never raises for what it finds.

    `info` and `status` (the operator's API's) are those of the running node; None if it does not
    run, or does not answer.
    """
    from wwwserve.node import doctor  # noqa: PLC0415 - as above

    return await doctor.examine(folder, environ, overrides, info=info, status=status)
