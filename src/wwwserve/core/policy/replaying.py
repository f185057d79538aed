"""A diary lived through again: by the policies that were in force, or by another one.

Rules:

- Every case is decided anew as it was recorded, but for what the other policy itself would have
  changed by then: what it had taken more or less so far, and its hours. Under the same policy that
  is nothing, so the same answers come out.
- A request that was probed for and declined brought no offer. If the other policy would have quoted
  for it, that is counted as *quoted*, for nobody can know whether the offer would have come.
- A guest's answers are those it gave; where it was not asked then, it is not asked now.
- How much is staked is no request, and another policy's account would have been another one.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from wwwserve.core.deciding import Case, Counts, Question, UseCounted
from wwwserve.core.placing import Accepted, LoadView, Verdict
from wwwserve.core.policy.diary import (
    Carried,
    Decided,
    InForce,
    Life,
    Record,
    SetAside,
    Spent,
    Staked,
    Used,
    compute_shift,
    make_answer,
    read_answer,
)
from wwwserve.core.policy.hours import make_timetable
from wwwserve.core.policy.rules import decide, is_guest_heard, name_guest
from wwwserve.core.policy.ruling import count_answer_tokens
from wwwserve.core.policy.usage import Usage
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.core.pricing import PRICE_TABLE_DEFAULT, PriceTable
from wwwserve.values.ids import NodeId
from wwwserve.values.model_names import ModelId
from wwwserve.values.moments import Moment

CHANGES_MAX: Final = 1_000
"""Decisions told one by one that come out otherwise; further ones are counted."""
ASKED_MAX: Final = 100_000
"""Requests whose last answer is remembered until it is taken; of more, the oldest are forgotten."""
_MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Change:
    """One decision that comes out otherwise."""

    case: Case
    was: str
    was_rule: str
    is_now: str
    is_now_rule: str


@dataclass(slots=True)
class Outcome:
    """What a policy did in a diary, or would have done."""

    taken: int = 0
    """Other nodes' requests that ran here."""
    tokens: int = 0
    microcredits: int = 0
    """What they came to at the prices of one table, which is what they earned but for rounding."""
    refused: Counter[str] = field(default_factory=Counter)
    """Answers of no, by the rule that gave them."""
    own: Counter[str] = field(default_factory=Counter)
    """Answers about own users' requests."""


@dataclass(slots=True)
class Replayed:
    """A diary lived through again."""

    decisions: int = 0
    changed: int = 0
    changes: list[Change] = field(default_factory=list)
    """The first `CHANGES_MAX` of them."""
    was: Outcome = field(default_factory=Outcome)
    is_now: Outcome = field(default_factory=Outcome)
    quoted: int = 0
    """Requests declined when probed for, which would have been quoted for."""
    quoted_most: int = 0
    """What they might have earned at the very most, in micro-credits."""
    unread: int = 0
    """Lines of the diary that were no records; whoever reads it from lines counts them."""

    @property
    def alike(self) -> int:
        """Decisions that come out as they did."""
        return self.decisions - self.changed


def replay(
    records: Iterable[Record],
    settings: PolicySettings | None = None,
    prices: PriceTable = PRICE_TABLE_DEFAULT,
) -> Replayed:
    """Live through a diary by other settings; None = by those in force at the time."""
    run = _Replay(settings, prices)
    for record in records:
        run.read(record)
    return run.replayed


class _Replay:
    """Two nodes side by side: the one that was, and the one that would have been."""

    def __init__(self, other: PolicySettings | None, prices: PriceTable) -> None:
        self._other = other
        self._settings = other or PolicySettings()
        self._prices = prices
        self._was = _Side()
        self._is_now = _Side()
        self._life: Life | None = None
        self._at = Moment(0)
        self._asked: dict[tuple[NodeId, bytes], _Asked] = {}
        """Other nodes' requests that were asked about, and are not taken yet."""
        self.replayed = Replayed()

    def read(self, record: Record) -> None:
        match record:
            case Life():
                shift_us = compute_shift(self._life, record)
                ended_at = max(self._at, Moment(record.at - shift_us))
                for side in (self._was, self._is_now):
                    side.begin_anew(ended_at, shift_us)
                self._life, self._at = record, record.at
            case InForce():
                self._settings = self._other or record.settings
            case Decided():
                self._at = record.case.at
                self._decide(record)
            case Used(counted):
                self._at = counted.at
                self._count(counted)
            case Carried(life):
                # What it carries is in the cases' own counts.
                self._life = self._life or life
            case Spent() | Staked() | SetAside():
                pass

    def _decide(self, record: Decided) -> None:
        case = self._adjust(record.case)
        verdict, rule = self._answer(record, case)
        was, is_now = record.answer, make_answer(verdict)
        replayed = self.replayed
        replayed.decisions += 1
        if (was, record.rule) != (is_now, rule):
            replayed.changed += 1
            if len(replayed.changes) < CHANGES_MAX:
                replayed.changes.append(Change(record.case, was, record.rule, is_now, rule))
        if case.asker is None:
            replayed.was.own[was] += 1
            replayed.is_now.own[is_now] += 1
            return
        is_taken = isinstance(verdict, Accepted)
        replayed.was.refused[record.rule] += was != "accepted"
        replayed.is_now.refused[rule] += not is_taken
        self._note_asked(case, is_taken=is_taken, was_taken=was == "accepted")

    def _answer(self, record: Decided, case: Case) -> tuple[Verdict, str]:
        verdict, rule = decide(self._settings, case)
        is_same_guest = record.rule == name_guest(self._settings.guest)
        if is_same_guest and is_guest_heard(self._settings, case, verdict):
            return read_answer(record.answer), record.rule
        return verdict, rule

    def _adjust(self, case: Case) -> Case:
        """The case as it would have been."""
        if self._other is None:
            return case
        settings = self._other
        draw = case.draw if case.draw is not None else _derive_draw(case)
        if case.question is not Question.OFFER or case.asker is None or case.load is None:
            return replace(case, draw=draw)
        before = self._was.count(case.asker, case.at)
        after = self._is_now.count(case.asker, case.at)
        closed_us = case.closed_us
        if case.week_us is not None:
            table = make_timetable(settings.hours)
            closed_us = 0
            if not table.is_open(case.week_us):
                closed_us = max(table.compute_rest_us(case.week_us) or 1, 1)
        return replace(
            case,
            draw=draw,
            closed_us=closed_us,
            counts=_move_counts(case.counts, before, after),
            load=self._move_load(case.asker, case.load),
        )

    def _move_load(self, asker: NodeId, load: LoadView) -> LoadView:
        more = self._is_now.running() - self._was.running()
        more_asker = self._is_now.running(asker) - self._was.running(asker)
        return replace(
            load,
            used=max(load.used + more, 0),
            peer_running=max(load.peer_running + more, 0),
            asker_running=max(load.asker_running + more_asker, 0),
        )

    def _note_asked(self, case: Case, *, is_taken: bool, was_taken: bool) -> None:
        assert case.asker is not None
        assert case.offer is not None
        key = (case.asker, case.summary.request)
        if key not in self._asked and len(self._asked) >= ASKED_MAX:
            del self._asked[next(iter(self._asked))]
        is_new = is_taken and not was_taken
        before = self._asked.get(key)
        self._asked[key] = _Asked(is_taken, is_new or (before is not None and before.is_quoted))
        if is_new and not (before is not None and before.is_quoted):
            self.replayed.quoted += 1
            answer = count_answer_tokens(case.summary, case.offer)
            worth = self._compute_worth(case.offer.model, case.summary.prompt_tokens, answer)
            self.replayed.quoted_most += worth

    def _count(self, counted: UseCounted) -> None:
        """A request was really taken, or is over; on the other side it was if it was accepted."""
        if not counted.is_over:
            self._was.take(counted)
            asked = self._asked.pop((counted.asker, counted.request), None)
            if asked is None or asked.is_taken:
                self._is_now.take(counted)
            return
        worth = self._compute_worth(counted.model, counted.prompt_tokens, counted.completion_tokens)
        for side, outcome in (
            (self._was, self.replayed.was),
            (self._is_now, self.replayed.is_now),
        ):
            if side.end(counted):
                outcome.taken += 1
                outcome.tokens += counted.tokens
                outcome.microcredits += worth

    def _compute_worth(self, model: str, prompt_tokens: int, completion_tokens: int) -> int:
        prices = self._prices.find(ModelId(model))
        cost = prompt_tokens * prices.prompt + completion_tokens * prices.completion
        return -(-cost // _MILLION)


@dataclass(frozen=True, slots=True)
class _Asked:
    """The last answer about another node's request, on the side that would have been."""

    is_taken: bool
    is_quoted: bool
    """Whether it is counted among those that would have been quoted for."""


class _Side:
    """What one of the two nodes has taken, and what runs on it."""

    def __init__(self) -> None:
        self._usage = Usage()
        self._running: Counter[NodeId] = Counter()

    def begin_anew(self, at: Moment, shift_us: int) -> None:
        self._usage, self._running = Usage(self._usage.list_past(at, shift_us)), Counter()

    def running(self, asker: NodeId | None = None) -> int:
        return self._running.total() if asker is None else self._running[asker]

    def count(self, asker: NodeId, at: Moment) -> Counts:
        return self._usage.count(asker, at)

    def take(self, counted: UseCounted) -> None:
        self._running[counted.asker] += 1
        self._usage.take(counted.session, counted.asker, counted.tokens, counted.at)

    def end(self, counted: UseCounted) -> bool:
        """Whether it ran here."""
        if not self._usage.has(counted.session):
            return False
        self._running[counted.asker] -= 1
        self._usage.end(counted.session, counted.tokens, counted.at)
        return True


def _move_counts(recorded: Counts, before: Counts, after: Counts) -> Counts:
    """What was recorded, moved by what one side counted more than the other."""
    return Counts(
        minute_requests=_move(
            recorded.minute_requests, before.minute_requests, after.minute_requests
        ),
        minute_requests_asker=_move(
            recorded.minute_requests_asker,
            before.minute_requests_asker,
            after.minute_requests_asker,
        ),
        day_tokens=_move(recorded.day_tokens, before.day_tokens, after.day_tokens),
        day_tokens_asker=_move(
            recorded.day_tokens_asker, before.day_tokens_asker, after.day_tokens_asker
        ),
    )


def _move(recorded: int, before: int, after: int) -> int:
    return max(recorded + after - before, 0)


def _derive_draw(case: Case) -> int:
    """A number for a request that none was drawn for: its id was chosen at random."""
    return int.from_bytes(case.summary.request[-8:], "big") % 1000
