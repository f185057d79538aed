"""How a server in a child process and its parent speak: one line out, and a pipe that closes.

The child writes one JSON line, `{"ready": true, "url": ...}`, to its standard output when it can
be asked. The parent holds the other end of the child's standard input and never writes to it: when
the parent is gone, killed without warning included, the pipe closes and the child ends.
"""

import os
import signal
import sys
import threading
from typing import TextIO

import msgspec

READY_LINE_BYTES_MAX = 4_096
"""A longer line is not a ready line."""


class ReadyLine(msgspec.Struct, frozen=True):
    """What a child says once."""

    ready: bool
    url: str


def parse_ready_line(line: bytes) -> str | None:
    """The URL a ready line names, or None for any other line."""
    if len(line) > READY_LINE_BYTES_MAX:
        return None
    try:
        ready = msgspec.json.decode(line, type=ReadyLine)
    except ValueError:
        return None
    return ready.url if ready.ready else None


def reserve_standard_output() -> TextIO:
    """Keep standard output for the ready line; whatever libraries print goes to standard error."""
    ours = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return ours


def announce_ready(output: TextIO, url: str) -> None:
    """Tell the parent where this server is."""
    output.write(msgspec.json.encode(ReadyLine(ready=True, url=url)).decode() + "\n")
    output.flush()


def end_with_parent() -> None:
    """Send this process SIGTERM when its standard input closes."""
    threading.Thread(target=_wait_for_end_of_input, name="end-with-parent", daemon=True).start()


def _wait_for_end_of_input() -> None:
    # Unbuffered: a buffered reader's lock would be held while the interpreter shuts down.
    while os.read(sys.stdin.fileno(), 1_024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
