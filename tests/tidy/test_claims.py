"""Every claim of the spec has a test, and no test cites a claim the spec does not make.

A claim is a line of a chapter that opens with `- [CHAPTER-NAME.1]`; a test cites it in brackets.
The finders are first shown to catch samples that break the rule.
"""

import re
from collections.abc import Iterator, Set
from pathlib import Path

from tests.tidy.source import ROOT, list_texts, tell

CLAIM = re.compile(r"^- \[([A-Z]+-[A-Z]+\.\d+)\]", re.MULTILINE)
CITATION = re.compile(r"\[([A-Z]+-[A-Z]+\.\d+)\]")
THIS_FILE = Path("tests/tidy/test_claims.py")


def find_repeated(claims: list[str]) -> Iterator[str]:
    for claim in sorted(set(claims)):
        if claims.count(claim) > 1:
            yield f"[{claim}] is claimed {claims.count(claim)} times"


def find_unproven(claims: Set[str], cited: Set[str]) -> Iterator[str]:
    for claim in sorted(claims - cited):
        yield f"[{claim}] has no test; cite it in the one that proves it"


def find_unknown(claims: Set[str], path: Path, text: str) -> Iterator[str]:
    for claim in sorted(set(CITATION.findall(text)) - claims):
        yield f"{path}: [{claim}] is not in spec/"


def list_claims() -> list[str]:
    chapters = sorted((ROOT / "spec").glob("*.md"))
    return [claim for path in chapters for claim in CLAIM.findall(path.read_text(encoding="utf-8"))]


def list_code() -> list[tuple[Path, str]]:
    """Python that may cite claims: all but this file, whose samples are made up."""
    return [
        (path, text) for path, text in list_texts() if path.suffix == ".py" and path != THIS_FILE
    ]


def test_claims_and_tests_match() -> None:
    claims = list_claims()
    assert claims
    assert tell(find_repeated(claims)) == ""
    code = list_code()
    cited = {
        claim for path, text in code if path.parts[0] == "tests" for claim in CITATION.findall(text)
    }
    assert tell(find_unproven(set(claims), cited)) == ""
    unknown = (fault for path, text in code for fault in find_unknown(set(claims), path, text))
    assert tell(unknown) == ""


def test_a_mismatch_is_caught() -> None:
    assert CLAIM.findall("text\n- [A-B.1] One.\n  - [A-B.2] Not at the start.\n") == ["A-B.1"]
    assert list(find_repeated(["A-B.1", "A-B.2", "A-B.1"])) == ["[A-B.1] is claimed 2 times"]
    assert len(list(find_unproven({"A-B.1", "A-B.2"}, {"A-B.2"}))) == 1
    assert len(list(find_unknown({"A-B.1"}, Path("test_x.py"), "# [A-B.1], [A-B.9]"))) == 1
