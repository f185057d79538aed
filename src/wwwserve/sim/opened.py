"""Records opened once for a whole world.

Whether a record is good depends on its bytes and its network alone, and in a world of a thousand
nodes each record comes to each node several times. So what one node found good is good for all, and
they share it in memory too.
"""

from wwwserve.wire import OpenedRecord, SealedRecord, Verifier, open_record

OPENED_MAX = 20_000
"""Records remembered; above that all are forgotten, and opened anew when they come again."""


class OpenedRecords:
    """What the nodes of one world have found good."""

    __slots__ = ("_network_id", "_opened", "_verifier")

    def __init__(self, verifier: Verifier, network_id: bytes) -> None:
        """Nothing yet."""
        self._verifier = verifier
        self._network_id = network_id
        self._opened: dict[SealedRecord, OpenedRecord] = {}

    def open(self, sealed: SealedRecord) -> OpenedRecord:
        """The record inside; raises `Refusal` for a bad one, each time."""
        opened = self._opened.get(sealed)
        if opened is None:
            opened = open_record(sealed, self._verifier, self._network_id)
            if len(self._opened) >= OPENED_MAX:
                self._opened.clear()
            self._opened[sealed] = opened
        return opened
