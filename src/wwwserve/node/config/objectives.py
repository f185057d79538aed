"""What users may hope for: how soon an answer is to be there, and what becomes of one that is not.

A name stands for an objective, which keys and single requests choose.
"""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from wwwserve.core.placing import OnMiss
from wwwserve.node.config.bounds import ShortText
from wwwserve.node.config.money import Credits
from wwwserve.values.credits import parse_credits
from wwwserve.values.refusals import BadInput

OBJECTIVES_MAX = 64
"""Objectives of one node."""
Milliseconds = Annotated[int, Meta(ge=0, le=24 * 3600 * 1000)]
TokenTime = Annotated[int, Meta(ge=0, le=10_000_000)]
"""Microseconds a token, up to ten seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectiveConfig:
    """One objective: so long, and so much more for each token."""

    name: ShortText
    """By which keys and requests choose it; `default` holds for whoever chooses none."""
    base_ms: Milliseconds = 0
    prompt_token_us: TokenTime = 0
    completion_token_us: TokenTime = 0
    """Of the length that is expected; the node learns it from the key's earlier answers."""
    first_token: bool = False
    """Whether the first token is due then, not the last."""
    on_miss: OnMiss = OnMiss.WAIT
    """`wait` for a place in time, `serve` at once all the same, or `refuse` with a 503."""
    second_value: Credits = "1"
    """Credits for which its users would wait a second longer; 0 = only time counts."""

    def __post_init__(self) -> None:
        """Refuse an objective without a name or without a time."""
        if not self.name.strip():
            raise BadInput("objectives.name", repr(self.name), "a name", 'for example "chat"')
        if not (self.base_ms or self.prompt_token_us or self.completion_token_us):
            raise BadInput(
                "objectives.base_ms", "0, and no time for tokens", "a time", "for example 30000"
            )
        parse_credits("objectives.second_value", self.second_value)


def validate_objectives(objectives: tuple[ObjectiveConfig, ...]) -> None:
    """Refuse objectives that could not be told apart, or more than anybody would choose from."""
    if len(objectives) > OBJECTIVES_MAX:
        found = f"{len(objectives)} entries"
        raise BadInput("objectives", found, f"at most {OBJECTIVES_MAX}", "leave some out")
    names = [objective.name for objective in objectives]
    for name in names:
        if names.count(name) > 1:
            fix = "give one of them another name"
            raise BadInput("objectives.name", repr(name), "each name once", fix)
