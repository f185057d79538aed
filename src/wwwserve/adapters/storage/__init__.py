"""Where a node remembers: SQLite files in a real node, dictionaries in tests; and export files."""

from wwwserve.adapters.storage.exports import ExportedRecord, read_export, write_export
from wwwserve.adapters.storage.memory import MemoryStore
from wwwserve.adapters.storage.sqlite import SqliteStore

__all__ = ["ExportedRecord", "MemoryStore", "SqliteStore", "read_export", "write_export"]
