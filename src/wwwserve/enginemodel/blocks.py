"""The blocks of an engine's KV cache: who has how many, and which of them others may share."""

from dataclasses import dataclass, field

from wwwserve.enginemodel.demands import Demand, SequenceId
from wwwserve.enginemodel.prefix_cache import (
    KV_BLOCK_TOKENS,
    BlockName,
    PrefixCache,
    count_blocks,
    list_names,
)
from wwwserve.values.moments import Moment


@dataclass(slots=True, eq=False)
class BlockUser:
    """One sequence: what it asks for, and how far it is."""

    name: SequenceId
    demand: Demand
    arrived: Moment
    made_tokens: int = 0
    computed_tokens: int = 0
    """Tokens of its context in the KV cache."""
    cached_tokens: int = 0
    """Tokens of its prompt that it found in the cache."""
    blocks: int = 0
    kept: list[BlockName] = field(default_factory=list)
    """Of its blocks, those that others may share, in order."""
    is_alive: bool = True

    @property
    def context_tokens(self) -> int:
        """Prompt and answer so far."""
        return self.demand.prompt_tokens + self.made_tokens


class Blocks:
    """All blocks of one engine."""

    __slots__ = ("_cache", "free_count")

    def __init__(self, count: int) -> None:
        """So many, all free."""
        self.free_count = count
        """Blocks that nobody uses, whatever is kept in them."""
        self._cache = PrefixCache()

    def has_room(self, sequence: BlockUser) -> bool:
        """Whether the whole context of one that has no blocks yet fits into those that are free."""
        blocks = count_blocks(sequence.context_tokens)
        if blocks <= self.free_count or sequence.demand.thread is None:
            return blocks <= self.free_count
        kept = self._find_kept(sequence.demand, sequence.context_tokens)
        return blocks - self._cache.count_used(kept) <= self.free_count

    def count_cached(self, demand: Demand) -> int:
        """Tokens of a prompt that would not be computed if it came now."""
        return len(self._find_kept(demand, demand.prompt_tokens)) * KV_BLOCK_TOKENS

    def share_kept(self, sequence: BlockUser) -> None:
        """Let one that has no blocks yet begin with what is kept of its context."""
        kept = self._find_kept(sequence.demand, sequence.context_tokens)
        if not kept:
            return
        self.free_count -= len(kept) - self._cache.count_used(kept)
        self._cache.share(kept)
        sequence.kept = kept
        sequence.blocks = len(kept)
        sequence.computed_tokens = len(kept) * KV_BLOCK_TOKENS
        if not sequence.made_tokens:
            sequence.cached_tokens = sequence.computed_tokens

    def keep_full(self, sequence: BlockUser) -> None:
        """Let others share what a sequence has computed, as far as that fills blocks."""
        thread = sequence.demand.thread
        if thread is not None:
            # From a place that may be too low: what is kept already is not kept twice.
            begin, end = len(sequence.kept), sequence.computed_tokens // KV_BLOCK_TOKENS
            sequence.kept += self._cache.keep(list_names(thread, begin, end))

    def take(self, sequence: BlockUser, count: int) -> None:
        """A sequence gets so many more of the free ones."""
        sequence.blocks += count
        self.free_count -= count
        self._cache.trim(self.free_count)

    def free(self, sequence: BlockUser) -> None:
        """A sequence gives all its blocks back; what fills them stays until they are needed."""
        self.keep_full(sequence)
        shared = len(sequence.kept) - self._cache.release(sequence.kept)
        self.free_count += sequence.blocks - shared
        sequence.kept = []
        sequence.blocks = sequence.computed_tokens = 0

    def _find_kept(self, demand: Demand, context_tokens: int) -> list[BlockName]:
        """The blocks at the beginning of a context that are kept; its last token is not in them."""
        if demand.thread is None:
            return []
        return self._cache.find(demand.thread, (context_tokens - 1) // KV_BLOCK_TOKENS)
