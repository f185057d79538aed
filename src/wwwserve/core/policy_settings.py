"""What a provider decides: when, under what policy and with what resources the node takes part.

Shares are whole thousandths (`permille`), so that no float decides anything. The four knobs of the
paper (WWW.Serve, section 4.3: stake, offload, accept and target utilisation) keep their names;
stake is a number of seats that the node keeps, or else the wallet's (`wwwserve wallet stake`).
"""

from dataclasses import dataclass
from typing import Final

from wwwserve.values.credits import CREDIT, MICROCREDITS_MAX
from wwwserve.values.ids import NodeId
from wwwserve.values.limits import BODY_BYTES_MAX
from wwwserve.values.model_names import ModelId
from wwwserve.values.moments import SECOND

REQUESTS_PER_MINUTE_LIMIT: Final = 1_000_000
"""More requests a minute than any node hears of: as a cap, none."""
TOKENS_PER_DAY_LIMIT: Final = 10**12
"""More tokens a day than any machine makes: as a cap, none."""
CURVE_POINTS_MAX: Final = 16
"""Points of a load curve: one for each few per cent."""
CURVE_PERMILLE_MAX: Final = 100_000
"""The highest a load curve goes: a hundred times the price."""


@dataclass(frozen=True, slots=True)
class Window:
    """A part of each week, in minutes since Monday 00:00 of the provider's own time."""

    start_minute: int
    """From 0, below a week's 10080."""
    end_minute: int
    """Not included; above `start_minute` by a week at most, so it may lie in the week after."""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """What share of its prices a node asks at one utilisation; between points it is linear."""

    utilisation_permille: int
    price_permille: int


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """One provider's rules. Every field has a default that suits a first node."""

    hours: tuple[Window, ...] = ()
    """When other nodes' requests are taken; none = always. Own users are served at any time."""
    accept_permille: int = 1000
    """`accept_frequency`: share of other nodes' admissible requests that is accepted."""
    offload_permille: int = 1000
    """`offload_frequency`: share of own requests that may go to the network when busy here."""
    queue_permille: int = 1000
    """`queue_frequency`: share of own requests that wait here when no place is found at once;
    the others are refused with 503 and Retry-After."""
    target_utilisation_permille: int = 700
    """`target_utilisation`: above this share of its slots (or key-value cache) the node is busy."""
    own_first: bool = True
    """Other nodes' requests are admitted only below the target utilisation, while no own request
    waits, and beside own ones a prompt at a time; without it they may use every free slot."""
    reserve_concurrency: int = 0
    """Slots of each model that other nodes' requests leave free, however few they are."""
    idle_only: bool = False
    """Other nodes' requests are admitted only while nobody uses this machine: when processors and
    graphics cards have been below `idle_busy_permille`, and no own user's request has run here, for
    `idle_for_us`."""
    idle_busy_permille: int = 200
    idle_for_us: int = 300 * SECOND
    concurrent_max: int = 1_024
    """Other nodes' requests run here at once."""
    concurrent_per_peer_max: int = 512
    """Of these, for any one node."""
    prompt_tokens_max: int = 1_000_000
    """Longest prompt taken from others."""
    completion_tokens_max: int = 1_000_000
    """Longest answer taken from others; a request without a limit counts as the model's own."""
    context_tokens_max: int = 2_000_000
    """Longest prompt and answer together taken from others."""
    body_bytes_max: int = BODY_BYTES_MAX
    """Largest request body taken from others."""
    requests_per_minute_max: int = REQUESTS_PER_MINUTE_LIMIT
    """Other nodes' requests taken within any minute."""
    requests_per_minute_per_peer_max: int = REQUESTS_PER_MINUTE_LIMIT
    """Of these, any one node's."""
    tokens_per_day_max: int = TOKENS_PER_DAY_LIMIT
    """Tokens, of prompts and answers, for other nodes within any 24 hours."""
    tokens_per_day_per_peer_max: int = TOKENS_PER_DAY_LIMIT
    """Of these, for any one node."""
    allow_nodes: tuple[NodeId, ...] = ()
    """If any: only these nodes' requests are taken."""
    deny_nodes: tuple[NodeId, ...] = ()
    """These nodes' requests are never taken, and nothing is sent to them."""
    allow_models: tuple[ModelId, ...] = ()
    """If any: only these models are shared with others."""
    deny_models: tuple[ModelId, ...] = ()
    """These models are never shared with others."""
    offload_nodes: tuple[NodeId, ...] = ()
    """If any: own requests are sent to these nodes only."""
    offload_price_max: int = MICROCREDITS_MAX
    """Micro-credits for a million tokens, of prompt or answer: nothing is sent to a dearer node."""
    offload_credits_per_hour_max: int = MICROCREDITS_MAX
    """Micro-credits that own requests may cost within any hour; running ones count as the most
    they may come to."""
    offload_credits_per_day_max: int = MICROCREDITS_MAX
    """The same within any 24 hours."""
    load_curve: tuple[CurvePoint, ...] = ()
    """What share of its prices the node asks, by its utilisation, in rising order; none = all."""
    price_floor_permille: int = 500
    """The least share of its prices it asks, however idle it is."""
    idle_cut_permille: int = 10
    """By what share of its prices it lowers its ask for each hour in which nobody bought."""
    stake_seats: int = 0
    """`target_seats`: seats of its own that the node keeps staked; 0 = as many as its operator
    orders. In a network without a ledger stake settings mean nothing."""
    stake_income_permille: int = 0
    """`income_share`: the share of what other nodes pay that is staked, instead of a target."""
    stake_reserve: int = 100 * CREDIT
    """Free micro-credits that are never staked."""
    guest: str = ""
    """The provider's own Python policy, by the name of its entry point; it decides among what
    these settings allow."""
