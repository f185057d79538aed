"""How many probes of one peer are answered: so many a second on average, and as many in one go."""

from wwwserve.core.requests.rules import PROBES_BURST_MAX, PROBES_PER_SECOND_MAX
from wwwserve.values.ids import NodeId
from wwwserve.values.limits import MEMBERS_MAX
from wwwserve.values.moments import SECOND, Moment

_SPACING_US = SECOND // PROBES_PER_SECOND_MAX


class ProbeRate:
    """Counts the probes of each peer, at most `MEMBERS_MAX` of them; the oldest makes room."""

    def __init__(self) -> None:
        self._paced: dict[NodeId, Moment] = {}
        """For each peer, when its probes so far would have come at the full allowed rate."""

    def admit(self, peer: NodeId, now: Moment) -> bool:
        """Whether a peer's probe is answered, which then counts."""
        paced_at = max(self._paced.get(peer, now), now)
        if paced_at - now >= PROBES_BURST_MAX * _SPACING_US:
            return False
        if peer not in self._paced and len(self._paced) >= MEMBERS_MAX:
            del self._paced[next(iter(self._paced))]
        self._paced[peer] = Moment(paced_at + _SPACING_US)
        return True
