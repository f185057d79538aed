"""A log as records that anybody can check: the genesis, every block, and an end."""

import hashlib
from collections.abc import Iterator

from wwwserve.core.chain.loading import PartReader, read_blocks
from wwwserve.core.chain.places import GENESIS_PLACE
from wwwserve.values.refusals import Refusal
from wwwserve.wire import encode
from wwwserve.wire.chain import ExportEnd, read_chain_record
from wwwserve.wire.ledger import compute_genesis_id, open_genesis


def has_log(read: PartReader) -> bool:
    """Whether there is a log in a `CHAIN` lane at all."""
    return bool(read(GENESIS_PLACE, GENESIS_PLACE + b"\0", 1))


class Export:
    """One export: take all of `list_records`, then `make_end`."""

    def __init__(self, read: PartReader) -> None:
        """`read` looks into the `CHAIN` lane; raises `Refusal` if there is no log in it."""
        found = read(GENESIS_PLACE, GENESIS_PLACE + b"\0", 1)
        if not found:
            raise Refusal("chain-genesis", "there is no ledger here")
        self._read = read
        self._genesis_record = found[0][1]
        self._height = 0
        self._head = compute_genesis_id(open_genesis(self._genesis_record))

    @property
    def height(self) -> int:
        """Of the last block given."""
        return self._height

    def list_records(self) -> Iterator[bytes]:
        """The genesis, then every block that is durable by the time the last is reached."""
        yield self._genesis_record
        last = b""
        for height, record in read_blocks(self._read, 1):
            yield record
            self._height, last = height, record
        if last:
            self._head = hashlib.sha256(read_chain_record(last).block.header).digest()

    def make_end(self, digest: bytes) -> bytes:
        """The last record, for the digest of all bytes before it."""
        return encode(ExportEnd(self._height, self._head, digest))
