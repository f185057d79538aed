"""Why a request went where it went, as JSON with the reasons in words.

Fields keep the names they have in `core.facts`, as in all JSON here. Added are `after_us`, when
each thing happened, from the first that was heard of the request; and `why` of each start.
"""

from typing import assert_never

from wwwserve.core.facts import (
    Alternative,
    AttemptStarted,
    RequestFinished,
    RequestReceived,
    StartReason,
    WorkFinished,
    WorkStarted,
)
from wwwserve.core.policy import make_answer
from wwwserve.frontends.admin.decisions import PolicyAnswer, Step, Story
from wwwserve.frontends.admin.json_forms import Json, make_fact
from wwwserve.values.credits import credits_text
from wwwserve.values.ids import NodeId, node_prefix, node_text, request_text
from wwwserve.values.moments import span_text


def make_explanation(story: Story, *, own: NodeId, age_us: int) -> Json:
    """All that is remembered of one request, told by the node `own`."""
    model, prompt_tokens = _find_subject(story)
    return {
        "request": request_text(story.request),
        "asker": None if story.asker is None else node_text(story.asker),
        "model": model,
        "prompt_tokens": prompt_tokens,
        "completion_tokens_expected": _find_expected(story),
        "age_us": age_us,
        "is_over": story.is_over,
        "answers": [_make_answer(answer) for answer in story.answers],
        "steps": [_make_step(step, own) for step in story.steps],
        "left_out": story.left_out,
    }


def explain_start(fact: AttemptStarted, own: NodeId) -> str:
    """Why a request was sent where it was, in a sentence for a person."""
    match fact.reason:
        case StartReason.HERE_AT_ONCE:
            return "there was room here at once: nobody else was asked"
        case StartReason.WAITED:
            return "it had waited here, and its turn came"
        case StartReason.LEAST_WEIGHT:
            return _explain_choice(fact, own)
        case StartReason.LATE_ELSEWHERE:
            said = "its first token was late elsewhere, and nothing of it had come"
            return f"{said}: {_explain_choice(fact, own)}"
        case _:
            assert_never(fact.reason)


def _explain_choice(fact: AttemptStarted, own: NodeId) -> str:
    """What the winner was weighed by, and what came next."""
    offers = [one for one in fact.alternatives if one.finish_us is not None and not one.reason]
    chosen = next((one for one in offers if one.node == fact.executor), None)
    if chosen is None:
        return "it was the only place that would take it"
    others = sorted((one for one in offers if one is not chosen), key=_get_weight_us)
    said = f"least all in all, {_tell_weight(chosen)}"
    if not others:
        return f"{said}; nobody else would take it"
    second = others[0]
    return f"{said}; next best {_name_place(second.node, own)}, {_tell_weight(second)}"


def _tell_weight(place: Alternative) -> str:
    """What a place was weighed by, part by part; parts that are nothing are left out."""
    parts = [f"whole in {span_text(place.finish_us or 0)}"]
    if place.burden_us:
        parts.append(f"others there later by {span_text(place.burden_us)}")
    if place.harmed:
        parts.append(f"{place.harmed} of them late for it")
    if place.cost:
        parts.append(f"costs {credits_text(place.cost)}")
    return f"{span_text(_get_weight_us(place))} ({', '.join(parts)})"


def _get_weight_us(place: Alternative) -> int:
    return place.weight_us or place.finish_us or 0


def _name_place(node: NodeId, own: NodeId) -> str:
    return "here" if node == own else node_prefix(node)


def _find_subject(story: Story) -> tuple[str, int]:
    """Its model and (estimated) prompt tokens, as far as they were heard."""
    for answer in story.answers:
        summary = answer.decided.case.summary
        return summary.models[0], summary.prompt_tokens
    for step in story.steps:
        match step.fact:
            case RequestReceived(_, model, prompt_tokens):
                return model, prompt_tokens
            case RequestFinished() | WorkFinished() | WorkStarted() | AttemptStarted():
                return step.fact.model, 0
            case _:
                continue
    return "", 0


def _find_expected(story: Story) -> int:
    """How long an answer its origin expected; 0 = not told."""
    expected = (one.decided.case.summary.completion_tokens_expected for one in story.answers)
    return next(expected, 0)


def _make_answer(answer: PolicyAnswer) -> Json:
    decided = answer.decided
    load = decided.case.load
    return {
        "after_us": answer.after_us,
        "question": decided.case.question.value,
        "answer": make_answer(decided.verdict),
        "rule": decided.rule,
        "guest_fault": decided.guest_fault,
        "slots": None if load is None else load.slots,
        "used": None if load is None else load.used,
    }


def _make_step(step: Step, own: NodeId) -> Json:
    shown: Json = {"after_us": step.after_us} | make_fact(step.fact)
    # A fact's own request and origin stand above, once for all of them.
    shown = {name: value for name, value in shown.items() if name not in {"request", "origin"}}
    if isinstance(step.fact, AttemptStarted):
        shown["why"] = explain_start(step.fact, own)
    return shown
