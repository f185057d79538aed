"""How long an answer may become: learned from the answers that are whole, by client and by model.

Users differ far more than requests do: one client's answers are alike. So an origin predicts by
the client, helped by all answers of the model while its own are few, and of an answer that is
being made, by those that became longer. An executor does not see the client. It goes by what the
origin says, which is put right by how long that origin's answers became for what it had said of
them: whoever says too little is soon taken for somebody who does.
"""

from bisect import bisect_right, insort
from collections import OrderedDict, deque
from dataclasses import dataclass
from itertools import accumulate

from wwwserve.values.ids import NodeId
from wwwserve.values.limits import MEMBERS_MAX
from wwwserve.values.model_names import ModelId

COMPLETION_COLD_TOKENS = 256
"""Before any answer: the length of a chat answer."""
CLIENT_ANSWERS_KEPT = 64
MODEL_ANSWERS_KEPT = 1_024
"""Answers remembered; older ones fade. What a node that empties answers last is what takes longest,
and would be taken for the usual, so that of a model many are kept."""
CLIENTS_LEARNED_MAX = 1_024
"""Clients of a model with lengths of their own; the longest unused makes room."""
MODELS_COUNTED_MAX = 256
"""Models with lengths of their own; the longest unused makes room."""
ENOUGH_ANSWERS = 8
"""Answers of a client, or to an asker, from which they alone are believed. One alone may be thirty
times as long as is usual: whoever were judged by it would get nothing more to do, and could never
show that it was an odd one."""

STATED_BELIEVED = 2
"""Short answers that anybody is taken to have stated rightly, whatever came of the others."""
_STATED_SHIFT = 4
"""What an asker stated counts less by a sixteenth with each further answer."""
_USUAL_SHIFT = 6
"""What is usual fades by a sixty-fourth with each further answer."""
_RATIO_MAX = 16.0


class Sample:
    """The last so many lengths, and the mean of those above a bound."""

    __slots__ = ("_recent", "_sorted", "_sums")

    def __init__(self, kept: int) -> None:
        self._recent: deque[int] = deque(maxlen=kept)
        self._sorted: list[int] = []
        self._sums: list[int] | None = None
        """Of the lengths from each place on; None = not added up since the last one came."""

    def add(self, tokens: int) -> None:
        """One more length."""
        if len(self._recent) == self._recent.maxlen:
            self._sorted.pop(bisect_right(self._sorted, self._recent[0]) - 1)
        self._recent.append(tokens)
        insort(self._sorted, tokens)
        self._sums = None

    def sum_above(self, bound: int) -> tuple[int, int]:
        """How many are longer, and what they add up to."""
        if self._sums is None:
            self._sums = list(accumulate(reversed(self._sorted), initial=0))
        longer = len(self._sorted) - bisect_right(self._sorted, bound)
        return longer, self._sums[longer]


class Lengths:
    """The lengths of the answers of each client and model that this node has seen whole."""

    def __init__(self) -> None:
        self._models: OrderedDict[ModelId, Sample] = OrderedDict()
        self._clients: OrderedDict[tuple[str, ModelId], Sample] = OrderedDict()

    def learn(self, client: str, model: ModelId, tokens: int) -> None:
        """An answer was so long; without a client's name it says something of the model alone."""
        if tokens <= 0:
            return
        if model not in self._models:
            self._models[model] = Sample(MODEL_ANSWERS_KEPT)
        self._models.move_to_end(model)
        self._models[model].add(tokens)
        if len(self._models) > MODELS_COUNTED_MAX:
            self._models.popitem(last=False)
        if not client:
            return
        key = client, model
        if key not in self._clients:
            self._clients[key] = Sample(CLIENT_ANSWERS_KEPT)
        self._clients.move_to_end(key)
        self._clients[key].add(tokens)
        if len(self._clients) > CLIENTS_LEARNED_MAX:
            self._clients.popitem(last=False)

    def is_known(self, model: ModelId) -> bool:
        """Whether any answer of a model was seen, so that something can be said of the next."""
        return model in self._models

    def predict(self, client: str, model: ModelId, made_tokens: int = 0) -> float:
        """Tokens of a whole answer of which so many are made; more than those."""
        own = self._clients.get((client, model))
        if own is None:
            return max(self._predict_usual(model, made_tokens), 1.1 * made_tokens + 1)
        count, total = own.sum_above(made_tokens)
        missing, total_of_all = max(0, ENOUGH_ANSWERS - count), 0.0
        if missing:
            total_of_all = missing * self._predict_usual(model, made_tokens)
        return max((total + total_of_all) / (count + missing), 1.1 * made_tokens + 1)

    def _predict_usual(self, model: ModelId, made_tokens: int) -> float:
        known = self._models.get(model)
        count, total = known.sum_above(made_tokens) if known is not None else (0, 0)
        assumed = max(COMPLETION_COLD_TOKENS, 2 * made_tokens)
        return (total + assumed) / (count + 1)


@dataclass(slots=True)
class _Record:
    """What an asker said of its answers, and what they came to; these two fade alike."""

    answers: int = 0
    stated: float = 0.0
    actual: float = 0.0


class Statements:
    """How far other nodes' words about their answers' lengths are to be believed."""

    def __init__(self) -> None:
        self._records: OrderedDict[NodeId, _Record] = OrderedDict()
        self._answers = 0.0
        self._tokens = 0.0
        """Answers to all askers, and what they came to; both fade alike."""

    def learn(self, asker: NodeId, stated: float, actual: int) -> None:
        """An answer that was to have so many tokens came to so many."""
        record = self._records.get(asker)
        if record is None:
            record = self._records[asker] = _Record()
            if len(self._records) > MEMBERS_MAX:
                self._records.popitem(last=False)
        self._records.move_to_end(asker)
        record.answers += 1
        record.stated += stated - record.stated / (1 << _STATED_SHIFT)
        record.actual += actual - record.actual / (1 << _STATED_SHIFT)
        self._answers += 1 - self._answers / (1 << _USUAL_SHIFT)
        self._tokens += actual - self._tokens / (1 << _USUAL_SHIFT)

    def correct(self, asker: NodeId, stated: float) -> float:
        """What an answer of which so much is said will come to, going by the asker's record."""
        record = self._records.get(asker)
        if record is None:
            return stated
        missing = max(ENOUGH_ANSWERS - record.answers, 0)
        credit = STATED_BELIEVED * COMPLETION_COLD_TOKENS + missing * self._tokens / self._answers
        ratio = (record.actual + credit) / (record.stated + credit)
        return stated * max(1 / _RATIO_MAX, min(ratio, _RATIO_MAX))


def predict_stated(stated: float, made_tokens: int) -> float:
    """Tokens of a whole answer of which `stated` were expected and so many are made.

    The longer an answer has become, the longer it may still go on: one that is as long as was
    expected has half of that to come, as of the answers of one client a half is longer than usual.
    """
    return max(stated, made_tokens + max(made_tokens / 2, 1))
