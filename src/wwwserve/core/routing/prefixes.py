"""Which beginnings of prompts engines still hold: what is saved here, and who ran one last.

An engine keeps what it computed of a prompt until it needs the room, and need not read the same
beginning again. It does not say what it keeps, so the node remembers what it had it read: `Held`
forgets as an engine does, the longest unused first. What that is worth is learned from what the
engine says it saved; of one that never says so, nothing is claimed.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

import msgspec

from wwwserve.core.placing import RunMeasured
from wwwserve.values.ids import NodeId
from wwwserve.values.model_names import ModelId
from wwwserve.values.moments import SECOND, Moment
from wwwserve.wire import PREFIX_TOKENS, RequestSummary

PLACES_MAX = 256
"""Models on engines whose prompts are remembered; the longest known makes room."""
PREFIXES_HELD_MAX = 8_192
"""Prefixes remembered of one model on one engine, whatever its cache holds."""
CACHE_TOKENS_UNTOLD = 65_536
"""What an engine is taken to hold that does not tell the size of its cache."""
PREFIXES_RUN_MAX = 16_384
"""Prefixes of which it is remembered who ran them last."""
PREFIX_FADE_US = 1_800 * SECOND
"""What was not used for so long is forgotten: others may have used the engine, or restarted it."""
_RUNS_MAX = 64
"""Runs that what an engine saves is the mean of; older ones fade."""
_SHARE_MAX_PERMILLE = 1_500
"""Engines save the answer too, which the hashes of its prompt do not cover."""
_PERMILLE = 1000


class _Entry(msgspec.Struct, frozen=True):
    """One prefix in an engine's cache."""

    tokens: int
    """What it takes there beyond the next shorter one."""
    used_at: Moment


@dataclass(slots=True)
class Held:
    """What one model on one engine had to read lately, and what it saves of that."""

    entries: OrderedDict[bytes, _Entry] = field(default_factory=OrderedDict)
    """The longest unused first."""
    tokens: int = 0
    share_permille: int = 0
    """Tokens that the engine says it saved, of those that were found here."""
    runs: int = 0
    """Runs this is the mean of."""

    def find(self, prefixes: tuple[bytes, ...]) -> int:
        """Tokens of the longest of these that it had to read lately."""
        for place in range(min(len(prefixes), len(PREFIX_TOKENS)) - 1, -1, -1):
            if prefixes[place] in self.entries:
                return PREFIX_TOKENS[place]
        return 0

    def learn(self, run: RunMeasured, now: Moment) -> None:
        """It answered a request."""
        found = self.find(run.prefixes)
        if found:
            share = min(run.cached_tokens * _PERMILLE // found, _SHARE_MAX_PERMILLE)
            self.runs = min(self.runs + 1, _RUNS_MAX)
            self.share_permille += (share - self.share_permille) // self.runs
        self._add(run, now)
        self._make_room(run.kv_tokens or CACHE_TOKENS_UNTOLD, now)

    def _add(self, run: RunMeasured, now: Moment) -> None:
        """What it read and wrote is in its cache; the end of it is what it will give up first."""
        prefixes = run.prefixes[: len(PREFIX_TOKENS)]
        end = max(run.prompt_tokens + run.completion_tokens, 0)
        for place in range(len(prefixes) - 1, -1, -1):
            begin = PREFIX_TOKENS[place - 1] if place else 0
            entry = _Entry(max(end - begin, 0), now)
            end = min(end, begin)
            known = self.entries.pop(prefixes[place], None)
            self.tokens += entry.tokens - (known.tokens if known is not None else 0)
            self.entries[prefixes[place]] = entry

    def _make_room(self, tokens_max: int, now: Moment) -> None:
        while self.entries:
            prefix, entry = next(iter(self.entries.items()))
            is_full = self.tokens > tokens_max or len(self.entries) > PREFIXES_HELD_MAX
            if not is_full and now - entry.used_at <= PREFIX_FADE_US:
                return
            del self.entries[prefix]
            self.tokens -= entry.tokens


class Prefixes:
    """What own engines hold, and which node ran each prefix last; it changes by runs alone."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, ModelId], Held] = {}
        self._ran: OrderedDict[bytes, tuple[NodeId, Moment]] = OrderedDict()

    def learn_held(self, run: RunMeasured, now: Moment) -> None:
        """A request ran on an own engine, an own user's or another node's."""
        if not run.prefixes:
            return
        place = run.engine, run.model
        held = self._held.get(place)
        if held is None:
            if len(self._held) >= PLACES_MAX:
                del self._held[next(iter(self._held))]
            held = self._held[place] = Held()
        held.learn(run, now)

    def learn_executor(self, run: RunMeasured, now: Moment) -> None:
        """An own user's request ran, here or elsewhere."""
        for prefix in run.prefixes:
            self._ran[prefix] = run.node, now
            self._ran.move_to_end(prefix)
        while len(self._ran) > PREFIXES_RUN_MAX:
            self._ran.popitem(last=False)

    def compute_saved(self, engine: str, model: ModelId, summary: RequestSummary) -> int:
        """Prompt tokens that an own engine is expected not to read again.

        Never all of them: the last one is always read, for it makes the first of the answer.
        """
        held = self._held.get((engine, model))
        if held is None:
            return 0
        saved = held.find(summary.prefixes) * held.share_permille // _PERMILLE
        return max(min(saved, summary.prompt_tokens - 1), 0)

    def find_executor(self, prefixes: tuple[bytes, ...], now: Moment) -> NodeId | None:
        """Who ran the longest of these last; None if that is long ago."""
        for prefix in reversed(prefixes):
            node, ran_at = self._ran.get(prefix, (None, now))
            if node is not None and now - ran_at <= PREFIX_FADE_US:
                return node
        return None
