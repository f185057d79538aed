"""The project's own files, as the tidy tests read them."""

import ast
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "wwwserve"
PURE_ROOMS = ("values", "wire", "enginemodel", "core", "sim")


@dataclass(frozen=True, slots=True)
class Source:
    """One Python file: where it is, what it is imported as, and what it says."""

    path: Path
    module: str
    tree: ast.Module
    line_count: int

    @property
    def room(self) -> str:
        """The package under `wwwserve` it belongs to; empty for the top module itself."""
        return next(iter(self.module.split(".")[1:]), "")

    def at(self, node: ast.AST, message: str) -> str:
        """Name a place in the way terminals and editors can jump to."""
        return f"{self.path}:{getattr(node, 'lineno', 1)}: {message}"


def parse(text: str, module: str = "wwwserve.core.sample") -> Source:
    """Read `text` as if it were the file of `module`."""
    path = Path("src", *module.split(".")).with_suffix(".py")
    return Source(path, module, ast.parse(text), len(text.splitlines()))


@cache
def list_sources(folder: str) -> tuple[Source, ...]:
    """Every Python file under a folder of the checkout, in the order of their paths."""
    return tuple(_read(path) for path in sorted((ROOT / folder).rglob("*.py")))


@cache
def list_files() -> tuple[Path, ...]:
    """Every file git tracks or would add, relative to the checkout."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    names = sorted(set(listing.split("\0")) - {""})
    return tuple(Path(name) for name in names if (ROOT / name).is_file())


def list_texts() -> Iterator[tuple[Path, str]]:
    """Every file of `list_files` that is text, with what it says."""
    for path in list_files():
        content = (ROOT / path).read_bytes()
        if b"\0" not in content:
            yield path, content.decode()


def tell(findings: Iterable[str]) -> str:
    """Put findings on lines of their own; empty when there are none, so tests compare with ""."""
    return "\n".join(findings)


def _read(path: Path) -> Source:
    text = path.read_text(encoding="utf-8")
    relative = path.relative_to(ROOT)
    parts = relative.with_suffix("").parts
    if parts[0] == "src":
        parts = parts[1:]
    if parts[-1] == "__init__":
        parts = parts[:-1]
    return Source(relative, ".".join(parts), ast.parse(text), len(text.splitlines()))
