"""What is committed would serve a stranger: no machine's paths, no hosts, no bulk, no loose ends.

Every file git tracks or would add is read; each rule is first shown to catch a sample.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tidy.source import ROOT, list_files, list_texts, tell

FILE_BYTES_MAX = 500_000
DECISION_HEADINGS = ["Context", "Options", "Choice", "Consequence"]
CHANGE_NAME = re.compile(r"[a-z0-9-]+\.(added|changed|fixed|removed)\.md")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")
CODE_BLOCK = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)

FORBIDDEN = {
    # Besides the usual homes: wherever this checkout happens to lie.
    "a path of one machine": re.compile(
        rf"(?<![\w.:}}])(?:/(?:root|tmp|Users|home)/|{re.escape(str(ROOT))}\b)"
    ),
    "a package index's address": re.compile(r"/simple/"),
    "where to download from": re.compile(r"(?<!\w)--(?:extra-)?index-url|--trusted-host"),
    "unfinished work": re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b|NotImplementedError"),
}
HOST = re.compile(r"https?://([A-Za-z0-9._-]+)")
HOSTS = {
    # This machine, and names that are nobody's (RFC 2606, or plainly made up).
    "127.0.0.1", "localhost", "host", "h", "name", "user", "example.org", "models.example",
    "evil.example",
    # The licence, and pages of what is built on or spoken to.
    "www.apache.org", "github.com", "ollama.com",
}  # fmt: skip
"""Hosts that a committed address may name: no package index or mirror is among them."""
# Spells out what it forbids.
THIS_FILE = Path("tests/tidy/test_files.py")


def find_forbidden(path: Path, text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), start=1):
        for what, pattern in FORBIDDEN.items():
            if found := pattern.search(line):
                yield f"{path}:{number}: {found.group()!r} is {what}"
        for host in HOST.findall(line):
            if host not in HOSTS:
                yield f"{path}:{number}: {host!r} is a host that no address here may name"


def find_broken_links(path: Path, text: str) -> Iterator[str]:
    for target in LINK.findall(CODE_BLOCK.sub("", text)):
        if "://" not in target and not (ROOT / path.parent / target).exists():
            yield f"{path}: links to {target}, which is not there"


def find_decision_faults(path: Path, text: str) -> Iterator[str]:
    number = path.name[:4]
    if not (number.isdigit() and text.startswith(f"# {number}: ")):
        yield f"{path}: name it NNNN-title.md and open it with '# NNNN: Title'"
    if re.findall(r"^## (.+)$", text, re.MULTILINE) != DECISION_HEADINGS:
        yield f"{path}: its headings are {', '.join(DECISION_HEADINGS)}, in that order"


def list_decisions() -> list[Path]:
    folder = Path("docs/decisions")
    return [path for path in list_files() if path.parent == folder and path.name != "README.md"]


def test_nothing_private_or_unfinished_is_committed() -> None:
    texts = [(path, text) for path, text in list_texts() if path != THIS_FILE]
    assert tell(finding for path, text in texts for finding in find_forbidden(path, text)) == ""


@pytest.mark.parametrize(
    "line",
    [
        "cd /root/checkout",
        "STATE = '/tmp/state'",
        f"cd {ROOT}",
        "https://files.index.example/x.whl",
        "index = /simple/",
        "pip install --extra-index-url somewhere",
        "# TODO: later",
        "raise NotImplementedError",
    ],
)
def test_a_forbidden_line_is_caught(line: str) -> None:
    assert list(find_forbidden(Path("sample"), line))


def test_ordinary_lines_are_left_alone() -> None:
    text = "GET /v1/models\nhttp://host/home/page\n--no-emit-index-url\nnet/work/flow\n"
    assert tell(find_forbidden(Path("sample"), text)) == ""


def test_no_file_is_bulky() -> None:
    sizes = {path: (ROOT / path).stat().st_size for path in list_files()}
    assert tell(f"{path}: {size}" for path, size in sizes.items() if size > FILE_BYTES_MAX) == ""


def test_links_between_pages_lead_somewhere() -> None:
    pages = [(path, text) for path, text in list_texts() if path.suffix == ".md"]
    assert pages
    assert tell(finding for path, text in pages for finding in find_broken_links(path, text)) == ""


def test_a_broken_link_is_caught() -> None:
    page = Path("docs/sample.md")
    assert len(list(find_broken_links(page, "[gone](nowhere.md#part)"))) == 1
    assert tell(find_broken_links(page, "[up](../pyproject.toml) [out](https://example.org)")) == ""


def test_decisions_have_one_form_and_are_numbered_in_order() -> None:
    decisions = list_decisions()
    findings = [
        fault
        for path in decisions
        for fault in find_decision_faults(path, (ROOT / path).read_text(encoding="utf-8"))
    ]
    assert tell(findings) == ""
    numbers = [int(path.name[:4]) for path in decisions]
    assert numbers == list(range(1, len(numbers) + 1))


def test_every_decision_is_in_the_list_of_them() -> None:
    listed = LINK.findall((ROOT / "docs/decisions/README.md").read_text(encoding="utf-8"))
    assert [path.name for path in list_decisions()] == listed


def test_a_formless_decision_is_caught() -> None:
    form = "\n".join(f"## {heading}" for heading in DECISION_HEADINGS)
    path = Path("docs/decisions/0007-a-thing.md")
    assert tell(find_decision_faults(path, f"# 0007: A thing\n{form}")) == ""
    assert len(list(find_decision_faults(path, f"# A thing\n{form}"))) == 1
    assert len(list(find_decision_faults(path, "# 0007: A thing\n## Context"))) == 1


def test_change_notes_are_named_for_release() -> None:
    notes = [path for path in list_files() if path.parent == Path("changes")]
    strays = [path for path in notes if not CHANGE_NAME.fullmatch(path.name)]
    assert strays == [Path("changes/README.md")]
