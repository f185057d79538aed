"""What runs for one session: an engine's work, and the stream that carries it to another node.

`sim.streams` has the rules and numbers cited here.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from wwwserve.core.effects import ExtendPayment
from wwwserve.core.events import (
    Event,
    ExtensionReceived,
    FirstOutput,
    OfferCancelled,
    StreamEnded,
    StreamOpened,
    StreamProgressed,
)
from wwwserve.core.paying import PayeeTerms
from wwwserve.core.payments import PayeeMeter
from wwwserve.core.sessions import SessionId
from wwwserve.sim.ends import End, Failure
from wwwserve.sim.engines import Run
from wwwserve.sim.hosts import Host
from wwwserve.sim.money_checker import PaidStream
from wwwserve.sim.network import Link, Network
from wwwserve.sim.paying import Earnings, Purse, is_good
from wwwserve.sim.truth import UserRequest
from wwwserve.sim.world import Action
from wwwserve.values.limits import ALIVE_PERIOD_US
from wwwserve.values.refusals import FailureKind, Refusal
from wwwserve.wire import Offer, Unit, Usage
from wwwserve.wire.ledger import FeedOpener
from wwwserve.wire.paying import OpenedHold, compute_request_commitment, open_paid_offer

_DIGEST = bytes(32)
"""Pretend answers are all alike."""

News = Event | Failure
CreateNews = Callable[[SessionId], News]


class Teller(Protocol):
    """What runs need of the table they stand in (`sim.streams.Streams`)."""

    network: Network
    opener: FeedOpener | None
    frame_count: int

    def tell(self, end: End, request: UserRequest, news: News) -> None:
        """Tell one side what happened to its session."""
        ...

    def forget(self, end: End) -> None:
        """A session is over for one side."""
        ...


def compute_body_digest(request: UserRequest) -> bytes:
    """SHA-256 of a pretend body, which says nothing but whose it is."""
    return hashlib.sha256(request.request).digest()


@dataclass(slots=True, eq=False)
class EngineRun:
    """An engine working for one peer, own user's or another's; the listener of its run."""

    streams: Teller
    end: End
    request: UserRequest
    carriage: "Carriage | None" = None
    """With another node's request: what carries it."""
    run: Run | None = None
    tokens: int = 0
    """Those that came so far."""

    def start(self) -> None:
        """Call the engine (rules 2 and 5)."""
        host = self.end.host
        if self.carriage is None or host.person.answers:
            self.run = host.engine.start(self.request, self)
        self.end.watch_silence(
            lambda: self.on_failure(FailureKind.TIMEOUT, 0, "no answer"), self._get_starved_since
        )
        if self.carriage is not None and self.run is not None:
            host.do_later(ALIVE_PERIOD_US, self._say_alive)

    def _get_starved_since(self) -> int | None:
        return self.end.host.engine.spoke_us if self.tokens else None

    def _say_alive(self) -> None:
        """Rule 5."""
        if self.end.is_open and self.carriage is not None:
            self.carriage.say_alive()
            self.end.host.do_later(ALIVE_PERIOD_US, self._say_alive)

    def stop(self) -> None:
        """Stop the engine; nothing more is told."""
        self.end.is_open = False
        self.stop_engine()

    def stop_engine(self) -> None:
        """The engine works no more on it."""
        if self.run is not None:
            self.end.host.engine.stop(self.run)

    def on_first_output(self) -> None:
        """See `Listener`."""
        self._give(FirstOutput, 1)

    def on_progress(self, completion_tokens: int) -> None:
        """See `Listener`."""
        self._give(lambda session: StreamProgressed(session, completion_tokens), completion_tokens)

    def on_end(self, usage: Usage) -> None:
        """See `Listener`."""
        carriage = self.carriage
        if carriage is None:
            self._tell(StreamEnded(self.end.session, usage, _DIGEST))
        elif self.end.is_open:
            tokens = usage.completion_tokens
            stated = Usage(
                usage.prompt_tokens,
                self.end.host.person.state_tokens(tokens),
                usage.cached_tokens,
            )
            carriage.give(self.tokens, lambda: self._end(carriage, stated))

    def _end(self, carriage: "Carriage", usage: Usage) -> None:
        carriage.send_back(lambda session: StreamEnded(session, usage, _DIGEST))
        self._tell(StreamEnded(self.end.session, usage, _DIGEST))
        if carriage.earnings is not None:
            carriage.earnings.await_last(usage.completion_tokens)

    def on_failure(self, kind: FailureKind, status: int, detail: str) -> None:
        """See `Listener`."""
        self.stop_engine()
        if self.end.is_open:
            if self.carriage is not None:
                self.carriage.fail(kind, status, detail)
            self._tell(Failure(self.end.session, kind, status, detail))
            if self.carriage is not None:
                self.carriage.close_earnings()
        if kind is not FailureKind.UNPAID:
            self.end.host.read_engine()

    def _give(self, create: CreateNews, tokens: int) -> None:
        if not self.end.is_open:
            return
        before, self.tokens = self.tokens, tokens
        carriage = self.carriage
        if carriage is not None:
            carriage.give(before, lambda: carriage.send_back(create))
        self._tell(create(self.end.session))

    def _tell(self, news: News) -> None:
        self.streams.tell(self.end, self.request, news)


@dataclass(slots=True, eq=False)
class Carriage:
    """One request stream on a link: the origin's side, and the executor's once it arrived."""

    streams: Teller
    link: Link
    origin: End
    request: UserRequest
    offer: Offer
    truth: PaidStream | None = None
    """What checkers know of it, where it is paid."""
    purse: Purse | None = None
    """Of the origin, where it pays."""
    earnings: Earnings | None = None
    """Of the executor, where it is paid."""
    executor: End | None = None
    work: EngineRun | None = None
    is_reset: bool = False
    """The origin has cut it off."""
    is_answered: bool = False
    """Its accept or decline has arrived at the origin."""

    @property
    def is_executor_open(self) -> bool:
        """Whether the executor still has to do with it (or may yet receive it)."""
        return self.executor is None or self.executor.is_open

    # -- from the executor -----------------------------------------------------------------------

    def earn(self, payment: PayeeTerms) -> None:
        """The executor works for a hold (rule 16)."""
        assert self.executor is not None, "only who received the offer accepts it"
        assert self.truth is not None, "its origin pays"
        if self.earnings is None:
            self.earnings = Earnings(
                self.executor,
                PayeeMeter(payment),
                self.truth,
                payment.is_covered,
                self._on_overdue,
            )

    def give(self, before: int, leave: Action) -> None:
        """Let a piece of the answer leave, now or as soon as it is paid for."""
        truth, executor = self.truth, self.executor
        if self.earnings is None or truth is None or executor is None:
            leave()
            return

        def leave_seen() -> None:
            truth.note_sent(executor.host, before)
            leave()

        self.earnings.give(before, leave_seen)

    def fail(self, kind: FailureKind, status: int, detail: str) -> None:
        """Tell the origin that it came to nothing; what waited does not leave."""
        if self.earnings is not None:
            self.earnings.drop()
        self.send_back(lambda session: Failure(session, kind, status, detail))

    def send_back(self, create: CreateNews) -> None:
        """Send a frame to the origin, which is told what it means on arrival."""
        assert self.executor is not None, "only who received the offer answers it"
        self._carry(self.executor.host, lambda: self._arrive_back(create(self.origin.session)))

    def say_alive(self) -> None:
        """Let the origin know that the run goes on."""
        assert self.executor is not None, "only who received the offer runs it"
        self._carry(self.executor.host, self.origin.hear)

    def _arrive_back(self, news: News) -> None:
        self.is_answered = True
        if self.purse is not None and self.origin.is_open:
            _pay_for(self.purse, news, self.request)
        self.streams.tell(self.origin, self.request, news)

    def _on_overdue(self) -> None:
        """Rule 16: the executor goes no further."""
        if self.work is not None and self.executor is not None and self.executor.is_open:
            self.work.on_failure(FailureKind.UNPAID, 0, "a unit is overdue")

    # -- from the origin -------------------------------------------------------------------------

    def send_unit(self, unit: Unit) -> None:
        """Rule 15."""
        self._carry(self.origin.host, lambda: self._take(lambda: self._take_unit(unit)))

    def extend(self, effect: ExtendPayment) -> None:
        """Rule 18."""
        if self.purse is None or not self.origin.is_open:
            return
        self.purse.extend(effect.payment)
        self._carry(self.origin.host, lambda: self._take(lambda: self._take_hold(effect.frame)))

    def open_hold(self, payment: bytes) -> OpenedHold | None:
        """What an offer or extension pays with, as the executor's shell opens it.

        Raises `Refusal`.
        """
        opener = self.streams.opener
        if opener is None or not payment:
            return None
        opened = open_paid_offer(payment, payer=self.origin.host.node_id, opener=opener)
        digest = compute_body_digest(self.request)
        wanted = compute_request_commitment(self.offer.model, opened.salt, digest)
        if opened.hold.req_commit != wanted:
            raise Refusal("offer-commitment", "the hold commits to another request")
        return opened

    def _take_unit(self, unit: Unit) -> None:
        if self.earnings is None:
            raise Refusal("stream-order", "nothing more was asked of the origin")
        self.earnings.take(unit)

    def _take_hold(self, payment: bytes) -> None:
        hold = self.open_hold(payment)
        assert self.executor is not None
        if hold is not None and self.earnings is not None:
            session, host = self.executor.session, self.executor.host
            self.earnings.note_extension()
            host.later(0, ExtensionReceived(session, hold))

    def _take(self, take: Action) -> None:
        """Something of the origin arrived; what breaks a rule ends the work (rule 15)."""
        if self.is_reset or self.executor is None or is_good(take):
            return
        if self.executor.is_open:
            self.fail(FailureKind.BROKEN, 0, "the origin broke a rule")
        self._tell_cancelled()

    def reset(self) -> None:
        """The origin cuts it off (rule 7)."""
        self.close_purse()
        self.origin.is_open = False
        self.is_reset = True
        self._carry(self.origin.host, self._cancel)

    # -- ends ------------------------------------------------------------------------------------

    def on_link_lost(self, end: Host) -> None:
        """See `Cargo`; rule 9."""
        if end is self.origin.host:
            self.is_reset = True
            failure = Failure(self.origin.session, FailureKind.LINK_LOST, 0, "the link was lost")
            self.close_purse()
            end.do_later(0, lambda: self.streams.tell(self.origin, self.request, failure))
        else:
            self._stop_work()
            end.do_later(0, self._tell_cancelled)
        if not any(self.link.is_open):
            self.link.cargo.pop(self, None)

    def close_purse(self) -> None:
        """Nothing more is paid (rule 17)."""
        if self.purse is not None:
            self.purse.close()

    def close_earnings(self) -> None:
        """Nothing more is earned (rule 17)."""
        if self.earnings is not None:
            self.earnings.close()

    def _carry(self, sender: Host, action: Action) -> None:
        self.streams.frame_count += 1
        self.streams.network.carry(self.link, sender, action)

    def _cancel(self) -> None:
        self._stop_work()
        self._tell_cancelled()
        self.link.cargo.pop(self, None)

    def _stop_work(self) -> None:
        if self.work is not None:
            self.work.stop_engine()

    def _tell_cancelled(self) -> None:
        self.close_earnings()
        if self.executor is not None and self.executor.is_open:
            self._stop_work()
            self.streams.forget(self.executor)
            self.executor.tell(OfferCancelled(self.executor.session), is_last=True)


def _pay_for(purse: Purse, news: News, request: UserRequest) -> None:
    """Rules 15 and 17: what arrives is paid, and an end is the end of paying."""
    match news:
        case StreamOpened():
            purse.pay(0, has_output=False)
        case FirstOutput():
            purse.pay(1, has_output=True)
        case StreamProgressed(completion_tokens=tokens):
            purse.pay(tokens, has_output=True)
        case StreamEnded(usage=usage):
            # No more than arrived, as the bytes of a real answer would show.
            purse.settle(min(usage.completion_tokens, request.completion_tokens))
            purse.close()
        case _:
            purse.close()
