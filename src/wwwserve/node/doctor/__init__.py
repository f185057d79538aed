"""Examining one node, running or not: what is wrong, why that matters, and what to do.

Each check looks at one thing and changes nothing that stays. A check that cannot be made says so;
none says "ok" of what it did not see. What a running node tells of itself is handed in by whoever
can ask it.
"""

import asyncio
from collections.abc import Mapping, Sequence

import msgspec

from wwwserve.node.config import load_config
from wwwserve.node.doctor.doors import check_keys, check_ports
from wwwserve.node.doctor.engines import check_engines
from wwwserve.node.doctor.folder import check_config_file, check_folder
from wwwserve.node.doctor.lan import check_lan
from wwwserve.node.doctor.ledger import check_ledger
from wwwserve.node.doctor.links import check_links
from wwwserve.node.doctor.machine import check_clock, check_disk, check_open_files
from wwwserve.node.doctor.peers import check_node, check_opening, check_peers, check_versions
from wwwserve.node.doctor.subject import StatusSeen, Subject, make_command_end
from wwwserve.node.findings import Finding, Level
from wwwserve.node.state_folder import RunInfo, StateFolder
from wwwserve.values.refusals import BadInput

__all__ = ["Finding", "Level", "examine"]


async def examine(
    folder: StateFolder,
    environ: Mapping[str, str],
    overrides: Sequence[str] = (),
    *,
    info: RunInfo | None = None,
    status: Mapping[str, object] | None = None,
) -> list[Finding]:
    """Look at everything about one node; never raises for what it finds.

    `info` and `status` are those of the running node; None if it does not run, or does not answer.
    """
    findings = list(check_folder(folder))
    try:
        config = load_config(folder.config_file, environ, overrides).config
    except BadInput as error:
        findings.append(_explain_config(folder, error))
        return findings
    seen = None if status is None else msgspec.convert(status, StatusSeen)
    subject = Subject(folder, config, environ, info, seen)
    findings += check_config_file(folder, config)
    findings += check_node(subject)
    findings += check_opening(subject)
    findings += check_keys(subject)
    findings += check_ports(subject)
    engines, links, lan = await asyncio.gather(
        check_engines(subject), check_links(subject), check_lan(subject)
    )
    findings += [*engines, *links, *lan]
    findings += check_peers(subject)
    findings += check_versions(subject)
    findings += check_ledger(subject)
    findings += check_disk(subject)
    findings += check_open_files(subject)
    findings += check_clock(subject)
    return findings


def _explain_config(folder: StateFolder, error: BadInput) -> Finding:
    return Finding(
        "configuration",
        Level.ERROR,
        f"{error.field}: found {error.found}, expected {error.expected}",
        "the node does not start with it, and nothing that depends on it can be looked at",
        f"{error.fix}; wwwserve config check {make_command_end(folder)} looks again",
    )
