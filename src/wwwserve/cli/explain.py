"""`wwwserve explain`: why a request went where it went, and what came of it."""

import asyncio
import os
from collections.abc import Sequence
from typing import Annotated
from urllib.parse import quote

import msgspec
from cyclopts import Parameter

from wwwserve.cli.admin_client import AdminClient, find_running_node
from wwwserve.cli.terminal import HomeFlag, JsonFlag, open_console, print_json, print_table
from wwwserve.node import RunInfo, find_state_folder
from wwwserve.values.credits import credits_text
from wwwserve.values.ids import PREFIX_LENGTH
from wwwserve.values.moments import span_text

_OWN_MEANS = {
    "accepted": "it may run here",
    "queued": "it may wait here",
}
"""What the policy's answer about an own user's request comes to."""
_ELSEWHERE = "not here now: look for another node"
_NO_WAIT = "it may not wait here"


class _Answer(msgspec.Struct):
    """What the policy said."""

    after_us: int
    question: str
    answer: str
    rule: str
    guest_fault: str = ""
    slots: int | None = None
    used: int | None = None


class _Alternative(msgspec.Struct):
    """A place it could have gone."""

    node: str
    finish_us: int | None = None
    decline: str | None = None
    first_token_us: int = 0
    burden_us: int = 0
    harmed: int = 0
    round_trip_us: int = 0
    cost: int = 0
    weight_us: int = 0
    reason: str = ""


class _Step(msgspec.Struct):
    """Something that happened to it: a fact about a request, whichever it is."""

    after_us: int
    event: str
    executor: str | None = None
    model: str = ""
    alternatives: list[_Alternative] = []
    why: str = ""
    due_us: int = 0
    queue_length: int = 0
    kind: str = ""
    decline: str | None = None
    reason: str | None = None
    is_probe: bool = False
    detail: str = ""
    error: str = ""
    attempts: int = 0
    wait_us: int = 0
    first_output_us: int = 0
    total_us: int = 0
    completion_tokens: int = 0


class _Explanation(msgspec.Struct):
    """What the node remembers of a request."""

    request: str
    asker: str | None
    model: str
    prompt_tokens: int
    completion_tokens_expected: int
    age_us: int
    is_over: bool
    answers: list[_Answer]
    steps: list[_Step]
    left_out: int = 0


class _Explanations(msgspec.Struct):
    explanations: list[_Explanation]


def explain(
    request: Annotated[str, Parameter(help="Its id, or the beginning of it.")],
    *,
    home: HomeFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Print why a request went where it went: what was asked, what each place said, who won.

    REQUEST is the id in the x-wwwserve-request-id header of its answer. Also requests that are over
    are known, and those of other nodes that came here; the node remembers the last few thousand.
    """
    info = find_running_node(find_state_folder(home, os.environ))
    answer = asyncio.run(_read(info, request))
    if as_json:
        print_json(answer)
        return
    node = str(answer.get("node", ""))
    for told in msgspec.convert(answer, _Explanations).explanations:
        _show(told, node)


async def _read(info: RunInfo, request: str) -> dict[str, object]:
    async with AdminClient(info) as admin:
        return dict(await admin.get(f"/requests/{quote(request, safe='')}/explanation"))


def _show(told: _Explanation, own: str) -> None:
    whose = "an own user's" if told.asker is None else f"of node {told.asker[:PREFIX_LENGTH]}"
    expected = told.completion_tokens_expected
    sizes = [f"about {told.prompt_tokens} prompt tokens"] if told.prompt_tokens else []
    sizes += [f"an answer of about {expected} expected"] if expected else []
    state = "over" if told.is_over else "not over"
    words = [whose, told.model, *sizes, f"{state}, came {span_text(told.age_us)} ago"]
    open_console().print(f"{told.request}: {', '.join(word for word in words if word)}\n")
    if told.answers:
        print_table(
            "What the policy of this node said",
            (">after", "asked", "answer", "by", "room here"),
            [_list_answer(answer, is_own=told.asker is None) for answer in told.answers],
        )
    if told.steps:
        rows = [(span_text(step.after_us), _tell_step(step, own)) for step in told.steps]
        print_table("What happened", (">after", "what"), rows)
    starts = [step for step in told.steps if step.alternatives]
    for number, step in enumerate(starts, start=1):
        _show_places(step, own, "" if len(starts) == 1 else f", choice {number}")
    if told.left_out:
        open_console().print(f"{told.left_out} more steps were not kept.")


def _list_answer(answer: _Answer, *, is_own: bool) -> tuple[str, ...]:
    said = answer.answer
    if is_own:
        otherwise = _NO_WAIT if answer.question == "wait" else _ELSEWHERE
        said = f"{said}: {_OWN_MEANS.get(said, otherwise)}"
    by = f"{answer.rule}; {answer.guest_fault}" if answer.guest_fault else answer.rule
    room = "" if answer.slots is None else f"{answer.used} of {answer.slots} slots in use"
    return span_text(answer.after_us), answer.question, said, by, room


def _tell_step(step: _Step, own: str) -> str:
    match step.event:
        case "RequestReceived":
            return "it came"
        case "RequestQueued":
            return f"no place at once: it waits here, {step.queue_length} in the queue"
        case "AttemptStarted":
            return f"chosen: {_name(step.executor, own)}: {step.why}"
        case "AttemptFailed":
            kind = step.decline or step.kind
            more = f": {step.detail}" if step.detail else ""
            return f"nothing came of it at {_name(step.executor, own)} ({_say(kind)}){more}"
        case "RequestFinished" | "WorkFinished":
            return _tell_end(step)
        case "WorkStarted":
            return "taken on: it runs here"
        case "WorkDeclined":
            what = "the probe" if step.is_probe else "the offer"
            return f"{what} was declined: {_say(step.reason)}"
        case _:
            return _say(step.event)


def _tell_end(step: _Step) -> str:
    if step.error:
        return f"over, without an answer ({_say(step.error)}), after {span_text(step.total_us)}"
    times = [f"whole after {span_text(step.total_us)}"]
    if step.first_output_us:
        times.insert(0, f"first output after {span_text(step.first_output_us)}")
    if step.event == "RequestFinished":
        times.insert(0, f"began after {span_text(step.wait_us)}")
    return f"answered, {step.completion_tokens} tokens: {', '.join(times)}"


def _show_places(step: _Step, own: str, number: str) -> None:
    due = f"; its user hopes for it within {span_text(step.due_us)}" if step.due_us else ""
    print_table(
        f"The places that were compared{number}{due}",
        ("place", ">whole in", ">first token", ">delays others", ">made late", ">round trip",
         ">cost", ">all in all", ""),
        [_list_place(one, own, step.executor) for one in step.alternatives],
    )  # fmt: skip


def _list_place(place: _Alternative, own: str, executor: str | None) -> Sequence[str]:
    name = _name(place.node, own)
    note = place.reason or (_say(place.decline) if place.decline else "")
    if place.finish_us is None:
        return (name, *[""] * 7, note or "no answer in time")
    is_chosen = place.node == executor
    return (
        name,
        span_text(place.finish_us),
        span_text(place.first_token_us) if place.first_token_us else "",
        span_text(place.burden_us) if place.burden_us else "",
        str(place.harmed) if place.harmed else "",
        span_text(place.round_trip_us) if place.round_trip_us else "",
        credits_text(place.cost) if place.cost else "",
        span_text(place.weight_us or place.finish_us),
        "chosen" if is_chosen and not note else note,
    )


def _name(node: str | None, own: str) -> str:
    if node is None:
        return "nowhere"
    return "here" if node == own else f"node {node[:PREFIX_LENGTH]}"


def _say(word: str | None) -> str:
    return (word or "unknown").replace("_", " ").replace("-", " ")
