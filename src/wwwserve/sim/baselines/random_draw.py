"""`random`: every request to a node drawn at once, all alike, its own included."""

from wwwserve.sim.baselines.sites import Parcel, PlainRule


class RandomDraw(PlainRule):
    """Looks at nothing, asks nobody."""

    def take(self, parcel: Parcel) -> None:
        """See `Rule`."""
        site = self._site
        if not parcel.is_at_home:
            site.run(parcel)
            return
        drawn = site.entropy.pick([*site.list_others(parcel), site.number])
        if drawn == site.number:
            site.run(parcel)
        else:
            site.send(parcel, drawn)
