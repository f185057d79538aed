"""A table of what is open, for which somebody may wait until nothing is."""

import asyncio
from collections.abc import Iterator
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class OpenTable(Generic[Key, Value]):
    """Entries that are added and removed, and the moment when none is left."""

    def __init__(self) -> None:
        self._entries: dict[Key, Value] = {}
        self._is_empty = asyncio.Event()
        self._is_empty.set()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Value]:
        return iter(self._entries.values())

    def add(self, key: Key, value: Value) -> None:
        """Enter a new key."""
        assert key not in self._entries, "a key is open once"
        self._entries[key] = value
        self._is_empty.clear()

    def get(self, key: Key) -> Value | None:
        """What is open under a key, if anything."""
        return self._entries.get(key)

    def remove(self, key: Key) -> Value:
        """Take an entry out."""
        value = self._entries.pop(key)
        if not self._entries:
            self._is_empty.set()
        return value

    async def wait_empty(self) -> None:
        """Wait until nothing is open."""
        await self._is_empty.wait()
