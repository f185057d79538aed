"""What the rules of a policy are made of, and the few sums that several of them share."""

from collections.abc import Callable
from dataclasses import dataclass

from wwwserve.core.deciding import Case
from wwwserve.core.placing import Declined, LoadView, Verdict
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.values.refusals import DeclineReason
from wwwserve.wire import ModelOffer, RequestSummary

_LIMITLESS_TOKENS = 1_000_000
"""What an answer without a known limit counts as: the default cap admits it, a tighter one not."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a policy."""

    name: str
    """The setting it goes by, or a word for what is no setting."""
    judge: Callable[[PolicySettings, Case], Verdict | None]
    """Its answer; None = it leaves the answer to the rules after it."""
    describe: Callable[[PolicySettings, Case], str]
    """What it compares."""


def is_below_target(settings: PolicySettings, load: LoadView) -> bool:
    """Whether the node still has room and is less busy than its provider wants it to be."""
    return load.has_room and load.utilisation_permille < settings.target_utilisation_permille


def has_room_for_others(settings: PolicySettings, load: LoadView) -> bool:
    """Whether one more request of others would start at once, as far as the provider lets it."""
    has_room = load.used + settings.reserve_concurrency < load.slots
    return has_room and comes_after_own(settings, load)


def comes_after_own(settings: PolicySettings, load: LoadView) -> bool:
    """Whether another node's request leaves own users what their provider wants.

    Beside own users one prompt of others is read at a time: an engine reads all it has at once, and
    an own user's first token would come after the last of them.
    """
    if not settings.own_first:
        return True
    is_read = load.own_running == 0 or load.peer_unread == 0
    return load.own_waiting == 0 and is_read and is_below_target(settings, load)


def count_answer_tokens(summary: RequestSummary, offer: ModelOffer) -> int:
    """The longest answer a request may get; one without a limit counts as the model's own."""
    return summary.completion_tokens_max or offer.context_tokens or _LIMITLESS_TOKENS


def make_refusal(
    name: str,
    reason: DeclineReason,
    is_refused: Callable[[PolicySettings, Case], bool],
    describe: Callable[[PolicySettings, Case], str],
) -> Rule:
    """A rule that says no, or nothing."""
    no = Declined(reason)
    return Rule(name, lambda settings, case: no if is_refused(settings, case) else None, describe)


def make_cap(
    name: str,
    reason: DeclineReason,
    unit: str,
    count: Callable[[Case], int],
    get_limit: Callable[[PolicySettings], int],
) -> Rule:
    """A rule that refuses what would come to more than its limit."""
    return make_refusal(
        name,
        reason,
        lambda settings, case: count(case) > get_limit(settings),
        lambda settings, case: f"{count(case)} {unit}, at most {get_limit(settings)}",
    )


def is_drawn(share_permille: int, case: Case) -> bool:
    """Whether the request's number is within a share; not drawn, the share is nothing or all."""
    draw = case.draw if case.draw is not None else 0
    return draw < share_permille


def describe_draw(share_permille: int, case: Case) -> str:
    """What `is_drawn` compares."""
    if case.draw is None:
        return f"{share_permille} of 1000 requests"
    return f"number {case.draw} of 0 to 999, the first {share_permille} are in"


def describe_load(load: LoadView) -> str:
    """How busy a model is."""
    share = f"{load.utilisation_permille / 10:g} % busy"
    return f"{load.used} of {load.slots} slots used, {share}"
