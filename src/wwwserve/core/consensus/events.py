"""What an ordering engine is told of the world, and what it asks of it."""

from dataclasses import dataclass

from wwwserve.values.ids import NodeId
from wwwserve.values.refusals import Refusal
from wwwserve.wire.ledger import OpenedBlock


@dataclass(frozen=True, slots=True)
class Tick:
    """`next_deadline()` has come. One too early or twice is harmless."""


@dataclass(frozen=True, slots=True)
class BlockReceived:
    """A peer told a block, its leader's signature and its list checked, and all of its words."""

    sender: NodeId
    block: OpenedBlock
    words: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class HeadReceived:
    """A peer told its newest block; the leader's signature is checked, the list is not there."""

    sender: NodeId
    head: OpenedBlock


@dataclass(frozen=True, slots=True)
class ForkReceived:
    """Two blocks of one height, both signed by the sequencer, were shown by a peer or the disk."""

    first: OpenedBlock
    second: OpenedBlock


@dataclass(frozen=True, slots=True)
class Kept:
    """What `Keep` asked for at this height is durable."""

    height: int


@dataclass(frozen=True, slots=True)
class Applied:
    """The state machine has taken the block of this height.

    The next block names the state's root; so this is the one answer that an engine needs of it.
    """

    height: int
    root: bytes
    due_ms: int | None
    """When the state next waits for the ledger clock; None for never."""


OrderingEvent = Tick | BlockReceived | HeadReceived | ForkReceived | Kept | Applied


@dataclass(frozen=True, slots=True)
class Keep:
    """Make a block durable, then answer `Kept`; until then nobody may hear of it."""

    block: OpenedBlock
    words: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Publish:
    """Tell peers of a block that is durable: all of it if this node made it, else its head."""

    block: OpenedBlock
    is_own: bool


@dataclass(frozen=True, slots=True)
class BlocksMissing:
    """Ask a peer for its blocks of these heights, the last included."""

    peer: NodeId
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class BlockRefused:
    """A block breaks a rule: if the sequencer signed it, the fault is not its sender's."""

    sender: NodeId
    block: OpenedBlock
    refusal: Refusal


@dataclass(frozen=True, slots=True)
class ForkFound:
    """Proof that the sequencer signed two histories: keep it, show it, pass it on; all stops."""

    first: OpenedBlock
    second: OpenedBlock


OrderingEffect = Keep | Publish | BlocksMissing | BlockRefused | ForkFound
