"""`hot-potato`: who is overloaded passes a request on at once, and so on for three hops."""

from wwwserve.sim.baselines.draws import draw_weighted
from wwwserve.sim.baselines.sites import Parcel, PlainRule

HOPS_MAX = 3
"""Who is given a request at its last hop keeps it, overloaded or not."""


class HotPotato(PlainRule):
    """Looks at its own engine alone; the next is drawn by stake, and never one that had it."""

    def take(self, parcel: Parcel) -> None:
        """See `Rule`."""
        site = self._site
        has_hops = len(parcel.path) <= HOPS_MAX
        if has_hops and not site.read_use().is_idle:
            seats = {node: site.get_seats(node) for node in site.list_others(parcel)}
            for node in draw_weighted(site.entropy, seats, 1):
                site.send(parcel, node)
                return
        site.run(parcel)
