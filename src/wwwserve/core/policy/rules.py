"""The provider's rules: every setting about a single request is read here, once.

A rule looks at the settings and a case and answers, or leaves the answer to those after it. The
words in which it explains itself are its own as well, so that what is explained is what was
decided. `offers` has the rules about other nodes' requests, this module those about own users'.
"""

from wwwserve.core.deciding import Case, Question, Said
from wwwserve.core.placing import Accepted, Declined, Queued, Verdict
from wwwserve.core.policy.offers import NOTHING_AGAINST, OFFER_RULES
from wwwserve.core.policy.ruling import (
    Rule,
    describe_draw,
    describe_load,
    is_below_target,
    is_drawn,
)
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.values.refusals import DeclineReason
from wwwserve.wire import ModelOffer


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
    return tuple(said[:-1] if is_refused and said[-1].rule == NOTHING_AGAINST else said)


def is_shared(settings: PolicySettings, offer: ModelOffer) -> bool:
    """Whether other nodes may use a model at all; if not, they are not told of it."""
    if settings.accept_permille == 0 or offer.model in settings.deny_models:
        return False
    return not settings.allow_models or offer.model in settings.allow_models


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


def name_guest(name: str) -> str:
    """What stands in a rule's place where the provider's own Python policy answered."""
    return f"guest {name}"


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
    is_leaving = is_drawn(settings.offload_permille, case)
    return Declined(DeclineReason.BUSY) if is_leaving else None


def _judge_room(_: PolicySettings, case: Case) -> Verdict:
    return Accepted() if case.load is not None and case.load.has_room else Queued()


def _describe_own_load(_: PolicySettings, case: Case) -> str:
    return "no engine here can run it now" if case.load is None else describe_load(case.load)


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
        lambda settings, case: describe_draw(settings.offload_permille, case),
    ),
    Rule("room", _judge_room, _describe_own_load),
)
_WAIT = (
    Rule(
        "queue_frequency",
        lambda settings, case: (
            Queued() if is_drawn(settings.queue_permille, case) else Declined(DeclineReason.BUSY)
        ),
        lambda settings, case: describe_draw(settings.queue_permille, case),
    ),
)
RULES: dict[Question, tuple[Rule, ...]] = {
    Question.OFFER: OFFER_RULES,
    Question.OWN: _OWN,
    Question.WAIT: _WAIT,
}
"""The rules of each question, in the order in which they are asked."""
