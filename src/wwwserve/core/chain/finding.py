"""Getting the genesis of which only the id is known: any peer may tell it, for the id is its hash.

One peer is asked at a time, part after part; who does not answer, or tells another record, is
followed by the next.
"""

from typing import Final

from wwwserve.core.effects import Report, SendMessage
from wwwserve.core.events import (
    DeadlineReached,
    EnvelopeReceived,
    LinkClosed,
    LinkOpened,
)
from wwwserve.core.facts import PeerRefused
from wwwserve.values.ids import NodeId
from wwwserve.values.moments import NEVER, SECOND, Moment, after
from wwwserve.values.refusals import Refusal
from wwwserve.wire.chain import GENESIS_PART_BYTES_MAX, GenesisTold, GenesisWanted
from wwwserve.wire.ledger import Genesis, compute_genesis_id, open_genesis

GENESIS_WAIT_US: Final = 2 * SECOND
"""How long a peer may take to tell one part before the next peer is asked."""


class GenesisSearch:
    """Asks neighbours for one genesis until it is there."""

    __slots__ = ("_again_at", "_asked", "_found", "_genesis_id", "_links", "_parameters", "_record")

    def __init__(self, genesis_id: bytes, peer_parameters: bytes) -> None:
        """`genesis_id` names the network; `peer_parameters` are those this node lives by."""
        self._genesis_id = genesis_id
        self._parameters = peer_parameters
        self._links: dict[NodeId, None] = {}
        """Who may be asked; whoever was asked last stands last."""
        self._asked: NodeId | None = None
        self._record = b""
        self._found: Genesis | None = None
        self._again_at = NEVER

    @property
    def found(self) -> Genesis | None:
        """The genesis, once it is there."""
        return self._found

    @property
    def links(self) -> tuple[NodeId, ...]:
        """Who is linked."""
        return tuple(self._links)

    def next_deadline(self) -> Moment:
        """When to call `handle(DeadlineReached(), now)`, if nothing happens before."""
        return self._again_at

    def handle(self, event: object, now: Moment) -> list[SendMessage | Report]:
        """Take in what happened; other events than those of links mean nothing here."""
        match event:
            case LinkOpened(peer):
                # Nobody asked it yet, so it is the next.
                self._links = {peer: None} | self._links
                return [] if self._asked is not None else self._ask(now)
            case LinkClosed(peer):
                self._links.pop(peer, None)
                return self._ask(now) if peer == self._asked else []
            case EnvelopeReceived(envelope) if isinstance(envelope.message, GenesisTold):
                return self._on_told(envelope.sender, envelope.message, now)
            case DeadlineReached() if now >= self._again_at:
                return self._ask(now)
            case _:
                return []

    def _ask(self, now: Moment) -> list[SendMessage | Report]:
        """Ask the next peer from the beginning on."""
        self._asked = next(iter(self._links), None)
        self._record = b""
        if self._asked is None:
            self._again_at = NEVER
            return []
        self._links[self._asked] = self._links.pop(self._asked)
        return self._ask_on(self._asked, now)

    def _ask_on(self, peer: NodeId, now: Moment) -> list[SendMessage | Report]:
        self._again_at = after(now, GENESIS_WAIT_US)
        return [SendMessage(peer, GenesisWanted(self._genesis_id, len(self._record)))]

    def _on_told(
        self, sender: NodeId, told: GenesisTold, now: Moment
    ) -> list[SendMessage | Report]:
        is_wanted = sender == self._asked and told.genesis == self._genesis_id
        if not is_wanted or told.first != len(self._record):
            return []
        self._record += told.part
        if len(self._record) < told.total:
            return self._ask_on(sender, now)
        try:
            self._found = self._open()
        except Refusal as refusal:
            # At the next deadline another peer is asked, and if there is none, this one again.
            self._record = b""
            return [Report(PeerRefused(sender, refusal.rule, refusal.detail))]
        return []

    def _open(self) -> Genesis:
        genesis = open_genesis(self._record)
        if compute_genesis_id(genesis) != self._genesis_id:
            raise Refusal("genesis-id", "it is the genesis of another network")
        if genesis.peer_parameters != self._parameters:
            detail = f"it was made for {genesis.name!r}, or with other numbers of membership"
            raise Refusal("genesis-network", detail)
        return genesis


def tell_genesis(record: bytes, genesis_id: bytes, wanted: GenesisWanted) -> GenesisTold | None:
    """The part of a genesis that somebody asks for; None if it is not this one, or has no such."""
    part = record[wanted.first : wanted.first + GENESIS_PART_BYTES_MAX]
    if wanted.genesis != genesis_id or not part:
        return None
    return GenesisTold(genesis_id, wanted.first, len(record), part)
