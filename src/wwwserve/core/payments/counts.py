"""How many tokens a prompt or an answer is: learned by model, to pay by and to check others by.

What own engines say of prompts is believed; what other nodes say only where no own engine has told
anything. Everything fades, so that a new tokenizer under an old name is soon known.
"""

from dataclasses import dataclass
from typing import Final, TypeVar

from wwwserve.values.ids import NodeId
from wwwserve.values.model_names import ModelId

MODELS_COUNTED_MAX: Final = 256
"""Models whose tokens are measured; of more, the one longest unheard of is forgotten."""
EXECUTORS_COUNTED_MAX: Final = 1_024
"""The same for executors of models."""
BYTES_PER_TOKEN_MIN: Final = 1
"""A prompt with more tokens than bytes is a lie or a picture, and teaches nothing."""
BYTES_PER_TOKEN_MAX: Final = 16
"""One with fewer has something in it that is no text, and teaches nothing."""
BODY_BYTES_LEARNED_MIN: Final = 512
"""In shorter bodies there is more JSON than prompt."""
MEMORY_TOKENS: Final = 65_536
"""What is remembered of a model's tokens; older ones count half, a fourth ..."""
LENGTH_PRIOR_TOKENS: Final = 512
"""An answer's length where nothing was measured."""
REQUESTS_COMPARED_MIN: Final = 50
"""Requests after which an executor's counts are compared."""
DIFFERENCE_PERMILLE_MAX: Final = 150
"""How far its bytes per token may be off those of the others."""
PERMILLE_MIN: Final = 50
"""No executor is taken to count more than twenty times as many tokens as others."""
_Key = TypeVar("_Key")
_PERMILLE: Final = 1_000
_LENGTH_SHARE: Final = 16
_SHORTFALL_PERMILLE: Final = 1_414


@dataclass(slots=True)
class _Ratio:
    """Bytes and the tokens they were."""

    counted_bytes: int = 0
    tokens: int = 0
    requests: int = 0
    permille: int = _PERMILLE
    """Of an executor: its bytes per token in thousandths of the others', at most these."""

    def learn(self, counted_bytes: int, tokens: int) -> None:
        self.counted_bytes += counted_bytes
        self.tokens += tokens
        self.requests += 1
        if self.tokens > MEMORY_TOKENS:
            self.counted_bytes //= 2
            self.tokens //= 2

    def count(self, counted_bytes: int) -> int:
        return -(-counted_bytes * self.tokens // max(self.counted_bytes, 1))


class PromptCounts:
    """How many tokens a prompt is, by its bytes."""

    def __init__(self) -> None:
        self._own: dict[ModelId, _Ratio] = {}
        self._told: dict[ModelId, _Ratio] = {}

    def learn(self, model: ModelId, body_bytes: int, prompt_tokens: int, *, is_own: bool) -> None:
        """What an engine, this node's or another's, counted in a body."""
        if body_bytes < BODY_BYTES_LEARNED_MIN:
            return
        if prompt_tokens * BYTES_PER_TOKEN_MIN <= body_bytes <= prompt_tokens * BYTES_PER_TOKEN_MAX:
            table = self._own if is_own else self._told
            _refresh(table, model, MODELS_COUNTED_MAX).learn(body_bytes, prompt_tokens)

    def note_shortfall(self, model: ModelId, body_bytes: int, counted_tokens: int) -> None:
        """An executor would not take a count: the next one of this model is a step higher."""
        if model not in self._own:
            tokens = counted_tokens * _SHORTFALL_PERMILLE // _PERMILLE
            self.learn(model, body_bytes, tokens, is_own=False)

    def count(self, model: ModelId, body_bytes: int, estimate: int) -> int:
        """A prompt's tokens; where nothing was measured, the estimate from its text."""
        ratio = self._own.get(model) or self._told.get(model)
        return ratio.count(body_bytes) if ratio is not None else estimate

    def check(self, model: ModelId, body_bytes: int) -> int | None:
        """What own engines would count; None if they have not told."""
        ratio = self._own.get(model)
        return ratio.count(body_bytes) if ratio is not None else None


class AnswerLengths:
    """How long answers of a model are, from those seen."""

    def __init__(self) -> None:
        self._lengths: dict[ModelId, int] = {}
        """Moving means, in tokens."""

    def learn(self, model: ModelId, completion_tokens: int) -> None:
        """An answer ended."""
        known = self._lengths.pop(model, None)
        if known is None:
            if len(self._lengths) >= MODELS_COUNTED_MAX:
                del self._lengths[next(iter(self._lengths))]
            known = completion_tokens
        self._lengths[model] = known + (completion_tokens - known) // _LENGTH_SHARE

    def find(self, model: ModelId) -> int | None:
        """The expected length; None if nothing was seen."""
        return self._lengths.get(model)


@dataclass(frozen=True, slots=True)
class CountsDiffer:
    """An executor's tokens have other sizes than those of others with the same model."""

    executor: NodeId
    model: ModelId
    permille: int
    """Its bytes per token, in thousandths of theirs: below 1 000 it counts more tokens."""


class CompletionCounts:
    """Compares what executors of one model call a token."""

    def __init__(self) -> None:
        self._ratios: dict[tuple[ModelId, NodeId], _Ratio] = {}
        self._noted: dict[tuple[ModelId, NodeId], None] = {}

    def learn(
        self, model: ModelId, executor: NodeId, text_bytes: int, tokens: int
    ) -> CountsDiffer | None:
        """An answer arrived; answers with what is to be known of its executor, once."""
        if tokens <= 0 or text_bytes <= 0:
            return None
        place = (model, executor)
        ratio = _refresh(self._ratios, place, EXECUTORS_COUNTED_MAX)
        ratio.learn(text_bytes, tokens)
        permille = self._compare(place, ratio)
        ratio.permille = min(max(permille or _PERMILLE, PERMILLE_MIN), _PERMILLE)
        if permille is None or abs(permille - _PERMILLE) <= DIFFERENCE_PERMILLE_MAX:
            self._noted.pop(place, None)
            return None
        if place in self._noted:
            return None
        while len(self._noted) >= EXECUTORS_COUNTED_MAX:
            del self._noted[next(iter(self._noted))]
        self._noted[place] = None
        return CountsDiffer(executor, model, permille)

    def convert(self, model: ModelId, executor: NodeId, tokens: int) -> int:
        """What an executor would count as so many tokens, as far as it was compared with others.

        So who states a fifth more of them is a fifth dearer, at whatever price.
        """
        ratio = self._ratios.get((model, executor))
        return tokens if ratio is None else tokens * _PERMILLE // ratio.permille

    def _compare(self, place: tuple[ModelId, NodeId], ratio: _Ratio) -> int | None:
        """An executor's bytes per token in thousandths of the others'; None if it is too early."""
        if ratio.requests < REQUESTS_COMPARED_MIN:
            return None
        others = _Ratio()
        for other, known in self._ratios.items():
            if other[0] == place[0] and other != place:
                others.counted_bytes += known.counted_bytes
                others.tokens += known.tokens
                others.requests += known.requests
        if others.requests < REQUESTS_COMPARED_MIN:
            return None
        return (
            _PERMILLE * ratio.counted_bytes * others.tokens // (ratio.tokens * others.counted_bytes)
        )


def count_completion(stated_tokens: int, text_bytes: int | None) -> int:
    """The completion tokens that are paid for: as stated, but none without a byte of its own.

    Both sides count so, or what one holds back would be a debt to the other. None: not known.
    """
    return stated_tokens if text_bytes is None else min(stated_tokens, text_bytes)


def _refresh(table: dict[_Key, _Ratio], key: _Key, entries_max: int) -> _Ratio:
    """An entry, now the one heard of last."""
    ratio = table.pop(key, None) or _Ratio()
    if len(table) >= entries_max:
        del table[next(iter(table))]
    table[key] = ratio
    return ratio
