"""Whom a node has found on the local network, and which of them it may call now. Pure.

Anybody there can announce thousands of nodes that do not exist, at anybody's addresses. So only a
few are remembered, only addresses of networks this machine is on are called, and rarely: a real
node needs one call, and the first one that answers tells of all others. Who was announced last is
called first, and takes the place of who was called already: so a crowd that was there before keeps
no newcomer from being found.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv6Address

from wwwserve.node.setup_parts import format_address
from wwwserve.ports.discovery import Notice
from wwwserve.ports.interfaces import InterfaceAddress
from wwwserve.values.ids import NodeId
from wwwserve.values.moments import SECOND, Moment, after

FOUND_MAX = 256
"""Notices remembered; for one more, the one called longest ago is forgotten, or else the oldest."""
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
    """The notices that hold now, and the ration of calls."""

    _waiting: dict[str, Found] = field(default_factory=dict)
    """Not called yet, the oldest first."""
    _known: dict[str, Found] = field(default_factory=dict)
    """Called, or linked already; whoever was looked at last stands last."""
    _ration: int = CALLS_BURST_MAX
    _rationed_at: Moment = _START

    @property
    def count(self) -> int:
        """How many notices hold."""
        return len(self._waiting) + len(self._known)

    def put(self, name: str, node: NodeId, addresses: tuple[str, ...], now: Moment) -> bool:
        """A notice was heard; False if another one had to be forgotten for it."""
        held = self._waiting.get(name) or self._known.get(name)
        if held is not None and (held.node, held.addresses) == (node, addresses):
            return True
        self.remove(name)
        is_full = self.count >= FOUND_MAX
        if is_full:
            self.remove(next(iter(self._known or self._waiting)))
        self._waiting[name] = Found(node, addresses, now)
        return not is_full

    def remove(self, name: str) -> None:
        """A notice holds no more."""
        self._waiting.pop(name, None)
        self._known.pop(name, None)

    def clear(self) -> None:
        """No notice holds any more; what was called stays called."""
        self._waiting.clear()
        self._known.clear()

    def take_due(self, now: Moment, is_linked: Callable[[NodeId], bool]) -> list[Found]:
        """Those to be called now; each of them is called again only after `CALL_AGAIN_US`."""
        self._earn(now)
        due: list[Found] = []
        for name, found in (*reversed(self._waiting.items()), *self._known.items()):
            if now < found.due_at:
                continue
            if is_linked(found.node):
                # A link may be dead and not know it yet: its peer has moved, and is back here.
                found.due_at = after(now, CALL_PERIOD_US)
            elif self._ration:
                self._ration -= 1
                found.due_at = after(now, CALL_AGAIN_US)
                due.append(found)
            else:
                continue
            self.remove(name)
            self._known[name] = found
        return due

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
