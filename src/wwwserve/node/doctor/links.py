"""The network around a node: whether others can reach it, and it those whom it meets first."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from wwwserve.adapters.host import NodeKey, read_interfaces
from wwwserve.adapters.transports import TcpTransport
from wwwserve.node.config.checks import is_loopback
from wwwserve.node.doctor.knocking import Answer, Knocker, SilentOwner
from wwwserve.node.doctor.subject import Subject
from wwwserve.node.findings import Finding, Level
from wwwserve.node.setup_parts import list_addresses, make_bootstrap
from wwwserve.ports.transport import CloseReason, Link, LinkOwner
from wwwserve.values.ids import NodeId, parse_node_id
from wwwserve.values.refusals import BadInput

MEETING_POINTS_MAX = 64
"""Addresses of tickets and bootstrap that are tried; a node needs one."""
SHOWN_MAX = 8
"""Addresses named in one finding."""


async def check_links(subject: Subject) -> list[Finding]:
    """Addresses others are told, and whom to meet at the start."""
    network_id = subject.network_id
    async with Knocker(network_id) as knocker:
        own, meeting = await asyncio.gather(
            _check_own(subject, knocker, network_id), _check_meeting(subject, knocker)
        )
    return [*own, *meeting]


# -- own addresses -------------------------------------------------------------------------------


async def _check_own(subject: Subject, knocker: Knocker, network_id: bytes) -> list[Finding]:
    links = subject.config.links
    if not links.listen:
        found = "none: this node dials others, and none can dial it"
        fix = "links.listen, if others are to find it when they start"
        return [Finding("own address", Level.NOTE, found, fix=fix)]
    key = subject.load_key()
    if key is None:
        return []
    try:
        async with _open_door(subject, key, network_id) as (own, addresses):
            answers = [await knocker.knock(address, own) for address in addresses]
    except BadInput as error:
        found = f"not checked: {error.field} found {error.found}"
        return [Finding("own address", Level.NOTE, found, fix=error.fix)]
    return [_judge_own(answer) for answer in answers]


@asynccontextmanager
async def _open_door(
    subject: Subject, key: NodeKey, network_id: bytes
) -> AsyncIterator[tuple[NodeId, tuple[str, ...]]]:
    """The node's id and addresses, while somebody answers there: the node, or we in its place."""
    links, info = subject.config.links, subject.info
    if info is not None:
        yield parse_node_id(info.node), info.links
        return
    transport = TcpTransport(key, network_id)
    try:
        bound = await transport.listen(links.listen, _turn_away)
        yield transport.node_id, list_addresses(subject.config, bound, read_interfaces())
    finally:
        await transport.close()


def _turn_away(link: Link) -> LinkOwner:
    link.close(CloseReason.FULL)
    return SilentOwner()


def _judge_own(answer: Answer) -> Finding:
    address = answer.address
    host, _, port = address.rpartition(":")
    if answer.is_good:
        return _describe_reach(address, host.strip("[]"))
    if answer.reason is CloseReason.UNWANTED:
        return Finding(
            "own address",
            Level.ERROR,
            f"{address}: {answer.detail}",
            "others who dial it meet somebody else and turn away",
            "correct links.advertise, or the router's forwarding",
        )
    return Finding(
        "own address",
        Level.WARNING,
        f"{address} does not lead here: {answer.detail}",
        "others cannot link to this node, unless it dials them; some routers only hide a machine's "
        "outside address from itself",
        f"forward TCP port {port} of the router to this machine and let the firewall pass it, "
        f"then from another place: nc -vz {host} {port}",
    )


def _describe_reach(address: str, host: str) -> Finding:
    if is_loopback(host):
        return Finding(
            "own address",
            Level.NOTE,
            f"{address} answers, for nodes on this machine only",
            fix='links.listen = "0.0.0.0:8778", and links.advertise as others dial it ("auto" for '
            "this machine's own addresses)",
        )
    if _is_private(host):
        return Finding(
            "own address",
            Level.NOTE,
            f"{address} answers, for nodes of the same local network only",
            "it is a private address: behind a router (NAT), nodes elsewhere cannot dial it",
            "for more, forward the port and name the outside address in links.advertise",
        )
    return Finding("own address", Level.OK, f"{address} leads to this node")


def _is_private(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return False


# -- whom to meet first --------------------------------------------------------------------------


async def _check_meeting(subject: Subject, knocker: Knocker) -> list[Finding]:
    points = make_bootstrap(subject.config)[:MEETING_POINTS_MAX]
    if not points:
        if subject.status is not None:
            return []  # Whom it has met, or that it has met nobody, is told under "peers".
        return [
            Finding(
                "meeting points",
                Level.NOTE,
                "none: this node waits to be met",
                fix=f"wwwserve invite on another node, then wwwserve join {subject.command_end} "
                "TICKET",
            )
        ]
    answers = await asyncio.gather(
        *(knocker.knock(address, expected) for address, expected in points)
    )
    silent = [answer for answer in answers if not answer.is_good]
    if not silent:
        return [Finding("meeting points", Level.OK, f"all {len(answers)} answer")]
    found = "; ".join(f"{answer.address}: {answer.detail}" for answer in silent[:SHOWN_MAX])
    more = f"; and {len(silent) - SHOWN_MAX} more" if len(silent) > SHOWN_MAX else ""
    is_any_good = len(silent) < len(answers)
    return [
        Finding(
            "meeting points",
            Level.NOTE if is_any_good else Level.WARNING,
            f"{len(silent)} of {len(answers)} are of no use: {found}{more}",
            "one that answers is enough"
            if is_any_good
            else "nobody is met at the start but those remembered from before",
            _advise({answer.reason for answer in silent}),
        )
    ]


def _advise(reasons: set[CloseReason]) -> str:
    if CloseReason.NETWORK in reasons:
        return "network.name as the others have it, or other meeting points"
    if CloseReason.VERSION in reasons:
        return "the same version of wwwserve on both sides: wwwserve version"
    if CloseReason.UNWANTED in reasons:
        return "a new ticket: wwwserve invite on the node that was meant"
    return "see that those nodes are up, or take new tickets: wwwserve invite on any member"
