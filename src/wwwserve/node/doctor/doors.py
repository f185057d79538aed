"""Where others come in: the ports of gateway, admin and links, and who may use the gateway."""

import errno
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from wwwserve.adapters.host import FileKeyRing
from wwwserve.node.config import validate_exposure
from wwwserve.node.config.checks import is_loopback
from wwwserve.node.doctor.subject import Subject
from wwwserve.node.findings import Finding, Level
from wwwserve.values.refusals import BadInput


@dataclass(frozen=True, slots=True)
class _Door:
    """One place where the node listens."""

    setting: str
    """What to change to have it elsewhere."""
    host: str
    port: int
    served: tuple[int, ...]
    """Ports the running node has for it."""


def check_keys(subject: Subject) -> Iterator[Finding]:
    """Whether the gateway's users can come in, and nobody else."""
    gateway = subject.config.gateway
    try:
        count = FileKeyRing(subject.folder.api_keys_file).count
        validate_exposure(gateway, count)
    except BadInput as error:
        why = "nobody can be told from anybody else: the node does not start"
        yield Finding("API keys", Level.ERROR, f"{error.field}: {error.found}", why, error.fix)
        return
    if gateway.open:
        yield Finding(
            "API keys",
            Level.NOTE,
            "the gateway is open: whoever is on this machine may use it without a key",
            fix="gateway.open = false, and wwwserve keys add NAME",
        )
    elif count == 0:
        yield Finding(
            "API keys",
            Level.WARNING,
            "there is no key",
            "nobody can use the gateway",
            f"wwwserve keys add NAME {subject.command_end}",
        )
    else:
        yield Finding("API keys", Level.OK, f"{count}, hashed")
    if not is_loopback(gateway.host):
        yield Finding(
            "gateway",
            Level.NOTE,
            f"other machines reach it at {gateway.host}, in plain HTTP",
            "whoever is on the way can read keys and prompts",
            "serve it on loopback, behind a proxy that speaks TLS (Caddy, nginx)",
        )


def check_ports(subject: Subject) -> Iterator[Finding]:
    """Whether the node has its ports, or could have them."""
    doors = list(_list_doors(subject))
    for number, door in enumerate(doors):
        earlier = [one for one in doors[:number] if door.port and one.port == door.port]
        if earlier:
            yield Finding(
                door.setting,
                Level.ERROR,
                f"port {door.port}, which {earlier[0].setting} has too",
                "two servers cannot share a port: the node does not start",
                f"another number for {door.setting}",
            )
        else:
            yield _check_door(door, subject)


def _list_doors(subject: Subject) -> Iterator[_Door]:
    config, info = subject.config, subject.info
    gateway = (_get_port(info.gateway),) if info else ()
    admin = (_get_port(info.admin),) if info else ()
    yield _Door("gateway.port", config.gateway.host, config.gateway.port, gateway)
    yield _Door("admin.port", config.admin.host, config.admin.port, admin)
    if config.links.listen:
        host, _, port = config.links.listen.rpartition(":")
        # With `advertise` the running node tells what others dial instead of where it listens.
        listening = (config.links.listen,) if config.links.advertise or not info else info.links
        links = tuple(_get_link_port(address) for address in listening) if info else ()
        yield _Door("links.listen", host.strip("[]"), int(port), links)


def _get_link_port(address: str) -> int:
    return int(address.rpartition(":")[2])


def _get_port(url: str) -> int:
    return urlsplit(url).port or 0


def _check_door(door: _Door, subject: Subject) -> Finding:
    where = f"{door.host}:{door.port}"
    if subject.info is not None and door.port in door.served:
        return Finding(door.setting, Level.OK, f"{where}, held by this node")
    if subject.info is not None and door.served:
        return Finding(
            door.setting,
            Level.NOTE if door.port == 0 else Level.WARNING,
            f"{where} in the configuration, {door.served[0]} at the running node",
            "it was started with other settings, or they were changed since"
            if door.port
            else "0 is any free port",
            ""
            if door.port == 0
            else f"wwwserve config reload {subject.command_end}; or give doctor the --set of `up`",
        )
    if door.port == 0:
        return Finding(door.setting, Level.OK, "any free port")
    return _explain_bind(door, where)


def _explain_bind(door: _Door, where: str) -> Finding:
    try:
        _try_bind(door.host, door.port)
    except OSError as error:
        found, fix = _explain(error, door)
        why = "the node cannot start"
        return Finding(door.setting, Level.ERROR, f"{where}: {found}", why, fix)
    return Finding(door.setting, Level.OK, f"{where} is free")


def _try_bind(host: str, port: int) -> None:
    """Take the port for a moment, as the node would."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind, protocol) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        trial.bind(address)


def _explain(error: OSError, door: _Door) -> tuple[str, str]:
    match error.errno:
        case errno.EADDRINUSE:
            who = f"lsof -nP -iTCP:{door.port} -sTCP:LISTEN names it"
            return "another program has it", f"{who}; end it, or change {door.setting}"
        case errno.EADDRNOTAVAIL:
            return (
                "no address of this machine",
                "name one of its own, 127.0.0.1, or 0.0.0.0 for all",
            )
        case errno.EACCES:
            return "this user may not have it", f"a port of 1024 or above for {door.setting}"
        case _:
            return str(error), f"correct {door.setting}"
