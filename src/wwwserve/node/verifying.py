"""Checking signatures sparingly: none twice, and only so many for any one peer.

A record is met many times (each push/pull repeats all), and a check costs 80 microseconds on the
event loop. Only successes are kept, under the whole triple, so memory is all a flood can waste.
"""

from collections import OrderedDict

from wwwserve.ports.clock import Clock
from wwwserve.values.ids import NodeId
from wwwserve.values.limits import MEMBERS_MAX
from wwwserve.values.moments import SECOND, after
from wwwserve.wire import Verifier

CHECKED_MAX = 2 * MEMBERS_MAX
"""Good signatures remembered; the longest unused is forgotten."""
CHECKS_BURST_MAX = 256
"""Signatures unknown so far that are checked for one link in one go: two whole tables."""
CHECKS_PER_SECOND_MAX = 64
"""The same on average: 5 ms of each second. What is above it is refused, and comes again later."""
_CHECK_SPACING_US = SECOND // CHECKS_PER_SECOND_MAX


class RememberingVerifier:
    """A `Verifier` that asks another one, once."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier
        self._good: OrderedDict[tuple[NodeId, bytes, bytes], None] = OrderedDict()

    def is_known(self, node_id: NodeId, message: bytes, signature: bytes) -> bool:
        """Whether the signature was found good before."""
        key = (node_id, message, signature)
        if key not in self._good:
            return False
        self._good.move_to_end(key)
        return True

    def is_signed_by(self, node_id: NodeId, message: bytes, signature: bytes) -> bool:
        """Whether the signature is good; see `Verifier`."""
        if self.is_known(node_id, message, signature):
            return True
        if not self._verifier.is_signed_by(node_id, message, signature):
            return False
        self._good[node_id, message, signature] = None
        if len(self._good) > CHECKED_MAX:
            self._good.popitem(last=False)
        return True


class RationedVerifier:
    """The `Verifier` of one link: its peer cannot keep this node busy with false signatures."""

    def __init__(self, shared: RememberingVerifier, clock: Clock) -> None:
        self._shared = shared
        self._clock = clock
        self._paced_at = clock.now()
        """When the checks so far would have been done at the average rate."""

    def is_signed_by(self, node_id: NodeId, message: bytes, signature: bytes) -> bool:
        """Whether the signature is good; one above the ration counts as if it were not."""
        if self._shared.is_known(node_id, message, signature):
            return True
        now = self._clock.now()
        paced_at = max(self._paced_at, now)
        if paced_at - now >= CHECKS_BURST_MAX * _CHECK_SPACING_US:
            return False
        self._paced_at = after(paced_at, _CHECK_SPACING_US)
        return self._shared.is_signed_by(node_id, message, signature)
