"""Other nodes' requests: what is quoted, accepted, run and reported here.

A quote promises a speed, not a slot: the offer that follows may still be declined. Nothing of
another node waits here; what cannot run at once goes back to its origin, which knows other places.
"""

from msgspec.structs import replace

from wwwserve.core.effects import AcceptOffer, DeclineOffer, Report, SendMessage, StopSession
from wwwserve.core.events import OfferReceived, StreamEnded, StreamFailed
from wwwserve.core.facts import WorkDeclined, WorkFinished, WorkStarted
from wwwserve.core.paying import PayeeTerms
from wwwserve.core.placing import (
    PeerRequest,
    RunMeasured,
    compute_text_bytes,
)
from wwwserve.core.requests.admission import Admission
from wwwserve.core.requests.beginning import describe_work
from wwwserve.core.requests.capacity import Capacity
from wwwserve.core.requests.effects import RequestsEffect
from wwwserve.core.requests.events import ProbeReceived
from wwwserve.core.requests.inviting import Invitations
from wwwserve.core.requests.probe_rate import ProbeRate
from wwwserve.core.requests.questions import Strangers
from wwwserve.core.requests.rules import (
    ROOM_MODELS_MAX,
    compute_retry_us,
    is_engine_fault,
)
from wwwserve.core.requests.state import Tally, Work
from wwwserve.core.requests.waiting import Queue
from wwwserve.core.sessions import Role, ServedModel, SessionId
from wwwserve.values.ids import NodeId, RequestId
from wwwserve.values.limits import QUOTE_LIFE_US
from wwwserve.values.model_names import ModelId
from wwwserve.values.moments import Moment
from wwwserve.values.refusals import DeclineReason, FailureKind
from wwwserve.wire import (
    OFFER_VERSION,
    Accept,
    Decline,
    Quote,
    RequestSummary,
    Room,
    Usage,
)


class Executor:
    """The executor's half of the machine."""

    def __init__(
        self,
        own: NodeId,
        *,
        capacity: Capacity,
        queue: Queue,
        strangers: Strangers,
        tally: Tally,
    ) -> None:
        self._own = own
        self._capacity = capacity
        self._policy = strangers.policy
        self._routing = strangers.routing
        self._strangers = strangers
        self._tally = tally
        self._admission = Admission(capacity, queue, strangers)
        self._works: dict[SessionId, Work] = {}
        self._invitations = Invitations()
        self._rate = ProbeRate()
        self.effects: list[RequestsEffect] = []

    def __len__(self) -> int:
        return len(self._works)

    def set_draining(self, *, is_draining: bool) -> None:
        """Whether no work of others is taken on any more."""
        self._admission.is_draining = is_draining

    def get_work(self, session: SessionId) -> Work | None:
        """A running work; None once it is over."""
        return self._works.get(session)

    def take_effects(self) -> list[RequestsEffect]:
        """What was asked for since last time, in order."""
        effects, self.effects = self.effects, []
        return effects

    # -- answers ---------------------------------------------------------------------------------

    def answer_probe(self, event: ProbeReceived, now: Moment) -> None:
        """Quote, or decline with a reason."""
        summary = self._routing.believe(event.peer, event.probe.summary)
        if not self._rate.admit(event.peer, now):
            found: ServedModel | DeclineReason = DeclineReason.RATE
        else:
            found = self._admission.choose(event.peer, summary, summary.models, now)
        if isinstance(found, ServedModel):
            found = self._strangers.payments.refuse(event.peer) or found
        if isinstance(found, DeclineReason):
            self._note_turned_away(event.peer, found, now)
            retry_us = self._compute_retry_us(found, now)
            quote = Quote(event.probe.probe, decline=found, retry_after_us=retry_us)
            self._report_decline(event.peer, RequestId(summary.request), found, is_probe=True)
        else:
            quote = self._quote(event, summary, found, now)
            if quote.harmed:
                self._invitations.note(event.peer, now)
        self.effects.append(SendMessage(event.peer, quote))

    def answer_offer(self, event: OfferReceived, now: Moment) -> None:
        """Run it, or decline with a reason. A session that is running already is left alone."""
        if event.session in self._works:
            return
        stated = event.offer.summary
        summary = self._routing.believe(event.peer, stated)
        found = self._judge_offer(event, summary, now)
        if isinstance(found, DeclineReason):
            self._tally.works_declined += 1
            self._note_turned_away(event.peer, found, now)
            self._report_decline(event.peer, RequestId(summary.request), found, is_probe=False)
            decline = Decline(found, self._compute_retry_us(found, now))
            self.effects.append(DeclineOffer(event.session, decline))
            return
        served, payment = found
        self._tally.works += 1
        model = served.offer.model
        fact = WorkStarted(event.session, RequestId(summary.request), event.peer, model)
        self.effects.append(Report(fact))
        self._policy.take(event.session, PeerRequest(event.peer, summary, served.offer), now)
        work = Work(event.session, summary, event.peer, now, served, now, payment=payment)
        work.stated_tokens = stated.completion_tokens_expected
        self._run(work, now)

    def _run(self, work: Work, now: Moment) -> None:
        """An own engine is to run a work."""
        model = work.served.offer.model
        work.began_at = now
        work.tokens = self._strangers.predict_tokens(work.summary, work.served)
        self._capacity.occupy(work.served, Role.EXECUTOR, work.tokens)
        self._routing.begin_run(describe_work(work), now)
        self._works[work.session] = work
        self._admission.note_start(work.origin)
        payment = work.payment
        accept = Accept(OFFER_VERSION, model, payment.accept if payment is not None else b"")
        self.effects.append(AcceptOffer(work.session, accept, work.served, payment))

    def _note_turned_away(self, peer: NodeId, reason: DeclineReason, now: Moment) -> None:
        if reason is DeclineReason.BUSY:
            self._invitations.note(peer, now)

    def invite(self, now: Moment) -> None:
        """Tell those who were turned away, if there is room for other nodes' requests now."""
        if not self._invitations or self._admission.is_draining:
            return
        models = dict.fromkeys(
            served.offer.model
            for served in self._capacity.list_roomy(now)
            if self._policy.has_room_for_others(self._admission.get_load_of_all(served, now))
        )
        if not models:
            return
        for peer in self._invitations.take_next(now):
            self.effects.append(SendMessage(peer, Room(tuple(models)[:ROOM_MODELS_MAX])))

    # -- ends ------------------------------------------------------------------------------------

    def finish(self, work: Work, event: StreamEnded, now: Moment) -> None:
        """A work is done and delivered."""
        work.completion_tokens = event.usage.completion_tokens
        first_output_at = work.first_output_at if work.first_output_at is not None else now
        self.effects.append(
            RunMeasured(
                node=self._own,
                engine=work.served.engine,
                model=ModelId(work.served.offer.model),
                prompt_tokens=event.usage.prompt_tokens,
                completion_tokens=event.usage.completion_tokens,
                completion_tokens_max=work.summary.completion_tokens_max,
                first_output_us=first_output_at - work.began_at,
                total_us=now - work.began_at,
                quoted_us=0,
                body_bytes=compute_text_bytes(work.summary),
                prefixes=work.summary.prefixes,
                cached_tokens=event.usage.cached_tokens,
                kv_tokens=self._capacity.get_kv_tokens(work.served),
                is_work=True,
            )
        )
        self._tally.works_answered += 1
        self._capacity.note_success(work.served, event.usage)
        self._release(work, now, is_whole=True)
        self._report_end(work, "", event.usage, now)

    def take_failure(self, work: Work, event: StreamFailed, now: Moment) -> None:
        """A work's engine failed: another own engine takes over while its origin saw nothing."""
        self._release(work, now)
        is_seen = event.is_delivered or work.first_output_at is not None
        other = None
        if is_engine_fault(event.kind):
            self._capacity.note_failure(work.served, now)
            work.failed_on += (work.served.engine,)
            other = None if is_seen else self._find_other(work, now)
        if other is None:
            usage = Usage(0, work.completion_tokens)
            self._report_end(work, event.kind.name.lower(), usage, now)
        else:
            work.served = other
            self._run(work, now)

    def _find_other(self, work: Work, now: Moment) -> ServedModel | None:
        """An own engine with room that has not failed a work yet."""
        for served in self._capacity.list_ranked(work.served.offer.model, now):
            if served.engine not in work.failed_on and self._admission.can_go_on(work, served, now):
                return served
        return None

    def fail(self, work: Work, error: str, now: Moment) -> None:
        """Its origin does not want a work any more, or does not pay for it."""
        self._release(work, now)
        usage = Usage(0, work.completion_tokens)
        self._report_end(work, error, usage, now, is_given_up=True)

    def stop_unpaid(self, work: Work, now: Moment) -> None:
        """Nobody pays for a work: it ends here, and its origin hears why."""
        self.effects.append(StopSession(work.session, FailureKind.UNPAID))
        self.fail(work, FailureKind.UNPAID.name.lower(), now)

    def _release(self, work: Work, now: Moment, *, is_whole: bool = False) -> None:
        del self._works[work.session]
        self._admission.note_end(work.origin)
        if work.first_output_at is None:
            self._capacity.note_read(work.served)
        self._capacity.release(work.served, Role.EXECUTOR, work.tokens)
        self._routing.end_run(work.session, work.completion_tokens, now, is_whole=is_whole)

    def _report_end(
        self, work: Work, error: str, usage: Usage, now: Moment, *, is_given_up: bool = False
    ) -> None:
        prompt_tokens = usage.prompt_tokens
        if not prompt_tokens and (is_given_up or work.first_output_at is not None):
            # It broke after the engine had read the prompt, and before it had counted it; or its
            # origin left while it was read, and nobody is to have that for nothing.
            prompt_tokens = work.summary.prompt_tokens
        used = Usage(prompt_tokens, usage.completion_tokens)
        self._policy.end(work.session, used, now)
        fact = WorkFinished(
            session=work.session,
            request=RequestId(work.summary.request),
            origin=work.origin,
            model=work.served.offer.model,
            error=error,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            total_us=now - work.started_at,
        )
        self.effects.append(Report(fact))

    # -- decisions -------------------------------------------------------------------------------

    def _judge_offer(
        self, event: OfferReceived, summary: RequestSummary, now: Moment
    ) -> tuple[ServedModel, PayeeTerms | None] | DeclineReason:
        """The own model to run it and for what it is paid, or why not."""
        offer = event.offer
        if offer.version != OFFER_VERSION or offer.model not in offer.summary.models:
            return DeclineReason.UNSUPPORTED
        served = self._admission.choose(event.peer, summary, (offer.model,), now)
        if isinstance(served, DeclineReason):
            return served
        # Last, for whoever admits a hold has taken it on.
        payment = self._strangers.payments.admit(
            event.session, event.peer, offer.summary, ModelId(offer.model), event.hold, now
        )
        return payment if isinstance(payment, DeclineReason) else (served, payment)

    def _compute_retry_us(self, reason: DeclineReason, now: Moment) -> int:
        if reason is DeclineReason.CLOSED:
            return self._policy.compute_closed_us(now)
        return compute_retry_us(reason)

    def _quote(
        self, event: ProbeReceived, summary: RequestSummary, served: ServedModel, now: Moment
    ) -> Quote:
        """What a run here would come to, for an answer as long as its origin says it will be.

        Room is judged by what its word has meant so far. Were the quote so too, its origin would
        compare places that each reckon with an answer of another length.
        """
        model = ModelId(served.offer.model)
        load = self._admission.get_load(event.peer, summary, served, now)
        stated = event.probe.summary.completion_tokens_expected
        if stated:
            summary = replace(summary, completion_tokens_expected=stated)
        estimate = self._routing.estimate(summary, model, load)
        return Quote(
            event.probe.probe,
            decline=None,
            model=model,
            first_token_us=estimate.first_token_us,
            finish_us=estimate.finish_us,
            expiry_us=QUOTE_LIFE_US,
            payment=self._strangers.payments.quote(
                event.peer,
                model,
                estimate.first_token_us,
                self._policy.compute_ask_permille(load, now),
            ),
            burden_us=estimate.burden_us,
            harmed=estimate.harmed,
            saved_prompt_tokens=estimate.saved_prompt_tokens,
        )

    def _report_decline(
        self, origin: NodeId, request: RequestId, reason: DeclineReason, *, is_probe: bool
    ) -> None:
        self.effects.append(Report(WorkDeclined(origin, request, reason, is_probe)))
