"""An input read as a script: which step comes next, with which numbers and bytes.

For targets with a state: every input is a run of steps, and a changed byte is a changed step. At
the end of the input all that is read is zero and empty.
"""


class Script:
    """The steps that some bytes spell."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_over(self) -> bool:
        """Whether all of it was read."""
        return self._at >= len(self._data)

    def take_number(self, below: int) -> int:
        """A number from 0 up to, and not including, `below`."""
        width = 1 if below <= 256 else 4
        return int.from_bytes(self._take(width), "big") % below

    def take_bytes(self) -> bytes:
        """Some bytes: their number first, up to 255."""
        return self._take(self.take_number(256))

    def take_rest(self) -> bytes:
        """All that is left."""
        return self._take(len(self._data))

    def _take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        self._at += count
        return taken
