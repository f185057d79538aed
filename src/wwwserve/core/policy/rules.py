"""The provider's rules: every setting about a single request is read here, once.

A rule looks at the settings and a case and answers, or leaves the answer to those after it. For
another node's request lasting refusals come first and passing ones last, so that the asker knows
whether to come back. The words in which a rule explains itself are its own as well, so that what is
explained is what was decided.
"""

from collections.abc import Callable
from dataclasses import dataclass

from wwwserve.core.deciding import Case, Question, Said
from wwwserve.core.placing import Accepted, Declined, LoadView, Queued, Verdict
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.values.ids import node_prefix
from wwwserve.values.moments import SECOND
from wwwserve.values.refusals import DeclineReason
from wwwserve.wire import ModelOffer, RequestSummary

_LIMITLESS_TOKENS = 1_000_000
"""What an answer without a known limit counts as: the default cap admits it, a tighter one not."""
_ALL = "all of them"
"""What stands in a rule's place where none refuses."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a policy."""

    name: str
    """The setting it goes by, or a word for what is no setting."""
    judge: Callable[[PolicySettings, Case], Verdict | None]
    """Its answer; None = it leaves the answer to the rules after it."""
    describe: Callable[[PolicySettings, Case], str]
    """What it compares."""


def decide(settings: PolicySettings, case: Case) -> tuple[Verdict, str]:
    """The answer to a case, and the name of the rule that gives it."""
    for rule in RULES[case.question]:
        verdict = rule.judge(settings, case)
        if verdict is not None:
            return verdict, rule.name
    raise AssertionError("the last rule of each question always answers")


def explain(settings: PolicySettings, case: Case) -> tuple[Said, ...]:
    """What each rule says about a case, in order; the first answer is the policy's."""
    said = [
        Said(rule.name, rule.describe(settings, case), rule.judge(settings, case))
        for rule in RULES[case.question]
    ]
    is_refused = any(one.verdict is not None for one in said[:-1])
    # That nothing stands against a request is not said where something does.
    return tuple(said[:-1] if is_refused and said[-1].rule == _ALL else said)


def is_shared(settings: PolicySettings, offer: ModelOffer) -> bool:
    """Whether other nodes may use a model at all."""
    if offer.model in settings.deny_models:
        return False
    return not settings.allow_models or offer.model in settings.allow_models


def is_below_target(settings: PolicySettings, load: LoadView) -> bool:
    """Whether the node still has room and is less busy than its provider wants it to be."""
    return load.has_room and load.utilisation_permille < settings.target_utilisation_permille


def has_room_for_others(settings: PolicySettings, load: LoadView) -> bool:
    """Whether one more request of others would start at once, as far as the provider lets it."""
    has_room = load.used + settings.reserve_concurrency < load.slots
    return has_room and comes_after_own(settings, load)


def comes_after_own(settings: PolicySettings, load: LoadView) -> bool:
    """Whether another node's request leaves own users what their provider wants."""
    return not settings.own_first or (load.own_waiting == 0 and is_below_target(settings, load))


def count_answer_tokens(summary: RequestSummary, offer: ModelOffer) -> int:
    """The longest answer a request may get; one without a limit counts as the model's own."""
    return summary.completion_tokens_max or offer.context_tokens or _LIMITLESS_TOKENS


def name_guest(name: str) -> str:
    """What stands in a rule's place where the provider's own Python policy answered."""
    return f"guest {name}"


def is_guest_heard(settings: PolicySettings, case: Case, verdict: Verdict) -> bool:
    """Whether the provider's own Python policy has a say: it never allows what a setting forbids.

    Of another node's requests it sees those that the settings accept. Own users' requests it places
    freely, unless nothing may leave this node.
    """
    match case.question:
        case Question.OFFER:
            return isinstance(verdict, Accepted)
        case Question.OWN:
            return settings.offload_permille > 0 and case.load is not None
        case Question.WAIT:
            return settings.queue_permille > 0


# -- how rules are made --------------------------------------------------------------------------


def _make_refusal(
    name: str,
    reason: DeclineReason,
    is_refused: Callable[[PolicySettings, Case], bool],
    describe: Callable[[PolicySettings, Case], str],
) -> Rule:
    """A rule that says no, or nothing."""
    no = Declined(reason)
    return Rule(name, lambda settings, case: no if is_refused(settings, case) else None, describe)


def _make_cap(
    name: str,
    reason: DeclineReason,
    unit: str,
    count: Callable[[Case], int],
    get_limit: Callable[[PolicySettings], int],
) -> Rule:
    """A rule that refuses what would come to more than its limit."""
    return _make_refusal(
        name,
        reason,
        lambda settings, case: count(case) > get_limit(settings),
        lambda settings, case: f"{count(case)} {unit}, at most {get_limit(settings)}",
    )


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


def _is_drawn(share_permille: int, case: Case) -> bool:
    """Whether the request's number is within a share; not drawn, the share is nothing or all."""
    draw = case.draw if case.draw is not None else 0
    return draw < share_permille


def _describe_draw(share_permille: int, case: Case) -> str:
    if case.draw is None:
        return f"{share_permille} of 1000 requests"
    return f"number {case.draw} of 0 to 999, the first {share_permille} are in"


def _name(case: Case) -> str:
    return f"node {node_prefix(case.asker)}" if case.asker is not None else "an own user"


def _describe_load(load: LoadView) -> str:
    share = f"{load.utilisation_permille / 10:g} % busy"
    return f"{load.used} of {load.slots} slots used, {share}"


def _describe_room(settings: PolicySettings, case: Case) -> str:
    load = _get_load(case)
    if not settings.own_first:
        return "not asked for"
    target = f"{settings.target_utilisation_permille / 10:g} %"
    return f"{_describe_load(load)}, wanted below {target}; {load.own_waiting} own requests wait"


# -- other nodes' requests -----------------------------------------------------------------------

_WHO = (
    _make_refusal(
        "deny_nodes",
        DeclineReason.NOT_ALLOWED,
        lambda settings, case: case.asker in settings.deny_nodes,
        lambda settings, case: f"{_name(case)}; {len(settings.deny_nodes)} are denied",
    ),
    _make_refusal(
        "allow_nodes",
        DeclineReason.NOT_ALLOWED,
        lambda settings, case: (
            bool(settings.allow_nodes) and case.asker not in settings.allow_nodes
        ),
        lambda settings, case: f"{_name(case)}; {len(settings.allow_nodes) or 'all'} are allowed",
    ),
)
_WHAT = (
    _make_refusal(
        "deny_models",
        DeclineReason.POLICY,
        lambda settings, case: _get_offer(case).model in settings.deny_models,
        lambda settings, case: f"{_get_offer(case).model}; {len(settings.deny_models)} are denied",
    ),
    _make_refusal(
        "allow_models",
        DeclineReason.POLICY,
        lambda settings, case: (
            bool(settings.allow_models) and _get_offer(case).model not in settings.allow_models
        ),
        lambda settings, case: (
            f"{_get_offer(case).model}; {len(settings.allow_models) or 'all'} are allowed"
        ),
    ),
    _make_cap(
        "prompt_tokens_max",
        DeclineReason.TOO_LARGE,
        "prompt tokens",
        lambda case: case.summary.prompt_tokens,
        lambda settings: settings.prompt_tokens_max,
    ),
    _make_cap(
        "completion_tokens_max",
        DeclineReason.TOO_LARGE,
        "answer tokens",
        _count_answer,
        lambda settings: settings.completion_tokens_max,
    ),
    _make_cap(
        "context_tokens_max",
        DeclineReason.TOO_LARGE,
        "tokens in all",
        _count_with_answer,
        lambda settings: settings.context_tokens_max,
    ),
    _make_cap(
        "body_bytes_max",
        DeclineReason.TOO_LARGE,
        "bytes",
        lambda case: case.summary.body_bytes,
        lambda settings: settings.body_bytes_max,
    ),
)
_WHEN = (
    _make_refusal(
        "accept_frequency",
        DeclineReason.POLICY,
        lambda settings, case: not _is_drawn(settings.accept_permille, case),
        lambda settings, case: _describe_draw(settings.accept_permille, case),
    ),
    _make_refusal(
        "hours",
        DeclineReason.CLOSED,
        lambda _, case: case.closed_us > 0,
        lambda _, case: (
            f"closed for {case.closed_us // SECOND} s more" if case.closed_us else "open"
        ),
    ),
    _make_refusal(
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
    _make_cap(
        "tokens_per_day_max",
        DeclineReason.POLICY,
        "tokens in 24 hours, with this one",
        lambda case: case.counts.day_tokens + _count_with_answer(case),
        lambda settings: settings.tokens_per_day_max,
    ),
    _make_cap(
        "tokens_per_day_per_peer_max",
        DeclineReason.POLICY,
        "tokens of this node in 24 hours, with this one",
        lambda case: case.counts.day_tokens_asker + _count_with_answer(case),
        lambda settings: settings.tokens_per_day_per_peer_max,
    ),
    _make_cap(
        "requests_per_minute_max",
        DeclineReason.RATE,
        "requests within a minute, with this one",
        lambda case: case.counts.minute_requests + 1,
        lambda settings: settings.requests_per_minute_max,
    ),
    _make_cap(
        "requests_per_minute_per_peer_max",
        DeclineReason.RATE,
        "requests of this node within a minute, with this one",
        lambda case: case.counts.minute_requests_asker + 1,
        lambda settings: settings.requests_per_minute_per_peer_max,
    ),
    _make_cap(
        "concurrent_max",
        DeclineReason.BUSY,
        "requests of others at once, with this one",
        lambda case: _get_load(case).peer_running + 1,
        lambda settings: settings.concurrent_max,
    ),
    _make_cap(
        "concurrent_per_peer_max",
        DeclineReason.BUSY,
        "requests of this node at once, with this one",
        lambda case: _get_load(case).asker_running + 1,
        lambda settings: settings.concurrent_per_peer_max,
    ),
)
_ROOM = (
    _make_refusal(
        "room",
        DeclineReason.BUSY,
        lambda _, case: not _get_load(case).has_room,
        lambda _, case: _describe_load(_get_load(case)),
    ),
    _make_refusal(
        "reserve_concurrency",
        DeclineReason.BUSY,
        lambda settings, case: (
            _get_load(case).used + settings.reserve_concurrency >= _get_load(case).slots
        ),
        lambda settings, case: (
            f"{_describe_load(_get_load(case))}, {settings.reserve_concurrency} are kept free"
        ),
    ),
    _make_refusal(
        "own_first",
        DeclineReason.BUSY,
        lambda settings, case: not comes_after_own(settings, _get_load(case)),
        _describe_room,
    ),
    Rule(_ALL, lambda *_: Accepted(), lambda *_: "nothing stands against it"),
)


# -- own users' requests -------------------------------------------------------------------------


def _judge_unserved(settings: PolicySettings, case: Case) -> Verdict | None:
    """What no engine here can run now goes elsewhere, unless nothing may leave."""
    if case.load is not None:
        return None
    return Declined(DeclineReason.ENGINE_DOWN) if settings.offload_permille > 0 else Queued()


def _judge_target(settings: PolicySettings, case: Case) -> Verdict | None:
    is_idle = case.load is not None and is_below_target(settings, case.load)
    return Accepted() if is_idle else None


def _judge_offload(settings: PolicySettings, case: Case) -> Verdict | None:
    is_leaving = _is_drawn(settings.offload_permille, case)
    return Declined(DeclineReason.BUSY) if is_leaving else None


def _judge_room(_: PolicySettings, case: Case) -> Verdict:
    return Accepted() if case.load is not None and case.load.has_room else Queued()


def _describe_own_load(_: PolicySettings, case: Case) -> str:
    return "no engine here can run it now" if case.load is None else _describe_load(case.load)


_OWN = (
    Rule("engines", _judge_unserved, _describe_own_load),
    Rule(
        "target_utilisation",
        _judge_target,
        lambda settings, case: (
            f"{_describe_own_load(settings, case)}, busy from "
            f"{settings.target_utilisation_permille / 10:g} % on"
        ),
    ),
    Rule(
        "offload_frequency",
        _judge_offload,
        lambda settings, case: _describe_draw(settings.offload_permille, case),
    ),
    Rule("room", _judge_room, _describe_own_load),
)
_WAIT = (
    Rule(
        "queue_frequency",
        lambda settings, case: (
            Queued() if _is_drawn(settings.queue_permille, case) else Declined(DeclineReason.BUSY)
        ),
        lambda settings, case: _describe_draw(settings.queue_permille, case),
    ),
)
RULES: dict[Question, tuple[Rule, ...]] = {
    Question.OFFER: (*_WHO, *_WHAT, *_WHEN, *_HOW_MUCH, *_ROOM),
    Question.OWN: _OWN,
    Question.WAIT: _WAIT,
}
"""The rules of each question, in the order in which they are asked."""
