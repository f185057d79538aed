"""The running node and the others it knows: whether it is alone, and whether all understand it."""

import re
from collections.abc import Iterator, Sequence

from wwwserve import __version__
from wwwserve.node.doctor.subject import MemberSeen, Subject
from wwwserve.node.findings import Finding, Level
from wwwserve.values.parameters import PROTOCOL_VERSION, PROTOCOL_VERSION_MIN

_ALIVE = "alive"
_SOFTWARE = re.compile(r"wwwserve (\d{1,6})\.(\d{1,6})\.(\d{1,6})")


def check_node(subject: Subject) -> Iterator[Finding]:
    """Whether the node runs, and answers."""
    if subject.info is None:
        if subject.folder.is_held():
            found = "starting or stopping: it holds its folder and cannot be reached yet"
            yield Finding("node", Level.NOTE, found, fix="look again in a minute")
        else:
            found = "does not run: what only a running node can tell is not checked"
            fix = f"wwwserve up {subject.command_end}"
            yield Finding("node", Level.NOTE, found, fix=fix)
    elif subject.status is None:
        yield Finding(
            "node",
            Level.ERROR,
            f"process {subject.info.pid} runs and does not answer at {subject.info.admin}",
            "it hangs, or the machine is overloaded",
            f"look at its log, then end it (kill {subject.info.pid}) and start it again",
        )
    else:
        yield Finding("node", Level.OK, f"runs as process {subject.info.pid}")


def check_opening(subject: Subject) -> Iterator[Finding]:
    """Whether others are served, and if not, who says so."""
    if subject.status is None or subject.status.opening.is_open:
        return
    rest = subject.status.opening.rest
    if rest is not None and rest.is_by_policy:
        setting = "policy.drain" if rest.kind == "drain" else "policy.paused_until"
        found, fix = f"closed by {setting}", f"{setting} in config.toml, if that is not meant"
    elif rest is not None:
        found = f"closed by its operator ({rest.kind})"
        fix = f"wwwserve resume {subject.command_end}"
    else:
        found, fix = "closed by policy.hours", "policy.hours in config.toml, if that is not meant"
    why = "no work is taken from other nodes; own users are served"
    yield Finding("open to others", Level.NOTE, found, why, fix)


def check_peers(subject: Subject) -> Iterator[Finding]:
    """Whether other nodes are there and linked."""
    if subject.status is None:
        return
    alive = [member for member in subject.status.members if member.status == _ALIVE]
    linked = sum(member.is_linked for member in alive)
    known = f"{len(alive)} alive of {len(subject.status.members)} known, {linked} linked"
    if linked:
        yield Finding("peers", Level.OK, known)
    elif subject.status.members:
        yield Finding(
            "peers",
            Level.WARNING,
            known,
            "this node is alone: nothing can be sent to others, and nobody sends anything here",
            "see that the machine is online, and whether the others are up",
        )
    else:
        yield Finding(
            "peers",
            Level.NOTE,
            "no other node was met yet",
            "requests run here or wait",
            f"wwwserve invite {subject.command_end}, and wwwserve join on the other machine",
        )


def check_versions(subject: Subject) -> Iterator[Finding]:
    """Whether this program is as new as those of others, by what they say of themselves."""
    own = f"wwwserve {__version__}, link protocol {PROTOCOL_VERSION}"
    if subject.status is None:
        yield Finding("version", Level.OK, f"{own}; compared with nobody's")
        return
    alive = [member for member in subject.status.members if member.status == _ALIVE]
    if apart := sum(not _is_understood(member) for member in alive):
        yield Finding(
            "version",
            Level.WARNING,
            f"{own}; {apart} of {len(alive)} other nodes speak no version of the protocol in "
            "common with it",
            "no links with them are possible",
            "pip install --upgrade wwwserve, on the older side",
        )
    elif newer := _count_newer(alive):
        yield Finding(
            "version",
            Level.NOTE,
            f"{own}; {newer} of {len(alive)} other nodes say they have a newer one",
            fix="pip install --upgrade wwwserve",
        )
    else:
        yield Finding("version", Level.OK, f"{own}; no other node has a newer one")


def _is_understood(member: MemberSeen) -> bool:
    return member.protocol_min <= PROTOCOL_VERSION and member.protocol_max >= PROTOCOL_VERSION_MIN


def _count_newer(members: Sequence[MemberSeen]) -> int:
    own = _parse_version(f"wwwserve {__version__}")
    return sum(_parse_version(member.software) > own for member in members)


def _parse_version(software: str) -> tuple[int, ...]:
    match = _SOFTWARE.match(software)
    return tuple(int(part) for part in match.groups()) if match else ()
