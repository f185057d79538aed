"""`stake`: at home while there is room; on overload to a node drawn in proportion to stake.

What offloading with proof of stake comes to without anything else: no probe, no refusal, and who
got a request keeps it.
"""

from wwwserve.sim.baselines.draws import draw_weighted
from wwwserve.sim.baselines.sites import Parcel, PlainRule


class StakeDraw(PlainRule):
    """Looks at its own engine alone."""

    def take(self, parcel: Parcel) -> None:
        """See `Rule`."""
        site = self._site
        if parcel.is_at_home and not site.read_use().is_idle:
            seats = {node: site.get_seats(node) for node in site.list_others(parcel)}
            for node in draw_weighted(site.entropy, seats, 1):
                site.send(parcel, node)
                return
        site.run(parcel)
