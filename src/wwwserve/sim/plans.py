"""What a world is made from: scenarios as plain data, from TOML, from a seed, or built in.

Times are microseconds, shares are thousandths, sizes are tokens or bytes. Every field has a default
that makes a calm, ordinary network, so a scenario states only what is special about it.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from wwwserve.values.limits import KIB, MIB
from wwwserve.values.moments import MILLISECOND, SECOND

HOSTS_MAX = 1_000
"""Nodes in one world."""
OBJECTIVES_MAX = 64
"""Objectives counted in one run."""
MODEL = "pretend/base"
"""What everybody serves unless a plan says otherwise."""
_MEDIAN_PERMILLE, _P90_PERMILLE, _WHOLE_PERMILLE = 500, 900, 1000

Positive = Annotated[int, Meta(ge=1, le=10**12)]
Natural = Annotated[int, Meta(ge=0, le=10**12)]
Permille = Annotated[int, Meta(ge=0, le=1000)]
WeekTime = Annotated[int, Meta(ge=0, lt=7 * 24 * 3_600 * SECOND)]
PolicyValue = int | bool | tuple[str | tuple[int, int], ...]
"""A number, a switch, a list of names, or the pairs of `hours` (minutes of the week, from and to)
and `load_curve` (utilisation and price)."""


class EnginePlan(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """One engine: which GPU or how fast, how much at once, how reliable."""

    profile: str = ""
    """GPU:MODEL, one of `wwwserve engine profiles`; empty = a plain engine of the two speeds."""
    speedup: Annotated[int, Meta(ge=1, le=1000)] = 1
    """How much faster than the real one, as of an emulated engine."""
    pace_permille: Annotated[int, Meta(ge=100, le=10_000)] = 1000
    """How long each iteration takes, in thousandths of what the profile says; 850 and 1150 show
    what hangs on the profile's own error."""
    slots: Annotated[int, Meta(ge=0, le=4096)] = 0
    """Requests at once; 0 = the profile's own number, or 4 of a plain engine."""
    prefill_tokens_per_s: Positive = 4_000
    """Of a plain engine, for all its slots together."""
    decode_tokens_per_s: Positive = 40
    """Of a plain engine, for each slot."""
    context_tokens: Positive = 32_768
    """Prompt and answer of one request; less where the profile's cache holds less."""
    failure_permille: Permille = 0
    """Share of requests that fail in the engine, in one of three ways."""
    load_us: Natural = 0
    """How long its model loads, at the start and after each fall."""


class OwnerUse(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """A time in which a provider uses the machine, beside what the engine does."""

    from_us: Natural
    until_us: Positive
    busy_permille: Permille = 800
    """Of its processors or graphics card."""


class NodePlan(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """One node and whoever runs it."""

    share: Natural = 0
    """Its users' part of all requests, relative to the other nodes' shares."""
    seats: Natural = 0
    """Its weight in the draw of candidates, where the network has no ledger that says it; 0 = in
    proportion to what its engine does saturated."""
    engine: EnginePlan = EnginePlan()
    models: tuple[str, ...] = (MODEL,)
    policy: dict[str, PolicyValue] = {}
    """Fields of `PolicySettings` that differ from their defaults; nodes by their names here."""
    local_zero_us: WeekTime | None = None
    """Time since Monday 00:00 where its provider is when the world begins; None: the machine has no
    calendar, and hours keep others out for good."""
    owner_use: tuple[OwnerUse, ...] = ()
    """When its provider uses the machine; told to a node whose policy asks for idleness."""
    person: str = "honest"
    """One of `sim.people.PEOPLE`."""
    start_us: Natural = 0
    """When it first starts; it joins through node 1."""
    disk_us: Natural = 2 * MILLISECOND
    """Longest time of one durable write."""
    drift_ppm: Annotated[int, Meta(ge=-500, le=500)] = 0
    """How wrong its clock runs."""


class NetworkPlan(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """The paths between nodes; each pair draws its own latency once."""

    latency_us: Positive = 5 * MILLISECOND
    """Longest base latency of a pair, one way."""
    latency_us_min: Positive = 500
    jitter_permille: Permille = 200
    """Of the base latency, drawn for each message."""
    loss_permille: Permille = 0
    """Share of messages that are sent again and so come late; links are reliable streams."""
    retransmit_us: Positive = 200 * MILLISECOND
    dial_failure_permille: Permille = 0
    bytes_per_s: Positive = 10 * MIB
    """Speed at which bodies travel."""


class LengthPlan(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """A spread of lengths in tokens: half lie below the median, nine tenths below `p90`."""

    low: Positive
    median: Positive
    p90: Positive
    high: Positive
    quantiles: tuple[tuple[Permille, Positive], ...] = ()
    """More such points between `low` and `high`: how many thousandths lie below, and how long."""

    def __post_init__(self) -> None:
        """Refuse a spread that does not rise."""
        points = self.get_points()
        shares, lengths = [share for share, _ in points], [length for _, length in points]
        if shares != sorted(shares) or lengths != sorted(lengths):
            raise ValueError("lengths must rise: low <= median <= p90 <= high, quantiles between")

    def get_points(self) -> tuple[tuple[int, int], ...]:
        """Thousandths and the length they lie below, from `low` to `high`."""
        inner = self.quantiles or ((_MEDIAN_PERMILLE, self.median), (_P90_PERMILLE, self.p90))
        return ((0, self.low), *inner, (_WHOLE_PERMILLE, self.high))


class Piece(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """A stretch of the arrivals at one rate."""

    until_us: Positive
    rate_permille: Annotated[int, Meta(ge=0, le=100_000)] = 1000
    """Of the rate the load stands for."""
    shares: tuple[Natural, ...] = ()
    """The nodes' shares in it, where they differ from the plans'."""


class ConversationsPlan(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """Conversations of several turns; those of one tenant begin with the same system prompt."""

    tenants: Annotated[int, Meta(ge=1, le=1_000)] = 12
    system_tokens: LengthPlan = LengthPlan(low=100, median=700, p90=2_000, high=3_000)
    question_tokens: LengthPlan = LengthPlan(low=5, median=40, p90=250, high=1_500)
    more_permille: Annotated[int, Meta(ge=0, le=990)] = 800
    """Chance of a further turn after each: 800 makes five turns on average."""
    think_us: Positive = 30 * SECOND
    """From an answer to the next question, on average."""
    token_us: Natural = 30 * MILLISECOND
    """How long its user waits for each token of an answer, and reads it."""
    context_tokens: Positive = 16_384
    """A conversation ends before it is longer."""


class WorkloadPlan(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """What users ask, and how they behave."""

    load_permille: Annotated[int, Meta(ge=0, le=10_000)] = 500
    """Of the engines' pooled saturated throughput."""
    requests_per_hour: Natural = 0
    """A rate instead of the load, where a published setting names one; 0 = the load counts."""
    trace: str = ""
    """A trace that ships with wwwserve, for the arrivals and lengths; empty = they are drawn."""
    is_client_at_home: bool = True
    """Each client of a trace talks to one node; else every request enters by the shares alone."""
    conversations: ConversationsPlan | None = None
    """Each request is a turn of one, at the load's steady rate; its prompt is all said before."""
    prompt_tokens: LengthPlan = LengthPlan(low=20, median=300, p90=1_500, high=4_000)
    completion_tokens: LengthPlan = LengthPlan(low=5, median=120, p90=400, high=1_000)
    pieces: tuple[Piece, ...] = ()
    """None: one steady rate."""
    allowance: Literal["some", "exact", "none"] = "some"
    """How many tokens users allow: half of them twice as many as the answer has and the others any
    number; or exactly as many, as who replays a trace does; or all any number, so that nobody is
    told anything of an answer's length."""
    plain_permille: Permille = 0
    """Requests that are not streamed."""
    wrong_permille: Permille = 0
    """Requests every engine refuses."""
    leaver_permille: Permille = 0
    """Users who go away in the middle."""
    deadline_permille: Permille = 0
    """Requests with a deadline of `deadline_us`."""
    deadline_us: Positive = 60 * SECOND
    local_permille: Permille = 0
    """Requests with `route: local`."""
    network_permille: Permille = 0
    """Requests with `route: network`."""
    limited_permille: Permille = 0
    """Requests that allow only some executors."""


class LedgerPlan(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """The ledger of a network that pays; its first node orders the log."""

    credits_each: Positive = 1_000
    """Free credits of each node's account at genesis."""
    seats_each: Natural = 2
    parameters: Literal["dev", "tiny"] = "dev"
    """The ledger's numbers: those of a laptop, or smaller ones."""


FaultKind = Literal[
    "kill",
    "power-cut",
    "start",
    "leave",
    "drain",
    "resume",
    "isolate",
    "split",
    "one-way",
    "clog",
    "break-links",
    "engine-down",
    "engine-hang",
    "slow-disk",
    "withhold",
    "wake",
    "policy",
]


class Fault(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """Something bad (or merely untimely) that happens to a node; `docs/faults.md` has the list."""

    at_us: Natural
    kind: FaultKind
    node: str
    other: str = ""
    """With `one-way`: whom it cannot reach."""
    for_us: Natural = 0
    """How long; a killed node starts again after it, or stays away with 0. With `leave`: until the
    process ends."""
    policy: dict[str, PolicyValue] = {}
    """With `policy`: what it is set to."""


class Scenario(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """A world and what is to happen in it."""

    name: str
    about: str = ""
    """One line for people."""
    nodes: Annotated[dict[str, NodePlan], Meta(min_length=1, max_length=HOSTS_MAX)]
    network: NetworkPlan = NetworkPlan()
    ledger: LedgerPlan | None = None
    """None: nothing is paid. Nodes that start late know its genesis by the id alone."""
    workload: WorkloadPlan = WorkloadPlan()
    faults: tuple[Fault, ...] = ()
    parameters: Literal["main", "tiny"] = "main"
    join_us: Natural = 5 * SECOND
    """Before the first request: nodes meet."""
    duration_us: Positive = 120 * SECOND
    """In which requests arrive."""
    drain_us: Natural = 300 * SECOND
    """At most so long for what is open then."""
    body_bytes_per_token: Annotated[int, Meta(ge=1, le=KIB)] = 4
    reference: str = ""
    """The GPU:MODEL whose unloaded times objectives are multiples of; empty = the first node's."""
    objectives: Annotated[tuple[str, ...], Meta(min_length=1, max_length=OBJECTIVES_MAX)] = (
        "2x",
        "3x",
        "ttft_1s",
        "ttft_5s",
    )
    """What is counted, by the names of `sim.objectives`; schedulers that know one aim at the
    first."""
    is_objective_told: bool = True
    """Whether users tell their nodes the first of them; otherwise they hope for nothing by name."""
