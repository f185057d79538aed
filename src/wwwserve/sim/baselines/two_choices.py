"""`p2c`: a fresh probe of one other node for every request, and the better of it and home.

The power of two choices (Mitzenmacher, 2001) for unequal servers: the other node is drawn in
proportion to stake, hence to speed, and what is compared is the expected finish rather than the
length of a queue. Each node foresees its own with the engine model and the mean of the answers it
has seen, as `central-fresh` does for all: that one is this with every node probed and no delay.
What a hop costs is taken from the probe itself.
"""

from wwwserve.sim.baselines.draws import draw_weighted
from wwwserve.sim.baselines.sites import Parcel, Reply, Site
from wwwserve.sim.central import Forecast, Job, Load, MeanLengths, Pace

_NEVER_US = float("inf")


class TwoChoices:
    """Asks before each choice, however idle its own engine is: another may be faster."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._pace = Pace(site.station.profile)
        self._lengths = MeanLengths()

    def take(self, parcel: Parcel) -> None:
        """See `Rule`."""
        site = self._site
        seats = {node: site.get_seats(node) for node in site.list_others(parcel)}
        drawn = draw_weighted(site.entropy, seats, 1) if parcel.is_at_home else []
        if not drawn:
            site.run(parcel)
            return
        asked_us = site.now_us

        def choose(reply: Reply) -> None:
            hop_us = site.now_us - asked_us
            if reply is not None and reply + hop_us < self._foresee_us(parcel.job):
                site.send(parcel, drawn[0])
            else:
                site.run(parcel)

        site.ask(parcel, drawn[0], choose)

    def reply(self, parcel: Parcel) -> Reply:
        """See `Rule`."""
        return self._foresee_us(parcel.job)

    def notice_end(self, parcel: Parcel, made_tokens: int) -> None:
        """See `Rule`; what ran here tells of lengths, whoever asked."""
        if made_tokens:
            self._lengths.learn(parcel.job, made_tokens)

    def notice_answer(self, parcel: Parcel, made_tokens: int) -> None:
        """See `Rule`; an answer from another node tells of lengths too."""
        if not parcel.is_at_home:
            self._lengths.learn(parcel.job, made_tokens)

    def _foresee_us(self, job: Job) -> int:
        """How long until this node would have answered."""
        site = self._site
        site.read_use()
        loads = [
            self._weigh(running, site.station.read_made(running))
            for running in site.station.jobs.values()
        ]
        wanted = self._weigh(job, 0)
        prospect = Forecast(self._pace, site.now_us, loads).foresee(
            wanted.context_tokens, wanted.remaining_tokens, _NEVER_US
        )
        assert prospect is not None, "it may take as long as it likes"
        return round(prospect.finish_us) - site.now_us

    def _weigh(self, job: Job, made_tokens: int) -> Load:
        return Load(
            context_tokens=job.prompt_tokens + made_tokens,
            remaining_tokens=self._lengths.predict(job, made_tokens) - made_tokens,
            is_begun=made_tokens > 0,
            due_us=_NEVER_US,
        )
