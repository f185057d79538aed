"""A node's numbers for Prometheus: what happened is counted here, what is now is read when asked.

Names of our own begin with `wwwserve_` and carry their units. The latencies of own users' requests
have the names, buckets and attributes of OpenTelemetry's conventions for generative AI
(opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics), so that dashboards made for other
servers fit. No label names a peer or a user, and there are only so many models: a page stays small
however long the node runs and whoever talks to it. docs/guides/operating.md lists all names.
"""

from dataclasses import dataclass
from typing import assert_never

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

from wwwserve.core.deciding import PolicyFact
from wwwserve.core.facts import (
    AttemptFailed,
    AttemptStarted,
    EngineChanged,
    Fact,
    FactsDropped,
    ForkProved,
    LedgerBegun,
    LinkChanged,
    MemberChanged,
    OpeningChanged,
    PeerRefused,
    RequestFinished,
    RequestQueued,
    RequestReceived,
    StartReason,
    TokenCountsDiffer,
    WorkDeclined,
    WorkFinished,
    WorkStarted,
)
from wwwserve.core.ledger_facts import LedgerFact
from wwwserve.values.ids import NodeId
from wwwserve.values.moments import SECOND
from wwwserve.wire import Endpoint

MODEL_LABELS_MAX = 64
"""Models with numbers of their own, first come; all others share `OTHER_MODELS`."""
OTHER_MODELS = "other"
ANSWERED = "answered"
"""The outcome of what went well; any other is an error's code."""

# Buckets of the conventions named above, in seconds.
_DURATION_BUCKETS = (
    *(0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64),
    *(1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92),
)
_FIRST_TOKEN_BUCKETS = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1),
    *(0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
)
_PER_TOKEN_BUCKETS = (*(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5),)
_ATTRIBUTES = ("gen_ai_operation_name", "gen_ai_request_model", "wwwserve_route")
_OPERATIONS = {
    Endpoint.CHAT: "chat",
    Endpoint.COMPLETIONS: "text_completion",
    Endpoint.EMBEDDINGS: "embeddings",
}
_ROUTE_NONE = "none"
"""It ran nowhere."""

# When a number began to count is the node's start: one line more for each would tell nothing.
disable_created_metrics()  # type: ignore[no-untyped-call]


class NodeMetrics:
    """Counts what a node reports. Ask `registry` for the numbers at any time, in any thread."""

    def __init__(self, own: NodeId) -> None:
        self._own = own
        self._models: set[str] = set()
        self.registry = CollectorRegistry(auto_describe=False)
        self._requests = _RequestNumbers(self.registry)
        self._works = _WorkNumbers(self.registry)
        self._links = self._count("link_changes", "Links that came or went.", "change")
        self._members = self._count("member_changes", "Nodes that changed their status.", "status")
        self._engines = self._count("engine_changes", "Engines that changed.", "health")
        self._openings = self._count("opening_changes", "Openings to others, and ends.", "change")
        self._refused = self._count("messages_refused", "Peers' messages not accepted.", "rule")
        self._dropped = Counter(
            "wwwserve_facts_dropped",
            "Facts that came faster than somebody who watches them took them.",
            registry=self.registry,
        )

    def on_fact(self, fact: Fact) -> None:
        """Count one fact."""
        if isinstance(fact, (LedgerFact, LedgerBegun, ForkProved, TokenCountsDiffer, PolicyFact)):
            return  # a look at the peer says what the ledger has come to
        match fact:
            case RequestReceived() | RequestQueued() | AttemptStarted() | AttemptFailed():
                self._on_request_step(fact)
            case RequestFinished():
                self._on_request_finished(fact)
            case WorkStarted() | WorkDeclined() | WorkFinished():
                self._on_work(fact)
            case (
                LinkChanged() | MemberChanged() | EngineChanged() | OpeningChanged() | PeerRefused()
            ):
                self._on_surroundings(fact)
            case FactsDropped():
                self._dropped.inc(fact.count)
            case _:
                assert_never(fact)

    def _on_surroundings(
        self,
        fact: LinkChanged | MemberChanged | EngineChanged | OpeningChanged | PeerRefused,
    ) -> None:
        match fact:
            case LinkChanged():
                self._links.labels("opened" if fact.is_open else "closed").inc()
            case MemberChanged():
                self._members.labels(fact.status.value).inc()
            case EngineChanged():
                self._engines.labels(fact.health.value).inc()
            case OpeningChanged():
                self._openings.labels("opened" if fact.is_open else "closed").inc()
            case PeerRefused():
                self._refused.labels(fact.rule).inc()
            case _:
                assert_never(fact)

    def _on_request_step(
        self, fact: RequestReceived | RequestQueued | AttemptStarted | AttemptFailed
    ) -> None:
        match fact:
            case RequestReceived():
                self._requests.received.inc()
            case RequestQueued():
                self._requests.queued.inc()
            case AttemptStarted():
                self._requests.get_attempts(self._get_route(fact.executor)).inc()
                if fact.reason is StartReason.LATE_ELSEWHERE:
                    self._requests.moved.labels(self._get_route(fact.executor)).inc()
            case AttemptFailed():
                route = self._get_route(fact.executor)
                self._requests.failed.labels(fact.kind.name.lower(), route).inc()
            case _:
                assert_never(fact)

    def _on_request_finished(self, fact: RequestFinished) -> None:
        model, route = self._bound_model(fact.model), self._get_route(fact.executor)
        numbers = self._requests.get_end(fact.endpoint, model, route, fact.error)
        numbers.ended.inc()
        numbers.prompt_tokens.inc(fact.prompt_tokens)
        numbers.completion_tokens.inc(fact.completion_tokens)
        numbers.wait.observe(fact.wait_us / SECOND)
        numbers.duration.observe(fact.total_us / SECOND)
        if numbers.answered is None or not fact.first_output_us:
            return
        numbers.answered.first_token.observe(fact.first_output_us / SECOND)
        if fact.completion_tokens > 1:
            rest_us = fact.total_us - fact.first_output_us
            per_token_s = rest_us / (fact.completion_tokens - 1) / SECOND
            numbers.answered.per_token.observe(per_token_s)

    def _on_work(self, fact: WorkStarted | WorkDeclined | WorkFinished) -> None:
        match fact:
            case WorkStarted():
                self._works.get(self._bound_model(fact.model)).started.inc()
            case WorkDeclined():
                asked = "probe" if fact.is_probe else "offer"
                self._works.declined.labels(fact.reason.name.lower(), asked).inc()
            case WorkFinished():
                numbers = self._works.get(self._bound_model(fact.model))
                # Errors are told in words, some of them another node's: no label.
                self._works.finished.labels("failed" if fact.error else ANSWERED).inc()
                numbers.prompt_tokens.inc(fact.prompt_tokens)
                numbers.completion_tokens.inc(fact.completion_tokens)
            case _:
                assert_never(fact)

    def _get_route(self, executor: NodeId | None) -> str:
        if executor is None:
            return _ROUTE_NONE
        return "local" if executor == self._own else "network"

    def _bound_model(self, model: str) -> str:
        if model not in self._models:
            if len(self._models) >= MODEL_LABELS_MAX:
                return OTHER_MODELS
            self._models.add(model)
        return model

    def _count(self, name: str, what: str, label: str) -> Counter:
        return Counter(f"wwwserve_{name}", what, (label,), registry=self.registry)


@dataclass(frozen=True, slots=True)
class _AnswerNumbers:
    """What only answered requests have."""

    first_token: Histogram
    per_token: Histogram


@dataclass(frozen=True, slots=True)
class _EndNumbers:
    """What counts requests that ended in one way; kept, since to look each up costs a microsecond.

    There are only so many: models are bounded, all else is a closed set.
    """

    ended: Counter
    prompt_tokens: Counter
    completion_tokens: Counter
    wait: Histogram
    duration: Histogram
    answered: _AnswerNumbers | None


class _RequestNumbers:
    """Counts of own users' requests."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._ends: dict[tuple[Endpoint, str, str, str], _EndNumbers] = {}
        self._attempts: dict[str, Counter] = {}

        def count(name: str, what: str, *labels: str) -> Counter:
            return Counter(f"wwwserve_{name}", what, labels, registry=registry)

        def measure(name: str, what: str, bounds: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(name, what, labels, buckets=bounds, registry=registry)

        self.received = count("requests_received", "Own users' requests taken on.")
        self.queued = count("requests_queued", "Of these, those that had to wait for a place.")
        self.finished = count("requests", "Own users' requests that ended.", "outcome", "route")
        self.attempts = count("attempts", "Runs begun for own users' requests.", "route")
        self.moved = count(
            "requests_moved", "Taken from a node with a late first token, to here.", "route"
        )
        self.failed = count("attempts_failed", "Runs that came to nothing.", "kind", "route")
        self.prompt_tokens = count(
            "prompt_tokens", "Prompt tokens of own users' requests.", "model", "route"
        )
        self.completion_tokens = count(
            "completion_tokens", "Tokens own users were answered with.", "model", "route"
        )
        self.wait = measure(
            "wwwserve_request_wait_seconds",
            "From a request's arrival to the start of its last run.",
            _FIRST_TOKEN_BUCKETS,
            "route",
        )
        self.duration = measure(
            "gen_ai_server_request_duration_seconds",
            "From a request's arrival to its end.",
            _DURATION_BUCKETS,
            *_ATTRIBUTES,
            "error_type",
        )
        self.first_token = measure(
            "gen_ai_server_time_to_first_token_seconds",
            "From an answered request's arrival to the first output.",
            _FIRST_TOKEN_BUCKETS,
            *_ATTRIBUTES,
        )
        self.per_token = measure(
            "gen_ai_server_time_per_output_token_seconds",
            "Per token after the first, of answered requests.",
            _PER_TOKEN_BUCKETS,
            *_ATTRIBUTES,
        )

    def get_attempts(self, route: str) -> Counter:
        """Where runs begun there are counted."""
        found = self._attempts.get(route)
        if found is None:
            found = self._attempts[route] = self.attempts.labels(route)
        return found

    def get_end(self, endpoint: Endpoint, model: str, route: str, error: str) -> _EndNumbers:
        """Where requests that ended like this are counted; `error` is empty for answered ones."""
        key = (endpoint, model, route, error)
        found = self._ends.get(key)
        if found is None:
            found = self._ends[key] = self._make_end(endpoint, model, route, error)
        return found

    def _make_end(self, endpoint: Endpoint, model: str, route: str, error: str) -> _EndNumbers:
        attributes = (_OPERATIONS[endpoint], model, route)
        answered = None
        if not error:
            answered = _AnswerNumbers(
                self.first_token.labels(*attributes), self.per_token.labels(*attributes)
            )
        return _EndNumbers(
            ended=self.finished.labels(error or ANSWERED, route),
            prompt_tokens=self.prompt_tokens.labels(model, route),
            completion_tokens=self.completion_tokens.labels(model, route),
            wait=self.wait.labels(route),
            duration=self.duration.labels(*attributes, error),
            answered=answered,
        )


@dataclass(frozen=True, slots=True)
class _ModelNumbers:
    """What counts works on one model; kept as `_EndNumbers` are."""

    started: Counter
    prompt_tokens: Counter
    completion_tokens: Counter


class _WorkNumbers:
    """Counts of what was done for other nodes."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._models: dict[str, _ModelNumbers] = {}

        def count(name: str, what: str, *labels: str) -> Counter:
            return Counter(f"wwwserve_{name}", what, labels, registry=registry)

        self.started = count("works_started", "Others' requests taken on here.", "model")
        self.declined = count(
            "works_declined", "Others' requests not taken on.", "reason", "asked_by"
        )
        self.finished = count("works", "Others' requests that ended here.", "outcome")
        self.prompt_tokens = count(
            "work_prompt_tokens", "Prompt tokens read for other nodes.", "model"
        )
        self.completion_tokens = count(
            "work_completion_tokens", "Tokens generated for other nodes.", "model"
        )

    def get(self, model: str) -> _ModelNumbers:
        """Where works on a model are counted."""
        found = self._models.get(model)
        if found is None:
            found = self._models[model] = _ModelNumbers(
                self.started.labels(model),
                self.prompt_tokens.labels(model),
                self.completion_tokens.labels(model),
            )
        return found
