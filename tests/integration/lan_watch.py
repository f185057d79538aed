"""Somebody who listens on a local network: `python -m tests.integration.lan_watch NETWORK_ID`.

Prints one JSON line for each node of that network (its identity as hexadecimal digits) that is
announced there, and one for each that says goodbye; ends with its standard input.
"""

import asyncio
import json
import secrets
import sys

from wwwserve.adapters.discovery import MulticastDiscovery
from wwwserve.adapters.host import read_interfaces
from wwwserve.ports.discovery import Ignored, Notice
from wwwserve.values.ids import NODE_ID_BYTES, NodeId, node_prefix


class _Teller:
    """Prints what it hears."""

    def on_found(self, notice: Notice) -> None:
        addresses = [str(address) for address in notice.addresses]
        _tell("found", peer=node_prefix(notice.node), name=notice.name, addresses=addresses)

    def on_gone(self, name: str) -> None:
        _tell("gone", name=name)

    def on_ignored(self, reason: Ignored) -> None:
        _tell("ignored", reason=reason.value)


def _tell(event: str, **fields: object) -> None:
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


async def _watch(network_id: bytes) -> None:
    node = NodeId(secrets.token_bytes(NODE_ID_BYTES))
    discovery = MulticastDiscovery(node, network_id)
    await discovery.open(read_interfaces(), _Teller())
    _tell("ready")
    await asyncio.to_thread(sys.stdin.read)
    await discovery.close()


if __name__ == "__main__":
    asyncio.run(_watch(bytes.fromhex(sys.argv[1])))
