"""The pretend data plane: what carries requests between users, engines and peers.

These rules are the shell's side of the bargain with `core.Peer`; the real shell (`node`) keeps them
too. *Told* means: given to the peer as an event. The numbers are cited in the code.

 1. What a session brings about is told by events after the effect that started it, never during.
 2. `StartLocal` calls the engine: `FirstOutput`, `StreamProgressed` at most once in
    `PROGRESS_PERIOD_US`, and one last `StreamEnded` or `StreamFailed`.
 3. `StartRemote` sends the offer over the link, then the body; without a link it is
    `StreamFailed(LINK_LOST)`. The executor is told `OfferReceived` when the body is complete.
 4. The executor's first answer is its accept (the origin is told `StreamOpened`) or its decline
    (`StreamFailed(DECLINED)` with the reason). If neither came within `accept_wait_us`, the origin
    is told `StreamFailed(TIMEOUT)` and the stream is reset.
 5. `AcceptOffer` calls the executor's engine at once. The executor is told the same events as for
    a local run; their frames travel to the origin, which is told them on arrival. Every
    `ALIVE_PERIOD_US` a frame says that the run goes on; the origin is told nothing of it.
 6. An engine's failure is told to the executor as it is, and to the origin with the same kind.
    After it the engine is read at once, so that the next decision knows.
 7. A reset by the origin (rules 4, 8, 10, 11) stops the executor's engine on arrival; then it is
    told `OfferCancelled`. An offer reset before it was whole was never told to it, so that the word
    that it is cancelled (`node` gives it) means nothing.
 8. `StopSession` stops a run wherever it is, and nothing more of the session is told. At an
    executor it resets the stream: the origin is told `StreamFailed(BROKEN)`.
 9. A link's end is told in this order: each own session on it fails with `StreamFailed(LINK_LOST)`,
    each work on it is stopped and told `OfferCancelled`, then `LinkClosed`.
10. A session that heard nothing from its engine or executor for `STALL_US` fails with TIMEOUT. An
    answer that has begun waits for an engine that goes on with others, `STARVED_US` at most, and as
    long for an executor that says no more than that it lives.
11. `EndRequest` ends the request for its user and stops what still runs of it.
12. `is_delivered` is true once the user holds a part of the answer: for a streamed request from the
    first output of any session on, for others never, since they are given whole.
13. An effect on a session that is over already does nothing: the peer could not have known.

Where the network has a ledger, requests are paid:

14. `StartRemote` and `ExtendPayment` wait for what was written before them in their lane; whose
    request has ended meanwhile does not leave. The executor's shell opens what an offer pays with;
    what is not for this very request breaks the stream.
15. The origin sends a unit as soon as what arrived has earned it. A unit that pays nothing breaks
    the stream at the executor.
16. Output leaves once the hold is covered or `ReleaseOutput` came, and what left before it is paid
    as was agreed. A unit that is overdue for `PAYMENT_WAIT_US` ends the work as UNPAID.
17. After the last frame the origin sends the last unit; the executor, whose peer was told the end,
    waits `FINAL_UNIT_WAIT_US` for it. Both sides' peers are told `PaymentProgressed` with `is_last`
    exactly once for each paid session; an executor's at most every `PAYMENT_TOLD_US` before.
18. `HoldRunsOut` is told once for each hold that is nearly used up; `ExtendPayment` sends another,
    the executor is told `ExtensionReceived`, and from `TakeExtension` on units are that one's.

And of all networks again:

19. `RecallSession` stops an own user's run of which no output has come, as rule 8 has it, or leaves
    it as it is; `RecallAnswered` tells which. Of a session that is over already nothing is told.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import assert_never

from wwwserve.core.effects import (
    AcceptOffer,
    DeclineOffer,
    EndRequest,
    ExtendPayment,
    RecallSession,
    ReleaseOutput,
    StartLocal,
    StartRemote,
    StopSession,
    TakeExtension,
)
from wwwserve.core.events import (
    FirstOutput,
    OfferReceived,
    PaymentProgressed,
    RecallAnswered,
    StreamEnded,
    StreamOpened,
)
from wwwserve.core.paying import PayerTerms
from wwwserve.core.sessions import Role, SessionId
from wwwserve.sim.carriages import Carriage, EngineRun, News
from wwwserve.sim.ends import End, Failure, create_failed
from wwwserve.sim.hosts import Host
from wwwserve.sim.money_checker import MoneyChecker
from wwwserve.sim.network import Network
from wwwserve.sim.paying import Purse, is_good
from wwwserve.sim.truth import Outcome, UserRequest
from wwwserve.sim.world import Action
from wwwserve.values.ids import RequestId
from wwwserve.values.limits import LINK_STREAMS_MAX
from wwwserve.values.refusals import FailureKind, Refusal
from wwwserve.wire import Offer, decode_frame, encode_frame
from wwwserve.wire.ledger import FeedOpener

StreamEffect = (
    StartLocal
    | StartRemote
    | ExtendPayment
    | StopSession
    | RecallSession
    | EndRequest
    | AcceptOffer
    | ReleaseOutput
    | TakeExtension
    | DeclineOffer
)
"""What a peer asks of its sessions."""


@dataclass(slots=True)
class Streams:
    """All sessions of a world, and the carrying out of the effects on them."""

    network: Network
    find_request: Callable[[bytes], UserRequest | None]
    """The truth about a request; None for those a dishonest node made up."""
    on_output: Callable[[UserRequest], None]
    """A user saw the first bytes."""
    on_end: Callable[[UserRequest, Host, EndRequest], None]
    """A request is over for its user, who was answered by `get_answerer`."""
    money: MoneyChecker
    """Hears of all that is paid."""
    frame_count: int = 0
    """Frames of request streams sent, progress included; output bytes are not counted."""
    opener: FeedOpener | None = None
    """Opens what offers pay with; None where nothing is paid."""
    _runs: dict[tuple[int, SessionId], "EngineRun | Carriage"] = field(default_factory=dict)
    _numbers: dict[int, int] = field(default_factory=dict)
    _sessions: dict[RequestId, dict[SessionId, None]] = field(default_factory=dict)
    _answerers: dict[RequestId, int] = field(default_factory=dict)

    def carry_out(self, host: Host, effect: StreamEffect) -> None:
        """Do what a peer asks."""
        match effect:
            case StartLocal():
                self.start_local(host, effect)
            case StartRemote():
                self._hold(host, effect, lambda: self.start_remote(host, effect))
            case ExtendPayment():
                self._hold(host, effect, lambda: self._extend(host, effect))
            case EndRequest():
                self.end_request(host, effect)
            case DeclineOffer():
                self.decline(host, effect)
            case StopSession() | RecallSession():
                self._carry_out_stop(host, effect)
            case AcceptOffer() | ReleaseOutput() | TakeExtension():
                self._carry_out_work(host, effect)
            case _:
                assert_never(effect)

    def _carry_out_stop(self, host: Host, effect: StopSession | RecallSession) -> None:
        match effect:
            case StopSession(session, failure):
                self.stop(host, session, failure or FailureKind.BROKEN)
            case RecallSession(session):
                self.recall(host, session)
            case _:
                assert_never(effect)

    def _carry_out_work(
        self, host: Host, effect: AcceptOffer | ReleaseOutput | TakeExtension
    ) -> None:
        match effect:
            case AcceptOffer():
                self.accept(host, effect)
            case ReleaseOutput() | TakeExtension():
                self._change_earnings(host, effect)
            case _:
                assert_never(effect)

    def _hold(self, host: Host, effect: StartRemote | ExtendPayment, action: Action) -> None:
        """Rule 14."""
        if effect.lane is None:
            action()
        else:
            host.disk.hold(effect.lane, action)

    # -- effects of an origin --------------------------------------------------------------------

    def start_local(self, host: Host, effect: StartLocal) -> None:
        """Rule 2."""
        request = self._find_own(effect.request)
        run = EngineRun(self, End(host, effect.session, host.life), request)
        self._add(host, effect.request, effect.session, run)
        run.start()

    def start_remote(self, host: Host, effect: StartRemote) -> None:
        """Rules 3, 4 and 14."""
        request = self._find_own(effect.request)
        end = End(host, effect.session, host.life)
        if request.outcome is not Outcome.OPEN:
            _tell_unused(end, effect.payment)
            return
        link = self.network.find_link(host, effect.peer)
        if link is None or len(link.cargo) >= 2 * LINK_STREAMS_MAX:
            failure = Failure(effect.session, FailureKind.LINK_LOST, 0, "no link to the executor")
            _tell_unused(end, effect.payment)
            host.do_later(0, lambda: self.tell(end, request, failure))
            return
        carriage = Carriage(self, link, end, request, effect.offer)
        if effect.payment is not None:
            truth = self.money.get_stream(effect.payment.terms.hold_id)
            carriage.truth = truth
            carriage.purse = Purse(end, effect.payment, truth, carriage.send_unit)
        link.cargo[carriage] = None
        self.frame_count += 1
        self._add(host, effect.request, effect.session, carriage)
        frame = encode_frame(effect.offer)
        self.network.carry(
            link,
            host,
            lambda: self._receive_offer(carriage, frame),
            extra_us=self.network.compute_transfer_us(effect.offer.summary.body_bytes),
        )
        end.watch_silence(lambda: self._time_out(carriage, "the executor fell silent"))

        def look() -> None:
            if end.is_open and not carriage.is_answered:
                self._time_out(carriage, "no answer to the offer in time")

        host.do_later(effect.accept_wait_us, look)

    def _receive_offer(self, carriage: Carriage, frame: bytes) -> None:
        if carriage.is_reset:
            return
        origin = carriage.origin.host
        host = carriage.link.get_other(origin)
        number = self._numbers[host.index] = self._numbers.get(host.index, 0) + 1
        session = SessionId(Role.EXECUTOR, number)
        carriage.executor = End(host, session, host.life)
        self._runs[host.index, session] = carriage
        offer = decode_frame(frame)
        assert isinstance(offer, Offer), "an origin's first frame is its offer"
        try:
            hold = carriage.open_hold(offer.payment)
        except Refusal as refusal:
            carriage.executor.is_open = False
            carriage.fail(FailureKind.BROKEN, 0, str(refusal))
            return
        host.tell(OfferReceived(session, origin.node_id, offer, hold))

    def _time_out(self, carriage: Carriage, detail: str) -> None:
        failure = Failure(carriage.origin.session, FailureKind.TIMEOUT, 0, detail)
        self.tell(carriage.origin, carriage.request, failure)
        carriage.reset()

    def stop(self, host: Host, session: SessionId, failure: FailureKind) -> None:
        """Rule 8; `failure` is what the origin of a work is told."""
        run = self._runs.pop((host.index, session), None)
        match run:
            case None:
                pass  # rule 13
            case EngineRun():
                run.stop()
            case Carriage() if host is run.origin.host:
                if run.origin.is_open:
                    run.reset()
            case Carriage():
                self._stop_work(run, failure)

    def recall(self, host: Host, session: SessionId) -> None:
        """Rule 19."""
        run = self._runs.get((host.index, session))
        if run is None:
            return  # rule 13
        end = run.origin if isinstance(run, Carriage) else run.end
        is_stopped = not end.has_output
        if is_stopped:
            self.stop(host, session, FailureKind.CANCELLED)
        host.later(0, RecallAnswered(session, is_stopped))

    def _stop_work(self, carriage: Carriage, failure: FailureKind) -> None:
        end = carriage.executor
        if end is None or not end.is_open:
            return
        end.is_open = False
        if carriage.work is not None:
            carriage.work.stop()
        carriage.fail(failure, 0, "the executor gave it up")
        carriage.close_earnings()

    def _extend(self, host: Host, effect: ExtendPayment) -> None:
        """Rule 18."""
        carriage = self._runs.get((host.index, effect.session))
        if isinstance(carriage, Carriage):
            carriage.extend(effect)

    def end_request(self, host: Host, effect: EndRequest) -> None:
        """Rule 11."""
        for session in self._sessions.pop(effect.request, {}):
            self.stop(host, session, FailureKind.CANCELLED)
        self.on_end(self._find_own(effect.request), host, effect)
        self._answerers.pop(effect.request, None)

    def get_answerer(self, request: RequestId) -> int | None:
        """Index of the host whose whole answer arrived, if one did."""
        return self._answerers.get(request)

    # -- effects of an executor ------------------------------------------------------------------

    def accept(self, host: Host, effect: AcceptOffer) -> None:
        """Rule 5."""
        carriage = self._runs.get((host.index, effect.session))
        if not isinstance(carriage, Carriage) or carriage.executor is None:
            return  # rule 13
        if not carriage.executor.is_open:
            return  # rule 13
        encode_frame(effect.accept)
        if effect.payment is not None:
            carriage.earn(effect.payment)
        carriage.send_back(StreamOpened)
        carriage.work = EngineRun(self, carriage.executor, carriage.request, carriage)
        carriage.work.start()

    def _change_earnings(self, host: Host, effect: ReleaseOutput | TakeExtension) -> None:
        """Rules 16 and 18."""
        carriage = self._runs.get((host.index, effect.session))
        earnings = carriage.earnings if isinstance(carriage, Carriage) else None
        if earnings is None:
            return  # rule 13
        if isinstance(effect, ReleaseOutput):
            earnings.release()
        else:
            payment = effect.payment
            is_good(lambda: earnings.extend(payment))

    def decline(self, host: Host, effect: DeclineOffer) -> None:
        """Rule 4."""
        carriage = self._runs.pop((host.index, effect.session), None)
        if isinstance(carriage, Carriage) and carriage.executor is not None:
            carriage.executor.is_open = False
            encode_frame(effect.decline)
            decline = effect.decline
            carriage.send_back(
                lambda session: Failure(session, FailureKind.DECLINED, decline=decline)
            )

    # -- telling ---------------------------------------------------------------------------------

    def tell(self, end: End, request: UserRequest, news: News) -> None:
        """Tell one side what happened to its session, as its user's view makes it (rule 12)."""
        if not end.is_open or end.host.life != end.life:
            return
        is_last = isinstance(news, StreamEnded | Failure)
        if end.session.role is Role.ORIGIN:
            self._note_origin(end, request, news)
        if is_last:
            self.forget(end)
        if isinstance(news, Failure):
            is_delivered = (
                end.session.role is Role.ORIGIN
                and request.is_streamed
                and request.first_output_us > 0
            )
            end.tell(create_failed(news, is_delivered=is_delivered), is_last=True)
        else:
            end.tell(news, is_last=is_last)

    def _note_origin(self, end: End, request: UserRequest, news: News) -> None:
        if isinstance(news, FirstOutput):
            end.has_output = True
            if not request.first_output_us:
                request.first_output_us = end.host.world.now_us
                self.on_output(request)
        elif isinstance(news, StreamEnded):
            run = self._runs.get((end.host.index, end.session))
            executor = run.executor if isinstance(run, Carriage) else None
            self._answerers[request.request] = (executor or end).host.index

    def forget(self, end: End) -> None:
        """A session is over for one side."""
        run = self._runs.pop((end.host.index, end.session), None)
        if isinstance(run, Carriage) and end is run.origin and not run.is_executor_open:
            run.link.cargo.pop(run, None)

    def lose_process(self, host: Host) -> None:
        """A host's process died: its engine hears the connections close, its sessions are gone."""
        for key in [key for key in self._runs if key[0] == host.index]:
            run = self._runs.pop(key)
            if isinstance(run, EngineRun):
                run.stop()

    def _add(
        self, host: Host, request: RequestId, session: SessionId, run: "EngineRun | Carriage"
    ) -> None:
        self._runs[host.index, session] = run
        self._sessions.setdefault(request, {})[session] = None

    def _find_own(self, request: RequestId) -> UserRequest:
        found = self.find_request(request)
        assert found is not None, "a peer starts and ends only its own users' requests"
        return found


def _tell_unused(end: End, payment: PayerTerms | None) -> None:
    """A hold whose offer did not leave pays nothing (rules 14 and 17)."""
    if payment is not None:
        news = PaymentProgressed(end.session, payment.terms.hold_id, 0, b"", is_last=True)
        end.host.later(0, news)
