"""The reference of `spec/ledger.md`: the chapter's Python, run as it stands there."""

import re
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

CHAPTER = Path(__file__).parents[2] / "spec" / "ledger.md"

Reference = dict[str, Any]
"""Its state: dictionaries, as the chapter makes them."""


@cache
def read_reference() -> SimpleNamespace:
    """The functions of the chapter by name."""
    text = CHAPTER.read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec("\n".join(blocks), names)  # noqa: S102 - our own chapter
    return SimpleNamespace(**names)
