"""Turn the loose requirements/*.in into exact, hashed requirements/*.txt that name no host.

`make pins` keeps every pin that still satisfies the inputs; `make pins ARGS=--upgrade` takes the
newest releases they allow. The hashes are those of all files of a release, so one pin serves
Linux and macOS, x86-64 and arm64, and every Python we support. Where the files come from is the
business of whoever installs them, so it is never written down.
"""

import re
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements"

# The development environment holds everything, so it is resolved first and binds the others:
# a node in production runs what was tested.
EVERYTHING = "dev"
INPUTS = {
    EVERYTHING: ("run", "local", "build", "dev"),
    "run": ("run",),
    "local": ("local",),
    "build": ("build",),
}
HEADER = "# Made by `make pins` from {inputs}. Change those, not this.\n\n"
FLAGS = (
    "--quiet",
    "--generate-hashes",
    "--allow-unsafe",  # the build back end is pinned like everything else
    "--strip-extras",
    "--no-config",
    "--no-annotate",
    "--no-header",
    "--no-emit-options",
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--no-emit-trusted-host",
)
ADDRESS = re.compile(r"://|--[a-z-]*(?:index|link|host)[a-z-]*")


def pin(name: str, options: list[str]) -> None:
    """Write `name`.txt; raise if resolving fails or an address would be written down."""
    command = [sys.executable, "-m", "piptools", "compile", *FLAGS, *options]
    if name != EVERYTHING:
        command += ["--constraint", f"{EVERYTHING}.txt"]
    inputs = [f"{part}.in" for part in INPUTS[name]]
    target = REQUIREMENTS / f"{name}.txt"
    subprocess.run([*command, "--output-file", target.name, *inputs], cwd=REQUIREMENTS, check=True)
    lines = target.read_text(encoding="utf-8").splitlines(keepends=True)
    pins = "".join(line for line in lines if line.strip() and not line.startswith("#"))
    if found := ADDRESS.search(pins):
        raise SystemExit(f"{target.name} names a download address: {found.group()!r}")
    target.write_text(HEADER.format(inputs=", ".join(inputs)) + pins, encoding="utf-8")


def main() -> None:
    """Pin each file in turn, telling which."""
    for name in INPUTS:
        print(f"requirements/{name}.txt")
        pin(name, sys.argv[1:])


if __name__ == "__main__":
    main()
