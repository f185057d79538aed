"""An LLM engine with continuous batching, as a machine in virtual time.

It behaves like the scheduler of vLLM (V1). In each iteration

1. every running sequence that decodes computes one token, and one whose prompt is not read yet a
   piece of it, in the order they were admitted, within `max_batched_tokens`;
2. a sequence that needs a KV block when none is free takes the newest one's: that one is preempted,
   forgets what it computed and waits in front of all others;
3. if nobody was preempted, waiting sequences are admitted in order, each as soon as its whole
   context fits into free blocks, while there are tokens left and fewer than `max_num_seqs` run;
   what the cache keeps of the beginning of its context is not computed again.

A sequence whose context has been read to its end makes a token at the end of that iteration.
"""

from collections import deque
from dataclasses import dataclass

from wwwserve.enginemodel.blocks import Blocks, BlockUser
from wwwserve.enginemodel.demands import Demand, EngineLoad, Iteration, SequenceId
from wwwserve.enginemodel.prefix_cache import KV_BLOCK_TOKENS, count_blocks
from wwwserve.enginemodel.profiles import EngineProfile
from wwwserve.enginemodel.timing import IterationWork, compute_iteration_us
from wwwserve.values.moments import NEVER, Moment
from wwwserve.values.refusals import Refusal, Severity

WAITING_MAX = 65_536
"""Sequences that may wait; one more is refused, to be ignored: it may fit later."""


@dataclass(slots=True, eq=False)
class _Plan:
    """The iteration that is being computed."""

    ends: Moment
    span_us: int
    making: list[BlockUser]
    """Sequences that make a token at its end."""
    preempted: tuple[SequenceId, ...]
    sequences: int
    """Those of them that have made one before."""
    context_tokens: int
    """What those read of the cache."""


@dataclass(slots=True, eq=False)
class _Batch:
    """An iteration while it is put together."""

    tokens_left: int
    prefill_tokens: int = 0
    prefill_pairs: float = 0.0
    sequences: int = 0
    context_tokens: int = 0

    def add(self, sequence: BlockUser, tokens: int) -> None:
        """Let a sequence compute `tokens` more of its context."""
        self.tokens_left -= tokens
        if sequence.made_tokens and tokens == 1:
            self.sequences += 1
            self.context_tokens += sequence.computed_tokens
        else:
            self.prefill_tokens += tokens
            self.prefill_pairs += tokens * (sequence.computed_tokens + tokens / 2)
        sequence.computed_tokens += tokens


class BatchingEngine:
    """One engine; `advance` it at its `next_deadline`, late or early does no harm."""

    __slots__ = (
        "_blocks",
        "_clock",
        "_known",
        "_plan",
        "_preemptions",
        "_profile",
        "_running",
        "_waiting",
    )

    def __init__(self, profile: EngineProfile) -> None:
        """An idle engine with an empty cache."""
        self._profile = profile
        self._running: list[BlockUser] = []
        self._waiting: deque[BlockUser] = deque()
        self._known: dict[SequenceId, BlockUser] = {}
        self._blocks = Blocks(self.kv_blocks)
        self._plan: _Plan | None = None
        self._clock = Moment(0)
        self._preemptions = 0

    @property
    def kv_blocks(self) -> int:
        """Blocks of the whole KV cache."""
        return self._profile.kv_capacity_tokens // KV_BLOCK_TOKENS

    @property
    def context_tokens_max(self) -> int:
        """Prompt and answer together that one sequence may have: the whole cache."""
        return self.kv_blocks * KV_BLOCK_TOKENS

    def submit(self, sequence: SequenceId, demand: Demand, now: Moment) -> None:
        """Take a sequence on; it is in the first iteration that begins at `now` or later.

        Raises `Refusal` when it could never fit, or when too many wait.
        """
        assert demand.prompt_tokens > 0, demand
        assert demand.output_tokens > 0, demand
        assert sequence not in self._known, sequence
        total = demand.prompt_tokens + demand.output_tokens
        if total > self.context_tokens_max:
            detail = f"{total} tokens; the KV cache holds {self.context_tokens_max}"
            raise Refusal("enginemodel: context too long", detail)
        if len(self._waiting) >= WAITING_MAX:
            raise Refusal("enginemodel: queue full", f"{WAITING_MAX} wait", Severity.IGNORE)
        taken = self._known[sequence] = BlockUser(sequence, demand, now)
        self._waiting.append(taken)

    def cancel(self, sequence: SequenceId) -> None:
        """Drop a sequence and free its blocks; harmless after its end.

        The iteration being computed takes as long as it would have.
        """
        dropped = self._known.get(sequence)
        if dropped is None:
            return
        if dropped in self._running:
            self._running.remove(dropped)
        else:
            self._waiting.remove(dropped)
        self._retire(dropped)

    def next_deadline(self) -> Moment:
        """When the iteration being computed ends or the next may begin; `NEVER` when idle."""
        if self._plan is not None:
            return self._plan.ends
        if self._running:
            return self._clock
        return max(self._clock, self._waiting[0].arrived) if self._waiting else NEVER

    def find_news(self) -> Moment:
        """An instant before which nobody makes a first or last token, or is preempted.

        It holds until the next `submit` or `cancel`; so whoever wants no more than such news may
        `advance` then. `NEVER` when idle.
        """
        if self._plan is None:
            return self.next_deadline()
        # Contexts only grow, so what follows takes at least as long as what is computed now.
        quiet = self._count_quiet()
        return Moment(self._plan.ends + quiet * self._plan.span_us)

    def advance(self, now: Moment) -> list[Iteration]:
        """Every iteration that ended until `now`, in order; then the next ones have begun."""
        ended: list[Iteration] = []
        while self.next_deadline() <= now:
            if self._plan is None:
                self._plan = self._begin(self.next_deadline())
                continue
            quiet = self._count_quiet() if now - self._plan.ends > self._plan.span_us else 0
            if quiet > 1:
                self._coast(ended, quiet, now)
            else:
                ended.append(self._end(self._plan))
                self._plan = None
        return ended

    def count_made(self, sequence: SequenceId) -> int:
        """Tokens a sequence has made in the iterations that ended; 0 once it is over."""
        known = self._known.get(sequence)
        return 0 if known is None else known.made_tokens

    def count_cached(self, demand: Demand) -> int:
        """Tokens of a prompt that would not be computed if it came now."""
        return self._blocks.count_cached(demand)

    def read_load(self) -> EngineLoad:
        """What it is doing."""
        return EngineLoad(
            running=len(self._running),
            waiting=len(self._waiting),
            kv_blocks_used=self.kv_blocks - self._blocks.free_count,
            kv_blocks=self.kv_blocks,
            preemptions=self._preemptions,
        )

    # -- one iteration -----------------------------------------------------------------------------

    def _begin(self, now: Moment) -> _Plan:
        batch = _Batch(tokens_left=self._profile.max_batched_tokens)
        preempted = self._continue_running(batch)
        if not preempted:
            self._admit_waiting(batch, now)
        work = IterationWork(
            batch.prefill_tokens, batch.prefill_pairs, batch.sequences, batch.context_tokens
        )
        span_us = compute_iteration_us(self._profile.iteration_model, work)
        making = [one for one in self._running if one.computed_tokens == one.context_tokens]
        return _Plan(
            Moment(now + span_us),
            span_us,
            making,
            tuple(preempted),
            batch.sequences,
            batch.context_tokens,
        )

    def _continue_running(self, batch: _Batch) -> list[SequenceId]:
        """Let running sequences compute, oldest first; gives those that were preempted for it."""
        preempted: list[SequenceId] = []
        index = 0
        # The list shrinks at its end when the newest is preempted.
        while index < len(self._running) and batch.tokens_left:
            sequence = self._running[index]
            tokens = min(sequence.context_tokens - sequence.computed_tokens, batch.tokens_left)
            needed = sequence.computed_tokens + tokens
            has_room = needed <= sequence.blocks * KV_BLOCK_TOKENS
            if has_room or self._make_room(sequence, needed, preempted):
                batch.add(sequence, tokens)
            index += 1
        return preempted

    def _make_room(self, sequence: BlockUser, tokens: int, preempted: list[SequenceId]) -> bool:
        """Give a running sequence blocks for `tokens`; False when it was itself the newest."""
        missing = count_blocks(tokens) - sequence.blocks
        while missing > self._blocks.free_count:
            newest = self._running[-1]
            self._preempt(newest)
            preempted.append(newest.name)
            if newest is sequence:
                return False
        self._blocks.take(sequence, missing)
        return True

    def _admit_waiting(self, batch: _Batch, now: Moment) -> None:
        while self._waiting and batch.tokens_left:
            sequence = self._waiting[0]
            is_full = len(self._running) >= self._profile.max_num_seqs
            if is_full or not self._blocks.has_room(sequence) or sequence.arrived > now:
                return
            self._running.append(self._waiting.popleft())
            self._blocks.share_kept(sequence)
            self._blocks.take(sequence, count_blocks(sequence.context_tokens) - sequence.blocks)
            missing = sequence.context_tokens - sequence.computed_tokens
            batch.add(sequence, min(missing, batch.tokens_left))

    def _end(self, plan: _Plan) -> Iteration:
        self._clock = plan.ends
        first: list[SequenceId] = []
        cached: list[int] = []
        further: list[SequenceId] = []
        finished: list[SequenceId] = []
        for sequence in plan.making:
            if not sequence.is_alive:
                continue
            if sequence.made_tokens:
                further.append(sequence.name)
            else:
                first.append(sequence.name)
                cached.append(sequence.cached_tokens)
                self._blocks.keep_full(sequence)
            sequence.made_tokens += 1
            if sequence.made_tokens == sequence.demand.output_tokens:
                finished.append(sequence.name)
                self._retire(sequence)
        if finished:
            self._running = [one for one in self._running if one.is_alive]
        return Iteration(
            plan.ends,
            tuple(first),
            tuple(further),
            tuple(finished),
            plan.preempted,
            tuple(cached),
        )

    # -- many iterations alike ---------------------------------------------------------------------

    def _count_quiet(self) -> int:
        """How many iterations, the one being computed included, only make a token for each."""
        plan, running = self._plan, self._running
        assert plan is not None
        if not plan.sequences == len(plan.making) == len(running) or self._may_admit():
            return 0
        if not running:
            return 0
        # In so many tokens nobody needs more new blocks than there are for each.
        roomy = self._blocks.free_count // len(running) * KV_BLOCK_TOKENS
        return min(roomy, *(one.demand.output_tokens - one.made_tokens - 1 for one in running))

    def _may_admit(self) -> bool:
        """Whether who waits first would be admitted with the blocks that are free now."""
        if not self._waiting or len(self._running) >= self._profile.max_num_seqs:
            return False
        return self._blocks.has_room(self._waiting[0])

    def _coast(self, ended: list[Iteration], quiet: int, now: Moment) -> None:
        """End up to `quiet` iterations by `now`, counting once what is alike in all of them.

        The last one is left as the one being computed, so that it ends like any other.
        """
        plan = self._plan
        assert plan is not None
        further = tuple(one.name for one in plan.making)
        preempted, done = plan.preempted, 0
        ends, span_us, context = plan.ends, plan.span_us, plan.context_tokens
        while done < quiet - 1 and ends <= now:
            ended.append(Iteration(ends, (), further, (), preempted))
            preempted, done = (), done + 1
            context += plan.sequences
            work = IterationWork(0, 0.0, plan.sequences, context)
            span_us = compute_iteration_us(self._profile.iteration_model, work)
            ends = Moment(ends + span_us)
        for sequence in plan.making:
            sequence.made_tokens += done
            sequence.computed_tokens += done
            missing = count_blocks(sequence.computed_tokens) - sequence.blocks
            if missing > 0:
                self._blocks.take(sequence, missing)
        self._clock = Moment(ends - span_us)
        self._plan = _Plan(ends, span_us, plan.making, preempted, plan.sequences, context)

    def _preempt(self, sequence: BlockUser) -> None:
        self._running.remove(sequence)
        self._blocks.free(sequence)
        self._waiting.appendleft(sequence)
        self._preemptions += 1

    def _retire(self, sequence: BlockUser) -> None:
        sequence.is_alive = False
        self._blocks.free(sequence)
        del self._known[sequence.name]
