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
MODEL = "pretend/base"
"""What everybody serves unless a plan says otherwise."""

Positive = Annotated[int, Meta(ge=1, le=10**12)]
Natural = Annotated[int, Meta(ge=0, le=10**12)]
Permille = Annotated[int, Meta(ge=0, le=1000)]
PolicyValue = int | bool | tuple[str, ...]


class EnginePlan(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """One engine: which GPU or how fast, how much at once, how reliable."""

    profile: str = ""
    """GPU:MODEL, one of `wwwserve engine profiles`; empty = a plain engine of the two speeds."""
    speedup: Annotated[int, Meta(ge=1, le=1000)] = 1
    """How much faster than the real one, as of an emulated engine."""
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


class NodePlan(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """One node and whoever runs it."""

    share: Natural = 0
    """Its users' part of all requests, relative to the other nodes' shares."""
    engine: EnginePlan = EnginePlan()
    models: tuple[str, ...] = (MODEL,)
    policy: dict[str, PolicyValue] = {}
    """Fields of `PolicySettings` that differ from their defaults; nodes by their names here."""
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

    def __post_init__(self) -> None:
        """Refuse a spread that does not rise."""
        if not self.low <= self.median <= self.p90 <= self.high:
            raise ValueError("lengths must rise: low <= median <= p90 <= high")


class Piece(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """A stretch of the arrivals at one rate."""

    until_us: Positive
    rate_permille: Annotated[int, Meta(ge=0, le=100_000)] = 1000
    """Of the rate the load stands for."""
    shares: tuple[Natural, ...] = ()
    """The nodes' shares in it, where they differ from the plans'."""


class WorkloadPlan(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """What users ask, and how they behave."""

    load_permille: Annotated[int, Meta(ge=0, le=10_000)] = 500
    """Of the engines' pooled saturated throughput."""
    prompt_tokens: LengthPlan = LengthPlan(low=20, median=300, p90=1_500, high=4_000)
    completion_tokens: LengthPlan = LengthPlan(low=5, median=120, p90=400, high=1_000)
    pieces: tuple[Piece, ...] = ()
    """None: one steady rate."""
    is_length_allowed: bool = False
    """Every user allows exactly as many tokens as the answer has, as who replays a trace does;
    otherwise half of them allow twice as many, and the others say nothing."""
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
    """How long; a killed node starts again after it, or stays away with 0."""
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
