"""The machine a node runs on: its clock, and where its secret key is kept."""

from wwwserve.adapters.host.clock import MonotonicClock
from wwwserve.adapters.host.keys import LibsodiumVerifier, NodeKey

__all__ = ["LibsodiumVerifier", "MonotonicClock", "NodeKey"]
