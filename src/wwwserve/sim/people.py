"""Who runs a node: honest people, and a few who are not.

A person stands between a production peer and the world and may alter what the peer asks for. The
honest one alters nothing; checkers hold only honest people to the rules.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from msgspec.structs import replace

from wwwserve.core.effects import AcceptOffer, DeclineOffer, Effect, Report, SendMessage
from wwwserve.core.events import Event, OfferCancelled
from wwwserve.core.facts import LinkChanged
from wwwserve.values.ids import NodeId
from wwwserve.values.moments import MILLISECOND, SECOND
from wwwserve.values.refusals import DeclineReason
from wwwserve.wire import (
    Decline,
    Endpoint,
    Gossip,
    Probe,
    Quote,
    RequestSummary,
    Suspect,
)

FLOOD_PERIOD_US = 50 * MILLISECOND
FLOOD_MESSAGES = 10
"""What a flooder sends to each linked peer in one period: 200 probes a second."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a person lets out in place of the peer's effects."""

    effects: Sequence[Effect]
    events: tuple[Event, ...] = ()
    """What the person then tells the own peer, so that it does not wait for what was withheld."""


class Person(Protocol):
    """Whoever runs a node."""

    @property
    def is_honest(self) -> bool:
        """Whether the rules may be checked on this node."""
        ...

    @property
    def answers(self) -> bool:
        """Whether the node's engine really works on others' requests."""
        ...

    @property
    def pays(self) -> bool:
        """Whether the node shows the units it owes."""
        ...

    def state_tokens(self, completion_tokens: int) -> int:
        """How many tokens the node says that an answer for another node had."""
        ...

    def alter(self, effects: Sequence[Effect], now_us: int) -> Reply:
        """Let the effects out as they are, or others."""
        ...


class Honest:
    """Runs the software as it is."""

    is_honest = True
    answers = True
    pays = True

    def state_tokens(self, completion_tokens: int) -> int:
        """As many as it had."""
        return completion_tokens

    def alter(self, effects: Sequence[Effect], now_us: int) -> Reply:
        """Let all out."""
        return Reply(effects)


class Silent(Honest):
    """Accepts everything offered and never answers."""

    is_honest = False
    answers = False


class Liar(Honest):
    """Quotes the best times to everybody, whatever the truth."""

    is_honest = False

    def alter(self, effects: Sequence[Effect], now_us: int) -> Reply:
        """Let all out, with every quote made irresistible."""
        return Reply([_embellish(effect) for effect in effects])


class Withholder(Honest):
    """Sends its requests away with good holds and never shows a unit of them."""

    is_honest = False
    pays = False


class Inflater(Honest):
    """States three times the tokens that an answer had."""

    is_honest = False

    def state_tokens(self, completion_tokens: int) -> int:
        """More than it had."""
        return 3 * completion_tokens


class Decliner(Liar):
    """Quotes the best times, then declines each offer."""

    def alter(self, effects: Sequence[Effect], now_us: int) -> Reply:
        """Turn every accept into a decline."""
        altered: list[Effect] = []
        events: list[Event] = []
        for effect in super().alter(effects, now_us).effects:
            if isinstance(effect, AcceptOffer):
                altered.append(DeclineOffer(effect.session, Decline(DeclineReason.BUSY)))
                events.append(OfferCancelled(effect.session))
            else:
                altered.append(effect)
        return Reply(altered, tuple(events))


class Flooder(Honest):
    """Buries its neighbours in probes and in claims that everybody is dying."""

    is_honest = False

    def __init__(self, node_id: NodeId) -> None:
        """`node_id` is the flooder's own."""
        self._node_id = node_id
        self._links: dict[NodeId, None] = {}
        self._next_us = 0
        self._number = 0

    def alter(self, effects: Sequence[Effect], now_us: int) -> Reply:
        """Let all out and add the flood, whenever a period has passed."""
        for effect in effects:
            if isinstance(effect, Report) and isinstance(effect.fact, LinkChanged):
                if effect.fact.is_open:
                    self._links[effect.fact.peer] = None
                else:
                    self._links.pop(effect.fact.peer, None)
        if now_us < self._next_us:
            return Reply(effects)
        self._next_us = now_us + FLOOD_PERIOD_US
        return Reply([*effects, *self._create_flood()])

    def _create_flood(self) -> list[Effect]:
        flood: list[Effect] = []
        for peer in self._links:
            others = [other for other in self._links if other != peer][:6]
            claims = tuple(Suspect(other, 1, self._node_id) for other in others)
            flood.append(SendMessage(peer, Gossip(claims)))
            for _ in range(FLOOD_MESSAGES):
                self._number += 1
                flood.append(SendMessage(peer, Probe(self._number, self._create_summary())))
        return flood

    def _create_summary(self) -> RequestSummary:
        return RequestSummary(
            request=self._number.to_bytes(16, "big"),
            endpoint=Endpoint.CHAT,
            models=("pretend/base",),
            prompt_tokens=100,
            completion_tokens_max=100,
            body_bytes=400,
        )


class Stutterer(Honest):
    """Sends every control message twice, as a replaying peer would; nothing may depend on it."""

    is_honest = False

    def alter(self, effects: Sequence[Effect], now_us: int) -> Reply:
        """Let all out, messages twice."""
        doubled: list[Effect] = []
        for effect in effects:
            doubled.append(effect)
            if isinstance(effect, SendMessage):
                doubled.append(replace(effect))
        return Reply(doubled)


HONEST: Person = Honest()
PEOPLE: dict[str, Callable[[NodeId], Person]] = {
    "honest": lambda _: HONEST,
    "silent": lambda _: Silent(),
    "liar": lambda _: Liar(),
    "withholder": lambda _: Withholder(),
    "inflater": lambda _: Inflater(),
    "decliner": lambda _: Decliner(),
    "flooder": Flooder,
    "stutterer": lambda _: Stutterer(),
}
"""Everybody a plan can name."""


def _embellish(effect: Effect) -> Effect:
    if not (isinstance(effect, SendMessage) and isinstance(effect.message, Quote)):
        return effect
    quote = effect.message
    promise = Quote(
        probe=quote.probe,
        decline=None,
        model=quote.model or "pretend/base",
        first_token_us=1,
        finish_us=2,
        expiry_us=10 * SECOND,
    )
    return replace(effect, message=promise)
