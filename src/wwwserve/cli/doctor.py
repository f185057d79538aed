"""`wwwserve doctor`: what is wrong with a node, why that matters, and what to do about it.

The exit code is 1 if anything asked for does not work, else 0, warnings and notes included.
"""

import asyncio
import os
from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from wwwserve.cli.admin_client import AdminClient
from wwwserve.cli.terminal import (
    CommandFailed,
    HomeFlag,
    JsonFlag,
    SetFlag,
    open_console,
    print_json,
)
from wwwserve.node import Finding, Level, RunInfo, StateFolder, examine, find_state_folder
from wwwserve.values.refusals import BadInput

EXIT_OK = 0
EXIT_FOUND_ERRORS = 1
_STYLES = {Level.OK: "green", Level.NOTE: "cyan", Level.WARNING: "yellow", Level.ERROR: "bold red"}


def doctor(*, home: HomeFlag = None, set_: SetFlag = (), as_json: JsonFlag = False) -> int:
    """Look at everything about a node, running or not. Exit code 1 if something is broken."""
    folder = find_state_folder(home, os.environ)
    info = folder.read_run_info()
    findings = asyncio.run(_examine(folder, info, set_))
    if as_json:
        print_json({"home": str(folder.path), "is_running": info is not None, "findings": findings})
    else:
        _show(findings)
    is_broken = any(finding.level is Level.ERROR for finding in findings)
    return EXIT_FOUND_ERRORS if is_broken else EXIT_OK


async def _examine(
    folder: StateFolder, info: RunInfo | None, overrides: Sequence[str]
) -> list[Finding]:
    status = None if info is None else await _read_status(info)
    return await examine(folder, os.environ, overrides, info=info, status=status)


async def _read_status(info: RunInfo) -> Mapping[str, object] | None:
    try:
        async with AdminClient(info) as admin:
            return await admin.get("/status")
    except (CommandFailed, BadInput):
        # That it does not answer is a finding of its own.
        return None


def _show(findings: Sequence[Finding]) -> None:
    grid = Table.grid(padding=(0, 2))
    grid.add_column()
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    for finding in findings:
        text = Text(finding.found)
        if finding.why:
            text.append(f"\n{finding.why}", style="dim")
        if finding.fix:
            text.append(f"\nTry: {finding.fix}", style="bold" if _is_bad(finding) else "")
        grid.add_row(Text(finding.level.value, _STYLES[finding.level]), finding.check, text)
    console = open_console()
    console.print(grid)
    counts = [(level, sum(one.level is level for one in findings)) for level in reversed(Level)]
    told = ", ".join(f"{count} {_name(level, count)}" for level, count in counts if count)
    console.print(f"\n{told}.")


def _is_bad(finding: Finding) -> bool:
    return finding.level in (Level.WARNING, Level.ERROR)


def _name(level: Level, count: int) -> str:
    return level.value if level is Level.OK or count == 1 else f"{level.value}s"
