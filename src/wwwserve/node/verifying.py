"""Remembering which signatures were good, so that gossip does not check one twice.

A record is met many times (each push/pull repeats all), and a check costs 80 microseconds on the
event loop. Only successes are kept, under the whole triple, so memory is all a flood can waste.
"""

from collections import OrderedDict

from wwwserve.values.ids import NodeId
from wwwserve.values.limits import MEMBERS_MAX
from wwwserve.wire import Verifier

CHECKED_MAX = 2 * MEMBERS_MAX
"""Good signatures remembered; the longest unused is forgotten."""


class RememberingVerifier:
    """A `Verifier` that asks another one, once."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier
        self._good: OrderedDict[tuple[NodeId, bytes, bytes], None] = OrderedDict()

    def is_signed_by(self, node_id: NodeId, message: bytes, signature: bytes) -> bool:
        """Whether the signature is good; see `Verifier`."""
        key = (node_id, message, signature)
        if key in self._good:
            self._good.move_to_end(key)
            return True
        if not self._verifier.is_signed_by(node_id, message, signature):
            return False
        self._good[key] = None
        if len(self._good) > CHECKED_MAX:
            self._good.popitem(last=False)
        return True
