"""One node's users take turns: no flood of one holds the others up.

A desk plays an engine that tells its cache and not its slots, as in `test_untold_slots`; every run
takes as long as the test says, and the machine is woken and the engine read each second.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.desk import (
    Desk,
    declined,
    ended,
    failed,
    member,
    pick,
    pick_all,
    probes,
    request_id,
    served,
    summary,
)
from tests.unit.core.requests.test_untold_slots import GENEROUS, KV_TOKENS, guess, tell_cache
from wwwserve.core.effects import (
    Effect,
    EndRequest,
    RequestErrorCode,
    SendMessage,
    StartLocal,
    StartRemote,
    StopSession,
)
from wwwserve.core.engines import REQUEST_TOKENS_USUAL
from wwwserve.core.events import CancelRequest, DeadlineReached, StreamProgressed, SubmitRequest
from wwwserve.core.requests.turns import CLIENTS_MAX, Line, Turn
from wwwserve.core.sessions import Route, SessionId
from wwwserve.values.limits import PROBE_DEADLINE_US, QUEUE_LENGTH_MAX, QUEUE_WAIT_US
from wwwserve.values.moments import SECOND
from wwwserve.wire import Probe

SMALL = REQUEST_TOKENS_USUAL - 24
HUGE = 6 * REQUEST_TOKENS_USUAL
SMALL_S = 40
HUGE_S = 60


@dataclass
class Room:
    """An engine that runs what it is sent, each for its time, and what its users saw."""

    desk: Desk
    running: dict[SessionId, tuple[int, int, int]] = field(default_factory=dict)
    """Until which second, its tokens and its number."""
    second: int = 0
    started: dict[int, int] = field(default_factory=dict)
    ended: dict[int, EndRequest] = field(default_factory=dict)
    asked: dict[int, int] = field(default_factory=dict)

    def submit(self, number: int, tokens: int, client: str, **fields: int) -> None:
        asked = summary(number, prompt_tokens=tokens, completion_tokens_max=24, **fields)
        self.asked[number] = tokens
        self._take(self.desk.tell(SubmitRequest(asked, Route.LOCAL, client=client)))

    def _take(self, effects: list[Effect]) -> None:
        for start in pick_all(effects, StartLocal):
            number = int.from_bytes(start.request, "big")
            tokens = self.asked[number]
            length = HUGE_S if tokens == HUGE else SMALL_S
            self.running[start.session] = (self.second + length, tokens, number)
            self.started[number] = self.second
        for stopped in pick_all(effects, StopSession):
            self.running.pop(stopped.session, None)
        for end in pick_all(effects, EndRequest):
            self.ended[int.from_bytes(end.request, "big")] = end

    def seconds(self, count: int) -> Iterator[int]:
        """Time goes by; what is done ends, what is not gets on, and the engine is read."""
        for _ in range(count):
            self.second += 1
            self.desk.pass_time(SECOND)
            for session, (until, _, _) in list(self.running.items()):
                if until <= self.second:
                    del self.running[session]
                    self._take(self.desk.tell(ended(session)))
                else:
                    self._take(self.desk.tell(StreamProgressed(session, 1)))
            used = sum(tokens for _, tokens, _ in self.running.values())
            permille = min(used * 1000 // KV_TOKENS, 1000)
            self._take(self.desk.tell(tell_cache(permille, len(self.running))))
            yield self.second

    def get_codes(self) -> dict[int, RequestErrorCode]:
        """The errors told, by request."""
        ends = {number: end.error for number, end in self.ended.items()}
        return {number: error.code for number, error in ends.items() if error is not None}


def open_room() -> Room:
    desk = Desk(guess(), policy=GENEROUS)
    desk.tell(tell_cache(0))
    return Room(desk)


def submit(desk: Desk, number: int, client: str, **fields: int) -> list[Effect]:
    """A request that stays here, of a size that is no guess."""
    asked = summary(number, **({"completion_tokens_max": 1} | fields))
    return desk.tell(SubmitRequest(asked, Route.LOCAL, client=client))


def get_full(effects: list[Effect]) -> int:
    """The request that was told that the queue is full."""
    end = pick(effects, EndRequest)
    assert end.error is not None
    assert end.error.code is RequestErrorCode.QUEUE_FULL
    assert end.error.retry_after_us > 0
    return int.from_bytes(end.request, "big")


def serve(desk: Desk, session: SessionId, count: int) -> list[int]:
    """What runs ends, and the next; gives the numbers of those that began."""
    order = []
    for _ in range(count):
        start = pick(desk.tell(ended(session)), StartLocal)
        session = start.session
        order.append(int.from_bytes(start.request, "big"))
    return order


def test_beside_a_flood_of_huge_requests_nobody_waits_for_more_than_one_of_them() -> None:
    # [REQUESTS-QUEUE.7] [REQUESTS-KV.6]
    room = open_room()
    for number in range(50):
        room.submit(number, HUGE, "flood")
    arrived = {}
    for second in room.seconds(1_000):
        if second % 20 == 0:
            arrived[1_000 + second] = second
            room.submit(1_000 + second, SMALL, "other")
    waits = [room.started[number] - at for number, at in arrived.items() if number in room.started]
    assert len(waits) >= len(arrived) - (HUGE_S + SMALL_S) // 20
    # At worst it comes as a huge one is next: that waits for small ones to end, and has its run.
    assert max(waits) <= HUGE_S + SMALL_S
    huge = [number for number in room.started if number < 50]
    assert huge == sorted(huge)
    assert len(huge) >= 1_000 // (2 * (HUGE_S + SMALL_S)), "and the huge ones run as well"
    assert not room.get_codes()


def test_a_user_beside_a_flood_on_a_full_engine_waits_for_two_of_it_at_most() -> None:
    # [REQUESTS-QUEUE.7]
    room = open_room()
    for number in range(50):
        room.submit(number, HUGE, "flood")
    for second in room.seconds(5 * HUGE_S):
        if second == HUGE_S // 2:
            room.submit(100, HUGE, "other")
    assert room.started[100] == 2 * HUGE_S, "one ran when it came, and one stood there first"


def test_users_take_turns_whoever_asked_for_more() -> None:
    # [REQUESTS-QUEUE.7]
    desk = Desk(served(1))
    session = pick(desk.submit(0), StartLocal).session
    for number, client in enumerate("aaabab", start=1):
        submit(desk, number, client)
    assert serve(desk, session, 6) == [1, 4, 2, 6, 3, 5]


def test_who_is_due_goes_by_that_whoever_its_client_is() -> None:
    # [REQUESTS-QUEUE.2]
    desk = Desk(served(1))
    session = pick(desk.submit(0), StartLocal).session
    submit(desk, 1, "c")
    for number, client in enumerate("aab", start=2):
        submit(desk, number, client, deadline_us=60 * SECOND)
    assert serve(desk, session, 4) == [2, 3, 4, 1]


def test_turns_are_by_tokens_not_by_requests() -> None:
    # [REQUESTS-QUEUE.7]
    desk = Desk(served(1))
    session = pick(desk.submit(0), StartLocal).session
    submit(desk, 1, "a", prompt_tokens=1_000)
    submit(desk, 2, "a", prompt_tokens=1_000)
    session = pick(desk.tell(ended(session)), StartLocal).session
    for number in range(3, 8):
        # One who asks for the next when it has the last is not behind for that.
        submit(desk, number, "b")
        start = pick(desk.tell(ended(session)), StartLocal)
        session = start.session
        assert int.from_bytes(start.request, "big") == number
    submit(desk, 8, "b", prompt_tokens=1_000)
    submit(desk, 9, "b")
    assert serve(desk, session, 3) == [8, 2, 9]


def test_keys_of_another_class_or_model_have_lines_of_their_own() -> None:
    # [REQUESTS-QUEUE.2] [REQUESTS-QUEUE.7]
    desk = Desk(served(1), served(1, model="org/other", engine="second"), is_read=True)
    session = pick(desk.submit(0), StartLocal).session
    # These wait all the time: for a model whose engine is busy, and in a class behind.
    pick(desk.submit(1, models=("org/other",)), StartLocal)
    desk.submit(2, models=("org/other",))
    submit(desk, 3, "late", priority=1)
    for number in range(10, 20):
        submit(desk, number, "a")
    assert serve(desk, session, 8) == list(range(10, 18))
    session = list(pick_all(desk.log, StartLocal))[-1].session
    for number in range(20, 24):
        submit(desk, number, "b")
    # Were there one line, all of b's would go before what a still waits for.
    assert serve(desk, session, 6) == [20, 18, 21, 19, 22, 23]


def test_what_was_given_up_does_not_count_against_its_user() -> None:
    # [REQUESTS-QUEUE.7]
    desk = Desk(served(1))
    session = pick(desk.submit(0), StartLocal).session
    submit(desk, 1, "b")
    for number in range(2, 9):
        # Its user gives up and asks anew, as clients with a timeout of their own do.
        submit(desk, number, "a")
        desk.tell(CancelRequest(request_id(number)))
    for number in range(20, 30):
        submit(desk, number, "a")
    for number in range(20, 30):
        desk.tell(CancelRequest(request_id(number)))
    submit(desk, 30, "a")
    submit(desk, 31, "b")
    assert serve(desk, session, 3) == [1, 30, 31]


def test_to_cancel_and_ask_again_gains_nothing() -> None:
    # [REQUESTS-QUEUE.7]
    desk = Desk(served(1))
    session = pick(desk.submit(0), StartLocal).session
    for number in range(1, 4):
        submit(desk, number, "a")
    session = pick(desk.tell(ended(session)), StartLocal).session
    submit(desk, 4, "b")
    submit(desk, 5, "b")
    desk.tell(CancelRequest(request_id(2)))
    desk.tell(CancelRequest(request_id(3)))
    # What began counts, also if its user breaks it off.
    effects = desk.tell(CancelRequest(request_id(1)))
    assert pick(effects, StopSession).session == session
    start = pick(effects, StartLocal)
    assert start.request == request_id(4)
    submit(desk, 6, "a")
    submit(desk, 7, "a")
    assert serve(desk, start.session, 3) == [5, 6, 7]


def test_who_was_declined_elsewhere_or_failed_has_its_turn_as_before() -> None:
    # [REQUESTS-QUEUE.7]
    for answer in (declined, failed):
        desk = Desk(served(1))
        session = pick(desk.submit(0), StartLocal).session
        for number in range(1, 4):
            desk.tell(SubmitRequest(summary(number), Route.AUTO, client="a"))
        submit(desk, 4, "b")
        desk.meet(member(1))
        sent = [one.message for one in pick_all(desk.wait(SECOND // 2), SendMessage)]
        asked = [one for one in sent if isinstance(one, Probe)]
        first = next(one for one in asked if one.summary.request == request_id(1))
        start = pick(desk.quote(first, 1, finish_us=1), StartRemote)
        desk.tell(answer(start.session))
        assert serve(desk, session, 4) == [1, 4, 2, 3]


def test_what_was_declined_and_then_given_up_does_not_count_either() -> None:
    # [REQUESTS-QUEUE.7]
    desk = Desk(served(1))
    session = pick(desk.submit(0), StartLocal).session
    asked = summary(1, completion_tokens_max=1)
    desk.tell(SubmitRequest(asked, Route.AUTO, client="a"))
    submit(desk, 2, "b")
    submit(desk, 3, "b")
    desk.meet(member(1))
    (sent,) = probes(desk.wait(SECOND // 2)).values()
    desk.tell(declined(pick(desk.quote(sent, 1, finish_us=1), StartRemote).session))
    desk.tell(CancelRequest(request_id(1)))
    submit(desk, 4, "a")
    assert serve(desk, session, 3) == [2, 4, 3]


def test_a_clients_own_requests_are_served_by_arrival_whatever_was_tried_first() -> None:
    # [REQUESTS-QUEUE.2]
    desk = Desk(served(1))
    session = pick(desk.submit(0, Route.LOCAL), StartLocal).session
    desk.meet(member(1))
    (asked,) = probes(desk.submit(1)).values()
    start = pick(desk.quote(asked, 1, finish_us=1), StartRemote)
    for number in range(2, 5):
        desk.pass_time(1)
        desk.submit(number, Route.LOCAL)
    desk.tell(declined(start.session))
    assert serve(desk, session, 4) == [1, 2, 3, 4]


def test_one_client_does_not_fill_the_queue_for_others() -> None:
    # [REQUESTS-QUEUE.3]
    desk = Desk(served(1))
    session = pick(desk.submit(0), StartLocal).session
    for number in range(1, QUEUE_LENGTH_MAX + 1):
        submit(desk, number, "flood")
    assert get_full(submit(desk, 2_000, "flood")) == 2_000
    assert get_full(submit(desk, 2_001, "due", deadline_us=600 * SECOND)) == 2_001
    assert get_full(submit(desk, 2_002, "other")) == QUEUE_LENGTH_MAX, "the last of the flood"
    assert get_full(submit(desk, 2_003, "third")) == QUEUE_LENGTH_MAX - 1
    assert desk.requests.queued_count == QUEUE_LENGTH_MAX
    assert serve(desk, session, 4) == [1, 2_002, 2_003, 2]


def test_who_gave_way_in_a_full_queue_has_no_other_end() -> None:
    # [REQUESTS-ONCE.4]
    desk = Desk(served(1))
    session = pick(desk.submit(0), StartLocal).session
    for number in range(1, QUEUE_LENGTH_MAX):
        submit(desk, number, "flood")
    desk.wait(10 * SECOND)
    submit(desk, QUEUE_LENGTH_MAX, "flood")
    desk.wait(100 * SECOND)
    desk.tell(StreamProgressed(session, 1))
    desk.wait(QUEUE_WAIT_US - 100 * SECOND - PROBE_DEADLINE_US)
    desk.meet(member(1))
    asked = summary(2_000, completion_tokens_max=1)
    assert probes(desk.tell(SubmitRequest(asked, Route.AUTO, client="other")))
    # The flood's last is to be asked how long it waits on as the other finds nobody, and queues.
    desk.pass_time(SECOND)
    assert get_full(desk.tell(DeadlineReached())) == QUEUE_LENGTH_MAX
    desk.wait(2 * QUEUE_WAIT_US)
    ends = [end.request for end in desk.get_ends()]
    assert len(ends) == len(set(ends)) == QUEUE_LENGTH_MAX + 1


@given(
    st.lists(
        st.tuples(st.sampled_from(["join", "begin", "leave"]), st.integers(0, 3), st.integers(0, 9))
    )
)
def test_who_comes_to_a_line_is_behind_one_request_of_each_client_at_most(
    steps: list[tuple[str, int, int]],
) -> None:
    # [REQUESTS-QUEUE.7]
    line = Line()
    waiting: list[Turn] = []
    for step, client, number in steps:
        if step == "join":
            waiting.append(line.join(str(client), number))
        elif waiting:
            # Not always the first: another place may have taken one behind it.
            turn = waiting.pop(number % len(waiting))
            if step == "begin":
                line.begin(turn)
            line.leave(turn)
        newcomer = line.join("new", 1)
        ahead = Counter(turn.client for turn in waiting if turn.start <= newcomer.start)
        assert max(ahead.values(), default=0) <= 1
        line.leave(newcomer)


def test_a_line_remembers_a_bounded_number_of_clients() -> None:
    line = Line()
    waits = line.join("waits", 10)
    for number in range(3 * CLIENTS_MAX):
        turn = line.join(str(number), number)
        line.begin(turn)
        line.leave(turn)
    known = 2 * CLIENTS_MAX
    assert line.join(str(known), 1).start == known
    assert line.join(str(known - 1), 1).start == line.join("new", 1).start == waits.start


@pytest.mark.parametrize("client", ["other", "flood"])
def test_what_was_declined_elsewhere_keeps_its_place_in_a_queue_that_filled_up(client: str) -> None:
    # [REQUESTS-QUEUE.3]
    desk = Desk(served(1))
    session = pick(desk.submit(0, Route.LOCAL), StartLocal).session
    desk.meet(member(1))
    asked = SubmitRequest(summary(1, completion_tokens_max=1), Route.AUTO, client=client)
    (sent,) = probes(desk.tell(asked)).values()
    start = pick(desk.quote(sent, 1, finish_us=1), StartRemote)
    for number in range(2, QUEUE_LENGTH_MAX + 2):
        desk.pass_time(1)
        submit(desk, number, client if client == "flood" else f"client {number}")
    assert get_full(desk.tell(declined(start.session))) == QUEUE_LENGTH_MAX + 1, "the youngest"
    assert desk.requests.queued_count == QUEUE_LENGTH_MAX
    assert 1 in serve(desk, session, 2)
