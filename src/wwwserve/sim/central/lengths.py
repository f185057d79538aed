"""How long an answer may become: learned online from the answers that are whole.

| knowledge | of a client's next answer it says | of one that has made some tokens |
|---|---|---|
| `MeanLengths` | the mean of all answers so far | the same, or a little more than was made |
| `ClientLengths` | the mean of its own, helped by all while they are few | the longer ones' mean |
| `TrueLengths` | the truth | the truth |
"""

from typing import Protocol

from wwwserve.core.routing import Sample
from wwwserve.sim.jobs import Job

COLD_TOKENS = 256
"""Before any answer: the length of a chat answer, as a peer assumes it."""
KEPT_OF_CLIENT = 64
KEPT_OF_ALL = 1_024
"""Answers remembered; older ones fade."""
CLIENTS_MAX = 4_096
"""Clients with lengths of their own; the longest known makes room."""
_ENOUGH = 8
"""Answers of a client from which they alone are believed."""


class Lengths(Protocol):
    """What is expected of answers."""

    def learn(self, job: Job, tokens: int) -> None:
        """An answer was so long."""
        ...

    def predict(self, job: Job, made_tokens: int) -> float:
        """Tokens of a whole answer of which so many are made; more than those."""
        ...


class MeanLengths:
    """One mean for all."""

    def __init__(self) -> None:
        self._all = Sample(KEPT_OF_ALL)

    def learn(self, job: Job, tokens: int) -> None:
        """See `Lengths`."""
        assert job.number >= 0, job
        self._all.add(tokens)

    def predict(self, job: Job, made_tokens: int) -> float:
        """See `Lengths`."""
        count, total = self._all.sum_above(0)
        mean = (total + _ENOUGH * COLD_TOKENS) / (count + _ENOUGH)
        return _bound(mean, job, made_tokens)


class ClientLengths:
    """Each client's own mean, of the answers longer than what is made."""

    def __init__(self) -> None:
        self._all = Sample(KEPT_OF_ALL)
        self._clients: dict[str, Sample] = {}

    def learn(self, job: Job, tokens: int) -> None:
        """See `Lengths`."""
        self._all.add(tokens)
        if not job.client:
            return
        if job.client not in self._clients:
            if len(self._clients) >= CLIENTS_MAX:
                del self._clients[next(iter(self._clients))]
            self._clients[job.client] = Sample(KEPT_OF_CLIENT)
        self._clients[job.client].add(tokens)

    def predict(self, job: Job, made_tokens: int) -> float:
        """See `Lengths`."""
        count, total = self._all.sum_above(made_tokens)
        cold = max(COLD_TOKENS, 2 * made_tokens)
        usual = (total + cold) / (count + 1)
        own = self._clients.get(job.client)
        if own is None:
            return _bound(usual, job, made_tokens)
        count, total = own.sum_above(made_tokens)
        missing = max(0, _ENOUGH - count)
        return _bound((total + missing * usual) / (count + missing), job, made_tokens)


class TrueLengths:
    """Knows."""

    def learn(self, job: Job, tokens: int) -> None:
        """See `Lengths`; there is nothing to learn."""
        assert tokens <= job.truth.output_tokens, job

    def predict(self, job: Job, made_tokens: int) -> float:
        """See `Lengths`."""
        assert made_tokens <= job.truth.output_tokens, job
        return job.truth.output_tokens


def _bound(expected: float, job: Job, made_tokens: int) -> float:
    """At least what is made and a little, at most what is allowed."""
    tokens = max(expected, 1.1 * made_tokens + 1)
    return min(tokens, job.tokens_max) if job.tokens_max else tokens
