"""Which facts become log lines, at which level, with which fields. None holds anybody's text.

| level | lines |
|---|---|
| debug | each step of a request and of a work for another node; decisions; links |
| info | how each request and each work ended; members; hours; engines that are well |
| warning | what may need somebody: failed runs and requests, engines in trouble, refused peers |

Lines that others can cause at will are rationed: above `LINES_PER_MINUTE_MAX` of one event they are
left out, and the next one says how many were.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import assert_never

from structlog.typing import FilteringBoundLogger

from wwwserve.core.deciding import (
    GuestFailed,
    IncomeSetAside,
    PolicyFact,
    PolicyInForce,
    RequestDecided,
    SpendingCounted,
    StakeDecided,
    UseCounted,
)
from wwwserve.core.effects import RequestErrorCode
from wwwserve.core.engines import EngineHealth
from wwwserve.core.facts import (
    AttemptFailed,
    AttemptStarted,
    EngineChanged,
    Fact,
    FactsDropped,
    LinkChanged,
    MemberChanged,
    OpeningChanged,
    PeerRefused,
    RequestFinished,
    RequestQueued,
    RequestReceived,
    WorkDeclined,
    WorkFinished,
    WorkStarted,
)
from wwwserve.node.logs.ledger_facts import BOOK_FACTS, describe_ledger, find_book_level
from wwwserve.ports.clock import Clock
from wwwserve.values.ids import NodeId, RequestId, node_prefix, request_text
from wwwserve.values.moments import MILLISECOND, SECOND
from wwwserve.values.refusals import FailureKind

LINES_PER_MINUTE_MAX = 60
"""Lines of one event that others can cause; further ones are counted and left out."""
_MINUTE = 60 * SECOND

# Nobody has to mend these: the user or the other node wanted it so.
_ORDINARY_FAILURES = (FailureKind.DECLINED, FailureKind.CANCELLED, FailureKind.REJECTED)
_TROUBLE = tuple(
    code.value
    for code in (
        RequestErrorCode.FAILED,
        RequestErrorCode.NO_CAPACITY,
        RequestErrorCode.QUEUE_FULL,
    )
)

_RequestFact = RequestReceived | RequestQueued | AttemptStarted | AttemptFailed | RequestFinished
_WorkFact = WorkStarted | WorkDeclined | WorkFinished
_PeerFact = MemberChanged | LinkChanged | PeerRefused
_STEPS = (
    RequestReceived,
    RequestQueued,
    AttemptStarted,
    WorkStarted,
    WorkDeclined,
    LinkChanged,
    RequestDecided,
    UseCounted,
    SpendingCounted,
    IncomeSetAside,
)
"""Told at debug only."""
_ENDS = (RequestFinished, WorkFinished)
"""Told at info, but for trouble."""

Value = str | int | None


@dataclass(frozen=True, slots=True)
class Line:
    """One line to be written."""

    level: int
    event: str
    fields: Mapping[str, Value]
    """Those that are None or empty are left out."""
    is_rationed: bool = False
    """Whether others can cause it at will."""


@dataclass(slots=True)
class _Ration:
    """Lines of one event in the current minute."""

    minute: int = 0
    written: int = 0
    left_out: int = 0


@dataclass(slots=True)
class FactLog:
    """Writes one node's facts to its log."""

    log: FilteringBoundLogger
    own: NodeId
    clock: Clock
    _rations: dict[str, _Ration] = field(default_factory=dict)
    """One for each rationed event, of which there are only a few."""

    def on_fact(self, fact: Fact) -> None:
        """Write a fact's line, if it has one at this level."""
        if not self.log.is_enabled_for(_get_level_max(fact)):
            return
        line = describe(fact, self.own)
        left_out = self._ration(line.event) if line.is_rationed else 0
        if left_out is None:
            return
        fields = {name: value for name, value in line.fields.items() if value not in (None, "")}
        if left_out:
            fields["left_out"] = left_out
        self.log.log(line.level, line.event, **fields)

    def _ration(self, event: str) -> int | None:
        """How many lines were left out before this one; None if it is left out as well."""
        ration = self._rations.setdefault(event, _Ration())
        minute = self.clock.now() // _MINUTE
        if minute != ration.minute:
            ration.minute, ration.written = minute, 0
        if ration.written >= LINES_PER_MINUTE_MAX:
            ration.left_out += 1
            return None
        ration.written += 1
        left_out, ration.left_out = ration.left_out, 0
        return left_out


def _get_level_max(fact: Fact) -> int:
    """The highest level its line may have: what is not written then need not be put in words."""
    if isinstance(fact, BOOK_FACTS):
        return find_book_level(fact)
    if isinstance(fact, _STEPS):
        return logging.DEBUG
    if isinstance(fact, _ENDS) and fact.error not in _TROUBLE:
        return logging.INFO
    return logging.CRITICAL


def describe(fact: Fact, own: NodeId) -> Line:
    """The line a fact becomes on the node `own`."""
    if isinstance(fact, BOOK_FACTS):
        level, event, fields = describe_ledger(fact)
        return Line(level, event, fields, is_rationed=True)
    match fact:
        case (
            RequestReceived()
            | RequestQueued()
            | AttemptStarted()
            | AttemptFailed()
            | RequestFinished()
        ):
            return _describe_request(fact, own)
        case WorkStarted() | WorkDeclined() | WorkFinished():
            return _describe_work(fact)
        case MemberChanged() | LinkChanged() | PeerRefused():
            return _describe_peer(fact)
        case EngineChanged() | OpeningChanged():
            return _describe_standing(fact)
        case FactsDropped():
            return Line(logging.WARNING, "facts dropped", {"count": fact.count})
        case _:
            return _describe_decision(fact)


def _describe_request(fact: _RequestFact, own: NodeId) -> Line:
    fields: dict[str, Value] = {"request": request_text(fact.request)}
    match fact:
        case RequestReceived():
            fields |= {"model": fact.model, "prompt_tokens": fact.prompt_tokens}
            return Line(logging.DEBUG, "request received", fields)
        case RequestQueued():
            return Line(
                logging.DEBUG, "request queued", fields | {"queue_length": fact.queue_length}
            )
        case AttemptStarted():
            fields |= {"session": str(fact.session), "model": fact.model}
            fields |= _place(fact.executor, own)
            return Line(logging.DEBUG, "attempt started", fields)
        case AttemptFailed():
            return _describe_failure(fact, fields | _place(fact.executor, own))
        case RequestFinished():
            return _describe_end(fact, fields | _place(fact.executor, own))
        case _:
            assert_never(fact)


def _describe_failure(fact: AttemptFailed, fields: dict[str, Value]) -> Line:
    fields |= {
        "session": str(fact.session),
        "kind": fact.kind.name.lower(),
        "decline": fact.decline.name.lower() if fact.decline is not None else None,
        "detail": fact.detail,
    }
    level = logging.DEBUG if fact.kind in _ORDINARY_FAILURES else logging.WARNING
    return Line(level, "attempt failed", fields)


def _describe_end(fact: RequestFinished, fields: dict[str, Value]) -> Line:
    fields |= {
        "model": fact.model,
        "error": fact.error,
        "attempts": fact.attempts,
        "wait_ms": fact.wait_us // MILLISECOND,
        # An answer that never began has no such moment.
        "first_output_ms": fact.first_output_us // MILLISECOND if fact.first_output_us else None,
        "total_ms": fact.total_us // MILLISECOND,
        "prompt_tokens": fact.prompt_tokens,
        "completion_tokens": fact.completion_tokens,
    }
    level = logging.WARNING if fact.error in _TROUBLE else logging.INFO
    return Line(level, "request finished", fields)


def _describe_work(fact: _WorkFact) -> Line:
    fields: dict[str, Value] = {
        "request": request_text(fact.request),
        "peer": node_prefix(fact.origin),
    }
    match fact:
        case WorkStarted():
            fields |= {"session": str(fact.session), "model": fact.model}
            return Line(logging.DEBUG, "work started", fields)
        case WorkDeclined():
            fields |= {
                "reason": fact.reason.name.lower(),
                "asked_by": "probe" if fact.is_probe else "offer",
            }
            return Line(logging.DEBUG, "work declined", fields, is_rationed=True)
        case WorkFinished():
            fields |= {
                "session": str(fact.session),
                "model": fact.model,
                "error": fact.error,
                "total_ms": fact.total_us // MILLISECOND,
                "prompt_tokens": fact.prompt_tokens,
                "completion_tokens": fact.completion_tokens,
            }
            return Line(logging.INFO, "work finished", fields)
        case _:
            assert_never(fact)


def _describe_decision(fact: PolicyFact) -> Line:
    """What others ask of this node; the policy's own log has all of it."""
    match fact:
        case RequestDecided():
            fields: dict[str, Value] = {
                "request": request_text(RequestId(fact.case.summary.request)),
                "answer": type(fact.verdict).__name__.lower(),
                "rule": fact.rule,
            }
            return Line(logging.DEBUG, "request decided", fields, is_rationed=True)
        case UseCounted():
            fields = {"session": str(fact.session), "tokens": fact.tokens}
            return Line(logging.DEBUG, "use counted", fields)
        case SpendingCounted():
            fields = {"session": str(fact.session), "microcredits": fact.microcredits}
            return Line(logging.DEBUG, "spending counted", fields)
        case PolicyInForce():
            return Line(logging.INFO, "policy in force", {})
        case StakeDecided():
            fields = {"seats": fact.seats, "rule": fact.rule}
            level = logging.INFO if fact.seats else logging.DEBUG
            return Line(level, "stake decided", fields)
        case IncomeSetAside():
            fields = {"microcredits": fact.microcredits}
            return Line(logging.DEBUG, "income set aside", fields)
        case GuestFailed():
            fields = {"guest": fact.guest, "detail": fact.detail}
            return Line(logging.WARNING, "guest failed", fields, is_rationed=True)
        case _:
            assert_never(fact)


def _describe_peer(fact: _PeerFact) -> Line:
    match fact:
        case MemberChanged():
            fields: dict[str, Value] = {
                "peer": node_prefix(fact.node),
                "status": fact.status.value,
                "version": fact.version,
            }
            return Line(logging.INFO, "member changed", fields, is_rationed=True)
        case LinkChanged():
            event = "link opened" if fact.is_open else "link closed"
            fields = {"peer": node_prefix(fact.peer), "detail": fact.detail}
            return Line(logging.DEBUG, event, fields, is_rationed=True)
        case PeerRefused():
            fields = {"peer": node_prefix(fact.peer), "rule": fact.rule, "detail": fact.detail}
            return Line(logging.WARNING, "peer refused", fields, is_rationed=True)
        case _:
            assert_never(fact)


def _describe_standing(fact: EngineChanged | OpeningChanged) -> Line:
    """What this node can do, and whether it does it for others."""
    if isinstance(fact, OpeningChanged):
        shown: dict[str, Value] = {
            "hours": "open" if fact.is_within_hours else "closed",
            "operator": "resting" if fact.is_resting else None,
        }
        event = "opened to others" if fact.is_open else "closed to others"
        return Line(logging.INFO, event, shown)
    fields: dict[str, Value] = {
        "engine": fact.engine,
        "health": fact.health.value,
        "detail": fact.detail,
    }
    # One that is ready and still has something to say lacks something, its load perhaps.
    is_well = fact.health is EngineHealth.LOADING or (
        fact.health is EngineHealth.READY and not fact.detail
    )
    return Line(logging.INFO if is_well else logging.WARNING, "engine changed", fields)


def _place(executor: NodeId | None, own: NodeId) -> dict[str, Value]:
    """Where a request ran, and with whom."""
    if executor is None:
        return {}
    if executor == own:
        return {"route": "local"}
    return {"route": "network", "peer": node_prefix(executor)}
