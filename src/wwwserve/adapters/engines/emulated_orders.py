"""What a request asks of an emulated engine: how many tokens of prompt, how many of answer.

A token is a word, or one number of a prompt given in numbers. An answer is as long as

1. `max_completion_tokens` or `max_tokens` say, when `ignore_eos` is true (as in vLLM);
2. otherwise as `answer_tokens` says, at most those limits. Only emulated engines know the field: it
   is how a trace tells what its users did not, the length of an answer;
3. otherwise as long as is drawn from the engine's seed and the prompt, at least `min_tokens`, at
   most those limits. The same prompt and seed always give the same length.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import exp, log
from statistics import NormalDist
from typing import Annotated

import msgspec

from wwwserve.adapters.engines.mock_answers import CHOICES_MAX, Answer, count_tokens, plan_answer
from wwwserve.core.entropy import Entropy
from wwwserve.enginemodel import Demand
from wwwserve.values.limits import TOKENS_MAX
from wwwserve.wire import Endpoint

OUTPUT_TOKENS_MEDIAN = 128
OUTPUT_TOKENS_SPREAD = 0.9
"""Lengths are log-normal with this median and spread: a mean of 190 and a 95th percentile of 560,
about as in public traces of conversations."""
OUTPUT_TOKENS_MAX = 4_096
"""The longest length that is drawn."""

_DRAW_BOUND = 2**32
_PROMPT_FIELDS = {
    Endpoint.CHAT: "messages",
    Endpoint.COMPLETIONS: "prompt",
    Endpoint.EMBEDDINGS: "input",
}

Count = Annotated[int, msgspec.Meta(ge=1, le=TOKENS_MAX)]


class _Wishes(msgspec.Struct, frozen=True):
    """The fields of a request that decide what it costs."""

    model: str | None = None
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    min_tokens: Annotated[int, msgspec.Meta(ge=0, le=TOKENS_MAX)] = 0
    answer_tokens: Count | None = None
    ignore_eos: bool = False
    stream: bool | None = None
    n: Annotated[int, msgspec.Meta(ge=1, le=CHOICES_MAX)] | None = None

    @property
    def limit(self) -> int | None:
        """The longest answer its user allows."""
        return self.max_completion_tokens or self.max_tokens


@dataclass(frozen=True, slots=True)
class Order:
    """One request as the engine sees it."""

    fields: Mapping[str, object]
    is_stream: bool
    answer: Answer | None
    """What will be said; None where nothing is said, but embedded."""
    demands: tuple[Demand, ...]
    """One for each choice."""


@dataclass(eq=False)
class WrongRequest(Exception):
    """A request this engine refuses, as vLLM would."""

    status: int
    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class OrderDesk:
    """Reads the requests of one engine."""

    model: str
    context_tokens: int
    """Prompt and answer of one request."""
    seed: int

    def read(self, endpoint: Endpoint, body: bytes) -> Order:
        """What a body asks for; raises `WrongRequest`."""
        try:
            given_fields = msgspec.json.decode(body, type=dict[str, object])
            wishes = msgspec.convert(given_fields, _Wishes)
        except (ValueError, RecursionError) as error:
            raise WrongRequest(400, "BadRequestError", str(error)) from error
        if wishes.model not in {None, self.model}:
            message = f"The model `{wishes.model}` does not exist; this is `{self.model}`."
            raise WrongRequest(404, "NotFoundError", message)
        fields = given_fields | {"model": self.model}
        given = fields.get(_PROMPT_FIELDS[endpoint])
        if not given or not isinstance(given, list | str):
            message = f"{_PROMPT_FIELDS[endpoint]}: expected, and not empty"
            raise WrongRequest(400, "BadRequestError", message)
        if endpoint is Endpoint.EMBEDDINGS:
            return self._order_embeddings(fields, given)
        return self._order_answer(endpoint, fields, wishes)

    def _order_embeddings(self, fields: Mapping[str, object], given: list[object] | str) -> Order:
        texts = given if isinstance(given, list) and not isinstance(given[0], int) else [given]
        demands = tuple(Demand(max(1, count_tokens(text)), 1) for text in texts)
        self._check_room(max(demand.prompt_tokens for demand in demands), 1)
        return Order(fields, is_stream=False, answer=None, demands=demands)

    def _order_answer(
        self, endpoint: Endpoint, fields: Mapping[str, object], wishes: _Wishes
    ) -> Order:
        bare = plan_answer(endpoint, fields, tokens=1)
        prompts = bare.choices // (wishes.n or 1) or 1
        prompt_tokens = max(1, -(-bare.prompt_tokens // prompts))
        self._check_room(prompt_tokens, wishes.limit or 1)
        room = self.context_tokens - prompt_tokens
        limit = min(room, wishes.limit or room)
        drawn = wishes.answer_tokens or max(
            wishes.min_tokens, draw_output_tokens(self.seed, fields)
        )
        length = limit if wishes.ignore_eos else min(drawn, limit)
        planned = plan_answer(endpoint, fields, tokens=length)
        answer = replace(
            planned,
            identifier=planned.identifier.replace("mock", "emulated"),
            is_cut=wishes.ignore_eos or drawn > limit,
            echo={},
        )
        said = 1 if answer.tool else length
        demands = (Demand(prompt_tokens, said),) * answer.choices
        return Order(fields, wishes.stream is True, answer, demands)

    def _check_room(self, prompt_tokens: int, output_tokens: int) -> None:
        if prompt_tokens + output_tokens <= self.context_tokens:
            return
        message = (
            f"This model's maximum context length is {self.context_tokens} tokens. However, you "
            f"requested {output_tokens} output tokens and your prompt contains {prompt_tokens}."
        )
        raise WrongRequest(400, "BadRequestError", message)


def draw_output_tokens(seed: int, fields: Mapping[str, object]) -> int:
    """How long the answer to this prompt is when nothing cuts it."""
    said = [fields.get("messages") or fields.get("prompt"), fields.get("seed")]
    digest = hashlib.sha256(msgspec.json.encode(said)).digest()
    draw = Entropy(f"output tokens {seed}".encode() + digest).below(_DRAW_BOUND)
    share = (draw + 0.5) / _DRAW_BOUND
    spread = NormalDist(log(OUTPUT_TOKENS_MEDIAN), OUTPUT_TOKENS_SPREAD)
    return min(OUTPUT_TOKENS_MAX, max(1, round(exp(spread.inv_cdf(share)))))
