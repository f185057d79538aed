"""What a node decided about its last requests, kept so that each decision can be explained.

The facts about a request are put together as they come: an own user's from its arrival to its end,
another node's from its probe to the end of its run. Both kinds have room of their own, so that
however many probes come, none pushes out what an own user may ask about.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from wwwserve.core.deciding import RequestDecided
from wwwserve.core.facts import (
    AttemptFailed,
    AttemptStarted,
    Fact,
    RequestFinished,
    RequestQueued,
    RequestReceived,
    WorkDeclined,
    WorkFinished,
    WorkStarted,
)
from wwwserve.values.ids import NodeId, RequestId, parse_request_prefix, request_text
from wwwserve.values.refusals import BadInput

REQUESTS_REMEMBERED_MAX: Final = 2_000
"""Requests of own users, and as many of other nodes; for a new one the oldest is forgotten. Each
takes some kilobytes."""
STEPS_MAX: Final = 64
"""Steps of one request, and answers of the policy about it; only its end comes after that many."""
_SHOWN_MAX: Final = 5
"""Requests named where a few digits mean several."""

OwnFact = RequestReceived | RequestQueued | AttemptStarted | AttemptFailed | RequestFinished
WorkFact = WorkStarted | WorkDeclined | WorkFinished
StepFact = OwnFact | WorkFact
_ENDS = (RequestFinished, WorkFinished)


class Step(msgspec.Struct, frozen=True):
    """Something that happened to a request."""

    after_us: int
    """Since the first that was heard of it."""
    fact: StepFact


class PolicyAnswer(msgspec.Struct, frozen=True):
    """What the policy said about a request."""

    after_us: int
    """Since the first that was heard of it."""
    decided: RequestDecided


class Story(msgspec.Struct):
    """All that is remembered of one request."""

    request: RequestId
    asker: NodeId | None
    """The node that asked; None = an own user's."""
    began_us: int
    answers: list[PolicyAnswer] = []
    steps: list[Step] = []
    left_out: int = 0
    """Answers and steps for which there was no room."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of it."""
        return bool(self.steps) and isinstance(self.steps[-1].fact, _ENDS)

    def add_answer(self, decided: RequestDecided, now_us: int) -> None:
        """The policy has answered."""
        if len(self.answers) >= STEPS_MAX:
            self.left_out += 1
        else:
            self.answers.append(PolicyAnswer(now_us - self.began_us, decided))

    def add_step(self, fact: StepFact, now_us: int) -> None:
        """Something has happened; its end always has room."""
        if len(self.steps) >= STEPS_MAX and not isinstance(fact, _ENDS):
            self.left_out += 1
        else:
            self.steps.append(Step(now_us - self.began_us, fact))


_StoryKey = tuple[NodeId | None, RequestId]


class DecisionMemory:
    """The last requests of a node; give it every fact."""

    def __init__(self, read_us: Callable[[], int]) -> None:
        """`read_us` reads a monotonic clock, in microseconds."""
        self._read_us = read_us
        self._own: dict[_StoryKey, Story] = {}
        self._others: dict[_StoryKey, Story] = {}

    def on_fact(self, fact: Fact) -> None:
        """Keep a fact, if it is about a request."""
        match fact:
            case RequestDecided():
                request = RequestId(fact.case.summary.request)
                now_us = self._read_us()
                self._get_story(fact.case.asker, request, now_us).add_answer(fact, now_us)
            case (
                RequestReceived()
                | RequestQueued()
                | AttemptStarted()
                | AttemptFailed()
                | RequestFinished()
            ):
                self._add_step(None, fact)
            case WorkStarted() | WorkDeclined() | WorkFinished():
                self._add_step(fact.origin, fact)
            case _:
                return

    def find(self, text: str) -> tuple[Story, ...]:
        """The request that is meant by its id or the beginning of it: usually one story of it.

        There are several where other nodes ask about a request of that very id. Raises `BadInput`
        if it is none, not remembered, or not the only one that begins so.
        """
        prefix = parse_request_prefix(text)
        stories = [
            story
            for memory in (self._own, self._others)
            for story in memory.values()
            if story.request.hex().startswith(prefix)
        ]
        meant = list(dict.fromkeys(story.request for story in stories))
        if not meant:
            raise BadInput(
                field="request",
                found=text[:80],
                expected=f"one of the last {REQUESTS_REMEMBERED_MAX} of own users since the node's "
                "start, or as many of other nodes",
                fix="ask the node where it entered, or the one that ran it; what the policy said "
                "is known for a day: wwwserve policy explain REQUEST",
            )
        if len(meant) > 1:
            raise BadInput(
                field="request",
                found=f"{text[:80]}, with which {len(meant)} requests begin",
                expected="the beginning of one alone",
                fix="one of " + ", ".join(request_text(one) for one in meant[:_SHOWN_MAX]),
            )
        return tuple(stories)

    def compute_age_us(self, story: Story) -> int:
        """How long ago the first was heard of it."""
        return self._read_us() - story.began_us

    def _add_step(self, asker: NodeId | None, fact: StepFact) -> None:
        now_us = self._read_us()
        self._get_story(asker, fact.request, now_us).add_step(fact, now_us)

    def _get_story(self, asker: NodeId | None, request: RequestId, now_us: int) -> Story:
        memory = self._own if asker is None else self._others
        key = (asker, request)
        story = memory.get(key)
        if story is None:
            if len(memory) >= REQUESTS_REMEMBERED_MAX:
                del memory[next(iter(memory))]
            story = memory[key] = Story(request, asker, now_us)
        return story
