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
class WalletView:
    """This node's own account, as its wallet knows it. Amounts are micro-credits."""

    is_ready: bool
    """Whether anything can be signed now."""
    waits_for: str
    """Why not, for its operator; empty when it is."""
    avail: int
    """Free by the newest block."""
    spendable: int
    """Of these, what can be set aside now: the minimum and all signed since are taken off."""
    held: int
    """In open holds of its own, the signed ones too."""
    bond: int
    unbonding: int
    seats: int
    """At the snapshot of this epoch."""
    debt: int
    """A newcomer's fees, to be paid from its first proceeds."""
    seq: int
    """The last number it has signed."""
    waiting: int
    """Feed blocks signed and not in the log yet."""
    claimable: int
    """What preimages it holds are worth, not claimed yet."""
    earned: int
    """Paid to it since the node started."""
    spent: int
    """Paid by it since the node started, fees included."""
    forecast_ms: int | None
    """How long `spendable` lasts at the pace of the last hour; None: it does not run out."""


@dataclass(frozen=True, slots=True)
class LedgerStatus:
    """Where the ledger of the network stands, as it is here."""

    network_id: bytes
    sequencer: NodeId
    is_sequencer: bool
    height: int
    head: bytes
    time_ms: int
    """The ledger clock."""
    epoch: int
    told_height: int
    """The highest any peer has told of: more than `height` while this node catches up."""
    is_stalled: bool
    """No block came for long: credit lines hold until one does."""
    fork: tuple[bytes, bytes] | None
    """Ids of two blocks of one height, both the sequencer's: everything has stopped."""
    accounts: int
    holds: int
    supply: int
    tolerates_faults: bool
    """Whether it would survive a lying minority. One sequencer: no."""


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
    ledger: LedgerStatus | None = None
    """None in an unpaid network, and until the genesis is known here."""
    wallet: WalletView | None = None
    """None without a ledger."""
