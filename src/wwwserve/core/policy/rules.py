"""The provider's rules as pure functions: every knob of `PolicySettings` is read here, once."""

from wwwserve.core.placing import Accepted, Declined, LoadView, PeerRequest, Queued, Verdict
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.values.ids import NodeId
from wwwserve.values.refusals import DeclineReason
from wwwserve.wire import ModelOffer, RequestSummary

_LIMITLESS_TOKENS = 1_000_000
"""What an answer without a known limit counts as: the default cap admits it, a tighter one not."""


def decide_own(settings: PolicySettings, load: LoadView | None, draw: int) -> Verdict:
    """Whether an own user's request runs here, looks for another node, or waits here.

    `load` is None when nothing here can run it now (model not served, engine not ready): then it
    goes to the network unless offloading is off altogether, for here it has no place. `draw` is the
    request's number from 0 to 999.
    """
    if load is None:
        may_leave = settings.offload_permille > 0
        return Declined(DeclineReason.ENGINE_DOWN) if may_leave else Queued()
    if is_below_target(settings, load):
        return Accepted()
    if draw < settings.offload_permille:
        return Declined(DeclineReason.BUSY)
    return Accepted() if load.has_room else Queued()


def decide_wait(settings: PolicySettings, draw: int) -> Verdict:
    """Whether an own user's request for which no place was found waits here."""
    return Queued() if draw < settings.queue_permille else Declined(DeclineReason.BUSY)


def decide_offer(
    settings: PolicySettings, load: LoadView, request: PeerRequest, draw: int
) -> Verdict:
    """Whether another node's request runs here; it never waits here.

    Lists come first, then sizes, then the draw, then room: a lasting no is said before a passing
    one, so that the asker knows whether to come back.
    """
    if not _is_welcome(settings, request.asker):
        return Declined(DeclineReason.NOT_ALLOWED)
    if not is_shared(settings, request.offer):
        return Declined(DeclineReason.POLICY)
    if _is_too_large(settings, request.summary, request.offer):
        return Declined(DeclineReason.TOO_LARGE)
    if draw >= settings.accept_permille:
        return Declined(DeclineReason.POLICY)
    if not _has_room_for_others(settings, load):
        return Declined(DeclineReason.BUSY)
    return Accepted()


def is_below_target(settings: PolicySettings, load: LoadView) -> bool:
    """Whether the node still has room and is less busy than its provider wants it to be."""
    return load.has_room and load.utilisation_permille < settings.target_utilisation_permille


def is_shared(settings: PolicySettings, offer: ModelOffer) -> bool:
    """Whether other nodes may use a model at all."""
    if offer.model in settings.deny_models:
        return False
    return not settings.allow_models or offer.model in settings.allow_models


def _is_welcome(settings: PolicySettings, node: NodeId) -> bool:
    if node in settings.deny_nodes:
        return False
    return not settings.allow_nodes or node in settings.allow_nodes


def _is_too_large(settings: PolicySettings, summary: RequestSummary, offer: ModelOffer) -> bool:
    completion_tokens = summary.completion_tokens_max or offer.context_tokens or _LIMITLESS_TOKENS
    return (
        summary.prompt_tokens > settings.prompt_tokens_max
        or completion_tokens > settings.completion_tokens_max
        or summary.body_bytes > settings.body_bytes_max
    )


def _has_room_for_others(settings: PolicySettings, load: LoadView) -> bool:
    if load.peer_running >= settings.concurrent_max:
        return False
    if load.asker_running >= settings.concurrent_per_peer_max:
        return False
    if settings.own_first:
        return load.own_waiting == 0 and is_below_target(settings, load)
    return load.has_room
