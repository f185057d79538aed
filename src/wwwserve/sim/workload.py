"""Who asks what, and when: Poisson arrivals in pieces, or a trace.

Drawn with whole numbers only, so a workload is the same on every machine. Arrivals are open loop:
they do not wait for answers.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, pairwise
from typing import assert_never

from wwwserve.core.entropy import Entropy
from wwwserve.core.sessions import Route
from wwwserve.enginemodel import Demand, Thread
from wwwserve.sim.chance import draw_exponential, draw_length
from wwwserve.sim.conversations import Turn, draw_conversations, draw_turns
from wwwserve.sim.plans import LengthPlan, NodePlan, Piece, Scenario, WorkloadPlan
from wwwserve.sim.profiles import compute_pooled_us
from wwwserve.sim.truth import UserRequest
from wwwserve.values.ids import NodeId, RequestId
from wwwserve.values.moments import SECOND

_TYPICAL_REQUESTS = 1_000
"""Drawn to know what a workload costs on average."""
_PERMILLE = 1000
_HOUR_US = 3_600 * SECOND


@dataclass(frozen=True, slots=True)
class Arrival:
    """One row of a trace."""

    at_us: int
    prompt_tokens: int
    completion_tokens: int
    client: str = ""
    thread: Thread | None = None
    """What its prompt and answer are a part of."""


@dataclass(frozen=True, slots=True)
class Population:
    """Everybody who may ask or answer, as the workload needs to know them."""

    nodes: Sequence[NodePlan]
    node_ids: Sequence[NodeId]

    def get_models(self) -> list[str]:
        """Everything somebody serves, in one fixed order."""
        return sorted({model for node in self.nodes for model in node.models})


def compute_mean_length(plan: LengthPlan) -> int:
    """The mean of `draw_length`, in tokens, rounded."""
    weighted = sum(
        (share - share_before) * (length + length_before)
        for (share_before, length_before), (share, length) in pairwise(plan.get_points())
    )
    return max(1, weighted // (2 * _PERMILLE))


def compute_interval_us(scenario: Scenario) -> int:
    """Mean time between drawn requests at which all engines together would just be saturated."""
    return compute_pooled_us(scenario, draw_typical(scenario.workload))


def draw_typical(plan: WorkloadPlan) -> list[Demand]:
    """What a workload asks of engines: always the same sample of it."""
    entropy = Entropy(b"a typical workload")
    if plan.conversations is not None:
        return [
            Demand(turn.prompt_tokens, turn.completion_tokens)
            for turn in _draw_typical_turns(plan, entropy)
        ]
    return [
        Demand(
            draw_length(entropy, plan.prompt_tokens), draw_length(entropy, plan.completion_tokens)
        )
        for _ in range(_TYPICAL_REQUESTS)
    ]


def _draw_typical_turns(plan: WorkloadPlan, entropy: Entropy) -> list[Turn]:
    talks = draw_conversations(plan, entropy)
    return list(islice(chain.from_iterable(talks), _TYPICAL_REQUESTS))


def draw_requests(
    scenario: Scenario, seed: int, trace: Sequence[Arrival] | None = None
) -> list[UserRequest]:
    """The requests that a run of a scenario has with a seed, whatever the strategy.

    Only the nodes some of them may be limited to are nobody's.
    """
    nodes = list(scenario.nodes.values())
    nobody = [NodeId(index.to_bytes(32, "big")) for index in range(len(nodes))]
    population = Population(nodes, nobody)
    entropy = create_entropy(scenario, seed).split("workload")
    if trace is None:
        return list(create_requests(scenario, population, entropy))
    return list(create_traced_requests(scenario, population, entropy, trace))


def create_entropy(scenario: Scenario, seed: int) -> Entropy:
    """All chance of a run comes from here."""
    return Entropy(f"{scenario.name} {seed}".encode())


def create_requests(
    scenario: Scenario, population: Population, entropy: Entropy
) -> Iterator[UserRequest]:
    """All requests of a scenario in the order of their arrival."""
    if scenario.workload.conversations is not None:
        turns = _draw_all_turns(scenario, entropy)
        yield from create_traced_requests(scenario, population, entropy, turns)
        return
    arrivals = _draw_arrivals(scenario, entropy)
    for number, arrival in enumerate(arrivals):
        origin = _draw_origin(scenario, population, entropy, arrival.at_us)
        yield _create_request(
            scenario, population, entropy, number=number, arrival=arrival, origin=origin
        )


def create_traced_requests(
    scenario: Scenario, population: Population, entropy: Entropy, trace: Sequence[Arrival]
) -> Iterator[UserRequest]:
    """The requests of a trace; they enter by the shares, or where their client is at home."""
    homes: dict[str, int] = {}
    for number, row in enumerate(trace):
        origin = _draw_origin(scenario, population, entropy, row.at_us)
        if row.thread is not None:
            # Whoever talks stays where the talk began; its tenant may have users everywhere.
            origin = homes.setdefault(f"thread {row.thread.name}", origin)
        elif row.client and scenario.workload.is_client_at_home:
            origin = homes.setdefault(row.client, origin)
        yield _create_request(
            scenario, population, entropy, number=number, arrival=row, origin=origin
        )


def _draw_origin(scenario: Scenario, population: Population, entropy: Entropy, at_us: int) -> int:
    pieces = scenario.workload.pieces
    piece = next((piece for piece in pieces if at_us < piece.until_us), None)
    weights: Sequence[int] = [node.share for node in population.nodes]
    if piece is not None and piece.shares:
        weights = piece.shares
    return _draw_weighted(entropy, weights)


def _compute_usual_us(scenario: Scenario) -> int:
    """Mean time between requests at the scenario's load or rate."""
    plan = scenario.workload
    if plan.requests_per_hour:
        return _HOUR_US // plan.requests_per_hour
    return compute_interval_us(scenario) * _PERMILLE // max(1, plan.load_permille)


def _draw_all_turns(scenario: Scenario, entropy: Entropy) -> list[Arrival]:
    plan = scenario.workload
    typical = _draw_typical_turns(plan, Entropy(b"a typical workload"))
    talks = sum(turn.at_us == 0 for turn in typical)
    turns = draw_turns(
        plan,
        entropy,
        interval_us=_compute_usual_us(scenario) * len(typical) // talks,
        duration_us=scenario.duration_us,
    )
    return [
        Arrival(turn.at_us, turn.prompt_tokens, turn.completion_tokens, turn.client, turn.thread)
        for turn in turns
    ]


def _draw_arrivals(scenario: Scenario, entropy: Entropy) -> Iterator[Arrival]:
    plan = scenario.workload
    pieces = plan.pieces or (Piece(until_us=scenario.duration_us),)
    if plan.requests_per_hour:
        usual_us, load_permille = _HOUR_US // plan.requests_per_hour, _PERMILLE
    else:
        usual_us, load_permille = compute_interval_us(scenario), plan.load_permille
    begin_us = 0
    for piece in pieces:
        end_us = min(piece.until_us, scenario.duration_us)
        rate_permille = load_permille * piece.rate_permille // _PERMILLE
        at_us = begin_us
        # A Poisson process forgets: each piece may start anew at its own rate.
        while rate_permille:
            at_us += draw_exponential(entropy, usual_us * _PERMILLE // rate_permille)
            if at_us >= end_us:
                break
            yield Arrival(
                at_us,
                draw_length(entropy, plan.prompt_tokens),
                draw_length(entropy, plan.completion_tokens),
            )
        begin_us = end_us


def _draw_weighted(entropy: Entropy, weights: Sequence[int]) -> int:
    point = entropy.below(max(1, sum(weights)))
    for index, weight in enumerate(weights):
        if point < weight:
            return index
        point -= weight
    return 0


def _create_request(
    scenario: Scenario,
    population: Population,
    entropy: Entropy,
    *,
    number: int,
    arrival: Arrival,
    origin: int,
) -> UserRequest:
    plan = scenario.workload
    request = UserRequest(
        request=RequestId(number.to_bytes(8, "big") + entropy.bytes(8)),
        origin=origin,
        arrival_us=scenario.join_us + arrival.at_us,
        prompt_tokens=max(1, arrival.prompt_tokens),
        completion_tokens=arrival.completion_tokens,
        model=entropy.pick(population.get_models()),
        client=arrival.client,
        thread=arrival.thread,
        route=_draw_route(plan, entropy),
    )
    request.completion_tokens_max = _compute_allowed_tokens(plan, request)
    draw = _create_draw(entropy)
    request.is_streamed = not draw(plan.plain_permille)
    request.is_wrong = draw(plan.wrong_permille)
    if draw(plan.leaver_permille):
        request.patience_us = 1 + entropy.below(20 * SECOND)
    if draw(plan.deadline_permille):
        request.deadline_us = plan.deadline_us
    if draw(plan.limited_permille):
        request.allowed_executors = tuple(entropy.shuffle(population.node_ids)[:2])
    return request


def _compute_allowed_tokens(plan: WorkloadPlan, request: UserRequest) -> int:
    match plan.allowance:
        case "exact":
            return request.completion_tokens
        case "some":
            return 2 * request.completion_tokens if request.request[-2] % 2 else 0
        case "none":
            return 0
        case _:
            assert_never(plan.allowance)


def _create_draw(entropy: Entropy) -> Callable[[int], bool]:
    def draw(permille: int) -> bool:
        return permille > 0 and entropy.chance(permille)

    return draw


def _draw_route(plan: WorkloadPlan, entropy: Entropy) -> Route:
    if plan.local_permille and entropy.chance(plan.local_permille):
        return Route.LOCAL
    if plan.network_permille and entropy.chance(plan.network_permille):
        return Route.NETWORK
    return Route.AUTO
