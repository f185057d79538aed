"""The own engines: how they are, what is served on them, and how many slots are in use.

Rules: only a READY engine whose reading is fresh takes work. What an engine runs beyond what this
node sent it, others sent it directly; it counts as used. What it does not report is unknown: then
this node's own count is all there is.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from wwwserve.core.engines import EngineHealth, EngineReading
from wwwserve.core.placing import LoadView, fits_context, has_capabilities
from wwwserve.core.requests.state import PlaceKey, get_place_key
from wwwserve.core.sessions import Role, ServedModel
from wwwserve.core.snapshot import EngineView
from wwwserve.values.limits import ENGINE_STALE_US
from wwwserve.values.moments import Moment, after
from wwwserve.wire import RequestSummary


@dataclass(slots=True)
class _EngineState:
    """One engine as last read, and what this node has it do."""

    reading: EngineReading | None = None
    read_at: Moment | None = None
    own_running: int = 0
    peer_running: int = 0
    peak: int = 0
    """Most this node had running there since the last reading."""
    foreign: int = 0
    """Requests others sent it directly, as of the last reading."""

    @property
    def running(self) -> int:
        return self.own_running + self.peer_running

    def get_fresh(self, now: Moment) -> EngineReading | None:
        """The reading, unless it is so old that it says nothing."""
        is_fresh = self.read_at is not None and now < after(self.read_at, ENGINE_STALE_US)
        return self.reading if is_fresh else None


class Capacity:
    """Knows where an own engine has room."""

    def __init__(self, models: tuple[ServedModel, ...]) -> None:
        self._models: tuple[ServedModel, ...] = ()
        self._by_name: dict[str, tuple[ServedModel, ...]] = {}
        self._engines: dict[str, _EngineState] = {}
        self._running: Counter[PlaceKey] = Counter()
        self.set_models(models)

    # -- what changes it -------------------------------------------------------------------------

    def set_models(self, models: tuple[ServedModel, ...]) -> None:
        """These models are served from now on; what runs goes on."""
        self._models = models
        self._by_name = {
            name: tuple(served for served in models if served.offer.model == name)
            for name in dict.fromkeys(served.offer.model for served in models)
        }
        for served in models:
            self._engines.setdefault(served.engine, _EngineState())
        named = {served.engine for served in models}
        for engine, state in list(self._engines.items()):
            if engine not in named and state.running == 0 and state.reading is None:
                del self._engines[engine]

    def set_reading(self, engine: str, reading: EngineReading, now: Moment) -> bool:
        """An engine was read; returns whether its health is news.

        One that serves nothing yet counts as well: its operator wants to know why.
        """
        state = self._engines.setdefault(engine, _EngineState())
        is_news = state.reading is None or state.reading.health is not reading.health
        state.reading = reading
        state.read_at = now
        if reading.running is None:
            state.foreign = 0
        else:
            # Against the most that was ours lately: a reading may be older than our last count.
            at_engine = reading.running + (reading.waiting or 0)
            state.foreign = max(at_engine - state.peak, 0)
        state.peak = state.running
        return is_news

    def occupy(self, served: ServedModel, role: Role) -> int:
        """One more request runs on a model; returns how many now do."""
        state = self._engines.get(served.engine)
        if state is None:
            state = self._engines[served.engine] = _EngineState()
        if role is Role.ORIGIN:
            state.own_running += 1
        else:
            state.peer_running += 1
        state.peak = max(state.peak, state.running)
        place = get_place_key(served)
        self._running[place] += 1
        return self._running[place]

    def release(self, served: ServedModel, role: Role) -> int:
        """One request on a model is over; returns how many ran until now."""
        state = self._engines[served.engine]
        if role is Role.ORIGIN:
            state.own_running -= 1
        else:
            state.peer_running -= 1
        assert min(state.own_running, state.peer_running) >= 0, served
        place = get_place_key(served)
        running = self._running.pop(place)
        if running > 1:
            self._running[place] = running - 1
        return running

    # -- what it is asked ------------------------------------------------------------------------

    def list_able(self, summary: RequestSummary, *, any_context: bool = False) -> list[ServedModel]:
        """The own models that could run a request, were their engines ready and free."""
        return [
            served
            for model in summary.models
            for served in self._by_name.get(model, ())
            if has_capabilities(served.offer, summary)
            and (any_context or fits_context(served.offer, summary))
        ]

    def find(self, able: Iterable[ServedModel], now: Moment) -> ServedModel | None:
        """The first of some own models that is ready, one with room before one without."""
        first = None
        for served in able:
            if self.is_ready(served, now):
                if self.has_room(served):
                    return served
                first = first or served
        return first

    def list_named(self, model: str) -> tuple[ServedModel, ...]:
        """The own offerings of a model by its exact name."""
        return self._by_name.get(model, ())

    def is_ready(self, served: ServedModel, now: Moment) -> bool:
        """Whether a model's engine was lately read as ready."""
        reading = self._engines[served.engine].get_fresh(now)
        return reading is not None and reading.health is EngineHealth.READY

    def has_room(self, served: ServedModel) -> bool:
        """Whether one more request of a model would start at once."""
        return self._count_used(served) < served.slots

    def list_roomy(self, now: Moment) -> tuple[ServedModel, ...]:
        """The models that could start one more request now."""
        return tuple(
            served
            for served in self._models
            if self.has_room(served) and self.is_ready(served, now)
        )

    def get_load(self, served: ServedModel, now: Moment) -> LoadView:
        """How busy a model is; who waits and who asks is for the caller to add."""
        reading = self._engines[served.engine].get_fresh(now)
        return LoadView(
            slots=served.slots,
            used=self._count_used(served),
            kv_used_permille=reading.kv_used_permille if reading is not None else None,
        )

    def get_views(self, now: Moment) -> tuple[EngineView, ...]:
        """All engines, for a snapshot."""
        return tuple(
            EngineView(name, state.get_fresh(now), state.own_running, state.peer_running)
            for name, state in self._engines.items()
        )

    def _count_used(self, served: ServedModel) -> int:
        return self._running[get_place_key(served)] + self._engines[served.engine].foreign
