"""Another place for a request whose first token is late, while its user has seen nothing of it.

Who accepts a request has quoted when its first token comes. Some time after that, others are asked
what they would do, and their word is held against what may be expected of waiting on: as long again
as was waited already. The late node's own word counts for nothing more here: it has just not kept
it, and one whose engine hangs goes on to quote what it always did.

If another place is better, the data plane is told to stop the run (`RecallSession`), and answers
whether it still could: a run whose output has begun stays, whatever was decided meanwhile. Only
when its door is closed does the next one begin, so that no user ever sees words of two runs, and no
request is ever computed twice at once.
"""

from typing import Final

from wwwserve.core.effects import RecallSession
from wwwserve.core.events import RecallAnswered, StreamFailed
from wwwserve.core.facts import Alternative, StartReason
from wwwserve.core.placing import Bid, FirstTokenLate, Wanted
from wwwserve.core.requests.book import Book
from wwwserve.core.requests.choosing import make_aim
from wwwserve.core.requests.hearing import Heard, read_round
from wwwserve.core.requests.placement import Placement
from wwwserve.core.requests.questions import Strangers
from wwwserve.core.requests.rounds import Rounds
from wwwserve.core.requests.rules import CANDIDATES_USUAL
from wwwserve.core.requests.state import OpenRequest, Phase, Round, Run
from wwwserve.values.limits import CANDIDATES_MAX
from wwwserve.values.moments import NEVER, SECOND, Moment, after, span_text
from wwwserve.values.refusals import FailureKind

MOVES_MAX: Final = 2
"""Times one request is taken from a node whose first token is late; then it waits where it is."""
LATE_SHARE: Final = 1
"""A first token is late after its expected time and this many times as much again..."""
LATE_LEAST_US: Final = 1 * SECOND
"""...or so much, whichever is more: a node that quoted next to nothing is not held to that. It is
also the least time between two looks for another place, so that one round of probes ends before."""
SLOWNESS_MAX_PERMILLE: Final = 8_000
"""A late node is not taken for slower than eight times what it quoted, as in its record."""
LATE_AWAY_US: Final = 30 * SECOND
"""A node whose first token was late is not asked about the same request again sooner. Nor is it
ruled out for good: it may be the only other one with the model."""
_PERMILLE = 1_000


class Redispatch:
    """Watches the executions on other nodes until their first output."""

    def __init__(
        self, book: Book, placement: Placement, rounds: Rounds, strangers: Strangers
    ) -> None:
        self._book = book
        self._placement = placement
        self._rounds = rounds
        self._strangers = strangers

    # -- what a run does -------------------------------------------------------------------------

    def note_opened(self, run: Run, now: Moment) -> None:
        """A node accepted a request: from now on its first token is waited for."""
        request = self._book.get(run.request)
        is_news = run.opened_at is None and run.first_output_at is None
        if request is None or run.expected is None or not is_news:
            return
        run.opened_at = now
        if request.moves < MOVES_MAX:
            run.look_at = after(now, compute_patience_us(run.expected))
            self._book.set_deadline(request)

    def note_output(self, run: Run) -> None:
        """Output came, or the end: nothing else is looked for any more."""
        request = self._book.get(run.request)
        if run.look_at < NEVER and request is not None:
            run.look_at = NEVER
            self._rounds.end(request)
            self._book.set_deadline(request)

    # -- another place ---------------------------------------------------------------------------

    def look(self, request: OpenRequest, now: Moment) -> bool:
        """Look for another place for a request if its first token is late; returns whether."""
        run = self._get_run(request)
        if run is None or run.opened_at is None or now < run.look_at:
            return False
        # If nothing is better now, there may be when it has waited twice as long.
        run.look_at = after(now, now - run.opened_at)
        if not self._ask(request, run, now):
            self._book.set_deadline(request)
            self._judge(request, run, Round(now, now, {}), now)
        return True

    def decide(self, request: OpenRequest, now: Moment) -> None:
        """Those asked about a running request have answered, or their time is up."""
        ended, run = self._rounds.end(request), self._get_run(request)
        self._book.set_deadline(request)
        if ended is not None and run is not None:
            self._judge(request, run, ended, now)

    def take_answer(self, run: Run, event: RecallAnswered, now: Moment) -> None:
        """The data plane stopped a run, or its output has begun."""
        request, answers = self._book.get(run.request), run.recalled_for
        if request is None or answers is None:
            return
        run.recalled_for = None
        if event.is_stopped:
            self._move(request, run, answers, now)

    def _get_run(self, request: OpenRequest) -> Run | None:
        is_running = request.phase is Phase.RUNNING and request.run is not None
        return self._book.get_run(request.run) if is_running and request.run is not None else None

    def _ask(self, request: OpenRequest, run: Run, now: Moment) -> bool:
        """Ask others about a running request; returns whether there was anybody to ask."""
        if self._rounds.is_full or not self._placement.may_move(request, now):
            return False
        policy, routing = self._strangers.policy, self._strangers.routing
        partners = policy.get_partners(request.summary, request.allowed)
        wanted = Wanted(request.summary, partners, {**request.excluded, run.executor: NEVER})
        run.reach = min(2 * run.reach or CANDIDATES_USUAL, CANDIDATES_MAX)
        nodes = routing.draw(wanted, run.reach, now)
        if nodes:
            self._book.seek(request, nodes, now)
            if request.round is not None and not request.round.waiting:
                # All of them have quoted a moment ago.
                self.decide(request, now)
        return bool(nodes)

    def _judge(self, request: OpenRequest, run: Run, answers: Round, now: Moment) -> None:
        """Stop a run if another place is better than waiting on."""
        _, places = self._survey(request, answers, now)
        aim = make_aim(request, now)
        staying_us = self._strangers.routing.weigh(expect_staying(run, now), aim)
        if places and places[0].weight_us < staying_us:
            run.recalled_for = answers
            run.look_at = NEVER
            self._book.set_deadline(request)
            self._book.effects.append(RecallSession(run.session))

    def _survey(self, request: OpenRequest, answers: Round, now: Moment) -> tuple[Heard, list[Bid]]:
        """The places that could take it at once without making anybody late, best first."""
        heard = read_round(self._strangers, request, answers, now)
        request.shortage = ""  # Nothing is missing to a request that runs.
        return heard, [bid for bid in self._placement.rank(request, heard, now) if not bid.harmed]

    def _move(self, request: OpenRequest, run: Run, answers: Round, now: Moment) -> None:
        """The door of the late run is closed: it runs at the best of the other places."""
        assert run.expected is not None
        assert run.opened_at is not None
        heard, places = self._survey(request, answers, now)
        heard.others.append(Alternative(run.executor, None, reason="its first token was late"))
        waited_us = now - run.opened_at
        self._book.fail_run(run, _describe_late(run, waited_us), now)
        self._book.effects.append(
            FirstTokenLate(run.executor, run.expected.first_token_us, waited_us)
        )
        self._rounds.forget_quote(run.executor)
        request.moves += 1
        request.excluded[run.executor] = after(now, LATE_AWAY_US)
        if places:
            reason = StartReason.LATE_ELSEWHERE
            self._placement.go_to(places[0], request, places, heard, now, reason=reason)
        else:
            # What was there has gone in this moment.
            self._placement.place(request, now)


def compute_patience_us(expected: Bid) -> int:
    """From an accept until a first token is late: what was expected, and some tolerance."""
    first_us = expected.first_token_us
    return first_us + max(first_us * LATE_SHARE, LATE_LEAST_US)


def expect_staying(run: Run, now: Moment) -> Bid:
    """What to expect of a node that is late: as long again as it took already, then its answer.

    What lets a first token wait slows those after it as well: so many times later than expected as
    the first is, so many times longer the rest is taken to be.
    """
    assert run.expected is not None
    assert run.opened_at is not None
    expected, waited_us = run.expected, now - run.opened_at
    first_us = max(expected.first_token_us, 1)
    slowness_permille = min(waited_us * _PERMILLE // first_us, SLOWNESS_MAX_PERMILLE)
    answer_us = max(expected.finish_us - first_us, 0) * slowness_permille // _PERMILLE
    return Bid(
        expected.node,
        expected.model,
        finish_us=waited_us + answer_us,
        asked_at=now,
        first_token_us=waited_us,
        burden_us=expected.burden_us,
        cost=expected.cost,
    )


def _describe_late(run: Run, waited_us: int) -> StreamFailed:
    assert run.expected is not None
    expected = span_text(run.expected.first_token_us)
    return StreamFailed(
        session=run.session,
        kind=FailureKind.TIMEOUT,
        status=0,
        detail=f"its first token was expected in {expected}, and not there after"
        f" {span_text(waited_us)}",
        is_delivered=False,
    )
