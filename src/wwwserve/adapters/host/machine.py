"""How busy processors and graphics cards are, as the system tells.

Processors: Linux counts their time in `/proc/stat`; elsewhere the load of the last minute stands
for it. Graphics cards: AMD's drivers have a file for each card, NVIDIA's a program; others do not
tell, and then the processors alone count.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ASK_WAIT_S: Final = 4
"""How long the program of the graphics cards may take; then it has said nothing."""
_PERMILLE: Final = 1000
_PERCENT_MAX: Final = 100
_IDLE_COLUMNS: Final = slice(3, 5)
"""Of a line of `/proc/stat`: idle, and waiting for a disk (proc(5))."""
_COLUMNS: Final = 8
"""Those after them count time of guests, which is in the others already."""


class Machine:
    """`ReadsMachine` of this machine."""

    def __init__(
        self,
        *,
        stat_file: Path = Path("/proc/stat"),
        cards_folder: Path = Path("/sys/class/drm"),
        card_program: str = "nvidia-smi",
    ) -> None:
        self._stat_file = stat_file
        self._cards_folder = cards_folder
        self._card_program = shutil.which(card_program)
        self._before: tuple[int, int] | None = None

    def read_busy_permille(self) -> int | None:
        """See `ReadsMachine`."""
        processors = self._read_processors()
        if processors is None:
            return None
        percents = [*self._read_card_files(), *self._ask_card_program()]
        cards = [min(percent, _PERCENT_MAX) * _PERMILLE // _PERCENT_MAX for percent in percents]
        return max(processors, *cards) if cards else processors

    def _read_processors(self) -> int | None:
        """None at the first call, for then there is no time to speak of."""
        try:
            text = self._stat_file.read_text(encoding="ascii")
        except OSError:
            return min(round(os.getloadavg()[0] / (os.cpu_count() or 1) * _PERMILLE), _PERMILLE)
        columns = [int(word) for word in text.split("\n", 1)[0].split()[1 : _COLUMNS + 1]]
        total, idle = sum(columns), sum(columns[_IDLE_COLUMNS])
        before, self._before = self._before, (total, idle)
        if before is None or total <= before[0]:
            return None
        span, idle_span = total - before[0], idle - before[1]
        return max(0, span - idle_span) * _PERMILLE // span

    def _read_card_files(self) -> Iterator[int]:
        for file in sorted(self._cards_folder.glob("card*/device/gpu_busy_percent")):
            try:
                yield int(file.read_text(encoding="ascii"))
            except (OSError, ValueError):
                # A card that is switched off does not tell, and is not busy.
                continue

    def _ask_card_program(self) -> Iterator[int]:
        if self._card_program is None:
            return
        command = [
            self._card_program,
            "--query-gpu=utilization.gpu",
            "--format=csv,noheader,nounits",
        ]
        try:
            said = subprocess.run(command, capture_output=True, timeout=ASK_WAIT_S, check=True)
        except (OSError, subprocess.SubprocessError):
            return
        yield from (int(word) for word in said.stdout.split() if word.isdigit())
