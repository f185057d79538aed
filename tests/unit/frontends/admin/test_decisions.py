"""A request's decisions are remembered after it is over, within bounds, and told with reasons.

Facts go in as a node tells them, with a clock set by hand; what an operator would read comes out.
"""

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from wwwserve.core.deciding import Case, Question, RequestDecided
from wwwserve.core.facts import (
    Alternative,
    AttemptFailed,
    AttemptStarted,
    RequestFinished,
    RequestQueued,
    RequestReceived,
    StartReason,
    WorkDeclined,
    WorkFinished,
    WorkStarted,
)
from wwwserve.core.placing import Accepted, Declined, LoadView, Verdict
from wwwserve.core.sessions import Role, SessionId
from wwwserve.frontends.admin import decisions
from wwwserve.frontends.admin.decisions import STEPS_MAX, DecisionMemory
from wwwserve.frontends.admin.explanations import explain_start, make_explanation
from wwwserve.values.credits import CREDIT
from wwwserve.values.ids import NodeId, RequestId, node_prefix, node_text, request_text
from wwwserve.values.moments import SECOND, Moment
from wwwserve.values.refusals import BadInput, DeclineReason, FailureKind
from wwwserve.wire import Endpoint, RequestSummary

OWN, NEAR, FAR = (NodeId(bytes([number]) * 32) for number in (1, 2, 3))
REQUEST = RequestId(b"\xab" * 16)
SESSION = SessionId(Role.ORIGIN, 1)
WORK = SessionId(Role.EXECUTOR, 1)
MODEL = "acme/Echo-1B"


class Clock:
    """A monotonic clock that stands where it is put."""

    def __init__(self) -> None:
        self.now_us = 50 * SECOND

    def read_us(self) -> int:
        return self.now_us


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memory(clock: Clock) -> DecisionMemory:
    return DecisionMemory(clock.read_us)


def decide(request: RequestId, verdict: Verdict, asker: NodeId | None = None) -> RequestDecided:
    summary = RequestSummary(
        request=request,
        endpoint=Endpoint.CHAT,
        models=(MODEL,),
        prompt_tokens=300,
        completion_tokens_max=0,
        body_bytes=1_200,
        completion_tokens_expected=120,
    )
    question = Question.OWN if asker is None else Question.OFFER
    load = LoadView(slots=4, used=4)
    case = Case(question, summary, Moment(0), load, asker=asker)
    return RequestDecided(case, verdict, "target_utilisation")


def start(*alternatives: Alternative, executor: NodeId = NEAR) -> AttemptStarted:
    return AttemptStarted(REQUEST, SESSION, executor, MODEL, alternatives)


def finish(request: RequestId = REQUEST) -> RequestFinished:
    return RequestFinished(
        request=request,
        endpoint=Endpoint.CHAT,
        model=MODEL,
        executor=NEAR,
        error="",
        attempts=1,
        wait_us=0,
        first_output_us=SECOND,
        total_us=2 * SECOND,
        prompt_tokens=300,
        completion_tokens=99,
    )


def test_an_own_request_is_told_from_its_arrival_to_its_end(
    memory: DecisionMemory, clock: Clock
) -> None:
    memory.on_fact(RequestReceived(REQUEST, MODEL, 300))
    memory.on_fact(decide(REQUEST, Declined(DeclineReason.BUSY)))
    clock.now_us += 5_000
    memory.on_fact(start(Alternative(NEAR, 2 * SECOND)))
    memory.on_fact(
        AttemptFailed(REQUEST, SESSION, NEAR, FailureKind.DECLINED, DeclineReason.BUSY, "")
    )
    memory.on_fact(RequestQueued(REQUEST, 3))
    clock.now_us += 2 * SECOND
    memory.on_fact(finish())
    clock.now_us += 60 * SECOND

    (story,) = memory.find(request_text(REQUEST))
    told = make_explanation(story, own=OWN, age_us=memory.compute_age_us(story))
    steps = told.pop("steps")
    assert told == {
        "request": request_text(REQUEST),
        "asker": None,
        "model": MODEL,
        "prompt_tokens": 300,
        "completion_tokens_expected": 120,
        "age_us": 62 * SECOND + 5_000,
        "is_over": True,
        "answers": [
            {
                "after_us": 0,
                "question": "own",
                "answer": "busy",
                "rule": "target_utilisation",
                "guest_fault": "",
                "slots": 4,
                "used": 4,
            }
        ],
        "left_out": 0,
    }
    assert isinstance(steps, list)
    assert [(step["after_us"], step["event"]) for step in steps] == [
        (0, "RequestReceived"),
        (5_000, "AttemptStarted"),
        (5_000, "AttemptFailed"),
        (5_000, "RequestQueued"),
        (2 * SECOND + 5_000, "RequestFinished"),
    ]
    assert steps[1]["alternatives"][0]["node"] == node_text(NEAR)
    assert steps[1]["why"].startswith("least all in all, 2.0 s")
    assert "request" not in steps[1]


def test_another_nodes_request_is_told_apart_from_an_own_one(memory: DecisionMemory) -> None:
    # A hostile node probes about a request of an own user: it must not show up as the user's.
    memory.on_fact(RequestReceived(REQUEST, MODEL, 300))
    memory.on_fact(decide(REQUEST, Declined(DeclineReason.POLICY), asker=FAR))
    memory.on_fact(WorkDeclined(FAR, REQUEST, DeclineReason.POLICY, is_probe=True))
    memory.on_fact(decide(REQUEST, Accepted(), asker=NEAR))
    memory.on_fact(WorkStarted(WORK, REQUEST, NEAR, MODEL))
    memory.on_fact(WorkFinished(WORK, REQUEST, NEAR, MODEL, "", 300, 99, SECOND))

    own, far, near = memory.find("abababab")
    assert (own.asker, far.asker, near.asker) == (None, FAR, NEAR)
    assert (own.is_over, far.is_over, near.is_over) == (False, False, True)
    told = make_explanation(far, own=OWN, age_us=0)
    assert told["asker"] == node_text(FAR)
    assert told["steps"] == [
        {"after_us": 0, "event": "WorkDeclined", "reason": "policy", "is_probe": True}
    ]


def test_what_others_ask_pushes_out_no_own_request(
    memory: DecisionMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions, "REQUESTS_REMEMBERED_MAX", 3)
    memory.on_fact(RequestReceived(REQUEST, MODEL, 300))
    asked = [RequestId(bytes([number]) * 16) for number in range(5)]
    for request in asked:
        memory.on_fact(decide(request, Declined(DeclineReason.BUSY), asker=FAR))
    assert memory.find(request_text(REQUEST))[0].asker is None
    for request in asked[:2]:
        with pytest.raises(BadInput, match="one of the last 3 of own users"):
            memory.find(request_text(request))
    assert [memory.find(request_text(request))[0].asker for request in asked[2:]] == [FAR] * 3


def test_a_request_with_endless_steps_stays_bounded_and_keeps_its_end(
    memory: DecisionMemory,
) -> None:
    memory.on_fact(RequestReceived(REQUEST, MODEL, 300))
    for _ in range(STEPS_MAX + 10):
        memory.on_fact(RequestQueued(REQUEST, 1))
        memory.on_fact(decide(REQUEST, Accepted()))
    memory.on_fact(finish())
    (story,) = memory.find(request_text(REQUEST))
    assert (len(story.steps), len(story.answers)) == (STEPS_MAX + 1, STEPS_MAX)
    assert story.left_out == 11 + 10
    assert story.is_over


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("req-abab", "at least 6 digits"),
        ("nonsense!", "at least 6 digits"),
        ("ab" * 17, "at least 6 digits"),
        ("req-abababab01", "since the node's start"),
        ("req-ababab", "with which 2 requests begin"),
    ],
)
def test_an_id_that_means_no_request_or_several_is_refused_with_the_fix(
    memory: DecisionMemory, typed: str, said: str
) -> None:
    for request in (REQUEST, RequestId(b"\xab" * 15 + b"\x00")):
        memory.on_fact(RequestReceived(request, MODEL, 300))
    with pytest.raises(BadInput) as refused:
        memory.find(typed)
    assert said in str(refused.value)
    assert refused.value.fix


# -- why -----------------------------------------------------------------------------------------


def test_the_winner_is_explained_beside_the_next_best() -> None:
    best = Alternative(
        NEAR, 2_800_000, burden_us=200_000, harmed=1, cost=CREDIT // 4, weight_us=3_100_000
    )
    here = Alternative(OWN, 3_500_000, weight_us=3_500_000)
    worse = Alternative(FAR, 9 * SECOND, weight_us=9 * SECOND)
    silent = Alternative(FAR, None)
    said = explain_start(start(best, worse, here, silent), OWN)
    assert said == (
        "least all in all, 3.1 s (whole in 2.8 s, others there later by 200 ms, 1 of them late "
        "for it, costs 0.25 cr); next best here, 3.5 s (whole in 3.5 s)"
    )
    other = explain_start(start(replace(here, node=FAR), best), OWN)
    assert f"next best {node_prefix(FAR)}" in other


def list_single_reasons() -> Iterator[tuple[AttemptStarted, str]]:
    alone = start(Alternative(NEAR, SECOND), Alternative(FAR, None, DeclineReason.BUSY))
    yield alone, "nobody else would take it"
    yield start(), "the only place"
    yield replace(alone, reason=StartReason.HERE_AT_ONCE), "room here at once"
    yield replace(alone, reason=StartReason.WAITED), "its turn came"
    moved = replace(alone, reason=StartReason.LATE_ELSEWHERE)
    yield moved, "its first token was late elsewhere"
    yield moved, "nobody else would take it"


@pytest.mark.parametrize(("fact", "said"), [*list_single_reasons()])
def test_every_reason_has_words(fact: AttemptStarted, said: str) -> None:
    assert said in explain_start(fact, OWN)
