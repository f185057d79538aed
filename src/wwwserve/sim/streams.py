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
    a local run; their frames travel to the origin, which is told them on arrival.
 6. An engine's failure is told to the executor as it is, and to the origin with the same kind.
    After it the engine is read at once, so that the next decision knows.
 7. A reset by the origin (rules 4, 8, 10, 11) stops the executor's engine on arrival; then it is
    told `OfferCancelled`. An offer reset before it was whole was never told to it, so that the word
    that it is cancelled (`node` gives it) means nothing.
 8. `StopSession` stops a run wherever it is, and nothing more of the session is told. At an
    executor it resets the stream: the origin is told `StreamFailed(BROKEN)`.
 9. A link's end is told in this order: each own session on it fails with `StreamFailed(LINK_LOST)`,
    each work on it is stopped and told `OfferCancelled`, then `LinkClosed`.
10. A session that heard nothing from its engine or executor for `STALL_US` fails with TIMEOUT.
11. `EndRequest` ends the request for its user and stops what still runs of it.
12. `is_delivered` is true once the user holds a part of the answer: for a streamed request from the
    first output of any session on, for others never, since they are given whole.
13. An effect on a session that is over already does nothing: the peer could not have known.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from wwwserve.core.effects import AcceptOffer, DeclineOffer, EndRequest, StartLocal, StartRemote
from wwwserve.core.events import (
    Event,
    FirstOutput,
    OfferCancelled,
    OfferReceived,
    StreamEnded,
    StreamOpened,
    StreamProgressed,
)
from wwwserve.core.sessions import Role, SessionId
from wwwserve.sim.ends import End, Failure, create_failed
from wwwserve.sim.engines import Run
from wwwserve.sim.hosts import Host
from wwwserve.sim.network import Link, Network
from wwwserve.sim.truth import UserRequest
from wwwserve.values.ids import RequestId
from wwwserve.values.limits import LINK_STREAMS_MAX
from wwwserve.values.refusals import FailureKind
from wwwserve.wire import Offer, Usage, decode_frame, encode_frame

_DIGEST = bytes(32)
"""Pretend answers are all alike."""


@dataclass(slots=True, eq=False)
class _EngineRun:
    """An engine working for one peer, own user's or another's; the listener of its run."""

    streams: "Streams"
    end: End
    request: UserRequest
    carriage: "_Carriage | None" = None
    """With another node's request: what carries it."""
    run: Run | None = None

    def start(self) -> None:
        """Call the engine (rules 2 and 5)."""
        host = self.end.host
        if self.carriage is None or host.person.answers:
            self.run = host.engine.start(self.request, self)
        self.end.watch_silence(lambda: self.on_failure(FailureKind.TIMEOUT, 0, "no answer"))

    def stop(self) -> None:
        """Stop the engine; nothing more is told."""
        self.end.is_open = False
        if self.run is not None:
            self.end.host.engine.stop(self.run)

    def on_first_output(self) -> None:
        """See `Listener`."""
        self._give(FirstOutput)

    def on_progress(self, completion_tokens: int) -> None:
        """See `Listener`."""
        self._give(lambda session: StreamProgressed(session, completion_tokens))

    def on_end(self, usage: Usage) -> None:
        """See `Listener`."""
        self._give(lambda session: StreamEnded(session, usage, _DIGEST))

    def on_failure(self, kind: FailureKind, status: int, detail: str) -> None:
        """See `Listener`."""
        if self.run is not None:
            self.end.host.engine.stop(self.run)
        self._give(lambda session: Failure(session, kind, status, detail))
        self.end.host.read_engine()

    def _give(self, create: Callable[[SessionId], Event | Failure]) -> None:
        if not self.end.is_open:
            return
        if self.carriage is not None:
            self.carriage.send_back(create)
        self.streams.tell(self.end, self.request, create(self.end.session))


@dataclass(slots=True, eq=False)
class _Carriage:
    """One request stream on a link: the origin's side, and the executor's once it arrived."""

    streams: "Streams"
    link: Link
    origin: End
    request: UserRequest
    executor: End | None = None
    work: _EngineRun | None = None
    is_reset: bool = False
    """The origin has cut it off."""
    is_answered: bool = False
    """Its accept or decline has arrived at the origin."""

    @property
    def is_executor_open(self) -> bool:
        """Whether the executor still has to do with it (or may yet receive it)."""
        return self.executor is None or self.executor.is_open

    def send_back(self, create: Callable[[SessionId], Event | Failure]) -> None:
        """Send a frame to the origin, which is told what it means on arrival."""
        assert self.executor is not None, "only who received the offer answers it"
        self.streams.frame_count += 1
        self.streams.network.carry(
            self.link, self.executor.host, lambda: self._arrive_back(create(self.origin.session))
        )

    def _arrive_back(self, news: "Event | Failure") -> None:
        self.is_answered = True
        self.streams.tell(self.origin, self.request, news)

    def reset(self) -> None:
        """The origin cuts it off (rule 7)."""
        self.origin.is_open = False
        self.is_reset = True
        self.streams.frame_count += 1
        self.streams.network.carry(self.link, self.origin.host, self._cancel)

    def on_link_lost(self, end: Host) -> None:
        """See `Cargo`; rule 9."""
        if end is self.origin.host:
            self.is_reset = True
            failure = Failure(self.origin.session, FailureKind.LINK_LOST, 0, "the link was lost")
            end.do_later(0, lambda: self.streams.tell(self.origin, self.request, failure))
        else:
            self._stop_work()
            end.do_later(0, self._tell_cancelled)
        if not any(self.link.is_open):
            self.link.cargo.pop(self, None)

    def _cancel(self) -> None:
        self._stop_work()
        self._tell_cancelled()
        self.link.cargo.pop(self, None)

    def _stop_work(self) -> None:
        if self.work is not None and self.work.run is not None:
            self.work.end.host.engine.stop(self.work.run)

    def _tell_cancelled(self) -> None:
        if self.executor is not None and self.executor.is_open:
            self._stop_work()
            self.streams.forget(self.executor)
            self.executor.tell(OfferCancelled(self.executor.session), is_last=True)


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
    frame_count: int = 0
    """Frames of request streams sent, progress included; output bytes are not counted."""
    _runs: dict[tuple[int, SessionId], "_EngineRun | _Carriage"] = field(default_factory=dict)
    _numbers: dict[int, int] = field(default_factory=dict)
    _sessions: dict[RequestId, dict[SessionId, None]] = field(default_factory=dict)
    _answerers: dict[RequestId, int] = field(default_factory=dict)

    # -- effects of an origin --------------------------------------------------------------------

    def start_local(self, host: Host, effect: StartLocal) -> None:
        """Rule 2."""
        request = self._find_own(effect.request)
        run = _EngineRun(self, End(host, effect.session, host.life), request)
        self._add(host, effect.request, effect.session, run)
        run.start()

    def start_remote(self, host: Host, effect: StartRemote) -> None:
        """Rules 3 and 4."""
        request = self._find_own(effect.request)
        end = End(host, effect.session, host.life)
        link = self.network.find_link(host, effect.peer)
        if link is None or len(link.cargo) >= 2 * LINK_STREAMS_MAX:
            failure = Failure(effect.session, FailureKind.LINK_LOST, 0, "no link to the executor")
            host.do_later(0, lambda: self.tell(end, request, failure))
            return
        carriage = _Carriage(self, link, end, request)
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

    def _receive_offer(self, carriage: _Carriage, frame: bytes) -> None:
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
        host.tell(OfferReceived(session, origin.node_id, offer))

    def _time_out(self, carriage: _Carriage, detail: str) -> None:
        failure = Failure(carriage.origin.session, FailureKind.TIMEOUT, 0, detail)
        self.tell(carriage.origin, carriage.request, failure)
        carriage.reset()

    def stop(self, host: Host, session: SessionId) -> None:
        """Rule 8."""
        run = self._runs.pop((host.index, session), None)
        match run:
            case None:
                pass  # rule 13
            case _EngineRun():
                run.stop()
            case _Carriage() if host is run.origin.host:
                if run.origin.is_open:
                    run.reset()
            case _Carriage():
                self._stop_work(run)

    def _stop_work(self, carriage: _Carriage) -> None:
        end = carriage.executor
        if end is None or not end.is_open:
            return
        end.is_open = False
        if carriage.work is not None:
            carriage.work.stop()
        detail = "the executor gave it up"
        carriage.send_back(lambda session: Failure(session, FailureKind.BROKEN, 0, detail))

    def end_request(self, host: Host, effect: EndRequest) -> None:
        """Rule 11."""
        for session in self._sessions.pop(effect.request, {}):
            self.stop(host, session)
        self.on_end(self._find_own(effect.request), host, effect)
        self._answerers.pop(effect.request, None)

    def get_answerer(self, request: RequestId) -> int | None:
        """Index of the host whose whole answer arrived, if one did."""
        return self._answerers.get(request)

    # -- effects of an executor ------------------------------------------------------------------

    def accept(self, host: Host, effect: AcceptOffer) -> None:
        """Rule 5."""
        carriage = self._runs.get((host.index, effect.session))
        if not isinstance(carriage, _Carriage) or carriage.executor is None:
            return  # rule 13
        if not carriage.executor.is_open:
            return  # rule 13
        encode_frame(effect.accept)
        carriage.send_back(StreamOpened)
        carriage.work = _EngineRun(self, carriage.executor, carriage.request, carriage)
        carriage.work.start()

    def decline(self, host: Host, effect: DeclineOffer) -> None:
        """Rule 4."""
        carriage = self._runs.pop((host.index, effect.session), None)
        if isinstance(carriage, _Carriage) and carriage.executor is not None:
            carriage.executor.is_open = False
            encode_frame(effect.decline)
            decline = effect.decline
            carriage.send_back(
                lambda session: Failure(session, FailureKind.DECLINED, decline=decline)
            )

    # -- telling ---------------------------------------------------------------------------------

    def tell(self, end: End, request: UserRequest, news: "Event | Failure") -> None:
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

    def _note_origin(self, end: End, request: UserRequest, news: "Event | Failure") -> None:
        if isinstance(news, FirstOutput) and not request.first_output_us:
            request.first_output_us = end.host.world.now_us
            self.on_output(request)
        elif isinstance(news, StreamEnded):
            run = self._runs.get((end.host.index, end.session))
            executor = run.executor if isinstance(run, _Carriage) else None
            self._answerers[request.request] = (executor or end).host.index

    def forget(self, end: End) -> None:
        """A session is over for one side."""
        run = self._runs.pop((end.host.index, end.session), None)
        if isinstance(run, _Carriage) and end is run.origin and not run.is_executor_open:
            run.link.cargo.pop(run, None)

    def lose_process(self, host: Host) -> None:
        """A host's process died: its engine hears the connections close, its sessions are gone."""
        for key in [key for key in self._runs if key[0] == host.index]:
            run = self._runs.pop(key)
            if isinstance(run, _EngineRun):
                run.stop()

    def _add(
        self, host: Host, request: RequestId, session: SessionId, run: "_EngineRun | _Carriage"
    ) -> None:
        self._runs[host.index, session] = run
        self._sessions.setdefault(request, {})[session] = None

    def _find_own(self, request: RequestId) -> UserRequest:
        found = self.find_request(request)
        assert found is not None, "a peer starts and ends only its own users' requests"
        return found
