"""Finding a place for one request: here at once, elsewhere by fresh quotes, or in the queue.

The order (market.md 1): policy says whether it runs here, waits here, or looks around; then two
candidates are asked, more as they decline; then the least expected finish is taken, this node's own
included. A request that finds nothing waits, unless nothing could ever come of it.
"""

from collections.abc import Sequence
from typing import assert_never

from msgspec.structs import replace

from wwwserve.core.effects import RequestError
from wwwserve.core.facts import Alternative, StartReason
from wwwserve.core.placing import (
    Accepted,
    Bid,
    Declined,
    LoadView,
    OnMiss,
    Partners,
    Queued,
    Wanted,
)
from wwwserve.core.requests.book import Book
from wwwserve.core.requests.capacity import Capacity
from wwwserve.core.requests.choosing import (
    Choice,
    Place,
    choose,
    describe_bid,
    is_hopeless,
    make_aim,
)
from wwwserve.core.requests.hearing import Heard, read_round
from wwwserve.core.requests.patience import is_encouraged, may_wait_on
from wwwserve.core.requests.questions import Strangers
from wwwserve.core.requests.rounds import Rounds
from wwwserve.core.requests.rules import (
    CANDIDATES_PRESSED,
    CANDIDATES_USUAL,
    DECLINES_TRUSTED,
    ROUNDS_MAX,
    compute_pause_us,
    describe_hopeless,
    describe_miss,
    describe_shortage,
    describe_unplaced,
)
from wwwserve.core.requests.state import START, OpenRequest, Phase, get_place_key
from wwwserve.core.sessions import Route, ServedModel
from wwwserve.values.ids import NodeId
from wwwserve.values.limits import CANDIDATES_MAX
from wwwserve.values.model_names import ModelId
from wwwserve.values.moments import NEVER, Moment, after


class Placement:
    """Decides where each request goes; the book carries it out."""

    def __init__(
        self,
        own: NodeId,
        *,
        book: Book,
        capacity: Capacity,
        rounds: Rounds,
        strangers: Strangers,
    ) -> None:
        self._own = own
        self._book = book
        self._capacity = capacity
        self._rounds = rounds
        self._policy = strangers.policy
        self._routing = strangers.routing
        self._strangers = strangers

    def place(self, request: OpenRequest, now: Moment) -> None:
        """Find a place for a request that has none."""
        here = self._find_here(request, now)
        match request.route:
            case Route.NETWORK:
                self._seek(request, now)
            case Route.LOCAL:
                self._start_or_wait(request, here, now)
            case Route.AUTO:
                load = None if here is None else self._get_load(request, here, now)
                match self._policy.decide_own(request.summary, load, now):
                    case Accepted() if load is not None and self._gains_by_looking(
                        request, here, load, now
                    ):
                        self._seek(request, now)
                    case Accepted() | Queued():
                        self._start_or_wait(request, here, now)
                    case Declined():
                        self._seek(request, now)

    def decide(self, request: OpenRequest, now: Moment) -> None:
        """A round is complete, or its time is up: take the best of what came."""
        ended = self._rounds.end(request)
        self._book.set_deadline(request)
        if ended is None:
            return
        self._take_best(request, read_round(self._strangers, request, ended, now), now)

    def probe_again(self, request: OpenRequest, now: Moment) -> bool:
        """Look for another node for a queued request; returns whether anybody was asked."""
        waited_us = now - request.arrived_at
        request.probe_from = after(now, compute_pause_us(waited_us, is_late=request.is_late))
        if self._may_leave(request, now) and self._ask(request, now):
            return True
        if request.objective is not None and request.phase is Phase.QUEUED:
            # Whether it can still be in time is to be known without anybody's answer, too.
            self._take_best(request, Heard(), now)
        return False

    def end_wait(self, request: OpenRequest, now: Moment) -> None:
        """It has waited long without a place: it ends, unless its turn here is still to come."""
        if may_wait_on(request, self._capacity, now):
            self._book.extend_wait(request, now)
        else:
            self._book.end(request, describe_unplaced(request.summary, request.shortage), now)

    def ask_one(self, request: OpenRequest, node: NodeId, now: Moment) -> bool:
        """Ask a node that says it has room about a queued request; returns whether it was."""
        until = request.excluded.get(node, START)
        is_trusted = request.declines.get(node, 0) < DECLINES_TRUSTED or until <= now
        if until == NEVER or not is_trusted or not self._may_leave(request, now):
            return False
        wanted = self._get_wanted(request)
        if self._rounds.is_full or not wanted.partners.admits(node):
            return False
        request.excluded.pop(node, None)
        only = Partners(frozenset((node,)), wanted.partners.never)
        nodes = self._routing.draw(replace(wanted, partners=only), 1, now)
        if nodes:
            self._book.seek(request, nodes, now)
        return bool(nodes)

    def start_queued(self, request: OpenRequest, now: Moment) -> bool:
        """Run a queued request here if there is room; returns whether it was."""
        here = self._find_here(request, now)
        if here is None or not self.fits_here(request, here, now):
            return False
        if request.objective is not None:
            self._take_best(request, Heard(), now)
        else:
            self._start_here(request, here, now, reason=StartReason.WAITED)
        return request.phase is Phase.RUNNING

    def fits_here(self, request: OpenRequest, served: ServedModel, now: Moment) -> bool:
        """Whether an own engine has room for a request of just this size.

        One that does not fit would stand in the engine's own queue, before all that would.
        """
        return self._capacity.has_room(served) and self._get_load(request, served, now).has_room

    def waive_context(self, request: OpenRequest) -> None:
        """Let an own engine say itself that a prompt is too long, where no context fits it."""
        fits = self._capacity.list_able(request.summary)
        request.any_context = not fits and not self._is_hopeful_elsewhere(request)

    # -- here ------------------------------------------------------------------------------------

    def _find_here(self, request: OpenRequest, now: Moment) -> ServedModel | None:
        """The own model it would run on, with room or without."""
        if request.route is Route.NETWORK:
            return None
        able = self._capacity.list_able(request.summary, any_context=request.any_context)
        if request.avoided:
            able = [one for one in able if request.avoided.get(one.engine, START) <= now]
        return self._capacity.find(able, now)

    def _get_load(self, request: OpenRequest, served: ServedModel, now: Moment) -> LoadView:
        waiting = self._book.queue.count_waiting(get_place_key(served))
        load = self._capacity.get_load(
            served, self._strangers.predict_tokens(request.summary, served), now
        )
        return replace(load, own_waiting=self._capacity.compute_share(served, waiting, now))

    def _gains_by_looking(
        self, request: OpenRequest, here: ServedModel | None, load: LoadView, now: Moment
    ) -> bool:
        """Whether a request that may run here is to be compared with other places first.

        An engine with nothing to do is good enough for whom it serves in time. Beside others it is
        slower, and slows them down: another place may well be better.
        """
        is_idle = load.used == 0 and load.own_waiting == 0
        if is_idle and (request.objective is None or not self._misses_here(request, here, now)):
            return False
        return self._policy.may_look(request.summary)

    def _misses_here(self, request: OpenRequest, here: ServedModel | None, now: Moment) -> bool:
        """Whether an own engine would be late with it now, or make others late."""
        own = self._bid_here(request, here, now)
        return own is None or not make_aim(request, now).is_met(own)

    def _start_or_wait(self, request: OpenRequest, here: ServedModel | None, now: Moment) -> None:
        waits = here is not None and self._book.queue.count_waiting(get_place_key(here))
        if request.objective is not None:
            self._take_best(request, Heard(), now)
        elif here is not None and not waits and self.fits_here(request, here, now):
            self._start_here(request, here, now, reason=StartReason.HERE_AT_ONCE)
        else:
            self._wait(request, now)

    def _start_here(
        self,
        request: OpenRequest,
        here: ServedModel,
        now: Moment,
        alternatives: tuple[Alternative, ...] = (),
        reason: StartReason = StartReason.LEAST_WEIGHT,
    ) -> None:
        place = Place(
            here, self._strangers.predict_tokens(request.summary, here), alternatives, reason
        )
        self._book.start_here(request, place, now)

    # -- elsewhere -------------------------------------------------------------------------------

    def _seek(self, request: OpenRequest, now: Moment) -> None:
        if not self._ask(request, now):
            self._take_best(request, Heard(), now)

    def _ask(self, request: OpenRequest, now: Moment) -> bool:
        """Start a round of probes; returns whether there was anybody to ask."""
        if self._rounds.is_full:
            return False
        count = min(request.reach or self._count_candidates(request, now), CANDIDATES_MAX)
        nodes = self._routing.draw(self._get_wanted(request), count, now)
        if nodes:
            self._book.seek(request, nodes, now)
            if request.round is not None and not request.round.waiting:
                self.decide(request, now)  # All of them have quoted a moment ago.
        return bool(nodes)

    def _count_candidates(self, request: OpenRequest, now: Moment) -> int:
        """How many to ask at first: one more for who has to leave than for who would like to."""
        if request.phase is Phase.QUEUED:
            return CANDIDATES_PRESSED
        here = self._find_here(request, now) if request.objective is not None else None
        is_pressed = here is not None and self._misses_here(request, here, now)
        return CANDIDATES_PRESSED if is_pressed else CANDIDATES_USUAL

    def may_move(self, request: OpenRequest, now: Moment) -> bool:
        """Whether route and policy let a request that left go from one node to another."""
        is_free = request.route is Route.AUTO and self._policy.may_look(request.summary)
        return is_free or self._may_leave(request, now)

    def _may_leave(self, request: OpenRequest, now: Moment) -> bool:
        """Whether route and policy let a queued request go to another node."""
        match request.route:
            case Route.NETWORK:
                return True
            case Route.LOCAL:
                return False
            case Route.AUTO:
                here = self._find_here(request, now)
                load = None if here is None else self._get_load(request, here, now)
                return isinstance(self._policy.decide_own(request.summary, load, now), Declined)
            case _:
                assert_never(request.route)

    def _get_wanted(self, request: OpenRequest) -> Wanted:
        partners = self._policy.get_partners(request.summary, request.allowed)
        return Wanted(request.summary, partners, request.excluded)

    def _is_hopeful_elsewhere(self, request: OpenRequest) -> bool:
        is_bound = request.route is Route.LOCAL
        return not is_bound and self._routing.is_hopeful(self._get_wanted(request))

    # -- the choice ------------------------------------------------------------------------------

    def _take_best(self, request: OpenRequest, heard: Heard, now: Moment) -> None:
        ranked = self.rank(request, heard, now)
        if is_encouraged(request, heard, ranked):
            self._book.extend_wait(request, now)
        if not ranked:
            if heard.is_out_of_credits:  # Whoever else is asked cannot be paid either.
                self._wait(request, now)
            else:
                self._seek_wider_or_wait(request, now)
            return
        is_first = not self._book.queue.count_hopeful()
        aim = make_aim(request, now)
        best = choose(request, ranked, aim, now, is_first=is_first)
        if best is None:
            self._defer(request, now, is_late=is_hopeless(ranked, aim))
        else:
            self._book.note_late(request, is_late=is_hopeless(ranked, aim))
            self.go_to(best, request, ranked, heard, now)

    def rank(self, request: OpenRequest, heard: Heard, now: Moment) -> tuple[Bid, ...]:
        """The places a request could go to now, this node's own included, best first."""
        own = self._bid_here(request, self._find_here(request, now), now)
        bids = [*heard.bids, own] if own is not None else heard.bids
        return self._routing.rank(bids, now, make_aim(request, now))

    def go_to(
        self,
        best: Bid,
        request: OpenRequest,
        ranked: Sequence[Bid],
        heard: Heard,
        now: Moment,
        *,
        reason: StartReason = StartReason.LEAST_WEIGHT,
    ) -> None:
        """Run a request at one of the places that were ranked for it, or wait for one here."""
        alternatives = (*map(describe_bid, ranked), *heard.others)
        if best.node != self._own:
            choice = Choice(best, heard.quotes[best.node], alternatives, reason)
            self._book.start_there(request, choice, now)
            return
        here = self._find_here(request, now)
        if here is not None and self.fits_here(request, here, now):
            self._start_here(request, here, now, alternatives, reason)
        else:
            self._wait(request, now)

    def _defer(self, request: OpenRequest, now: Moment, *, is_late: bool) -> None:
        """No place is good enough now: it waits for one, unless its class would rather be told."""
        objective = request.objective
        if objective is not None and objective.on_miss is OnMiss.REFUSE:
            self._book.end(request, describe_miss(request.summary), now)
            return
        self._book.note_late(request, is_late=is_late)
        self._wait(request, now)

    def _bid_here(self, request: OpenRequest, here: ServedModel | None, now: Moment) -> Bid | None:
        """What this node itself expects, its queue included where the request may wait."""
        if here is None:
            return None
        load = self._get_load(request, here, now)
        if request.phase is Phase.QUEUED:
            # Those probed for are the first of the queue: hardly anybody is before them.
            load = replace(load, own_waiting=0)
        if not load.has_room and not self._may_wait(request, now):
            return None
        model = ModelId(here.offer.model)
        estimate = self._routing.estimate(request.summary, model, load)
        return Bid(
            self._own,
            model,
            estimate.finish_us,
            now,
            first_token_us=estimate.first_token_us,
            burden_us=estimate.burden_us,
            harmed=estimate.harmed,
        )

    def _seek_wider_or_wait(self, request: OpenRequest, now: Moment) -> None:
        """All declined: ask others, more of them, a few times over; then wait."""
        request.rounds += 1
        request.reach = min(2 * (request.reach or CANDIDATES_USUAL), CANDIDATES_MAX)
        is_done = request.phase is Phase.QUEUED or request.rounds >= ROUNDS_MAX
        if is_done or not self._may_leave(request, now) or not self._ask(request, now):
            self._wait(request, now)

    # -- the queue -------------------------------------------------------------------------------

    def _may_wait(self, request: OpenRequest, now: Moment) -> bool:
        if request.phase is Phase.QUEUED:
            return True
        if request.phase is Phase.RUNNING:
            return False  # It waits already, where it is.
        return isinstance(self._policy.decide_wait(request.summary, now), Queued)

    def _wait(self, request: OpenRequest, now: Moment) -> None:
        """No place now: it waits if one may come, policy lets it and the queue has room."""
        if (error := self._judge_hopeless(request)) is not None:
            self._book.end(request, error, now)
        elif request.phase is Phase.QUEUED:
            pass
        elif not self._may_wait(request, now):
            self._book.end(request, describe_unplaced(request.summary, request.shortage), now)
        elif self._book.make_room(request, now):
            request.rounds = 0
            request.reach = 0
            self._book.wait(request, now)

    def _judge_hopeless(self, request: OpenRequest) -> RequestError | None:
        """Why no place can come of waiting, if so."""
        able = self._capacity.list_able(request.summary, any_context=request.any_context)
        if able and request.route is not Route.NETWORK:
            return None
        if request.shortage:
            return describe_shortage(request.shortage)
        if self._is_hopeful_elsewhere(request):
            return None
        return describe_hopeless(
            request.summary, request.last_failure if request.failures else None
        )
