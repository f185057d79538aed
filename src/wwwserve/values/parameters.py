"""Network-wide numbers: equal for all peers of a network, in two sizes.

Their hash is part of the network's identity, so nodes with other numbers are refused at the
handshake instead of disagreeing later. `MAIN` is for use, `TINY` makes rules about long spans
testable in short ones.
"""

import hashlib
from dataclasses import astuple, dataclass

from wwwserve.values.moments import MILLISECOND, SECOND

PROTOCOL_VERSION = 1
"""The newest link protocol this code speaks."""
PROTOCOL_VERSION_MIN = 1
"""The oldest link protocol this code speaks."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """What every peer of one network must agree on."""

    network: str
    """The network's name, for people; part of its identity."""
    probe_period_us: int
    """One member is probed each period (SWIM 4; memberlist LAN: 1 s)."""
    probe_timeout_us: int
    """Wait for a direct answer before asking others to probe."""
    indirect_probes: int
    """Members asked to probe on our behalf."""
    suspicion_base: int
    """A suspect has at least this + log2(members + 1) probe periods to refute: what a host may
    stand still, and what news takes to get there and back."""
    suspicion_stretch: int
    """A suspicion that nobody confirms lasts this many times as long (Lifeguard's beta)."""
    gossip_multiplier: int
    """A claim rides on this x log2(members + 1) messages."""
    push_pull_period_us: int
    """Whole tables are exchanged with one member each period."""
    gossip_period_us: int
    """Queued claims are pushed to a few members each period."""
    gossip_fan_out: int
    """Members told in one gossip period."""
    dead_memory_us: int
    """How long a dead member is remembered, so that it can come back and old news cannot."""


MAIN = Parameters(
    network="main",
    probe_period_us=1 * SECOND,
    probe_timeout_us=500 * MILLISECOND,
    indirect_probes=3,
    suspicion_base=2,
    suspicion_stretch=6,
    gossip_multiplier=4,
    push_pull_period_us=30 * SECOND,
    gossip_period_us=200 * MILLISECOND,
    gossip_fan_out=3,
    dead_memory_us=3600 * SECOND,
)
"""The numbers of a real network (memberlist's LAN column, anchors of SWIM and Lifeguard)."""

TINY = Parameters(
    network="tiny",
    probe_period_us=100 * MILLISECOND,
    probe_timeout_us=40 * MILLISECOND,
    indirect_probes=2,
    suspicion_base=3,
    suspicion_stretch=3,
    gossip_multiplier=3,
    push_pull_period_us=1 * SECOND,
    gossip_period_us=20 * MILLISECOND,
    gossip_fan_out=2,
    dead_memory_us=20 * SECOND,
)
"""The same rules, ten times as fast, for tests."""


def compute_network_id(parameters: Parameters) -> bytes:
    """The 32-byte identity of a network: its name and every number in it."""
    text = "\0".join(str(value) for value in astuple(parameters))
    return hashlib.sha256(b"wwwserve network\0" + text.encode()).digest()
