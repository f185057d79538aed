"""Where a node remembers: SQLite files in a real node, dictionaries in tests."""

from wwwserve.adapters.storage.memory import MemoryStore
from wwwserve.adapters.storage.sqlite import SqliteStore

__all__ = ["MemoryStore", "SqliteStore"]
