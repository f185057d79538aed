"""The provider's settings in force, and the draws that make a frequency out of a share."""

from wwwserve.core.entropy import Entropy
from wwwserve.core.placing import LoadView, Partners, PeerRequest, Verdict
from wwwserve.core.policy.opening import Opening
from wwwserve.core.policy.rules import decide_offer, decide_own, decide_wait, is_shared
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.values.ids import NodeId
from wwwserve.values.moments import Moment
from wwwserve.wire import ModelOffer, RequestSummary

_PERMILLE = 1000


class Policy:
    """One provider's policy: holds the settings, answers by `policy.rules`."""

    def __init__(self, settings: PolicySettings, entropy: Entropy) -> None:
        self._settings = settings
        self._entropy = entropy
        self._never = frozenset(settings.deny_nodes)
        self.opening = Opening(settings.hours)
        """What the hours say, now and next."""

    @property
    def settings(self) -> PolicySettings:
        """The settings in force."""
        return self._settings

    def set(self, settings: PolicySettings) -> None:
        """From the next decision on, these settings hold."""
        self._settings = settings
        self._never = frozenset(settings.deny_nodes)
        self.opening.set(settings.hours)

    def compute_closed_us(self, now: Moment) -> int:
        """For how long the hours keep other nodes' requests out; 0 = they are taken now."""
        return self.opening.compute_closed_us(now)

    def decide_own(self, summary: RequestSummary, load: LoadView | None) -> Verdict:
        """Whether an own user's request runs here, looks for another node, or waits here."""
        draw = self._draw(b"offload", summary, self._settings.offload_permille)
        return decide_own(self._settings, load, draw)

    def decide_wait(self, summary: RequestSummary) -> Verdict:
        """Whether an own user's request for which no place was found waits here."""
        draw = self._draw(b"queue", summary, self._settings.queue_permille)
        return decide_wait(self._settings, draw)

    def decide_offer(self, request: PeerRequest, load: LoadView) -> Verdict:
        """Whether another node's request runs here."""
        question = b"accept" + request.asker
        draw = self._draw(question, request.summary, self._settings.accept_permille)
        return decide_offer(self._settings, load, request, draw)

    def is_shared(self, offer: ModelOffer) -> bool:
        """Whether other nodes may use a model at all."""
        return is_shared(self._settings, offer)

    def get_partners(self, summary: RequestSummary, allowed: tuple[NodeId, ...]) -> Partners:
        """The nodes an own user's request may be sent to; `allowed` are the user's own, if any.

        A private request goes to those its user names, and without a name to nobody.
        """
        chosen = self._settings.offload_nodes
        if not (allowed or chosen or summary.is_private):
            return Partners(None, self._never)
        named = allowed if allowed or summary.is_private else chosen
        only = frozenset(node for node in named if not chosen or node in chosen)
        return Partners(only, self._never)

    def _draw(self, question: bytes, summary: RequestSummary, share_permille: int) -> int:
        """The request's own number from 0 to 999 for one question; the same whenever asked.

        Where the share is nothing or all, every number gives the same answer, and none is drawn.
        """
        if share_permille in (0, _PERMILLE):
            return 0
        return self._entropy.split((question + summary.request).hex()).below(_PERMILLE)
