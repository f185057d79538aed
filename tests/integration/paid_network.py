"""Networks of real processes that pay, and how one begins."""

from collections.abc import Sequence
from pathlib import Path

from tests.integration.network import Network, RunningNode, run_json
from wwwserve.adapters.host import NodeKey
from wwwserve.node import Config, LedgerKind, StateFolder, keep_genesis, make_genesis


async def begin_paid(network: Network, folder: Path, count: int) -> list[RunningNode]:
    """Nodes of one ledger, each with credits and a seat; the first orders the log."""
    homes = [folder / f"paid-{number}" for number in range(count)]
    keys = [
        str((await run_json("init", "--home", str(home), "--json"))["api_key"]) for home in homes
    ]
    give_ledger(homes)
    for home, key in zip(homes, keys, strict=True):
        engine = await network.start_engine()
        network.nodes.append(await network.start_node_again(home, key, engine=engine))
    for node in network.nodes:
        await wait_ready(node)
    return network.nodes


def give_ledger(homes: Sequence[Path]) -> None:
    """Give state folders one ledger, in which each has credits and a stake."""
    folders = [StateFolder(home) for home in homes]
    founder, *members = [NodeKey.load(one.node_key_file).node_id for one in folders]
    genesis = make_genesis(LedgerKind.DEV, founder, Config(), members=members)
    for one in folders:
        keep_genesis(one, genesis)


async def wait_ready(node: RunningNode) -> None:
    """Wait until a node's wallet can pay."""
    await node.wait_status(lambda status: status["wallet"] and status["wallet"]["is_ready"])
