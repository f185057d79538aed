"""Write the ledger's committed bytes as the code makes them now: read the diff before committing.

    .venv/bin/python tools/write_ledger_vectors.py

A changed byte of `wire.json` means that what is stored and signed today would not be read tomorrow;
one of `story.json`, that two nodes with old and new software would come to different states.
"""

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.property.ledger_story import tell_story  # noqa: E402 - needs the path above
from tests.unit.wire.ledger_snapshot import build_snapshot  # noqa: E402 - as above

FOLDER = ROOT / "tests" / "data" / "ledger"


def main() -> None:
    """Write every file."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, content in (("wire.json", build_snapshot()), ("story.json", tell_story())):
        text = json.dumps(content, indent=1) + "\n"
        (FOLDER / name).write_text(text, encoding="utf-8")
        print(f"wrote {name}, {len(text)} characters")


if __name__ == "__main__":
    main()
