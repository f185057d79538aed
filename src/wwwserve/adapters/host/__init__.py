"""The machine a node runs on: its clock, addresses and load, and where keys and budgets are."""

from wwwserve.adapters.host.clock import MonotonicClock
from wwwserve.adapters.host.clock_state import ClockState, read_clock_state
from wwwserve.adapters.host.interfaces import read_interfaces
from wwwserve.adapters.host.key_ring import FileKeyRing
from wwwserve.adapters.host.keys import LibsodiumVerifier, NodeKey
from wwwserve.adapters.host.machine import Machine
from wwwserve.adapters.host.spending import FileSpending

__all__ = [
    "ClockState",
    "FileKeyRing",
    "FileSpending",
    "LibsodiumVerifier",
    "Machine",
    "MonotonicClock",
    "NodeKey",
    "read_clock_state",
    "read_interfaces",
]
