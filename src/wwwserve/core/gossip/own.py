"""What this node says about itself: signed anew at each change, and to refute any doubt."""

import msgspec

from wwwserve.core.facts import MemberStatus
from wwwserve.core.gossip.agenda import Task
from wwwserve.core.gossip.book import Book, read_own_version
from wwwserve.core.gossip.rules import compute_offers, compute_slots
from wwwserve.core.gossip.state import VERSION_JUMP_MAX, VERSION_MAX, State
from wwwserve.core.lanes import Lane
from wwwserve.core.sessions import ServedModel
from wwwserve.core.setup import PeerSetup
from wwwserve.values.ids import NodeId
from wwwserve.values.limits import NAME_LENGTH_MAX, RECORD_ADDRESSES_MAX
from wwwserve.values.moments import Moment, after
from wwwserve.values.parameters import (
    PROTOCOL_VERSION,
    PROTOCOL_VERSION_MIN,
    compute_network_id,
)
from wwwserve.values.refusals import Refusal
from wwwserve.wire import (
    RECORD_FORMAT,
    Alive,
    Dead,
    Gossip,
    OpenedRecord,
    PeerRecord,
    Suspect,
    seal_record,
)


class OwnRecord:
    """The record of this node. Its version only grows, over restarts too [GOSSIP-OWN.1]."""

    def __init__(self, state: State, book: Book, setup: PeerSetup) -> None:
        """Sign the first record of this run, one version above the last one on disk."""
        self._state = state
        self._book = book
        self._signer = setup.signer
        self._network_id = setup.genesis_id or compute_network_id(setup.parameters)
        self._pending_number = 0
        self._durable_number = 0
        self._refuted_at: Moment | None = None
        self._floor = 0
        self._models = setup.models
        bare = PeerRecord(
            format=RECORD_FORMAT,
            node=setup.node_id,
            version=read_own_version(setup.restored) + 1,
            addresses=setup.addresses[:RECORD_ADDRESSES_MAX],
            models=(),
            slots=compute_slots(setup.models),
            protocol_min=PROTOCOL_VERSION_MIN,
            protocol_max=PROTOCOL_VERSION,
            region=setup.region[:NAME_LENGTH_MAX],
            software=setup.software[:NAME_LENGTH_MAX],
        )
        record = msgspec.structs.replace(bare, models=compute_offers(setup.models, bare))
        self.opened: OpenedRecord = seal_record(record, self._signer, self._network_id)
        state.digests.hold(state.node, record.version, MemberStatus.ALIVE)

    @property
    def version(self) -> int:
        """The version of the newest own record."""
        return self.opened.record.version

    @property
    def is_durable(self) -> bool:
        """Whether the version is on disk, so that the record may be sent without waiting."""
        return 0 < self._pending_number <= self._durable_number

    @property
    def lane(self) -> Lane | None:
        """What a message with the own record in it must wait for [GOSSIP-OWN.2]."""
        return None if self.is_durable else Lane.BOOK

    def on_started(self) -> None:
        """Make the first version durable before anybody hears of it."""
        self._pending_number = self._book.write_own_version(self.version)

    def on_persisted(self, number: int) -> None:
        """A write of the book is durable, and with it all before."""
        self._durable_number = max(self._durable_number, number)

    def announce(self, record: PeerRecord) -> None:
        """Sign this with a higher version, make it durable, and have it passed on.

        Nothing happens when it says the same as before.
        """
        if record != self.opened.record:
            self._sign(record)

    def describe(self, models: tuple[ServedModel, ...], slots: int) -> None:
        """Serve these models from now on, and say so."""
        self._models = models
        self._announce_whole(msgspec.structs.replace(self.opened.record, slots=slots))

    def move(self, addresses: tuple[str, ...], region: str) -> None:
        """Accept links at these addresses from now on, and say so; links that are there stay."""
        record = msgspec.structs.replace(
            self.opened.record,
            addresses=addresses[:RECORD_ADDRESSES_MAX],
            region=region[:NAME_LENGTH_MAX],
        )
        self._announce_whole(record)

    def _announce_whole(self, record: PeerRecord) -> None:
        """Announce with as many of the models as there is room for beside all else."""
        bare = msgspec.structs.replace(record, models=())
        offers = compute_offers(self._models, bare)
        self.announce(msgspec.structs.replace(bare, models=offers))

    def on_doubt(self, doubt: Suspect | Dead, sender: NodeId) -> None:
        """Somebody holds us suspect or dead: refute it, unless it is refuted already.

        Raises `Refusal` when the version is too far above ours to be anything but a lie.
        """
        if doubt.version < self.version or self._state.has_left:
            return
        if doubt.version - self.version > VERSION_JUMP_MAX:
            detail = f"a doubt about version {doubt.version} of a node at {self.version}"
            raise Refusal("version-jump", detail)
        self._refute(doubt.version, sender)

    def on_own_record(self, opened: OpenedRecord, sender: NodeId) -> None:
        """Somebody has a record of ours: if it is not older, it is from before we lost our disk."""
        version = opened.record.version
        is_forgotten = version == self.version and opened.sealed != self.opened.sealed
        if version > self.version or is_forgotten:
            self._refute(version, sender)

    def on_refute_due(self) -> None:
        """Refute what could not be refuted at once."""
        self._refuted_at = self._state.now
        self._sign(self.opened.record)

    def _refute(self, version: int, sender: NodeId) -> None:
        """Sign above this version, at most once in a gossip period so that lies cost little."""
        self._floor = max(self._floor, version)
        state = self._state
        if self._refuted_at is not None:
            free_at = after(self._refuted_at, state.parameters.gossip_period_us)
            if state.now < free_at:
                state.agenda.set_once(free_at, Task.REFUTE)
                return
        self.on_refute_due()
        if sender in state.links:
            state.send(sender, Gossip((Alive(self.opened.sealed),)), self.lane)

    def _sign(self, record: PeerRecord) -> None:
        """Say this, above everything said by us or about us before."""
        version = max(self.version, self._floor) + 1
        assert version < VERSION_MAX, version
        signed = msgspec.structs.replace(record, version=version)
        self.opened = seal_record(signed, self._signer, self._network_id)
        self._pending_number = self._book.write_own_version(version)
        status = MemberStatus.LEFT if record.is_leaving else MemberStatus.ALIVE
        self._state.digests.hold(self._state.node, version, status)
        self._state.spread(self._state.node, Alive(self.opened.sealed))
