"""When, for whom and how much a node works, and what of its own users' requests may leave."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from wwwserve.core.policy_settings import REQUESTS_PER_MINUTE_LIMIT, TOKENS_PER_DAY_LIMIT
from wwwserve.node.config.bounds import Share, ShortText, Slots, SlotsOrUnset, Tokens
from wwwserve.node.config.checks import validate_model_id, validate_node
from wwwserve.node.config.money import PRICE_MAX, Credits
from wwwserve.node.hours import HOURS_MAX, parse_hours, parse_pause
from wwwserve.node.local_time import find_zone
from wwwserve.values.credits import parse_credits
from wwwserve.values.limits import BODY_BYTES_MAX

POLICY_LIST_MAX = 4_096
"""Entries of one allow or deny list: no more nodes than a table of members holds."""
CREDITS_LIMIT = 9_000_000_000_000
"""More credits than there can be: as a budget, none."""
IDLE_FOR_S_MAX = 24 * 3600
"""The longest idleness that can be asked for, in seconds."""

RequestsPerMinute = Annotated[int, Meta(ge=1, le=REQUESTS_PER_MINUTE_LIMIT)]
TokensPerDay = Annotated[int, Meta(ge=1, le=TOKENS_PER_DAY_LIMIT)]
_NODE_LISTS = ("allow_nodes", "deny_nodes", "offload_nodes")
_MODEL_LISTS = ("allow_models", "deny_models")
_AMOUNTS = ("offload_price_max", "offload_credits_per_hour_max", "offload_credits_per_day_max")


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyConfig:
    """When, for whom and how much this node works. The knobs of the paper keep their names."""

    hours: Annotated[tuple[str, ...], Meta(max_length=HOURS_MAX)] = ()
    """When other nodes' requests are taken, as in `Mon-Fri 18:00-08:00`; none = always. Own users
    are served at any time."""
    time_zone: ShortText = ""
    """IANA name of the zone in which `hours` and `paused_until` are meant; empty = this
    machine's."""
    paused_until: ShortText = ""
    """Date and time before which nothing of others is taken, as in `2026-03-02 14:30`; empty =
    not paused."""
    drain: bool = False
    """Take nothing of others, until this is false again."""
    idle_only: bool = False
    """Take others' requests only while nobody uses this machine."""
    idle_busy_max: Share = 0.2
    """From this share of processors or a graphics card on, somebody does."""
    idle_for_s: Annotated[int, Meta(ge=0, le=IDLE_FOR_S_MAX)] = 300
    """For how many seconds nobody must have used it."""
    accept_frequency: Share = 1.0
    """Share of other nodes' admissible requests that is accepted."""
    offload_frequency: Share = 1.0
    """Share of own requests that may go to other nodes when this one is busy."""
    queue_frequency: Share = 1.0
    """Share of own requests that wait here when no place is found at once; the rest get a 503."""
    target_utilisation: Share = 0.7
    """Above this share of its slots the node counts as busy."""
    own_first: bool = True
    """Take others' requests only below the target, while no own request waits, and beside own ones
    a prompt at a time."""
    reserve_concurrency: SlotsOrUnset = 0
    """Slots of each model that others' requests leave free."""
    concurrent_max: Slots = 1_024
    """Other nodes' requests run here at once."""
    concurrent_per_peer_max: Slots = 512
    """Of these, for any one node."""
    requests_per_minute_max: RequestsPerMinute = REQUESTS_PER_MINUTE_LIMIT
    """Other nodes' requests taken within any minute."""
    requests_per_minute_per_peer_max: RequestsPerMinute = REQUESTS_PER_MINUTE_LIMIT
    """Of these, any one node's."""
    tokens_per_day_max: TokensPerDay = TOKENS_PER_DAY_LIMIT
    """Tokens, of prompts and answers, for other nodes within any 24 hours."""
    tokens_per_day_per_peer_max: TokensPerDay = TOKENS_PER_DAY_LIMIT
    """Of these, for any one node."""
    prompt_tokens_max: Tokens = 1_000_000
    """Longest prompt taken from others."""
    completion_tokens_max: Tokens = 1_000_000
    """Longest answer taken from others."""
    context_tokens_max: Tokens = 2_000_000
    """Longest prompt and answer together taken from others."""
    body_bytes_max: Annotated[int, Meta(ge=1, le=BODY_BYTES_MAX)] = BODY_BYTES_MAX
    """Largest request body taken from others, in bytes."""
    allow_nodes: Annotated[tuple[str, ...], Meta(max_length=POLICY_LIST_MAX)] = ()
    """If any: only these nodes' requests are taken. Whole names, as `wwwserve peers` prints."""
    deny_nodes: Annotated[tuple[str, ...], Meta(max_length=POLICY_LIST_MAX)] = ()
    """These nodes' requests are never taken, and nothing is sent to them."""
    allow_models: Annotated[tuple[str, ...], Meta(max_length=POLICY_LIST_MAX)] = ()
    """If any: only these models are shared with others."""
    deny_models: Annotated[tuple[str, ...], Meta(max_length=POLICY_LIST_MAX)] = ()
    """These models are never shared with others."""
    offload_nodes: Annotated[tuple[str, ...], Meta(max_length=POLICY_LIST_MAX)] = ()
    """If any: own requests are sent to these nodes only."""
    offload_private: bool = False
    """Own requests are private, unless their users say otherwise."""
    offload_price_max: Credits = PRICE_MAX
    """Credits for a million tokens: nothing is sent to a node that asks more."""
    offload_credits_per_hour_max: Credits = CREDITS_LIMIT
    """Credits that own requests may cost within any hour."""
    offload_credits_per_day_max: Credits = CREDITS_LIMIT
    """The same within any 24 hours."""
    guest: ShortText = ""
    """Name of a Python policy of your own (entry point `wwwserve.policies`) that decides among what
    the other settings allow; empty = none."""

    def __post_init__(self) -> None:
        """Refuse hours, zones and moments that are none, and names and amounts that are none."""
        parse_hours("policy.hours", self.hours)
        zone = find_zone("policy.time_zone", self.time_zone)
        parse_pause("policy.paused_until", self.paused_until, zone)
        for name in _NODE_LISTS:
            for text in getattr(self, name):
                validate_node(f"policy.{name}", text)
        for name in _MODEL_LISTS:
            for text in getattr(self, name):
                validate_model_id(f"policy.{name}", text)
        for name in _AMOUNTS:
            parse_credits(f"policy.{name}", getattr(self, name))
