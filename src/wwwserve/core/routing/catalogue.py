"""Who serves which model, and what a user's name for a model means here and now."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from wwwserve.core.facts import MemberStatus
from wwwserve.core.sessions import ServedModel, unite_offers
from wwwserve.core.snapshot import MemberView, ModelView
from wwwserve.values.ids import NodeId
from wwwserve.values.limits import MEMBERS_MAX
from wwwserve.values.model_names import AUTO, ModelId, fold_model_name
from wwwserve.wire import ModelOffer

MODELS_FOUND_MAX = 16
"""Models one name may stand for: as many as a request summary carries; the rest are left out."""
SUGGESTIONS_MAX = 5
"""Names offered to a user whose own was not found."""
_SIMILAR_NAMES_MAX = 512
"""Names compared with a mistyped one: the comparison is slow, and the first ones are our own."""
_SIMILARITY_MIN = 0.5

Offers = dict[NodeId, ModelOffer]


class Catalogue:
    """All models known, by who offers them: own ones, and those of every member remembered."""

    def __init__(self, groups: Mapping[str, tuple[ModelId, ...]]) -> None:
        self._groups = groups
        self._own: dict[ModelId, ModelOffer] = {}
        self._engines: dict[ModelId, tuple[str, ...]] = {}
        """Which of this node's engines serve an own model."""
        self._members: dict[NodeId, MemberView] = {}
        self._offers: dict[ModelId, Offers] = {}
        """Of all members, dead or alive."""
        self._open_offers: dict[ModelId, Offers] = {}
        """Of those that can be offered a request now: few, however many members there are."""
        self._views: tuple[ModelView, ...] | None = None
        """Of all models; None after a change until somebody looks."""

    # -- what changes it -------------------------------------------------------------------------

    def set_groups(self, groups: Mapping[str, tuple[ModelId, ...]]) -> None:
        """These names stand for several models from now on."""
        self._groups = groups

    def set_own(self, models: tuple[ServedModel, ...]) -> None:
        """These models are served here from now on."""
        self._views = None
        united = unite_offers(models)
        self._own = {ModelId(served.offer.model): served.offer for served in united}
        self._engines = {
            model: tuple(served.engine for served in models if served.offer.model == model)
            for model in self._own
        }

    def set_member(self, member: MemberView) -> None:
        """What is now known of a member; a stranger above `MEMBERS_MAX` is not taken in."""
        known = self._members.get(member.node)
        if known is None and len(self._members) >= MEMBERS_MAX and not self._forget_one():
            return
        self._members[member.node] = member
        # Most news of a member leaves its models as they were: then nothing moves in the indexes.
        is_same = known is not None and known.record.models == member.record.models
        if known is None or not is_same or known.status is not member.status:
            self._views = None
        was_routable = known is not None and is_routable(known)
        if known is not None and not is_same:
            _remove(self._offers, known)
        if not is_same:
            _add(self._offers, member)
        if known is not None and was_routable and not (is_same and is_routable(member)):
            _remove(self._open_offers, known)
        if is_routable(member) and not (is_same and was_routable):
            _add(self._open_offers, member)

    def _forget_one(self) -> bool:
        """Make room by forgetting the longest known member that is gone."""
        for node, member in self._members.items():
            if member.status in (MemberStatus.DEAD, MemberStatus.LEFT):
                _remove(self._offers, member)
                del self._members[node]
                self._views = None
                return True
        return False

    # -- who serves what -------------------------------------------------------------------------

    def get_member(self, node: NodeId) -> MemberView | None:
        """What is known of a member."""
        return self._members.get(node)

    def get_offers(self, model: ModelId) -> Mapping[NodeId, ModelOffer]:
        """All members, dead or alive, that offer a model."""
        return self._offers.get(model, {})

    def get_open_offers(self, model: ModelId) -> Mapping[NodeId, ModelOffer]:
        """The members that serve a model and can be offered a request now."""
        return self._open_offers.get(model, {})

    def is_known(self, model: ModelId) -> bool:
        """Whether this node or any member, dead or alive, offers a model."""
        return model in self._own or model in self._offers

    def get_models(self) -> tuple[ModelView, ...]:
        """Every model that can be asked for now: own ones first, then by name."""
        if self._views is None:
            self._views = self._create_views()
        return self._views

    def _create_views(self) -> tuple[ModelView, ...]:
        names = [*self._own, *sorted(model for model in self._offers if model not in self._own)]
        views = (self._view(model) for model in names)
        return tuple(view for view in views if view.nodes > 0)

    def _view(self, model: ModelId) -> ModelView:
        offers = list(self._list_live_offers(model))
        return ModelView(
            model=model,
            aliases=_merge(offer.aliases for offer in offers),
            context_tokens=max((offer.context_tokens for offer in offers), default=0),
            capabilities=_merge(offer.capabilities for offer in offers),
            quantisations=_merge((offer.quantisation,) for offer in offers if offer.quantisation),
            is_local=model in self._own,
            nodes=len(offers),
            engines=self._engines.get(model, ()),
        )

    def _list_live_offers(self, model: ModelId) -> Iterator[ModelOffer]:
        if model in self._own:
            yield self._own[model]
        for node, offer in self.get_offers(model).items():
            if self._members[node].status is MemberStatus.ALIVE:
                yield offer

    # -- what a name means -----------------------------------------------------------------------

    def find(self, name: str) -> tuple[ModelId, ...]:
        """The models a user's name stands for, best first; empty if none or more than one could.

        The node's own words come first and cannot be taken over by another node's alias: canonical
        ids, own aliases, groups and `auto`, then any spelling of an id, then others' aliases.
        """
        if self.is_known(ModelId(name)):
            return (ModelId(name),)
        if name in self._groups:
            return self._groups[name][:MODELS_FOUND_MAX]
        if name == AUTO:
            return self._list_by_preference()
        found = self._find_by_spelling(name)
        return found if len(found) == 1 else ()

    def suggest(self, name: str) -> tuple[str, ...]:
        """Names that would work, for a user whose name did not."""
        several = self._find_by_spelling(name)
        if len(several) > 1:
            return several[:SUGGESTIONS_MAX]
        names = [*self._list_by_preference(), *self._groups, AUTO][:_SIMILAR_NAMES_MAX]
        spellings = {fold_model_name(known): known for known in reversed(names)}
        folds = get_close_matches(
            fold_model_name(name), spellings, n=SUGGESTIONS_MAX, cutoff=_SIMILARITY_MIN
        )
        close = [spellings[fold] for fold in folds]
        return tuple(close or names[:SUGGESTIONS_MAX])

    def _find_by_spelling(self, name: str) -> tuple[ModelId, ...]:
        fold = fold_model_name(name)
        for found in (
            [model for model, offer in self._own.items() if name in offer.aliases],
            [model for model, offer in self._own.items() if fold in _fold_names(model, offer)],
            [model for model in self._offers if fold_model_name(model) == fold],
            [model for model in self._offers if self._is_alias(fold, model)],
        ):
            if found:
                return tuple(found)
        return ()

    def _is_alias(self, fold: str, model: ModelId) -> bool:
        offers = self._list_live_offers(model)
        aliases = dict.fromkeys(alias for offer in offers for alias in offer.aliases)
        return any(fold_model_name(alias) == fold for alias in aliases)

    def _list_by_preference(self) -> tuple[ModelId, ...]:
        """Own models first, in the provider's order, then the most served."""
        others = [view for view in self.get_models() if not view.is_local]
        others.sort(key=lambda view: (-view.nodes, view.model))
        found = [*self._own, *(ModelId(view.model) for view in others)]
        return tuple(found[:MODELS_FOUND_MAX])


def is_routable(member: MemberView) -> bool:
    """Whether a member can be offered a request now: suspected or unlinked ones are not."""
    is_up = member.status is MemberStatus.ALIVE and member.is_linked
    return is_up and not member.record.is_draining


def is_hopeful(member: MemberView) -> bool:
    """Whether a member is or may become routable: a suspect has yet to refute it."""
    is_up = member.status in (MemberStatus.ALIVE, MemberStatus.SUSPECT)
    return is_up and not member.record.is_draining


def _add(index: dict[ModelId, Offers], member: MemberView) -> None:
    for offer in member.record.models:
        index.setdefault(ModelId(offer.model), {})[member.node] = offer


def _remove(index: dict[ModelId, Offers], member: MemberView) -> None:
    for offer in member.record.models:
        offers = index.get(ModelId(offer.model), {})
        offers.pop(member.node, None)
        if not offers:
            index.pop(ModelId(offer.model), None)


def _fold_names(model: ModelId, offer: ModelOffer) -> list[str]:
    return [fold_model_name(name) for name in (model, *offer.aliases)]


def _merge(lists: Iterator[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for names in lists for name in names))
