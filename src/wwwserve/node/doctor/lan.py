"""The local network around a node: whether others are found there, and whether it is."""

import asyncio
import secrets
from collections import Counter
from dataclasses import dataclass, field

from wwwserve.adapters.discovery import MulticastDiscovery
from wwwserve.adapters.host import read_interfaces
from wwwserve.node.config.checks import is_loopback
from wwwserve.node.doctor.subject import Subject
from wwwserve.node.findings import Finding, Level
from wwwserve.node.found_nodes import FOUND_MAX
from wwwserve.ports.discovery import Discovery, DiscoveryFailed, Ignored, Notice
from wwwserve.values.ids import NODE_ID_BYTES, NodeId

CHECK = "local network"
LOOK_S = 3.0
"""How long notices are waited for: they come in answer to a question, those that were said to all a
moment ago after more than a second."""


@dataclass(slots=True)
class Heard:
    """What a look around brought."""

    nodes: set[NodeId] = field(default_factory=set)
    ignored: Counter[Ignored] = field(default_factory=Counter)

    def on_found(self, notice: Notice) -> None:
        """See `DiscoveryOwner`."""
        if len(self.nodes) < FOUND_MAX:
            self.nodes.add(notice.node)

    def on_gone(self, name: str) -> None:
        """Whoever left was there."""

    def on_ignored(self, reason: Ignored) -> None:
        """See `DiscoveryOwner`."""
        self.ignored[reason] += 1


async def check_lan(subject: Subject) -> list[Finding]:
    """Whether discovery is on, works on this machine, and what it finds."""
    if not subject.config.network.lan_discovery:
        found = "discovery is off: this node neither looks for others there nor is found"
        fix = "network.lan_discovery = true, if others there are to be met"
        return [Finding(CHECK, Level.OK, found, fix=fix)]
    interfaces = read_interfaces()
    if not interfaces:
        found = "this machine is on none: nobody can be found"
        fix = "plug the cable in, or join the Wi-Fi; the node notices by itself"
        return [Finding(CHECK, Level.WARNING, found, fix=fix)]
    # Under a name made for it, so that the node's own notice is heard as others hear it.
    stranger = NodeId(secrets.token_bytes(NODE_ID_BYTES))
    discovery: Discovery = MulticastDiscovery(stranger, subject.network_id)
    heard = Heard()
    try:
        await discovery.open(interfaces, heard)
        await asyncio.sleep(LOOK_S)
    except DiscoveryFailed as failed:
        return [
            Finding(
                CHECK,
                Level.WARNING,
                f"multicast does not work here: {failed}",
                "nobody is found, and nobody finds this node",
                "let UDP port 5353 through the firewall; containers need the host's network",
            )
        ]
    finally:
        await discovery.close()
    return [judge_lan(subject, heard)]


def judge_lan(subject: Subject, heard: Heard) -> Finding:
    """What to say of a look around that worked."""
    key, listen = subject.load_key(), subject.config.links.listen
    own = None if key is None else key.node_id
    found = _describe(heard, own)
    if not listen or is_loopback(listen.rpartition(":")[0]):
        why = "this node finds others there and cannot be found: links.listen lets no machine in"
        fix = 'links.listen = "0.0.0.0:8778" and links.advertise = ["auto"], if others may'
        return Finding(CHECK, Level.NOTE, found, why, fix)
    if subject.info is not None and own is not None and own not in heard.nodes:
        return Finding(
            CHECK,
            Level.WARNING,
            f"{found}; this node's own notice was not heard",
            "others may not hear it either",
            "let UDP port 5353 through the firewall, and look for `lan discovery` in the log",
        )
    return Finding(CHECK, Level.OK, found)


def _describe(heard: Heard, own: NodeId | None) -> str:
    others = sum(node != own for node in heard.nodes)
    text = f"discovery is on: {others} other node{'' if others == 1 else 's'} found"
    strangers = heard.ignored[Ignored.NETWORK]
    return f"{text}, and {strangers} notices of other networks" if strangers else text
