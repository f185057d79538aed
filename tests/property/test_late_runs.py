"""However late first tokens meet everything else: each request ends once, and runs once at a time.

The walk of `test_requests`, whose invariants hold here too, goes where chance seldom leads it: who
takes a request shows nothing of it, others are asked meanwhile, and the data plane answers a recall
when it will, or never.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from tests.property.test_requests import REQUESTS, WHICH, Requests
from tests.unit.core.desk import MODEL, request_id
from wwwserve.core.effects import Effect, RecallSession
from wwwserve.core.events import RecallAnswered, StreamOpened
from wwwserve.core.facts import MemberStatus
from wwwserve.core.requests import QuoteReceived
from wwwserve.core.sessions import Route, SessionId
from wwwserve.values.moments import SECOND
from wwwserve.wire import Quote


class LateRuns(Requests):
    """One node whose requests find executors that let them wait."""

    @initialize()
    def start(self) -> None:
        super().start()
        self.recalled: list[SessionId] = []
        for peer in (1, 2, 3):
            self.member_changes(peer, MemberStatus.ALIVE)

    @rule(number=REQUESTS)
    def keep_waiting(self, number: int) -> None:
        """A request leaves, and nothing of it is shown for so long that others are asked."""
        self.submit(number, Route.NETWORK, (), 0, 0)
        self.quote_all(SECOND)
        for session, what in list(self.running.items()):
            if what == request_id(number):
                self.tell(StreamOpened(session))
        self.desk.pass_time(2 * SECOND)
        self.wake()
        self.quote_all(1_000)

    @rule(which=WHICH, is_stopped=st.booleans())
    def answer_recall(self, which: int, *, is_stopped: bool) -> None:
        """The data plane says what became of one of the runs it was to stop."""
        if not self.recalled:
            return
        session = self.recalled.pop(which % len(self.recalled))
        if is_stopped:
            self.forget(session)
        self.tell(RecallAnswered(session, is_stopped=is_stopped))

    def quote_all(self, finish_us: int) -> None:
        """Everybody who was ever asked is willing."""
        for peer, asked in list(self.asked):
            self.tell(QuoteReceived(peer, Quote(asked.probe, None, MODEL, finish_us=finish_us)))

    def note(self, effect: Effect) -> None:
        if isinstance(effect, RecallSession):
            assert not self.local[effect.session], "own engines are not doubted"
            self.recalled.append(effect.session)
        else:
            super().note(effect)


LateRuns.TestCase.settings = settings(stateful_step_count=30)
TestLateRuns = LateRuns.TestCase
