"""The address book on disk: own version, and where to knock after a restart.

The book says where somebody was, not who is alive: a restored record makes nobody a member. It is
read without checking signatures again: every record was checked before it was written, whoever can
change our disk can take our key as well, and those we pass a false record to would refuse it.
"""

from collections.abc import Mapping

import msgspec

from wwwserve.core.effects import Persist
from wwwserve.core.gossip.agenda import Task
from wwwserve.core.gossip.state import BOOK_WRITES_MAX, VERSION_MAX, State
from wwwserve.core.lanes import Lane
from wwwserve.values.ids import NodeId
from wwwserve.values.limits import ADDRESS_BOOK_MAX, RECORD_BYTES_MAX
from wwwserve.values.moments import after
from wwwserve.values.refusals import Refusal
from wwwserve.wire import OpenedRecord, PeerRecord, SealedRecord, decode_canonical, encode

OWN_VERSION_KEY = b"own version"
_PEER_PREFIX = b"peer/"
_VERSION_BYTES = 8
_SEALED_BYTES_MAX = RECORD_BYTES_MAX + 256
_SEALED_DECODER = msgspec.msgpack.Decoder(SealedRecord)
_RECORD_DECODER = msgspec.msgpack.Decoder(PeerRecord)


class Book:
    """Records of others that say where they accept links, mirrored to the `BOOK` lane."""

    def __init__(self, state: State, restored: Mapping[bytes, bytes]) -> None:
        """`restored` is the lane as it was on disk; what cannot be read is left out of the book."""
        self._state = state
        self._changed: dict[NodeId, None] = {}
        self._number = 0
        self._records: dict[NodeId, OpenedRecord] = {}
        for key, value in sorted(restored.items()):
            opened = _open_entry(key, value)
            if opened is not None and opened.node != state.node:
                self._records[opened.node] = opened

    def get(self, node: NodeId) -> OpenedRecord | None:
        """What the book says of a node."""
        return self._records.get(node)

    def get_nodes(self) -> tuple[NodeId, ...]:
        """All nodes in the book."""
        return tuple(self._records)

    def put(self, opened: OpenedRecord) -> None:
        """Keep a record that says where to dial; any other is of no use after a restart."""
        node = opened.node
        is_full = len(self._records) >= ADDRESS_BOOK_MAX and node not in self._records
        if not opened.record.addresses:
            self.remove(node)
        elif not is_full:
            self._records[node] = opened
            self._write_soon(node)

    def remove(self, node: NodeId) -> None:
        """Keep nothing about a node."""
        if self._records.pop(node, None) is not None:
            self._write_soon(node)

    def write_own_version(self, version: int) -> int:
        """Make the own version durable; the answer is the number its `Persisted` will have."""
        return self._persist(((OWN_VERSION_KEY, version.to_bytes(_VERSION_BYTES, "big")),))

    def on_write_due(self) -> None:
        """Write what changed, all together: a flood of records is few writes."""
        changes: list[tuple[bytes, bytes | None]] = []
        for node in list(self._changed)[:BOOK_WRITES_MAX]:
            del self._changed[node]
            opened = self._records.get(node)
            changes.append((_PEER_PREFIX + node, None if opened is None else encode(opened.sealed)))
        if changes:
            self._persist(tuple(changes))
        if self._changed:
            self._set_write()

    def _write_soon(self, node: NodeId) -> None:
        self._changed[node] = None
        self._set_write()

    def _set_write(self) -> None:
        due = after(self._state.now, self._state.parameters.probe_period_us)
        self._state.agenda.set_once(due, Task.WRITE_BOOK)

    def _persist(self, changes: tuple[tuple[bytes, bytes | None], ...]) -> int:
        self._number += 1
        self._state.effects.append(Persist(Lane.BOOK, self._number, changes))
        return self._number


def read_own_version(restored: Mapping[bytes, bytes]) -> int:
    """The last own version made durable; 0 for a new node or a lost disk."""
    version = int.from_bytes(restored.get(OWN_VERSION_KEY, b""), "big")
    return version if version < VERSION_MAX else 0


def _open_entry(key: bytes, value: bytes) -> OpenedRecord | None:
    if not key.startswith(_PEER_PREFIX):
        return None
    try:
        sealed = decode_canonical(value, _SEALED_DECODER, bytes_max=_SEALED_BYTES_MAX)
        record = decode_canonical(sealed.body, _RECORD_DECODER, bytes_max=RECORD_BYTES_MAX)
    except Refusal:
        return None
    is_sound = _PEER_PREFIX + record.node == key and record.addresses
    return OpenedRecord(record, sealed) if is_sound else None
