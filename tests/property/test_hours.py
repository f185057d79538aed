"""A provider's days, with requests of others at any moment: none is taken outside the hours.

A whole peer is told the local time now and then and asked by another node, at the turns above all.
A count over the windows, which shares nothing with the core, says what is right.
"""

from dataclasses import dataclass
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.core.desk import ended, facts, offer, pick, pick_all, probe, reading, summary
from tests.unit.core.policy.test_hours import WINDOWS, is_open_by_count
from tests.unit.core.test_peer import PlainVerifier, make_setup
from wwwserve.core.effects import (
    AcceptOffer,
    DeclineOffer,
    Effect,
    SendMessage,
    StartLocal,
    StopSession,
)
from wwwserve.core.events import (
    DeadlineReached,
    EngineRead,
    EnvelopeReceived,
    Event,
    LocalTimeRead,
    Started,
    SubmitRequest,
)
from wwwserve.core.facts import OpeningChanged
from wwwserve.core.peer import Peer
from wwwserve.core.policy import WEEK_MINUTES, WEEK_US
from wwwserve.core.policy.hours import MINUTE_US
from wwwserve.core.policy_settings import PolicySettings, Window
from wwwserve.core.sessions import Route
from wwwserve.values.moments import SECOND, Moment, after
from wwwserve.values.parameters import TINY, compute_network_id
from wwwserve.values.refusals import DeclineReason
from wwwserve.wire import Envelope, Message, Quote, encode_message, open_message

ASKER = 2


@dataclass(frozen=True, slots=True)
class Wait:
    """Let time pass: so long, or until so many microseconds before or after the next turn."""

    span_us: int
    is_told: bool
    """Whether the host then tells the local time, before anything else happens."""
    is_woken: bool
    """Whether the peer's own deadline is kept on the way, or it hears of the turn by what comes."""
    is_to_turn: bool = False


SPANS = st.integers(0, 3 * 3600 * SECOND)
WAITS = st.one_of(
    st.builds(Wait, span_us=SPANS),
    st.builds(Wait, span_us=st.integers(-2, 2), is_to_turn=st.just(value=True)),
)


class Provider:
    """One node with hours, its local time, and the node that keeps asking it."""

    def __init__(self, windows: list[Window], week_us: int) -> None:
        hours = PolicySettings(hours=tuple(windows), own_first=False)
        self.peer = Peer(make_setup(1, slots=64, policy=hours))
        self.now = Moment(7 * SECOND)
        self.week_us = week_us
        self.minutes = [is_open_by_count(windows, at) for at in range(WEEK_MINUTES)]
        self.log: list[Effect] = []
        self.asked = 0
        self.tell(Started())
        self.tell(EngineRead("gpu", reading()))

    @property
    def is_open(self) -> bool:
        """What is right at this time of the week."""
        return self.minutes[self.week_us // MINUTE_US]

    def tell(self, event: Event) -> list[Effect]:
        effects = self.peer.handle(event, self.now)
        self.log += effects
        return effects

    def tell_time(self) -> None:
        self.tell(LocalTimeRead(self.week_us))

    def wait(self, step: Wait) -> None:
        span_us = step.span_us
        if step.is_to_turn:
            span_us = max(0, span_us + self._compute_turn_us())
        if step.is_woken:
            turn_at = self.peer.next_deadline()
            if self.now < turn_at < self.now + span_us:
                self._pass(turn_at - self.now)
                span_us -= turn_at - self.now
                self.tell(DeadlineReached())
        self._pass(span_us)
        if step.is_told:
            self.tell_time()

    def ask(self) -> None:
        """Another node probes and offers: it gets what the hours say, and nothing else."""
        self.tell(EngineRead("gpu", reading()))
        self.asked += 1
        question = probe(self.asked, peer=ASKER).probe
        (sent,) = pick_all(self.tell(EnvelopeReceived(open_from_asker(question))), SendMessage)
        assert isinstance(sent.message, Quote)
        told = self.tell(offer(self.asked, peer=ASKER))
        if self.is_open:
            assert sent.message.decline is None
            self.tell(ended(pick(told, AcceptOffer).session))
            return
        assert sent.message.decline is DeclineReason.CLOSED
        decline = pick(told, DeclineOffer).decline
        assert decline.reason is DeclineReason.CLOSED
        assert decline.retry_after_us == sent.message.retry_after_us == self._compute_turn_us()

    def _pass(self, span_us: int) -> None:
        self.now = after(self.now, span_us)
        self.week_us = (self.week_us + span_us) % WEEK_US

    def _compute_turn_us(self) -> int:
        """How long until the next turn, by looking at every minute; a week if there is none."""
        minute = self.week_us // MINUTE_US
        for step in range(1, WEEK_MINUTES + 1):
            if self.minutes[(minute + step) % WEEK_MINUTES] != self.is_open:
                return (minute + step) * MINUTE_US - self.week_us
        return WEEK_US


def open_from_asker(message: Message) -> Envelope:
    return open_message(
        encode_message(message),
        sender=make_setup(ASKER).node_id,
        verifier=PlainVerifier(),
        network_id=compute_network_id(TINY),
    )


@settings(max_examples=60)
@given(windows=WINDOWS, week_us=st.integers(0, WEEK_US - 1), steps=st.lists(WAITS, max_size=30))
def test_nothing_of_others_is_taken_outside_the_hours(
    windows: list[Window], week_us: int, steps: list[Wait]
) -> None:
    # [REQUESTS-HOURS.1] [REQUESTS-HOURS.4]
    provider = Provider(windows, week_us)
    provider.tell_time()
    provider.ask()
    for step in steps:
        provider.wait(step)
        provider.ask()
        record = provider.peer.get_snapshot(provider.now).record
        assert record.is_draining is not provider.is_open, "what others are told"
    said = [fact.is_open for fact in facts(provider.log, OpeningChanged)]
    assert all(before != then for before, then in pairwise(said))


def test_a_peer_opens_by_its_own_deadline_and_says_so_once() -> None:
    provider = Provider([Window(60, 120)], week_us=0)
    provider.tell_time()
    version = provider.peer.get_snapshot(provider.now).record.version
    hour_us = 60 * MINUTE_US
    while provider.week_us < 3 * hour_us:
        provider.wait(Wait(MINUTE_US, is_told=True, is_woken=True))
        assert provider.peer.next_deadline() <= provider.now + hour_us
    record = provider.peer.get_snapshot(provider.now).record
    assert (record.is_draining, record.version) == (True, version + 2)
    assert [fact.is_open for fact in facts(provider.log, OpeningChanged)] == [False, True, False]


def test_what_runs_when_it_closes_goes_on_and_own_users_are_always_served() -> None:
    # [REQUESTS-HOURS.3]
    provider = Provider([Window(60, 120)], week_us=90 * MINUTE_US)
    provider.tell_time()
    session = pick(provider.tell(offer(1, peer=ASKER)), AcceptOffer).session
    provider.wait(Wait(0, is_told=True, is_woken=True, is_to_turn=True))
    assert not provider.peer.get_snapshot(provider.now).opening.is_open
    assert not list(pick_all(provider.log, StopSession))
    provider.tell(EngineRead("gpu", reading()))
    assert list(pick_all(provider.tell(SubmitRequest(summary(2), Route.AUTO)), StartLocal))
    provider.tell(ended(session))
    totals = provider.peer.get_snapshot(provider.now).totals
    assert (totals.works_answered, totals.requests) == (1, 1)
