"""What commands share on a terminal: their common flags, and how results and errors are shown."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from wwwserve.values.refusals import BadInput

HomeFlag = Annotated[
    Path | None,
    Parameter(
        name="--home",
        help="The node's state folder (default: $WWWSERVE_HOME, or the user's data folder).",
    ),
]
JsonFlag = Annotated[
    bool, Parameter(name="--json", negative="", help="Print JSON for programs, not for people.")
]


@dataclass(eq=False)
class CommandFailed(Exception):
    """A command could not be carried out: what happened and what to try (empty: it was said)."""

    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.what}. Try: {self.fix}"


def open_console() -> Console:
    """Where results for people go."""
    return Console(highlight=False)


def open_side_console() -> Console:
    """Where progress and errors go, so that results can be piped."""
    return Console(stderr=True, highlight=False)


def print_json(value: object) -> None:
    """One JSON value on one line, at once."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
    """A table for people; columns whose name begins with '>' hold numbers."""
    table = Table(
        title=title, title_justify="left", title_style="bold", header_style="dim", box=SIMPLE_HEAD
    )
    for column in columns:
        is_number = column.startswith(">")
        table.add_column(
            column.removeprefix(">"),
            justify="right" if is_number else "left",
            # The first column names the row: it is never cut, whatever the width.
            no_wrap=not table.columns,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*row)
    open_console().print(table)


def print_facts_of(title: str, rows: Iterable[tuple[str, str | Text]]) -> None:
    """Names with their values, one a line, under a title."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column()
    for name, value in rows:
        grid.add_row(name, value)
    console = open_console()
    console.print(Text(title, style="bold"))
    console.print(grid)


def show_bad_input(error: BadInput) -> None:
    """One line that names the field, what was found, what was expected and what to try."""
    line = Text("error: ", style="bold red")
    line.append(error.field, style="bold")
    line.append(f": found {error.found}, expected {error.expected}. ", style="default")
    line.append(f"Try: {error.fix}", style="default")
    open_side_console().print(line, soft_wrap=True)


def show_error(what: str, fix: str) -> None:
    """One line that says what happened and what to try."""
    line = Text("error: ", style="bold red")
    line.append(f"{what}. ".replace(".. ", ". "), style="default")
    if fix:
        line.append(f"Try: {fix}", style="default")
    open_side_console().print(line, soft_wrap=True)
