"""Bringing lines out of the process, in a thread of its own: whoever reads them may be slow.

A terminal that was stopped with Ctrl-S or a log collector that hangs takes nothing from the pipe,
and a node that wrote there itself would stand still with it.
"""

import os
from queue import Empty, SimpleQueue
from threading import Thread

LINES_QUEUED_MAX = 10_000
"""Lines waiting for their reader; one more is lost and counted."""
LINES_AT_ONCE_MAX = 256
"""Lines in one write."""
STANDARD_ERROR = 2
"""Its file descriptor."""
CLOSE_WAIT_S = 1.0
"""How long the end of a node waits for its last lines to be read."""


class LineWriter:
    """Writes lines to a file descriptor, in order, without making its caller wait."""

    def __init__(self, descriptor: int = STANDARD_ERROR) -> None:
        self.is_terminal = os.isatty(descriptor)
        """Whether a person reads them."""
        self._descriptor = descriptor
        self._waiting: SimpleQueue[str | None] = SimpleQueue()
        self._lost = 0
        self._thread = Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, line: str) -> None:
        """Queue one line (without its end); at the bound it is lost."""
        if self._is_full:
            self._lost += 1
        else:
            self._waiting.put(line)

    def take_lost(self) -> int:
        """How many lines were lost since this was last asked; 0 while it could not be written."""
        if self._is_full:
            return 0
        lost, self._lost = self._lost, 0
        return lost

    def close(self) -> None:
        """Let the last lines be read, for a while."""
        self._waiting.put(None)
        self._thread.join(CLOSE_WAIT_S)

    @property
    def _is_full(self) -> bool:
        # Two threads that write at once may exceed it by one.
        return self._waiting.qsize() >= LINES_QUEUED_MAX

    def _run(self) -> None:
        is_open = True
        while is_open:
            lines = [self._waiting.get()]
            while len(lines) < LINES_AT_ONCE_MAX and lines[-1] is not None:
                try:
                    lines.append(self._waiting.get_nowait())
                except Empty:
                    break
            is_open = lines[-1] is not None
            text = "".join(f"{line}\n" for line in lines if line is not None)
            self._write(text.encode("utf-8", "backslashreplace"))

    def _write(self, data: bytes) -> None:
        """Write everything; when nobody can ever read it, it is lost like any other line."""
        # Not through `sys.stderr`: at exit the interpreter would wait for a lock that a thread
        # stuck in its write never gives back.
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError:
            self._lost += data.count(b"\n")
