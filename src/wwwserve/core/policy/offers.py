"""The rules about other nodes' requests, in the order in which they are asked.

Lasting refusals come first and passing ones last, so that the asker knows whether to come back.
"""

from typing import Final

from wwwserve.core.deciding import Case
from wwwserve.core.placing import Accepted, LoadView
from wwwserve.core.policy.ruling import (
    Rule,
    comes_after_own,
    count_answer_tokens,
    describe_draw,
    describe_load,
    is_drawn,
    make_cap,
    make_refusal,
)
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.values.ids import node_prefix
from wwwserve.values.moments import SECOND
from wwwserve.values.refusals import DeclineReason
from wwwserve.wire import ModelOffer

NOTHING_AGAINST: Final = "all of them"
"""What stands in a rule's place where none refuses."""


def _get_load(case: Case) -> LoadView:
    assert case.load is not None, "offers are decided about by the load of one model"
    return case.load


def _get_offer(case: Case) -> ModelOffer:
    assert case.offer is not None, "another node's request is for a model"
    return case.offer


def _count_answer(case: Case) -> int:
    return count_answer_tokens(case.summary, _get_offer(case))


def _count_with_answer(case: Case) -> int:
    return case.summary.prompt_tokens + _count_answer(case)


def _name(case: Case) -> str:
    return f"node {node_prefix(case.asker)}" if case.asker is not None else "an own user"


def _describe_room(settings: PolicySettings, case: Case) -> str:
    load = _get_load(case)
    if not settings.own_first:
        return "not asked for"
    target = f"{settings.target_utilisation_permille / 10:g} %"
    own = f"{load.own_waiting} own requests wait, {load.own_running} run"
    return (
        f"{describe_load(load)}, wanted below {target}; {own}; "
        f"{load.peer_unread} prompts of others are being read"
    )


_WHO = (
    make_refusal(
        "deny_nodes",
        DeclineReason.NOT_ALLOWED,
        lambda settings, case: case.asker in settings.deny_nodes,
        lambda settings, case: f"{_name(case)}; {len(settings.deny_nodes)} are denied",
    ),
    make_refusal(
        "allow_nodes",
        DeclineReason.NOT_ALLOWED,
        lambda settings, case: (
            bool(settings.allow_nodes) and case.asker not in settings.allow_nodes
        ),
        lambda settings, case: f"{_name(case)}; {len(settings.allow_nodes) or 'all'} are allowed",
    ),
)
_WHAT = (
    make_refusal(
        "deny_models",
        DeclineReason.POLICY,
        lambda settings, case: _get_offer(case).model in settings.deny_models,
        lambda settings, case: f"{_get_offer(case).model}; {len(settings.deny_models)} are denied",
    ),
    make_refusal(
        "allow_models",
        DeclineReason.POLICY,
        lambda settings, case: (
            bool(settings.allow_models) and _get_offer(case).model not in settings.allow_models
        ),
        lambda settings, case: (
            f"{_get_offer(case).model}; {len(settings.allow_models) or 'all'} are allowed"
        ),
    ),
    make_cap(
        "prompt_tokens_max",
        DeclineReason.TOO_LARGE,
        "prompt tokens",
        lambda case: case.summary.prompt_tokens,
        lambda settings: settings.prompt_tokens_max,
    ),
    make_cap(
        "completion_tokens_max",
        DeclineReason.TOO_LARGE,
        "answer tokens",
        _count_answer,
        lambda settings: settings.completion_tokens_max,
    ),
    make_cap(
        "context_tokens_max",
        DeclineReason.TOO_LARGE,
        "tokens in all",
        _count_with_answer,
        lambda settings: settings.context_tokens_max,
    ),
    make_cap(
        "body_bytes_max",
        DeclineReason.TOO_LARGE,
        "bytes",
        lambda case: case.summary.body_bytes,
        lambda settings: settings.body_bytes_max,
    ),
)
_WHEN = (
    make_refusal(
        "accept_frequency",
        DeclineReason.POLICY,
        lambda settings, case: not is_drawn(settings.accept_permille, case),
        lambda settings, case: describe_draw(settings.accept_permille, case),
    ),
    make_refusal(
        "hours",
        DeclineReason.CLOSED,
        lambda _, case: case.closed_us > 0,
        lambda _, case: (
            f"closed for {case.closed_us // SECOND} s more" if case.closed_us else "open"
        ),
    ),
    make_refusal(
        "idle_only",
        DeclineReason.CLOSED,
        lambda settings, case: settings.idle_only and case.idle_us < settings.idle_for_us,
        lambda settings, case: (
            f"idle for {case.idle_us // SECOND} s, wanted {settings.idle_for_us // SECOND}"
            if settings.idle_only
            else "not asked for"
        ),
    ),
)
_HOW_MUCH = (
    make_cap(
        "tokens_per_day_max",
        DeclineReason.POLICY,
        "tokens in 24 hours, with this one",
        lambda case: case.counts.day_tokens + _count_with_answer(case),
        lambda settings: settings.tokens_per_day_max,
    ),
    make_cap(
        "tokens_per_day_per_peer_max",
        DeclineReason.POLICY,
        "tokens of this node in 24 hours, with this one",
        lambda case: case.counts.day_tokens_asker + _count_with_answer(case),
        lambda settings: settings.tokens_per_day_per_peer_max,
    ),
    make_cap(
        "requests_per_minute_max",
        DeclineReason.RATE,
        "requests within a minute, with this one",
        lambda case: case.counts.minute_requests + 1,
        lambda settings: settings.requests_per_minute_max,
    ),
    make_cap(
        "requests_per_minute_per_peer_max",
        DeclineReason.RATE,
        "requests of this node within a minute, with this one",
        lambda case: case.counts.minute_requests_asker + 1,
        lambda settings: settings.requests_per_minute_per_peer_max,
    ),
    make_cap(
        "concurrent_max",
        DeclineReason.BUSY,
        "requests of others at once, with this one",
        lambda case: _get_load(case).peer_running + 1,
        lambda settings: settings.concurrent_max,
    ),
    make_cap(
        "concurrent_per_peer_max",
        DeclineReason.BUSY,
        "requests of this node at once, with this one",
        lambda case: _get_load(case).asker_running + 1,
        lambda settings: settings.concurrent_per_peer_max,
    ),
)
_ROOM = (
    make_refusal(
        "room",
        DeclineReason.BUSY,
        lambda _, case: not _get_load(case).has_room,
        lambda _, case: describe_load(_get_load(case)),
    ),
    make_refusal(
        "reserve_concurrency",
        DeclineReason.BUSY,
        lambda settings, case: (
            _get_load(case).used + settings.reserve_concurrency >= _get_load(case).slots
        ),
        lambda settings, case: (
            f"{describe_load(_get_load(case))}, {settings.reserve_concurrency} are kept free"
        ),
    ),
    make_refusal(
        "own_first",
        DeclineReason.BUSY,
        lambda settings, case: not comes_after_own(settings, _get_load(case)),
        _describe_room,
    ),
    Rule(NOTHING_AGAINST, lambda *_: Accepted(), lambda *_: "nothing stands against it"),
)

OFFER_RULES: Final = (*_WHO, *_WHAT, *_WHEN, *_HOW_MUCH, *_ROOM)
