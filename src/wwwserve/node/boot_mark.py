"""Whether the machine went down since the node ran, and not in order: what was new may be lost.

A write to the wallet's lane survives the death of the process at once, and the loss of power a
moment later. So a node leaves a mark with the name of this boot of its host, and takes it away
when it has ended in order. A mark of another boot stays until the wallet has written down that it
may have lost something: whatever ends the node before that, the next start finds it again.
"""

from pathlib import Path
from typing import Final

from wwwserve.core.lanes import Lane
from wwwserve.node.state_folder import StateFolder

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
"""Linux gives each boot another name."""
_UNKNOWN: Final = "unknown"


class BootMark:
    """The mark in one state folder."""

    def __init__(self, home: StateFolder, boot_id_file: Path = _BOOT_ID) -> None:
        """`boot_id_file` is where the host names its boot."""
        self._home = home
        self._path = home.path / "boot"
        self._boot_id_file = boot_id_file
        self._is_set = False
        """Whether the mark is this boot's."""

    def open(self) -> bool:
        """The node begins: say whether all it ever wrote is there, and if so mark it."""
        boot_id = self._read_boot_id()
        before = self._path.read_text(encoding="ascii") if self._path.exists() else None
        # Where a host has no name for its boot, any end without order counts as a lost machine.
        is_clean = before is None or (before == boot_id and boot_id != _UNKNOWN)
        if is_clean:
            self._set()
        return is_clean

    def on_written(self, lane: Lane) -> None:
        """A write is in its file: with the wallet's first one, what was lost is remembered there.

        The kernel has that write, as it has the mark; so no kill can keep one without the other,
        and a machine that goes down again leaves a mark of another boot again.
        """
        if lane is Lane.FEED and not self._is_set:
            self._set()

    def clear(self) -> None:
        """The node has ended in order, and all is on disk."""
        if self._is_set:
            self._path.unlink(missing_ok=True)

    def _set(self) -> None:
        self._home.write_private(self._path, self._read_boot_id().encode("ascii"))
        self._is_set = True

    def _read_boot_id(self) -> str:
        try:
            return self._boot_id_file.read_text(encoding="ascii").strip() or _UNKNOWN
        except (OSError, UnicodeDecodeError):
            return _UNKNOWN
