"""A look at a peer from outside, for status pages, commands, checkers and tests."""

from dataclasses import dataclass

from wwwserve.core.engines import EngineReading
from wwwserve.core.facts import MemberStatus
from wwwserve.values.ids import NodeId
from wwwserve.wire import PeerRecord


@dataclass(frozen=True, slots=True)
class MemberView:
    """One member as this node sees it."""

    node: NodeId
    status: MemberStatus
    record: PeerRecord
    is_linked: bool
    round_trip_us: int | None
    """Of its latest answered probe, if any."""


@dataclass(frozen=True, slots=True)
class EngineView:
    """One own engine and what this node has given it to do."""

    name: str
    reading: EngineReading | None
    """None = unknown: not read yet, or not for long."""
    own_running: int
    peer_running: int


@dataclass(frozen=True, slots=True)
class ModelView:
    """One model that can be asked for through this node."""

    model: str
    aliases: tuple[str, ...]
    context_tokens: int
    """The longest offered; 0 = unknown."""
    capabilities: tuple[str, ...]
    quantisations: tuple[str, ...]
    is_local: bool
    nodes: int
    """Live nodes that serve it, this one included."""
    engines: tuple[str, ...] = ()
    """This node's own engines that serve it."""


@dataclass(frozen=True, slots=True)
class OpeningView:
    """Whether other nodes' requests are taken, and if not, who says so."""

    is_open: bool = True
    is_within_hours: bool = True
    """What the policy's hours say."""
    hours_change_us: int | None = None
    """How long they will go on to say so; None = for good, or nobody has told the time yet."""
    is_resting: bool = False
    """Whether the operator paused or drained the node."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts since the node started."""

    requests: int = 0
    answered: int = 0
    failed: int = 0
    offloaded: int = 0
    """Own requests answered by other nodes."""
    works: int = 0
    """Other nodes' requests taken on here."""
    works_answered: int = 0
    works_declined: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole peer at one moment."""

    node: NodeId
    record: PeerRecord
    """What this node says about itself."""
    members: tuple[MemberView, ...]
    """All others known, in the order of their ids."""
    engines: tuple[EngineView, ...]
    models: tuple[ModelView, ...]
    requests_open: int
    requests_queued: int
    works_open: int
    totals: Totals
    opening: OpeningView = OpeningView()
