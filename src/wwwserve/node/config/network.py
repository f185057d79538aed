"""Which network a node belongs to, whom it meets first, and where others reach it."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from wwwserve.node.config.bounds import ShortText
from wwwserve.node.config.checks import is_wildcard, validate_address, validate_dialable
from wwwserve.values.limits import RECORD_ADDRESSES_MAX
from wwwserve.values.parameters import MAIN
from wwwserve.values.refusals import BadInput
from wwwserve.wire import parse_ticket

LINKS_PORT = 8778
AUTO = "auto"
"""In `links.advertise`: this machine's own addresses, whatever they are at the moment."""
BOOTSTRAP_MAX = 64
"""Addresses and tickets to try at the start; gossip finds everybody else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """Which network this node belongs to, and whom it meets first."""

    name: Annotated[str, Meta(min_length=1, max_length=100)] = MAIN.network
    """Name of the network; nodes of another name are refused at the handshake."""
    bootstrap: Annotated[tuple[str, ...], Meta(max_length=BOOTSTRAP_MAX)] = ()
    """Link addresses (`host:port`) to try at the start; whoever answers there is believed."""
    tickets: Annotated[tuple[str, ...], Meta(max_length=BOOTSTRAP_MAX)] = ()
    """Invite tickets: like an address, but only the node that wrote the ticket is believed."""
    region: ShortText = ""
    """A hint for others where this node is; shown, never trusted. Empty = not said."""
    lan_discovery: bool = False
    """Find nodes of this network on the local networks of this machine, and be found there as far
    as `links.listen` lets others in. Off, nothing tells a local network that there is a node."""

    def __post_init__(self) -> None:
        """Refuse addresses and tickets that cannot be used."""
        for address in self.bootstrap:
            validate_address("network.bootstrap", address)
        for ticket in self.tickets:
            self._validate_ticket(ticket)
        self._validate_ledger()

    def _validate_ticket(self, text: str) -> None:
        try:
            network = parse_ticket(text).network
        except BadInput as error:
            error.field = "network.tickets"
            raise
        if network != self.name:
            raise BadInput(
                field="network.tickets",
                found=f"a ticket of the network {network!r}",
                expected=f"one of the network {self.name!r}, this node's",
                fix=f"set network.name = {network!r} to go there, or ask for another ticket",
            )

    def _validate_ledger(self) -> None:
        """Refuse tickets that lead to different ledgers: a node keeps one."""
        ledgers = {parse_ticket(text).genesis: None for text in self.tickets}
        if len(ledgers) > 1:
            shown = ", ".join(genesis.hex()[:16] or "none" for genesis in ledgers)
            raise BadInput(
                field="network.tickets",
                found=f"tickets to several ledgers: {shown}",
                expected="tickets to one ledger, or to none",
                fix="leave out those of the other network",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class LinksConfig:
    """Where other nodes reach this one."""

    listen: str = f"127.0.0.1:{LINKS_PORT}"
    """`host:port` for links, port 0 = any free one. Empty: accept none, only dial out."""
    advertise: Annotated[tuple[str, ...], Meta(max_length=RECORD_ADDRESSES_MAX)] = ()
    """`host:port` as others should dial it; empty = `listen`. Needed when `listen` is a wildcard
    or the node is behind a router that forwards a port. `auto` stands for the addresses of this
    machine at which `listen` listens, and is followed when they change."""

    def __post_init__(self) -> None:
        """Refuse addresses nobody could dial."""
        for address in self.advertise:
            if address == AUTO:
                continue
            validate_address("links.advertise", address)
            validate_dialable(address)
        if not self.listen:
            return
        host = validate_address("links.listen", self.listen, is_zero_allowed=True)
        if is_wildcard(host) and not self.advertise:
            raise BadInput(
                field="links.advertise",
                found=f"nothing, while links.listen is {self.listen!r} (every address)",
                expected="the host:port others dial to reach this node",
                fix='for example links.advertise = ["node.example.org:8778"], or ["auto"] for this '
                "machine's own addresses",
            )
