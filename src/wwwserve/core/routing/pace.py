"""How long an engine's iterations take, learned from how fast its answers come.

An engine that computes its runs together makes a token for each of them in an iteration. What an
iteration takes is assumed to be

    base + sequences * each + context * reading + prompt tokens read in it * prefill

which is what engines of all kinds come near to, batching ones (where `reading` matters most) and
those that share themselves out (where `each` does). The four are fitted to what was measured, by
least squares in which older samples fade. Measurements of one steady load cannot tell the four
apart: a usual engine, made as slow as this one, fills in what they leave open.
"""

from collections.abc import Sequence

import msgspec

OVERHEAD_COLD_US = 10_000
"""Before any run: an iteration of an engine with nothing to read, 100 tokens a second. A stranger
is given the benefit of the doubt: one that seemed slow would never be tried, and its first run
corrects it."""
ITERATION_MIN_US = 1.0
"""No engine is quicker; what seems to be, was told of later than it happened."""
BATCHING_SLOTS_MIN = 16
"""An engine that takes so many at once computes them together: shared out, its speed would be of
use to nobody."""
_EACH_BATCHING = 1 / 256
"""What a sequence more costs such an engine, of its base."""
_EACH_SHARING = 1 / 2
"""The same of others: half-way between batching for free and sharing in proportion."""
_READING = 1e-5
"""What a token of context costs, of the base: usual for a GPU."""
_PREFILL = 1 / 100
"""What a token of a prompt costs, of the base: usual for a GPU as well."""

_FADING = 1 - 1 / 256
"""What a sample counts for after each further one: half a second of a busy engine each, so that
an engine's last two minutes count most."""
_ASSUMED_SAMPLES = 2.0
"""Samples of usual loads that the usual engine counts for."""
_USUAL = (1.0, 16.0, 16_384.0, 128.0)
"""Such a load: iterations, sequences, context, prompt tokens in an iteration."""
_OUTLIER = 4.0
"""A sample of more than so many times what was expected counts as so many times that,"""
_OUTLIER_FROM = 8
"""once so many samples say what is to be expected."""
_UNFITTED_MAX = 16
"""Samples after which the pace is looked at anew at the latest."""
_PIVOT_MIN = 1e-9

Features = tuple[float, float, float, float]
"""Of a span: its iterations, those times sequences, those times context, and prompt tokens."""


class LearnedPace(msgspec.Struct, frozen=True):
    """One engine's pace, in microseconds; a `Pace` for forecasts."""

    base_us: float
    each_us: float
    context_us: float
    prefill_us: float

    def get_base_us(self, sequences: int) -> float:
        """See `Pace`."""
        return self.base_us + self.each_us * sequences

    def compute_prefill_us(self, tokens: int, cached_tokens: int = 0) -> float:
        """See `Pace`."""
        return self.prefill_us * max(tokens - cached_tokens, 0)

    def compute_span_us(self, features: Features) -> float:
        """What a span with these features takes."""
        iterations, sequences, context, prompt = features
        return (
            self.base_us * iterations
            + self.each_us * sequences
            + self.context_us * context
            + self.prefill_us * prompt
        )


class PaceLearner:
    """The pace of one model on one engine, as far as it is known."""

    __slots__ = ("_matrix", "_pace", "_samples", "_shape", "_unfitted", "_vector")

    def __init__(self, slots: int) -> None:
        """`slots` tells whether the engine computes its runs together or shares itself out."""
        each = _EACH_BATCHING if slots >= BATCHING_SLOTS_MIN else _EACH_SHARING
        self._shape = (1.0, each, _READING, _PREFILL)
        """The four of a usual engine whose base is 1."""
        self._matrix = [[0.0] * 4 for _ in range(4)]
        self._vector = [0.0] * 4
        """What least squares need of all samples: their products, faded."""
        self._samples = 0
        self._pace: LearnedPace | None = None
        self._unfitted = 0
        """Samples that came since."""

    def learn(self, features: Features, span_us: float, weight: float) -> None:
        """A span with these features took so long; `weight` 1 is one iteration well measured."""
        if self._samples >= _OUTLIER_FROM:
            span_us = min(span_us, _OUTLIER * self.get().compute_span_us(features))
        self._samples += 1
        for row, one in enumerate(features):
            cells = self._matrix[row]
            for column, other in enumerate(features):
                cells[column] = cells[column] * _FADING + weight * one * other
            self._vector[row] = self._vector[row] * _FADING + weight * one * span_us
        self._unfitted += 1

    def get(self) -> LearnedPace:
        """What is known by now; one sample of many changes too little to be looked at by itself."""
        if self._pace is None or self._unfitted > min(self._samples // 8, _UNFITTED_MAX):
            base_us, *others = self._fit()
            self._pace = LearnedPace(max(base_us, ITERATION_MIN_US), *others)
            self._unfitted = 0
        return self._pace

    def _fit(self) -> Sequence[float]:
        """The four that fit the samples best; none of them is below nothing."""
        shape = self._shape
        fitted = sum(one * other for one, other in zip(shape, self._vector, strict=True))
        squares = sum(
            shape[row] * shape[column] * self._matrix[row][column]
            for row in range(4)
            for column in range(4)
        )
        scale_us = (fitted + OVERHEAD_COLD_US * _PIVOT_MIN) / (squares + _PIVOT_MIN)
        matrix = [cells.copy() for cells in self._matrix]
        vector = self._vector.copy()
        for place, usual in enumerate(_USUAL):
            strength = _ASSUMED_SAMPLES * usual * usual
            matrix[place][place] += strength
            vector[place] += strength * shape[place] * scale_us
        used = [0, 1, 2, 3]
        while True:
            found = _solve(matrix, vector, used)
            least = min(used, key=lambda place: found[place])
            if found[least] >= 0:
                return found
            used.remove(least)


def _solve(matrix: list[list[float]], vector: list[float], used: list[int]) -> list[float]:
    """Solve for some of the unknowns, the others being nothing.

    The matrix is symmetric and positive, so that no pivot has to be looked for.
    """
    rows = [[matrix[row][column] for column in used] + [vector[row]] for row in used]
    size = len(rows)
    for place in range(size):
        pivot = rows[place]
        for row in rows[place + 1 :]:
            factor = row[place] / pivot[place]
            for column in range(place, size + 1):
                row[column] -= factor * pivot[column]
    found = [0.0] * len(vector)
    for place in reversed(range(size)):
        row = rows[place]
        known = sum(row[column] * found[used[column]] for column in range(place + 1, size))
        found[used[place]] = (row[size] - known) / row[place]
    return found
