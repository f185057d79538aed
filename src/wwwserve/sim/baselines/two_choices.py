"""`p2c`: a fresh probe of one other node for every request, and the less loaded of it and home.

The power of two choices (Mitzenmacher, 2001) for unequal servers: the other node is drawn in
proportion to stake, hence to speed, and what is compared is not a number of requests but the share
of an engine's cache that is taken when this request is added. Of what we tried on seeds that are
not reported (draws all alike, expected finish by the engine model) this did best.
"""

from wwwserve.sim.baselines.draws import draw_weighted
from wwwserve.sim.baselines.sites import PERMILLE, Parcel, PlainRule, Reply


class TwoChoices(PlainRule):
    """Asks before each choice, however idle its own engine is: another may be idler."""

    def take(self, parcel: Parcel) -> None:
        """See `Rule`."""
        site = self._site
        seats = {node: site.get_seats(node) for node in site.list_others(parcel)}
        drawn = draw_weighted(site.entropy, seats, 1) if parcel.is_at_home else []
        if not drawn:
            site.run(parcel)
            return

        def choose(reply: Reply) -> None:
            if reply is not None and reply < self._compute_load(parcel):
                site.send(parcel, drawn[0])
            else:
                site.run(parcel)

        site.ask(parcel, drawn[0], choose)

    def reply(self, parcel: Parcel) -> Reply:
        """See `Rule`."""
        return self._compute_load(parcel)

    def _compute_load(self, parcel: Parcel) -> int:
        """Thousandths of the engine taken, with this request."""
        site = self._site
        added = parcel.job.prompt_tokens * PERMILLE // site.profile.kv_capacity_tokens
        return site.read_use().usage_permille + added
