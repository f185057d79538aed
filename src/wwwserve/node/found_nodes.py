"""Whom a node has found on the local network, and which of them it may call now. Pure.

Anybody there can announce thousands of nodes that do not exist, at anybody's addresses. So only a
few are remembered, only addresses of networks this machine is on are called, and rarely: a real
node needs one call, and the first one that answers tells of all others.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv6Address

from wwwserve.node.setup_parts import format_address
from wwwserve.ports.discovery import Notice
from wwwserve.ports.interfaces import InterfaceAddress
from wwwserve.values.ids import NodeId
from wwwserve.values.moments import SECOND, Moment, after

FOUND_MAX = 256
"""Notices remembered; one more is not, until another one has gone."""
CALLS_BURST_MAX = 8
"""Nodes called at once after a quiet while."""
CALL_PERIOD_US = 30 * SECOND
"""One more may be called in each. Gossip gives a call up after at most 12 minutes, so no more than
32 are under way: half of the meetings it can have, the other half being the operator's."""
CALL_AGAIN_US = 15 * 60 * SECOND
"""Who is still announced and not linked is called again after that."""

_START = Moment(0)


@dataclass(slots=True)
class Found:
    """One notice, as far as it can be used."""

    node: NodeId
    addresses: tuple[str, ...]
    """To be dialled, at least one."""
    due_at: Moment


@dataclass(slots=True)
class FoundNodes:
    """The notices that hold now, oldest first, and the ration of calls."""

    _found: dict[str, Found] = field(default_factory=dict)
    _ration: int = CALLS_BURST_MAX
    _rationed_at: Moment = _START

    @property
    def count(self) -> int:
        """How many notices hold."""
        return len(self._found)

    def put(self, name: str, node: NodeId, addresses: tuple[str, ...], now: Moment) -> bool:
        """A notice was heard; False if there is no room for it."""
        known = self._found.get(name)
        if known is None and len(self._found) >= FOUND_MAX:
            return False
        if known is None or (known.node, known.addresses) != (node, addresses):
            self._found[name] = Found(node, addresses, now)
        return True

    def remove(self, name: str) -> None:
        """A notice holds no more."""
        self._found.pop(name, None)

    def clear(self) -> None:
        """No notice holds any more; what was called stays called."""
        self._found.clear()

    def take_due(self, now: Moment, is_linked: Callable[[NodeId], bool]) -> Iterator[Found]:
        """Those to be called now; each of them is called again only after `CALL_AGAIN_US`."""
        self._earn(now)
        for found in self._found.values():
            if now < found.due_at:
                continue
            if is_linked(found.node):
                # A link may be dead and not know it yet: its peer has moved, and is back here.
                found.due_at = after(now, CALL_PERIOD_US)
            elif self._ration:
                self._ration -= 1
                found.due_at = after(now, CALL_AGAIN_US)
                yield found

    def _earn(self, now: Moment) -> None:
        periods = (now - self._rationed_at) // CALL_PERIOD_US
        self._rationed_at = after(self._rationed_at, periods * CALL_PERIOD_US)
        self._ration = min(CALLS_BURST_MAX, self._ration + periods)


def list_near(
    notice: Notice, interfaces: Sequence[InterfaceAddress], own: Sequence[str]
) -> tuple[str, ...]:
    """The addresses of a notice that are worth a call from a machine with these interfaces.

    Whoever is on the same network is reached without a router: an address elsewhere is a mistake,
    or somebody else's door. Those in `own` are this node's own: two machines may have one each of
    the same private network.
    """
    numbers = {str(one.index) for one in interfaces}
    near: list[str] = []
    for address in notice.addresses:
        if isinstance(address, IPv6Address) and address.is_link_local:
            is_near = address.scope_id in numbers
        else:
            is_near = any(address in one.address.network for one in interfaces)
        text = format_address(address, notice.port)
        if is_near and text not in own:
            near.append(text)
    return tuple(near)
