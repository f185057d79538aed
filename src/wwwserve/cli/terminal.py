"""What commands share on a terminal: their common flags, and how results and errors are shown."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from unicodedata import category

import msgspec
from cyclopts import Parameter
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.style import Style
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
SetFlag = Annotated[
    tuple[str, ...],
    Parameter(
        name="--set",
        negative="",
        help="A setting that goes before the file, as section.key=value. May be repeated.",
    ),
]

_COLUMN_GAP = 2
"""Characters between two columns."""
_CONTROL = "Cc"
"""Unicode's category of control codes."""
_TURNS = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Marks that turn the direction of writing, so that a text reads other than it is (UAX 9)."""


@dataclass(eq=False)
class CommandFailed(Exception):
    """A command could not be carried out: what happened and what to try (empty: it was said)."""

    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.what}. Try: {self.fix}"


class PlainConsole(Console):
    """A console on which no word of another node, engine or model can do anything but be read.

    What they say may hold codes that a terminal obeys: to move its cursor, to rename its window, to
    paste. Each letter of such a code is shown as a question mark.
    """

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """See `Console`; every piece of text that is printed comes by here."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else _disarm(text), style, control)

    def out(
        self,
        *objects: object,
        sep: str = " ",
        end: str = "\n",
        style: str | Style | None = None,
        highlight: bool | None = None,
    ) -> None:
        """See `Console`."""
        words = (_disarm(str(word)) for word in objects)
        super().out(*words, sep=sep, end=end, style=style, highlight=highlight)


def open_console() -> Console:
    """Where results for people go."""
    return PlainConsole(highlight=False)


def open_side_console() -> Console:
    """Where progress and errors go, so that results can be piped."""
    return PlainConsole(stderr=True, highlight=False)


def print_json(value: object) -> None:
    """One JSON value on one line, at once."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
    """A table for people; columns whose name begins with '>' hold numbers.

    On a terminal too narrow for its longest words, each row becomes a list of names with values.
    """
    names = [column.removeprefix(">") for column in columns]
    lines = [[_make_text(cell) for cell in row] for row in rows]
    cells = list(zip([Text(name) for name in names], *lines, strict=True))
    widths = [max(_measure_word(cell) for cell in column) for column in cells]
    console = open_console()
    if sum(widths) + _COLUMN_GAP * (len(widths) - 1) > console.width:
        _print_as_lists(console, title, names, lines)
        return
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="dim",
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        # The box has one more of its own.
        padding=(0, _COLUMN_GAP - 1, 0, 0),
    )
    for column, name, width, shown in zip(columns, names, widths, cells, strict=True):
        is_number = column.startswith(">")
        table.add_column(
            name,
            justify="right" if is_number else "left",
            min_width=width,
            # What cannot be broken is not made narrower: columns of several words make room.
            no_wrap=max(cell.cell_len for cell in shown) == width,
        )
    for line in lines:
        table.add_row(*line)
    console.print(table)
    console.print()


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


def _print_as_lists(
    console: Console, title: str, names: Sequence[str], lines: Iterable[Sequence[Text]]
) -> None:
    console.print(Text(title, style="bold"))
    for line in lines:
        grid = Table.grid(padding=(0, _COLUMN_GAP))
        grid.add_column(style="dim")
        grid.add_column(overflow="fold")
        for name, value in zip(names, line, strict=True):
            if value:
                grid.add_row(name, value)
        console.print(grid)
        console.print()


def _disarm(text: str) -> str:
    """The text without what a terminal would obey; lines and tabs stay."""
    if text.isprintable():
        return text
    return "".join("?" if _is_obeyed(letter) else letter for letter in text.replace("\r", ""))


def _is_obeyed(letter: str) -> bool:
    return letter in _TURNS or (category(letter) == _CONTROL and letter not in "\n\t")


def _make_text(cell: str | Text) -> Text:
    # What a peer or a file says is shown as it is: brackets are no markup.
    return Text(cell) if isinstance(cell, str) else cell


def _measure_word(text: Text) -> int:
    """Cells of the longest word, which is never broken in a table."""
    return max((cell_len(word) for word in text.plain.split()), default=0)


def show_bad_input(error: BadInput) -> None:
    """One line that names the field, what was found, what was expected and what to try."""
    line = Text("error: ", style="bold red")
    line.append(error.field, style="bold")
    line.append(f": found {error.found}, expected {error.expected}. ", style="default")
    line.append(f"Try: {error.fix}", style="default")
    open_side_console().print(line, soft_wrap=True)


def show_error(what: str, fix: str) -> None:
    """One line that says what happened and what to try."""
    # What another program said may have several.
    what = " ".join(what.split())
    line = Text("error: ", style="bold red")
    line.append(what, style="default")
    if fix:
        line.append(f"{'' if what.endswith('.') else '.'} Try: {fix}", style="default")
    open_side_console().print(line, soft_wrap=True)
