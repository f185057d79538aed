"""Offers as they arrive: read frame by frame, within what one peer and all may have us hold."""

import hashlib
from dataclasses import dataclass, field

from wwwserve.node.bodies import BodyStore, BodyStoreFull
from wwwserve.values.ids import NodeId
from wwwserve.values.limits import BODY_STORE_BYTES_MAX, WORKS_OPEN_MAX
from wwwserve.values.refusals import Refusal
from wwwserve.wire import BodyPart, Offer, decode_frame

WORKS_PER_PEER_MAX = WORKS_OPEN_MAX // 8
"""Offers of one peer, whole or still arriving, among all that are open; one more is reset."""
OFFERED_BYTES_PER_PEER_MAX = BODY_STORE_BYTES_MAX // 8
"""Bodies of one peer held here at once, so that none can fill the store; one more is reset."""
OFFERED_BYTES_MAX = BODY_STORE_BYTES_MAX // 2
"""Bodies of all peers held or announced at once: the other half of the store is own users'."""


@dataclass(slots=True)
class _Held:
    """What one peer holds of this node's room."""

    works: int = 0
    body_bytes: int = 0


class OfferRoom:
    """Room for offers and their bodies, shared out among the peers that use it."""

    def __init__(self, bodies: BodyStore) -> None:
        """Bodies are kept in the store by the key of their work."""
        self._bodies = bodies
        self._held: dict[NodeId, _Held] = {}
        """Of each peer with a work open."""
        self._sizes: dict[object, tuple[NodeId, int]] = {}
        self._bytes = 0

    def enter(self, peer: NodeId) -> bool:
        """One more offer of a peer; False if it has as many as it may."""
        held = self._held.get(peer, _Held())
        if held.works >= WORKS_PER_PEER_MAX:
            return False
        held.works += 1
        self._held[peer] = held
        return True

    def leave(self, peer: NodeId) -> None:
        """One that was let in is over, its body freed before."""
        held = self._held[peer]
        held.works -= 1
        if not held.works:
            del self._held[peer]

    def reserve(self, key: object, peer: NodeId, body_bytes: int) -> None:
        """Set room aside for a body that a peer announced. Raises `BodyStoreFull`."""
        held = self._held[peer]
        if held.body_bytes + body_bytes > OFFERED_BYTES_PER_PEER_MAX:
            raise BodyStoreFull
        if self._bytes + body_bytes > OFFERED_BYTES_MAX:
            raise BodyStoreFull
        self._bodies.reserve(key, body_bytes)
        self._sizes[key] = peer, body_bytes
        held.body_bytes += body_bytes
        self._bytes += body_bytes

    def free(self, key: object) -> None:
        """A body is needed no more, or never came. Idempotent."""
        self._bodies.remove(key)
        peer, body_bytes = self._sizes.pop(key, (None, 0))
        if peer is not None:
            self._held[peer].body_bytes -= body_bytes
            self._bytes -= body_bytes


@dataclass(slots=True)
class ArrivingOffer:
    """An offer and as much of its body as has come."""

    offer: Offer | None = None
    body: bytearray = field(default_factory=bytearray)
    is_whole: bool = False
    _digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    @property
    def body_digest(self) -> bytes:
        """SHA-256 of the body."""
        return self._digest.digest()

    def take(self, data: bytes) -> None:
        """Take the offer, or a further part of its body. Raises `Refusal` for anything else."""
        frame = decode_frame(data)
        if self.offer is None:
            if not isinstance(frame, Offer):
                raise Refusal("stream-order", "a request stream begins with an offer")
            self.offer = frame
            return
        if not isinstance(frame, BodyPart):
            raise Refusal("stream-order", "an offer is followed by its body")
        if not frame.data and not frame.is_last:
            raise Refusal("offer-body", "a part of the body is empty")
        self.body += frame.data
        if self.offer.payment:
            self._digest.update(frame.data)
        missing = self.offer.summary.body_bytes - len(self.body)
        if missing < 0 or (frame.is_last and missing):
            raise Refusal("offer-body", "the body is not as long as the offer says")
        self.is_whole = frame.is_last
