"""What a provider allows, held against what a node takes on: the settings in force, counted anew.

Fed with what one life of a node is told and asks for. It keeps lists where the policy keeps sums,
and shares nothing with it but the settings:

- hours are compared with the pretend calendar itself, whatever the node was told of it;
- spans (a minute, an hour, a day, the time of idleness) are looked through entry by entry;
- a reading of the machine counts by the threshold of its moment.

Where a node cannot be exact it may be stricter than this, never laxer. What is not seen from
outside is not checked: which requests `accept_frequency` admits (but for none and all), and how
full the cache of an engine is that tells no slots. A pretend host reads no diary, so a new life of
a node counts anew.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from wwwserve.core.effects import StartRemote
from wwwserve.core.events import (
    Event,
    LocalTimeRead,
    MachineRead,
    OfferReceived,
    PaymentProgressed,
    SetPolicy,
    StreamEnded,
)
from wwwserve.core.paying import HoldTerms
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.core.sessions import Role, ServedModel, SessionId
from wwwserve.sim.hosts import Host
from wwwserve.values.ids import NodeId, node_prefix
from wwwserve.values.moments import MILLISECOND, SECOND, Moment

CALENDAR_SLACK_US: Final = 100 * MILLISECOND
"""How far a clock that is put right each minute, and runs wrong by 500 ppm, may be off."""
SILENCE_US_MAX: Final = 30 * SECOND
"""Longest time without a look at the machine after which it still counts as idle."""
BLIND_US_MAX: Final = 600 * SECOND
"""Longest time for which others' work may hide whether somebody uses the machine."""
_MINUTE_US: Final = 60 * SECOND
_HOUR_US: Final = 60 * _MINUTE_US
_DAY_US: Final = 24 * _HOUR_US
_WEEK_US: Final = 7 * _DAY_US
_WEEK_MINUTES: Final = _WEEK_US // _MINUTE_US
_UNBOUNDED_TOKENS: Final = 1_000_000
"""What an answer counts as that neither its user nor the model's context bounds."""
_PERMILLE: Final = 1000
_MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Standing:
    """How a node stands at the moment it takes something on, as seen from outside."""

    used: int
    """Slots of the model in use."""
    slots: int
    """How many it has in truth."""
    own_running: int
    """Own users' requests on own engines."""
    peer_unread: int
    """Others' requests given to an own engine of which no output came yet."""
    own_waiting: int
    """Own users' requests that only this node may run, for this model, that do not."""


@dataclass(frozen=True, slots=True)
class _Reading:
    at: Moment
    is_used: bool
    is_clear: bool


@dataclass(frozen=True, slots=True)
class _Work:
    asker: NodeId
    tokens: int
    """The most it may come to."""


@dataclass(frozen=True, slots=True)
class _Entry:
    at: Moment
    asker: NodeId
    amount: int


@dataclass(slots=True)
class _Bill:
    """What one own request may cost elsewhere, by its holds, and what it has cost."""

    most: dict[bytes, int] = field(default_factory=dict)
    terms: dict[bytes, HoldTerms] = field(default_factory=dict)
    paid: dict[bytes, int] = field(default_factory=dict)


@dataclass(slots=True)
class PolicyWatch:
    """One life of one node, and its provider's settings."""

    policy: PolicySettings
    _is_told_time: bool = False
    _readings: deque[_Reading] = field(default_factory=deque)
    _own_at: Moment | None = None
    """When an own user's request was last given to an own engine."""
    _works: dict[SessionId, _Work] = field(default_factory=dict)
    _taken: deque[_Entry] = field(default_factory=deque)
    """Requests taken within the last minute."""
    _tokens: deque[_Entry] = field(default_factory=deque)
    """Tokens of those that were over within the last day."""
    _bills: dict[SessionId, _Bill] = field(default_factory=dict)
    _spent: deque[tuple[Moment, int]] = field(default_factory=deque)
    """Micro-credits of own requests that were over within the last day."""

    # -- what happens ----------------------------------------------------------------------------

    def on_event(self, host: Host, event: Event) -> None:
        """Note what the node is about to learn."""
        now = host.read_clock()
        match event:
            case SetPolicy():
                self.policy = event.policy
            case LocalTimeRead():
                self._is_told_time = True
            case StreamEnded(session=session, usage=usage) if session in self._works:
                work = self._works[session]
                tokens = usage.prompt_tokens + usage.completion_tokens
                self._tokens.append(_Entry(now, work.asker, tokens))
            case PaymentProgressed() if event.session.role is Role.ORIGIN:
                self._note_payment(event, now)
            case _:
                pass

    def note_reading(self, host: Host, event: MachineRead, own_running: int) -> None:
        """The node is about to learn how busy its machine is, while so much of its own runs."""
        now = host.read_clock()
        is_busy = not self._works and event.busy_permille >= self.policy.idle_busy_permille
        is_used = bool(own_running) or is_busy
        self._readings.append(_Reading(now, is_used, is_clear=not self._works))
        oldest = now - max(self.policy.idle_for_us, BLIND_US_MAX) - 2 * SILENCE_US_MAX
        while self._readings[0].at < oldest:
            self._readings.popleft()

    def note_own(self, host: Host) -> None:
        """An own engine is given an own user's request."""
        self._own_at = host.read_clock()

    def note_work(self, host: Host, offer: OfferReceived, model: ServedModel) -> None:
        """An own engine is given another node's request."""
        now, tokens = host.read_clock(), _count_tokens(offer, model)
        self._works[offer.session] = _Work(offer.peer, tokens)
        self._taken.append(_Entry(now, offer.peer, 1))

    def end_work(self, session: SessionId) -> None:
        """Another node's request is over, however it ended."""
        self._works.pop(session, None)

    def note_hold(self, session: SessionId, terms: HoldTerms) -> None:
        """An own request is to be paid for elsewhere."""
        bill = self._bills.setdefault(session, _Bill())
        bill.most[terms.hold_id] = _compute_worth(terms, terms.units_max)
        bill.terms[terms.hold_id] = terms

    def _note_payment(self, event: PaymentProgressed, now: Moment) -> None:
        bill = self._bills.get(event.session)
        if bill is None:
            return
        if event.hold_id in bill.terms:
            worth = _compute_worth(bill.terms[event.hold_id], event.depth)
            bill.paid[event.hold_id] = max(bill.paid.get(event.hold_id, 0), worth)
        if event.is_last:
            del self._bills[event.session]
            self._spent.append((now, sum(bill.paid.values())))

    # -- others' requests ------------------------------------------------------------------------

    def find_fault(
        self, host: Host, offer: OfferReceived, model: ServedModel, standing: Standing
    ) -> str:
        """What of the policy a request breaks that is about to be taken; empty if nothing."""
        faults = (
            *self._list_size_faults(offer, model),
            *self._list_who_faults(offer, model),
            *self._list_count_faults(host, offer, model),
            *self._list_room_faults(model, standing),
            *self._list_time_faults(host, standing),
        )
        return next((fault for fault, is_so in faults if is_so), "")

    def _list_who_faults(
        self, offer: OfferReceived, model: ServedModel
    ) -> Sequence[tuple[str, bool]]:
        policy, name = self.policy, model.offer.model
        is_listed = not policy.allow_nodes or offer.peer in policy.allow_nodes
        is_shared = not policy.allow_models or name in policy.allow_models
        return (
            ("a denied node's work is taken", offer.peer in policy.deny_nodes),
            ("an unlisted node's work is taken", not is_listed),
            ("a denied model is shared", name in policy.deny_models),
            ("an unlisted model is shared", not is_shared),
            ("a model runs that was not asked for", name not in offer.offer.summary.models),
            ("work is taken though nothing is", policy.accept_permille == 0),
        )

    def _list_size_faults(
        self, offer: OfferReceived, model: ServedModel
    ) -> Sequence[tuple[str, bool]]:
        policy, summary = self.policy, offer.offer.summary
        tokens = _count_tokens(offer, model)
        answer_tokens = tokens - summary.prompt_tokens
        return (
            ("a prompt is too long", summary.prompt_tokens > policy.prompt_tokens_max),
            ("an answer is too long", answer_tokens > policy.completion_tokens_max),
            ("prompt and answer are too long", tokens > policy.context_tokens_max),
            ("a body is too large", summary.body_bytes > policy.body_bytes_max),
        )

    def _list_count_faults(
        self, host: Host, offer: OfferReceived, model: ServedModel
    ) -> Sequence[tuple[str, bool]]:
        policy, peer, now = self.policy, offer.peer, host.read_clock()
        _forget(self._taken, now - _MINUTE_US)
        _forget(self._tokens, now - _DAY_US)
        tokens = _count_tokens(offer, model)
        by_peer = [work for work in self._works.values() if work.asker == peer]
        minute = [entry.asker for entry in self._taken]
        day = [*((one.asker, one.amount) for one in self._tokens), *self._list_open_tokens()]
        day_peer = sum(amount for asker, amount in day if asker == peer)
        return (
            ("too much runs for others", len(self._works) >= policy.concurrent_max),
            ("too much runs for one node", len(by_peer) >= policy.concurrent_per_peer_max),
            ("too many requests in a minute", len(minute) >= policy.requests_per_minute_max),
            (
                "too many requests of one node in a minute",
                minute.count(peer) >= policy.requests_per_minute_per_peer_max,
            ),
            (
                "too many tokens in a day",
                sum(amount for _, amount in day) + tokens > policy.tokens_per_day_max,
            ),
            (
                "too many tokens of one node in a day",
                day_peer + tokens > policy.tokens_per_day_per_peer_max,
            ),
        )

    def _list_open_tokens(self) -> Iterator[tuple[NodeId, int]]:
        return ((work.asker, work.tokens) for work in self._works.values())

    def _list_room_faults(
        self, model: ServedModel, standing: Standing
    ) -> Sequence[tuple[str, bool]]:
        policy, used, slots = self.policy, standing.used, standing.slots
        is_over = used * _PERMILLE >= policy.target_utilisation_permille * slots
        is_reserved = used + policy.reserve_concurrency >= slots
        return (
            (
                "the target utilisation is passed for others",
                policy.own_first and model.is_slots_known and is_over,
            ),
            (
                "a slot kept for own users is taken",
                policy.reserve_concurrency > 0 and model.is_slots_known and is_reserved,
            ),
            (
                "prompts of others are read together beside own users",
                policy.own_first and standing.own_running > 0 and standing.peer_unread > 0,
            ),
            (
                "others' work is taken while own users wait",
                policy.own_first and standing.own_waiting > 0,
            ),
        )

    # -- when ------------------------------------------------------------------------------------

    def _list_time_faults(self, host: Host, standing: Standing) -> Iterator[tuple[str, bool]]:
        yield "work is taken outside the hours", self._is_closed(host)
        if self.policy.idle_only:
            yield "work is taken though the machine is not idle", not self._is_idle(host, standing)

    def _is_closed(self, host: Host) -> bool:
        """Whether the hours keep others out now, and did so and will a moment before and after."""
        if not self.policy.hours:
            return False
        if host.local_zero_us is None or not self._is_told_time:
            return True
        now_us = host.local_zero_us + host.world.now_us
        around = (now_us - CALENDAR_SLACK_US, now_us, now_us + CALENDAR_SLACK_US)
        return not any(self._is_within_hours(one % _WEEK_US) for one in around)

    def _is_within_hours(self, week_us: int) -> bool:
        minute = week_us // _MINUTE_US
        return any(
            window.start_minute <= at < window.end_minute
            for window in self.policy.hours
            for at in (minute, minute + _WEEK_MINUTES)
        )

    def _is_idle(self, host: Host, standing: Standing) -> bool:
        """Whether the machine was looked at all the time, and found unused for long enough."""
        now = host.read_clock()
        since = now - self.policy.idle_for_us
        if standing.own_running or (self._own_at is not None and self._own_at > since):
            return False
        looks = self._list_looks_from(since)
        moments = [*(look.at for look in looks), now]
        is_seen = bool(looks) and looks[0].at <= since
        is_watched = all(later - one <= SILENCE_US_MAX for one, later in pairwise(moments))
        is_unused = not any(look.is_used for look in looks)
        clear_at = max((look.at for look in self._readings if look.is_clear), default=None)
        is_clear = clear_at is not None and now - clear_at <= BLIND_US_MAX
        return is_seen and is_watched and is_unused and is_clear

    def _list_looks_from(self, since: int) -> list[_Reading]:
        """The readings from an instant on, and the last before it."""
        looks = list(self._readings)
        before = [look for look in looks if look.at <= since]
        return before[-1:] + [look for look in looks if look.at > since]

    # -- own requests elsewhere ------------------------------------------------------------------

    def find_offload_fault(self, host: Host, effect: StartRemote) -> str:
        """What of the policy an own request breaks that is about to leave; empty if nothing.

        An answer that outgrows its hold is paid to its end, whatever the budget says by then.
        """
        policy = self.policy
        if effect.payment is None:
            return ""
        terms, now = effect.payment.terms, host.read_clock()
        # A unit's price is rounded to a whole micro-credit.
        if terms.unit * _MILLION > policy.offload_price_max * terms.unit_tokens + _MILLION:
            return f"{node_prefix(effect.peer)} is paid more than the provider allows"
        while self._spent and self._spent[0][0] <= now - _DAY_US:
            self._spent.popleft()
        locked = sum(sum(bill.most.values()) for bill in self._bills.values())
        may_come_to = locked + _compute_worth(terms, terms.units_max)
        for span_us, budget, name in (
            (_HOUR_US, policy.offload_credits_per_hour_max, "an hour"),
            (_DAY_US, policy.offload_credits_per_day_max, "a day"),
        ):
            spent = sum(amount for at, amount in self._spent if at > now - span_us)
            if spent + may_come_to > budget:
                return f"{spent + may_come_to} may be spent in {name}, {budget} are allowed"
        return ""


def _count_tokens(offer: OfferReceived, model: ServedModel) -> int:
    """Prompt and the longest answer."""
    summary = offer.offer.summary
    bound = summary.completion_tokens_max or model.offer.context_tokens or _UNBOUNDED_TOKENS
    return summary.prompt_tokens + bound


def _compute_worth(terms: HoldTerms, depth: int) -> int:
    return terms.first + (depth - 1) * terms.unit if depth else 0


def _forget(entries: deque[_Entry], until: int) -> None:
    while entries and entries[0].at <= until:
        entries.popleft()
