"""A node as a baseline's rule sees it: it is as loaded as a test says, and notes what is asked."""

from collections.abc import Callable

from wwwserve.core.entropy import Entropy
from wwwserve.enginemodel import Demand, find_profile
from wwwserve.sim.baselines.sites import EngineUse, Parcel, Reply
from wwwserve.sim.jobs import Job
from wwwserve.sim.world import Action
from wwwserve.values.moments import SECOND

MODEL = "m"


def make_parcel(*path: int, number: int = 0) -> Parcel:
    """A request that has been at these nodes."""
    truth = Demand(100, 100)
    job = Job(number, 0, 100, MODEL, home=path[0], client="", tokens_max=0, truth=truth)
    return Parcel(job, list(path))


class BaselineSite:
    """Node 0 of as many as it has seats for; time passes when a test lets it."""

    def __init__(self, seats: tuple[int, ...] = (1, 1, 1, 1), number: int = 0) -> None:
        self.number = number
        self.entropy = Entropy(b"a site")
        self.profile = find_profile("L40S:Qwen3-8B")
        self.use = EngineUse(usage_permille=0, waiting=0)
        self.ran: list[Parcel] = []
        self.sent: list[tuple[Parcel, int]] = []
        self.asked: list[tuple[int, Callable[[Reply], None]]] = []
        """Probes without a reply so far, in the order of the draw."""
        self._seats = seats
        self._now_us = 0
        self._later: list[tuple[int, Action]] = []

    def read_use(self) -> EngineUse:
        """What the test said."""
        return self.use

    def list_others(self, parcel: Parcel) -> list[int]:
        """Everybody who has not had it."""
        nodes = range(len(self._seats))
        return [node for node in nodes if node != self.number and node not in parcel.path]

    def get_seats(self, node: int) -> int:
        """As it was made."""
        return self._seats[node]

    def run(self, parcel: Parcel) -> None:
        """Noted."""
        self.ran.append(parcel)

    def send(self, parcel: Parcel, node: int) -> None:
        """Noted."""
        self.sent.append((parcel, node))

    def ask(self, parcel: Parcel, node: int, on_reply: Callable[[Reply], None]) -> None:
        """Noted; the test replies."""
        assert node not in parcel.path, "who had it is not asked"
        self.asked.append((node, on_reply))

    def after(self, span_us: int, action: Action) -> None:
        """Done when the test lets so much time pass."""
        self._later.append((self._now_us + span_us, action))

    def fill(self, usage_permille: int, waiting: int = 0) -> None:
        """Say how loaded the engine is."""
        self.use = EngineUse(usage_permille, waiting)

    def pass_time(self, span_us: int = SECOND) -> None:
        """Do what is due by then, in order."""
        end_us = self._now_us + span_us
        while due := min((at for at, _ in self._later if at <= end_us), default=None):
            self._now_us = due
            ready = [action for at, action in self._later if at == due]
            self._later = [(at, action) for at, action in self._later if at != due]
            for action in ready:
                action()
        self._now_us = end_us
