"""`wwwserve init`: what a node needs before it can run, made once and never overwritten."""

import os
from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from wwwserve.adapters.host import FileKeyRing, NodeKey
from wwwserve.cli.genesis_text import describe_genesis, make_genesis_json
from wwwserve.cli.terminal import (
    HomeFlag,
    JsonFlag,
    open_console,
    open_side_console,
    print_facts_of,
    print_json,
)
from wwwserve.node import (
    Config,
    DoorChoice,
    Layer,
    LedgerKind,
    StateFolder,
    find_genesis,
    find_state_folder,
    keep_genesis,
    load_config,
    make_config_text,
    make_genesis,
    parse_config,
)
from wwwserve.ports.keys import KeyRules
from wwwserve.values.credits import parse_credits
from wwwserve.values.ids import NODE_ID_BYTES, NodeId, node_text
from wwwserve.values.refusals import BadInput
from wwwserve.wire import parse_ticket
from wwwserve.wire.ledger import Genesis

_NOBODY = NodeId(bytes(NODE_ID_BYTES))
FIRST_KEY_NAME = "first"
"""Name of the API key made for a node that has none."""


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkWishes:
    """Which network a new node begins or joins, and what is paid there."""

    ledger: LedgerKind = LedgerKind.NONE
    """Begin a network whose requests are paid: dev (one laptop), private (members sponsor members)
    or open (anybody may earn their way in). This node orders its log."""
    supply: str = ""
    """All credits there will ever be, with --ledger; default: 30 days of 10000 cr of trade each."""
    join: str = ""
    """A ticket from `wwwserve invite`: be of that network, and of its ledger if it has one."""
    door: DoorChoice = DoorChoice.ANY
    """How to come into a paid network, with --join: sponsor, earn, faucet or dev; default: the
    first door that its ledger names."""


NOTHING_WISHED = NetworkWishes()


@dataclass(frozen=True, slots=True)
class NewNode:
    """What `init` found or made."""

    node: NodeId
    made: tuple[str, ...]
    """Names of the files it made; what was there already is not among them."""
    api_key: str | None
    """Shown this once; None when the node had keys already."""
    genesis: Genesis | None = None
    """The ledger it begins, if it was made now."""


def init(
    *,
    home: HomeFlag = None,
    engine_url: Annotated[
        str, Parameter(help="Base URL of the engine; without one, a small model runs here.")
    ] = "",
    lan: Annotated[
        bool,
        Parameter(
            negative="",
            help="Find the nodes of the local network, and let them find and reach this one.",
        ),
    ] = False,
    network: NetworkWishes = NOTHING_WISHED,
    as_json: JsonFlag = False,
) -> None:
    """Make a node: a state folder with its key, its configuration and a first API key.

    Whatever is there already stays as it is, so it can be run again at any time.
    """
    folder = find_state_folder(home, os.environ)
    made = make_node(folder, engine_url, on_lan=lan, network=network)
    if folder.config_file.name not in made.made:
        _tell_unchanged(folder, _list_wishes(engine_url, network, on_lan=lan))
    if network.ledger is not LedgerKind.NONE and made.genesis is None:
        file = folder.genesis_file
        _tell(f"{file} was there already and stays: its network has a ledger, which it begins")
    if as_json:
        _print_json(folder, made)
    else:
        _print(folder, made, where=f" --home {folder.path}" if home else "")
        if network.join and folder.config_file.name in made.made:
            _print_joined(network.join)


def make_node(
    folder: StateFolder,
    engine_url: str = "",
    *,
    on_lan: bool = False,
    network: NetworkWishes = NOTHING_WISHED,
) -> NewNode:
    """Make what is missing for a node to run. Raises `BadInput`, before anything is made."""
    text = _make_config_text(engine_url, network, on_lan=on_lan)
    supply = parse_credits("--supply", network.supply) if network.supply else 0
    _validate_network(folder, network)
    if network.ledger is not LedgerKind.NONE:
        make_genesis(network.ledger, _NOBODY, Config(), supply=supply)
    folder.create()
    made: list[str] = []
    if folder.node_key_file.exists():
        key = NodeKey.load(folder.node_key_file)
    else:
        key = NodeKey.create(folder.node_key_file)
        made.append(folder.node_key_file.name)
    if not folder.config_file.exists():
        folder.write_private(folder.config_file, text.encode())
        made.append(folder.config_file.name)
    genesis = _begin_ledger(folder, key.node_id, network.ledger, supply)
    if genesis is not None:
        made.append(folder.genesis_file.name)
    api_key = None
    ring = FileKeyRing(folder.api_keys_file)
    if ring.count == 0:
        api_key = ring.add(KeyRules(FIRST_KEY_NAME))
        made.append(folder.api_keys_file.name)
    return NewNode(key.node_id, tuple(made), api_key, genesis)


def _make_config_text(engine_url: str, network: NetworkWishes, *, on_lan: bool) -> str:
    """The configuration of a new node; what could not hold is refused."""
    if engine_url:
        parse_config([Layer("--engine-url", {"engine": {"url": engine_url}})])
    name = parse_ticket(network.join).network if network.join else ""
    return make_config_text(
        engine_url, on_lan=on_lan, ticket=network.join, network=name, door=network.door.value
    )


def _validate_network(folder: StateFolder, network: NetworkWishes) -> None:
    """Refuse wishes that contradict each other, or the ledger the folder belongs to."""
    begins = network.ledger is not LedgerKind.NONE
    if begins and network.join:
        raise BadInput(
            field="--ledger",
            found=f"{network.ledger.value}, with --join",
            expected="one of the two: a network is begun, or joined",
            fix="leave out --ledger; the ticket says which ledger its network has",
        )
    if network.supply and not begins:
        raise BadInput("--supply", network.supply, "--ledger with it", "add --ledger private")
    if network.door is not DoorChoice.ANY and begins:
        fix = "leave it out: whoever begins a ledger has an account"
        raise BadInput("--door", network.door.value, "--join with it", fix)
    if not begins or not folder.config_file.exists():
        return
    config = load_config(folder.config_file, {}).config
    known = find_genesis(folder, config)
    if known is not None and known.record is None:
        raise BadInput(
            field="--ledger",
            found=f"{network.ledger.value}, in a folder bound for {known.genesis_id.hex()[:16]}",
            expected="a folder without a ticket to another ledger",
            fix="begin the new network in a folder of its own: wwwserve init --home DIR --ledger "
            f"{network.ledger.value}",
        )


def _begin_ledger(
    folder: StateFolder, founder: NodeId, kind: LedgerKind, supply: int
) -> Genesis | None:
    """Make the first record of a ledger, unless none is wished or there is one."""
    if kind is LedgerKind.NONE or folder.genesis_file.exists():
        return None
    config = load_config(folder.config_file, {}).config
    genesis = make_genesis(kind, founder, config, supply=supply)
    keep_genesis(folder, genesis)
    return genesis


def _list_wishes(engine_url: str, network: NetworkWishes, *, on_lan: bool) -> list[str]:
    """What was asked for and stands in the configuration, for who has one already."""
    wishes = []
    if engine_url:
        wishes.append("set url under its [engine] to change the engine")
    if on_lan:
        wishes.append(
            "set lan_discovery = true under its [network], and listen and advertise under "
            "[links], to be found on the local network"
        )
    if network.join:
        name = parse_ticket(network.join).network
        wishes.append(f'set tickets = ["{network.join}"] and name = "{name}" under its [network]')
    if network.door is not DoorChoice.ANY:
        wishes.append(f'set door = "{network.door.value}" under its [ledger]')
    return wishes


def _print_joined(ticket: str) -> None:
    """Whose ledger a new node is of, and where it says how it comes in."""
    genesis = parse_ticket(ticket).genesis
    if genesis:
        open_console().print(
            f"It joins the ledger {genesis.hex()[:16]}, where requests are paid: once it is up, "
            "`wwwserve wallet` says how it comes in."
        )


def _tell_unchanged(folder: StateFolder, wishes: list[str]) -> None:
    """Say what was asked for and is not so, because there was a node already."""
    for wish in wishes:
        _tell(f"{folder.config_file} was there already and stays as it is: {wish}")


def _tell(text: str) -> None:
    open_side_console().print(f"{text}.", style="yellow", markup=False, soft_wrap=True)


def _print_json(folder: StateFolder, made: NewNode) -> None:
    shown: dict[str, object] = {
        "home": str(folder.path),
        "node": node_text(made.node),
        "config": str(folder.config_file),
        "api_key": made.api_key,
        "made": made.made,
    }
    if made.genesis is not None:
        shown["ledger"] = make_genesis_json(made.genesis)
    print_json(shown)


def _print(folder: StateFolder, made: NewNode, *, where: str) -> None:
    key = made.api_key or "as before; `wwwserve keys add NAME` makes another"
    print_facts_of(
        "The node is ready to run." if made.made else "The node was there already.",
        [
            ("state folder", str(folder.path)),
            ("node", node_text(made.node)),
            ("API key", key),
        ],
    )
    console = open_console()
    if made.api_key:
        console.print("[yellow]The key is shown this once; only its hash is kept.[/]")
    if made.genesis is not None:
        print_facts_of("\nIt begins a ledger", describe_genesis(made.genesis))
    console.print(f"Next: edit config.toml if you like, then wwwserve up{where}")
