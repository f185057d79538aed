"""The own engines: how they are, what is served on them, and how much more they take.

Rules: only a READY engine whose reading is fresh takes work. What an engine runs beyond what this
node sent it, others sent it directly; it counts as used. What it does not report is unknown: then
this node's own count is all there is. Of several engines that serve a model and have room, the one
least used for its weight and slots goes first; one that failed lately comes last.
"""

from collections import Counter
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from wwwserve.core.engines import EngineHealth, EngineReading
from wwwserve.core.placing import LoadView, fits_context, has_capabilities
from wwwserve.core.requests.allowance import Allowance
from wwwserve.core.requests.own_engine import OwnEngine
from wwwserve.core.requests.state import PlaceKey, get_place_key
from wwwserve.core.sessions import Role, ServedModel
from wwwserve.core.snapshot import EngineView
from wwwserve.values.limits import STALL_US
from wwwserve.values.moments import Moment, after
from wwwserve.wire import RequestSummary, Usage

_MILLION = 1_000_000


class Capacity:
    """Knows where an own engine has room."""

    def __init__(self, models: tuple[ServedModel, ...]) -> None:
        self._models: tuple[ServedModel, ...] = ()
        self._by_name: dict[str, tuple[ServedModel, ...]] = {}
        self._engines: dict[str, OwnEngine] = {}
        self._running: Counter[PlaceKey] = Counter()
        self._starts = 0
        self.set_models(models)

    # -- what changes it -------------------------------------------------------------------------

    def set_models(self, models: tuple[ServedModel, ...]) -> None:
        """These models are served from now on; what runs goes on."""
        self._models = models
        self._by_name = {
            name: tuple(served for served in models if served.offer.model == name)
            for name in dict.fromkeys(served.offer.model for served in models)
        }
        first: dict[str, int] = {}
        for served in models:
            self._engines.setdefault(served.engine, OwnEngine())
            if not served.is_slots_known:
                first[served.engine] = max(served.slots, first.get(served.engine, 1))
        for name, engine in self._engines.items():
            if name not in first:
                engine.allowance = None
            elif engine.allowance is None:
                engine.allowance = Allowance(first[name])
        self._forget_if(lambda engine: engine.reading is None)

    def set_reading(self, name: str, reading: EngineReading, now: Moment) -> bool:
        """An engine was read; returns whether its health, or what is said of it, is news.

        One that serves nothing yet counts as well: its operator wants to know why.
        """
        engine = self._engines.setdefault(name, OwnEngine())
        before = engine.reading
        is_news = before is None or (
            (before.health, before.detail) != (reading.health, reading.detail)
        )
        engine.set_reading(reading, now)
        self._forget_if(lambda engine: engine.get_fresh(now) is None)
        return is_news

    def occupy(self, served: ServedModel, role: Role, tokens: int) -> None:
        """One more request, of so many tokens, runs on a model."""
        engine = self._engines.get(served.engine)
        if engine is None:
            engine = self._engines[served.engine] = OwnEngine()
        engine.start(role, tokens)
        self._starts += 1
        engine.started_at = self._starts
        self._running[get_place_key(served)] += 1

    def note_read(self, served: ServedModel) -> None:
        """A model's engine has read another node's prompt, or will not any more."""
        self._engines[served.engine].peer_unread -= 1

    def release(self, served: ServedModel, role: Role, tokens: int) -> None:
        """One request on a model, started with so many tokens, is over."""
        self._engines[served.engine].end(role, tokens)
        place = get_place_key(served)
        running = self._running.pop(place)
        if running > 1:
            self._running[place] = running - 1

    def note_output(self, served: ServedModel, now: Moment) -> None:
        """A model's engine brought something of an answer, or its end."""
        self._engines[served.engine].moved_at = now

    def note_refusal(self, served: ServedModel) -> None:
        """A request for a model is turned away because of how busy it is."""
        self._engines[served.engine].note_refusal()

    def note_failure(self, served: ServedModel, now: Moment) -> None:
        """A model's engine failed a request: others go first for a while."""
        self._engines[served.engine].note_failure(now)

    def note_success(self, served: ServedModel, usage: Usage) -> None:
        """A model's engine answered a request."""
        tokens = usage.prompt_tokens + usage.completion_tokens
        self._engines[served.engine].note_success(tokens)

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

    def find(self, able: Sequence[ServedModel], now: Moment) -> ServedModel | None:
        """The best of some own models that is ready, one with room before one without."""
        ready = [served for served in able if self.is_ready(served, now)]
        if len(ready) < 2:  # noqa: PLR2004 - nothing to choose from, as mostly
            return ready[0] if ready else None
        roomy = [served for served in ready if self.has_room(served)] or ready
        same = [served for served in roomy if served.offer.model == roomy[0].offer.model]
        return min(same, key=lambda served: self._rank(served, now))

    def list_ranked(self, model: str, now: Moment) -> Sequence[ServedModel]:
        """The own offerings of a model by its exact name, the best first."""
        named = self._by_name.get(model, ())
        if len(named) < 2:  # noqa: PLR2004 - nothing to choose from, as mostly
            return named
        return sorted(
            named, key=lambda served: (not self.has_room(served), self._rank(served, now))
        )

    def list_on(self, engine: str) -> tuple[ServedModel, ...]:
        """The models served on an engine."""
        return tuple(served for served in self._models if served.engine == engine)

    def is_ready(self, served: ServedModel, now: Moment) -> bool:
        """Whether a model's engine was lately read as ready."""
        reading = self._engines[served.engine].get_fresh(now)
        return reading is not None and reading.health is EngineHealth.READY

    def is_working(self, served: ServedModel, now: Moment) -> bool:
        """Whether a model's engine is ready and has brought something within `STALL_US`."""
        moved_at = self._engines[served.engine].moved_at
        is_silent = moved_at is None or now >= after(moved_at, STALL_US)
        return not is_silent and self.is_ready(served, now)

    def has_room(self, served: ServedModel) -> bool:
        """Whether one more request of the usual size would start at once."""
        return self.count_used(served) < self._count_slots(served)

    def count_used(self, served: ServedModel) -> int:
        """How many requests run where one more of a model would."""
        engine = self._engines[served.engine]
        if served.is_slots_known:
            return self._running[get_place_key(served)] + engine.foreign
        return engine.used

    def list_roomy(self, now: Moment) -> tuple[ServedModel, ...]:
        """The models that could start one more request now."""
        return tuple(
            served
            for served in self._models
            if self.has_room(served) and self.is_ready(served, now)
        )

    def get_load(self, served: ServedModel, tokens: int, now: Moment) -> LoadView:
        """How busy a model is for a request of so many tokens; who waits is for others to add."""
        engine = self._engines[served.engine]
        view = LoadView(
            slots=self._count_slots(served, tokens),
            used=self.count_used(served),
            own_running=engine.own_running,
            peer_unread=engine.peer_unread,
            engine=served.engine,
            foreign=engine.foreign,
            at=now,
        )
        if served.is_slots_known:
            reading = engine.get_fresh(now)
            kv_used_permille = reading.kv_used_permille if reading is not None else None
            return replace(view, kv_used_permille=kv_used_permille)
        return replace(
            view,
            kv_used_permille=engine.get_kv_permille(),
            kv_tokens=engine.get_kv_tokens(),
            slots_most=engine.get_allowed(),
        )

    def get_kv_tokens(self, served: ServedModel) -> int:
        """What the cache of a model's engine holds; 0 = untold."""
        reading = self._engines[served.engine].reading
        return (reading.kv_tokens or 0) if reading is not None else 0

    def compute_share(self, served: ServedModel, waiting: int, now: Moment) -> int:
        """How many of those waiting for a model will come to one engine of those that serve it."""
        if not waiting:
            return 0
        others = [
            other
            for other in self._by_name.get(served.offer.model, ())
            if other.engine != served.engine and self.is_ready(other, now)
        ]
        if not others:
            return waiting
        here = served.weight * self._count_slots(served)
        total = here + sum(other.weight * self._count_slots(other) for other in others)
        return -(-waiting * here // total)

    def get_views(self, now: Moment) -> tuple[EngineView, ...]:
        """All engines, for a snapshot."""
        return tuple(
            EngineView(name, engine.get_fresh(now), engine.own_running, engine.peer_running)
            for name, engine in self._engines.items()
        )

    # -- how it is counted -----------------------------------------------------------------------

    def _count_slots(self, served: ServedModel, tokens: int = 0) -> int:
        """Told, or expected for requests of so many tokens."""
        if served.is_slots_known:
            return served.slots
        return self._engines[served.engine].compute_slots(tokens)

    def _rank(self, served: ServedModel, now: Moment) -> tuple[bool, int, int]:
        """The least goes first: how used it would be for its size, then the longest unused."""
        engine = self._engines[served.engine]
        size = max(served.weight * self._count_slots(served), 1)
        used = (self.count_used(served) + 1) * _MILLION // size
        return engine.is_avoided(now), used, engine.started_at

    def _forget_if(self, is_unknown: Callable[[OwnEngine], bool]) -> None:
        """Forget the engines that serve nothing, run nothing, and of which nothing is known."""
        named = {served.engine for served in self._models}
        for name, engine in list(self._engines.items()):
            if name not in named and engine.running == 0 and is_unknown(engine):
                del self._engines[name]
