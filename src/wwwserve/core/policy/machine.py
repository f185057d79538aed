"""The provider's settings in force, what they are compared with, and the draws of its shares."""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from wwwserve.core.deciding import (
    NO_MEMORY,
    Case,
    GuestFailed,
    GuestFault,
    Holdings,
    IncomeSetAside,
    PolicyFact,
    PolicyInForce,
    PolicyMemory,
    Question,
    RequestDecided,
    SpendingCounted,
    StakeDecided,
    StakeOrder,
    UseCounted,
)
from wwwserve.core.entropy import Entropy
from wwwserve.core.events import LocalTimeRead, MachineRead, PaymentProgressed
from wwwserve.core.paying import HoldTerms
from wwwserve.core.placing import LoadView, Partners, PeerRequest, Verdict
from wwwserve.core.policy.asking import Asking
from wwwserve.core.policy.idleness import Idleness
from wwwserve.core.policy.opening import Opening
from wwwserve.core.policy.rules import decide, is_guest_heard, is_shared, name_guest
from wwwserve.core.policy.ruling import count_answer_tokens, has_room_for_others
from wwwserve.core.policy.spending import Spending
from wwwserve.core.policy.staking import Staking, decide_stake, is_on
from wwwserve.core.policy.usage import Usage as UsageSums
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.core.sessions import Role, SessionId
from wwwserve.core.snapshot import EngineView
from wwwserve.values.ids import NodeId
from wwwserve.values.limits import REQUESTS_OPEN_MAX
from wwwserve.values.moments import Moment
from wwwserve.wire import ModelOffer, RequestSummary, Usage

ANSWERS_MAX: Final = REQUESTS_OPEN_MAX
"""Own requests whose last answer is remembered, so that it is told once; of more, the oldest are
told again."""
_PERMILLE = 1000


class Policy:
    """One provider's policy: holds the settings, counts, and answers by `policy.rules`."""

    def __init__(
        self, settings: PolicySettings, entropy: Entropy, memory: PolicyMemory = NO_MEMORY
    ) -> None:
        """What was taken and spent before this process began still counts."""
        self._settings = settings
        self._entropy = entropy
        self._guests = memory.guests
        self._never = frozenset(settings.deny_nodes)
        self._usage = UsageSums(memory.use)
        self._taken: dict[SessionId, UseCounted] = {}
        """Other nodes' requests that run; no more than may be open at once."""
        self._spending = Spending(memory.spending)
        self._idleness = Idleness()
        self._asking = Asking()
        self._staking = Staking(memory.set_aside, memory.orders)
        self._stake_told = (0, "")
        """The last answer about the own stake."""
        self._told: dict[tuple[Question, bytes], tuple[Verdict, str]] = {}
        """The last answer about each own request."""
        self._facts: list[PolicyFact] = []
        self.opening = Opening(settings.hours)
        """What the hours say, now and next."""

    @property
    def settings(self) -> PolicySettings:
        """The settings in force."""
        return self._settings

    def set(self, settings: PolicySettings, now: Moment) -> None:
        """From the next decision on, these settings hold."""
        self._settings = settings
        self._never = frozenset(settings.deny_nodes)
        self.opening.set(settings.hours)
        self.opening.turn(now)
        self._facts.append(PolicyInForce(now, settings))
        if self._staking.set(settings):
            self._tell_set_aside(now)

    def read(
        self, event: LocalTimeRead | MachineRead, engines: Sequence[EngineView], now: Moment
    ) -> None:
        """The host looked at its calendar, or how busy the machine is with these own engines."""
        if isinstance(event, LocalTimeRead):
            self.opening.read(event.week_us, now)
            self.opening.turn(now)
            return
        works = sum(engine.peer_running for engine in engines)
        is_own = any(engine.own_running for engine in engines)
        is_busy = not works and event.busy_permille >= self._settings.idle_busy_permille
        self._idleness.read(is_used=is_own or is_busy, is_clear=not works, now=now)

    def take_facts(self) -> list[PolicyFact]:
        """What was decided and counted since last time, in order."""
        facts, self._facts = self._facts, []
        return facts

    # -- other nodes' requests -------------------------------------------------------------------

    def decide_offer(self, request: PeerRequest, load: LoadView, now: Moment) -> Verdict:
        """Whether another node's request runs here."""
        asker, summary = request.asker, request.summary
        case = Case(
            question=Question.OFFER,
            summary=summary,
            at=now,
            load=load,
            draw=self._draw(b"accept" + asker, summary, self._settings.accept_permille),
            asker=asker,
            offer=request.offer,
            week_us=self.opening.compute_week_us(now),
            closed_us=self.opening.compute_closed_us(now),
            idle_us=self._idleness.compute_idle_us(now),
            counts=self._usage.count(asker, now),
        )
        decided = self._decide(case)
        self._facts.append(decided)
        return decided.verdict

    def has_room_for_others(self, load: LoadView) -> bool:
        """Whether a request that was accepted may go on where `load` is, its engine having failed.

        What was accepted is not judged again, but own users come first there too.
        """
        return has_room_for_others(self._settings, load)

    def take(self, session: SessionId, request: PeerRequest, now: Moment) -> None:
        """Another node's request was accepted: it counts from now on."""
        summary, offer = request.summary, request.offer
        counted = UseCounted(
            session=session,
            request=summary.request,
            asker=request.asker,
            model=offer.model,
            at=now,
            prompt_tokens=summary.prompt_tokens,
            completion_tokens=count_answer_tokens(summary, offer),
            is_over=False,
        )
        self._taken[session] = counted
        self._usage.take(session, request.asker, counted.tokens, now)
        self._asking.note_sale(self.opening.compute_open_us(now))
        self._facts.append(counted)

    def end(self, session: SessionId, usage: Usage, now: Moment) -> None:
        """It is over, and came to so many tokens."""
        counted = replace(
            self._taken.pop(session),
            at=now,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            is_over=True,
        )
        self._usage.end(session, counted.tokens, now)
        self._facts.append(counted)

    def compute_closed_us(self, now: Moment) -> int:
        """For how long hours and idleness keep other nodes' requests out at least; 0 = they do not.

        A machine that is in use may become idle for good at any time, so that is the soonest.
        """
        closed_us = self.opening.compute_closed_us(now)
        if not self._settings.idle_only:
            return closed_us
        return max(closed_us, self._settings.idle_for_us - self._idleness.compute_idle_us(now))

    def is_shared(self, offer: ModelOffer) -> bool:
        """Whether other nodes may use a model at all."""
        return is_shared(self._settings, offer)

    def compute_ask_permille(self, load: LoadView, now: Moment) -> int:
        """The share of its prices that the node asks now, in thousandths."""
        self._asking.advance(self.opening.compute_open_us(now))
        return self._asking.compute_share(self._settings, load.utilisation_permille)

    # -- own users' requests ---------------------------------------------------------------------

    def decide_own(self, summary: RequestSummary, load: LoadView | None, now: Moment) -> Verdict:
        """Whether an own user's request runs here, looks for another node, or waits here."""
        if load is not None:
            self._idleness.note_use()
        draw = self._draw(b"offload", summary, self._settings.offload_permille)
        return self._decide_once(Case(Question.OWN, summary, now, load, draw))

    def may_look(self, summary: RequestSummary) -> bool:
        """Whether an own request that may run here may leave as well, for a better place.

        It may if it would be let go where this node is busy. A provider's own Python policy places
        requests itself: what it accepts stays.
        """
        permille = self._settings.offload_permille
        if self._settings.guest or permille == 0:
            return False
        draw = self._draw(b"offload", summary, permille)
        return draw is None or draw < permille

    def decide_wait(self, summary: RequestSummary, now: Moment) -> Verdict:
        """Whether an own user's request for which no place was found waits here."""
        draw = self._draw(b"queue", summary, self._settings.queue_permille)
        return self._decide_once(Case(Question.WAIT, summary, now, None, draw))

    def get_partners(self, summary: RequestSummary, allowed: tuple[NodeId, ...]) -> Partners:
        """The nodes an own user's request may be sent to; `allowed` are the user's own, if any.

        A private request goes to those its user names, and without a name to nobody.
        """
        chosen = self._settings.offload_nodes
        if not (allowed or chosen or summary.is_private):
            return Partners(None, self._never)
        named = allowed if allowed or summary.is_private else chosen
        only = frozenset(node for node in named if not chosen or node in chosen)
        return Partners(only, self._never)

    def get_price_max(self) -> int:
        """Micro-credits for a million tokens above which nothing is bought."""
        return self._settings.offload_price_max

    def refuse_cost(self, most: int, now: Moment) -> str:
        """Why a request that may cost so much is not sent elsewhere; empty if it may be."""
        return self._spending.describe_excess(self._settings, most, now)

    def note_hold(self, session: SessionId, terms: HoldTerms, now: Moment) -> None:
        """A hold was signed for an own user's request."""
        most = self._spending.note_hold(session, terms)
        self._facts.append(SpendingCounted(session, now, most, is_over=False))

    def note_payment(self, event: PaymentProgressed, now: Moment) -> None:
        """The data plane tells how deep a hold is paid: one of this node's own, or another's."""
        if event.session.role is not Role.ORIGIN:
            return
        self._spending.note_paid(event.session, event.hold_id, event.depth)
        if event.is_last:
            spent = self._spending.end(event.session, now)
            self._facts.append(SpendingCounted(event.session, now, spent, is_over=True))

    # -- the own stake (`KeepsStake`) ------------------------------------------------------------

    @property
    def keeps_stake(self) -> bool:
        """See `KeepsStake`."""
        return is_on(self._settings)

    def note_income(self, microcredits: int, now: Moment) -> None:
        """See `KeepsStake`."""
        if self._staking.note_income(self._settings, microcredits):
            self._tell_set_aside(now)

    @property
    def stake_order(self) -> StakeOrder:
        """See `KeepsStake`."""
        return self._staking.order

    def resume_stake(self, order: StakeOrder, now: Moment) -> None:
        """See `KeepsStake`."""
        if self._staking.resume(order):
            self._tell_set_aside(now)

    def decide_stake(self, holdings: Holdings, now: Moment) -> int:
        """See `KeepsStake`. Each answer is told once, and each order."""
        case = self._staking.look(self._settings, holdings, now)
        if case is None:
            return 0
        seats, rule = decide_stake(self._settings, case)
        if seats or (seats, rule) != self._stake_told:
            self._facts.append(StakeDecided(case, seats, rule))
        self._stake_told = (seats, rule)
        if seats:
            self._staking.begin(holdings, seats)
        return seats

    def end_stake_order(self, now: Moment, *, is_done: bool) -> None:
        """See `KeepsStake`."""
        self._staking.end(is_done=is_done)
        self._tell_set_aside(now)

    def _tell_set_aside(self, now: Moment) -> None:
        staking = self._staking
        self._facts.append(IncomeSetAside(now, staking.owed, staking.orders))

    # -- what these share ------------------------------------------------------------------------

    def _decide_once(self, case: Case) -> Verdict:
        """An own request is asked about again and again while it waits: news is told once."""
        decided = self._decide(case)
        key, answer = (case.question, case.summary.request), (decided.verdict, decided.rule)
        if self._told.get(key) != answer:
            if key not in self._told and len(self._told) >= ANSWERS_MAX:
                del self._told[next(iter(self._told))]
            self._told[key] = answer
            self._facts.append(decided)
        return decided.verdict

    def _decide(self, case: Case) -> RequestDecided:
        verdict, rule = decide(self._settings, case)
        name = self._settings.guest
        if not name or not is_guest_heard(self._settings, case, verdict):
            return RequestDecided(case, verdict, rule)
        answer = self._guests.ask(name, case)
        if isinstance(answer, GuestFault):
            self._facts.append(GuestFailed(name, answer.detail))
            return RequestDecided(case, verdict, rule, answer.detail)
        if answer is None:
            return RequestDecided(case, verdict, rule)
        return RequestDecided(case, answer, name_guest(name))

    def _draw(self, question: bytes, summary: RequestSummary, share_permille: int) -> int | None:
        """The request's own number from 0 to 999 for one question; the same whenever asked.

        Where the share is nothing or all, every number gives the same answer, and none is drawn.
        """
        if share_permille in (0, _PERMILLE):
            return None
        return self._entropy.split((question + summary.request).hex()).below(_PERMILLE)
