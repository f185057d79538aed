"""What commands print can be read on any terminal: no word is broken, and nothing is left out.

Tables are printed at several widths and read back as text; errors must be one line with its fix.
"""

import pytest
from rich.text import Text

from wwwserve.cli.app import run
from wwwserve.cli.terminal import open_console, print_facts_of, print_table, show_error

NODE = "a2b3" * 13
MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
WORDS = ["alive", "round trip", "1.3 ms", MODEL, NODE]


def show(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    rows: list[tuple[str | Text, ...]] = [
        (NODE, Text("alive"), "1.3 ms", MODEL),
        (NODE[::-1], "dead", "", MODEL),
    ]
    print_table("Peers", ("node", "status", ">round trip", "models"), rows)


@pytest.mark.parametrize("width", [80, 120, 200])
def test_no_word_of_a_table_is_broken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int
) -> None:
    show(monkeypatch, width)
    printed = capsys.readouterr().out
    assert max(len(line) for line in printed.splitlines()) <= width
    assert [word for word in (*WORDS, NODE[::-1], "dead") if word not in printed] == []


def test_a_row_is_one_line_where_there_is_room_and_a_list_where_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    show(monkeypatch, 200)
    (row,) = [line for line in capsys.readouterr().out.splitlines() if NODE in line]
    assert row.split() == [NODE, "alive", "1.3", "ms", MODEL]
    show(monkeypatch, 80)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["node", NODE] in lines
    assert ["status", "dead"] in lines
    # What is not known of a row takes no line.
    assert len([line for line in lines if line[:1] == ["round"]]) == 1


def test_brackets_in_a_cell_are_shown_and_not_obeyed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_table("Models", ("model",), [("[red]mine[/red]",)])
    assert "[red]mine[/red]" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("what", "fix", "line"),
    [
        ("it broke", "again", "error: it broke. Try: again\n"),
        ("It broke.", "again", "error: It broke. Try: again\n"),
        ("pip said:\nno network\n", "again", "error: pip said: no network. Try: again\n"),
        ("refused. Try: auto", "", "error: refused. Try: auto\n"),
    ],
)
def test_an_error_is_one_line(
    capsys: pytest.CaptureFixture[str], what: str, fix: str, line: str
) -> None:
    show_error(what, fix)
    assert capsys.readouterr().err == line


@pytest.mark.parametrize(
    ("arguments", "help_"),
    [
        (["keys", "create", "alice"], "wwwserve keys --help"),
        (["keys", "revoke"], "wwwserve keys revoke --help"),
        (["sim", "replay", "x"], "wwwserve sim replay --help"),
    ],
)
def test_a_wrong_argument_points_at_the_help_of_its_own_command(
    capsys: pytest.CaptureFixture[str], arguments: list[str], help_: str
) -> None:
    assert run(arguments) == 2
    assert capsys.readouterr().err.endswith(f"Try: {help_}\n")


def test_what_is_one_word_is_never_cut_and_columns_of_words_make_room(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        ("2026-03-02T09:15:04Z", "earned with a request", "+0.021336 cr", "wkalwd7x", NODE[:16])
    ]
    for width in (78, 80, 90, 200):
        monkeypatch.setenv("COLUMNS", str(width))
        print_table("History", ("when", "what", ">credits", "with", "record"), rows)
        printed = capsys.readouterr().out
        for word in (rows[0][0], rows[0][4], "credits", "record"):
            assert word in printed, width


HOSTILE = "vllm \x1b]0;yours\x07\x1b[2Jx \x9b6n \u202egnp.exe\r0.9"
"""What a peer may say its software is: it renames the window, clears it, has it answer, and reads
other than it is written."""


def test_no_word_of_others_moves_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for width in ("20", "200"):
        monkeypatch.setenv("COLUMNS", width)
        print_table("Peers", ("node", "software"), [(NODE, HOSTILE)])
    print_facts_of("Engine", [("software", HOSTILE)])
    show_error(HOSTILE, "another one")
    open_console().print(Text(HOSTILE, style="red"))
    open_console().out(HOSTILE)
    printed = capsys.readouterr()
    for letter in printed.out + printed.err:
        assert letter.isprintable() or letter == "\n", repr(letter)


def test_colours_are_still_colours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    open_console().print(Text("red \x1b[2J", style="red"))
    printed = capsys.readouterr().out
    assert "\x1b[31m" in printed
    assert "\x1b[2J" not in printed


def test_what_is_written_in_any_language_stays_as_it_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = "שלום, 你好, \U0001f469\u200d\U0001f680, naïve\nline"
    open_console().out(words, end="")
    assert capsys.readouterr().out == words
