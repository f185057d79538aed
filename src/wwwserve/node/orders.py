"""What whoever started a node can tell it while it runs, signals above all."""

import asyncio
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Orders:
    """Set an event, and the node obeys."""

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    """Leave the network, let running requests end, and end."""
    reload: asyncio.Event = field(default_factory=asyncio.Event)
    """Read the configuration again; the node clears it, and its log says what came of it."""
