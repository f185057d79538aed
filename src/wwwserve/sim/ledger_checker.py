"""One log for everybody, and no credit made or lost: checked on what each host has on its disk.

The checker keeps its own table of amounts from the entries a host writes, so a wrong sum in a
ledger's memory cannot hide one in its log.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from wwwserve.core.effects import Effect, Persist
from wwwserve.core.events import Event, Persisted
from wwwserve.core.lanes import Lane
from wwwserve.core.ledger import Account, Constitution, Log, OpenHold
from wwwserve.sim.checkers import Violation
from wwwserve.sim.hosts import Host
from wwwserve.values.ids import NodeId
from wwwserve.wire.chain import ChainRecord
from wwwserve.wire.ledger import BlockHeader

_RECORD: "msgspec.msgpack.Decoder[ChainRecord]" = msgspec.msgpack.Decoder(ChainRecord)
_HEADER: "msgspec.msgpack.Decoder[BlockHeader]" = msgspec.msgpack.Decoder(BlockHeader)
_ACCOUNT: "msgspec.msgpack.Decoder[Account]" = msgspec.msgpack.Decoder(Account)
_HOLD: "msgspec.msgpack.Decoder[OpenHold]" = msgspec.msgpack.Decoder(OpenHold)
_LOG: "msgspec.msgpack.Decoder[Log]" = msgspec.msgpack.Decoder(Log)
_CONSTITUTION: "msgspec.msgpack.Decoder[Constitution]" = msgspec.msgpack.Decoder(Constitution)

# What begins a key of the lane, and of the state in it.
_BLOCK: Final = b"b"
_STATE: Final = b"s"
_ACCOUNT_KEY: Final = b"a"


@dataclass(slots=True)
class _Book:
    """What one host has written of its state."""

    pending: dict[int, Persist] = field(default_factory=dict)
    """What its disk has not acknowledged yet, by number."""
    entries: dict[bytes, bytes] = field(default_factory=dict)
    amounts: dict[bytes, int] = field(default_factory=dict)
    total: int = 0
    height: int = 0
    """Of the newest block that was written."""
    time_ms: int = 0
    """The ledger clock in the state that was written, which may be older."""
    holds: dict[bytes, OpenHold] = field(default_factory=dict)
    """All that are open, by their keys."""

    def compute_state(self) -> bytes:
        """A digest of the state below that block."""
        digest = hashlib.sha256()
        for key in sorted(self.entries):
            digest.update(key + b"\0" + self.entries[key])
        return digest.digest()


@dataclass(slots=True)
class LedgerChecker:
    """All hosts' logs."""

    _books: dict[int, _Book] = field(default_factory=dict)
    _blocks: dict[int, bytes] = field(default_factory=dict)
    """The one id that each height has."""
    _times_ms: dict[int, int] = field(default_factory=dict)
    """The ledger clock after each height."""

    def on_birth(self, host: Host) -> None:
        """A process starts with what its disk has."""
        book = self._books[host.index] = _Book()
        for key, value in host.disk.read(Lane.CHAIN).items():
            self._note(host, book, key, value)

    def on_effect(self, host: Host, effect: Effect) -> None:
        """Note what a host begins to write: a kill may yet undo it."""
        if isinstance(effect, Persist) and effect.lane is Lane.CHAIN:
            self._books[host.index].pending[effect.number] = effect

    def on_event(self, host: Host, event: Event) -> None:
        """Check what a host's disk acknowledges. Raises `Violation`."""
        if not isinstance(event, Persisted) or event.lane is not Lane.CHAIN:
            return
        book = self._books[host.index]
        for key, value in book.pending.pop(event.number).changes:
            self._note(host, book, key, value)
        self._check_sum(host, book)

    def is_one_log(self, hosts: Sequence[Host]) -> bool:
        """Whether all of these stand at one block, and have written the same state below it."""
        books = [self._books.get(host.index, _Book()) for host in hosts]
        if len({book.height for book in books}) != 1:
            return False
        return len({book.compute_state() for book in books}) == 1

    @property
    def time_ms(self) -> int:
        """The ledger clock after the newest block that anybody honest has written."""
        return max(self._times_ms.values(), default=0)

    def list_holds(self, host: Host) -> list[bytes]:
        """The names of the open holds that a host pays, as it has written."""
        holds = self._books.get(host.index, _Book()).holds
        return [key[1:] for key, hold in holds.items() if hold.payer == host.node_id]

    def count_credits(self, keeper: Host, owner: NodeId) -> int:
        """Micro-credits of an account, staked and held ones too, as a host has written."""
        book = self._books.get(keeper.index, _Book())
        held = sum(hold.locked for hold in book.holds.values() if hold.payer == owner)
        return book.amounts.get(_ACCOUNT_KEY + owner, 0) + held

    def is_settled(self, keeper: Host) -> bool:
        """Whether no hold of anybody is open, as a host has written."""
        return not self._books.get(keeper.index, _Book()).holds

    def _note(self, host: Host, book: _Book, key: bytes, value: bytes | None) -> None:
        if key.startswith(_BLOCK) and value is not None:
            height = int.from_bytes(key[1:], "big")
            header = _RECORD.decode(value).block.header
            block_id = hashlib.sha256(header).digest()
            known = self._blocks.setdefault(height, block_id) if host.person.is_honest else block_id
            if known != block_id:
                raise Violation("one-log", host, f"another block of height {height}")
            book.height = max(book.height, height)
            if host.person.is_honest:
                before_ms = self._times_ms.get(height - 1, 0)
                self._times_ms[height] = before_ms + _HEADER.decode(header).dt_ms
        elif key.startswith(_STATE):
            self._note_entry(book, key[1:], value)

    def _note_entry(self, book: _Book, key: bytes, value: bytes | None) -> None:
        amount = 0 if value is None else _read_amount(key, value)
        book.total += amount - book.amounts.pop(key, 0)
        if value is None:
            book.entries.pop(key, None)
            book.holds.pop(key, None)
            return
        book.entries[key] = value
        book.amounts[key] = amount
        match key[:1]:
            case b"h":
                book.holds[key] = _HOLD.decode(value)
            case b"l":
                book.time_ms = _LOG.decode(value).time_ms
            case _:
                pass

    def _check_sum(self, host: Host, book: _Book) -> None:
        """The supply stands in the table as what is owed, so that all together is nothing."""
        if book.total:
            detail = f"{book.total} credits too many below block {book.height}"
            raise Violation("supply", host, detail)
        late = [hold for hold in book.holds.values() if hold.ttl_ms < book.time_ms]
        if late:
            detail = f"a hold of {late[0].locked} is open at {book.time_ms} ms, its end has passed"
            raise Violation("hold-end", host, detail)


def _read_amount(key: bytes, value: bytes) -> int:
    match key[:1]:
        case b"a":
            account = _ACCOUNT.decode(value)
            unbonding = sum(amount for _, amount in account.unbonding)
            return account.avail + account.audit + account.bond + account.lent + unbonding
        case b"h":
            return _HOLD.decode(value).locked
        case b"l":
            return _LOG.decode(value).pool
        case b"c":
            return -_CONSTITUTION.decode(value).supply
        case _:
            return 0
