"""Who asks what, and when: Poisson arrivals in pieces, or a trace.

Drawn with whole numbers only, so a workload is the same on every machine. Arrivals are open loop:
they do not wait for answers.
"""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from wwwserve.core.entropy import Entropy
from wwwserve.core.sessions import Route
from wwwserve.enginemodel import Demand
from wwwserve.sim.plans import LengthPlan, NodePlan, Piece, Scenario, WorkloadPlan
from wwwserve.sim.profiles import compute_pooled_us
from wwwserve.sim.truth import UserRequest
from wwwserve.values.ids import NodeId, RequestId
from wwwserve.values.moments import SECOND
from wwwserve.values.refusals import BadInput

TRACE_COLUMNS = ("arrival_s", "prompt_tokens", "output_tokens")
TRACE_ROWS_MAX = 1_000_000
_RESOLUTION = 2**32
_TYPICAL_REQUESTS = 1_000
"""Drawn to know what a workload costs on average."""
_PERMILLE = 1000


@dataclass(frozen=True, slots=True)
class Arrival:
    """One row of a trace."""

    at_us: int
    prompt_tokens: int
    completion_tokens: int
    client: str = ""


@dataclass(frozen=True, slots=True)
class Population:
    """Everybody who may ask or answer, as the workload needs to know them."""

    nodes: Sequence[NodePlan]
    node_ids: Sequence[NodeId]

    def get_models(self) -> list[str]:
        """Everything somebody serves, in one fixed order."""
        return sorted({model for node in self.nodes for model in node.models})


def draw_exponential(entropy: Entropy, mean_us: int) -> int:
    """A waiting time of a Poisson process, exactly distributed (von Neumann, 1951).

    Uniform draws are compared, nothing is rounded but the result: the length of a falling run
    decides whether its first draw is taken.
    """
    whole = 0
    while True:
        first = last = entropy.below(_RESOLUTION)
        length = 1
        while (draw := entropy.below(_RESOLUTION)) < last:
            last = draw
            length += 1
        if length % 2:
            return mean_us * (whole * _RESOLUTION + first) // _RESOLUTION
        whole += 1


def draw_length(entropy: Entropy, plan: LengthPlan) -> int:
    """A number of tokens: even within each of the plan's three stretches."""
    stretch = entropy.below(10)
    if stretch < 5:  # noqa: PLR2004 - half, as the plan says
        low, high = plan.low, plan.median
    elif stretch < 9:  # noqa: PLR2004 - the next four tenths
        low, high = plan.median, plan.p90
    else:
        low, high = plan.p90, plan.high
    return low + entropy.below(high - low + 1)


def compute_mean_length(plan: LengthPlan) -> int:
    """The mean of `draw_length`, in tokens, rounded."""
    weighted = 5 * (plan.low + plan.median) + 4 * (plan.median + plan.p90) + plan.p90 + plan.high
    return max(1, weighted // 20)


def compute_interval_us(scenario: Scenario) -> int:
    """Mean time between requests at which all engines together would just be saturated."""
    return compute_pooled_us(scenario, draw_typical(scenario.workload))


def draw_typical(plan: WorkloadPlan) -> list[Demand]:
    """What a workload asks of engines: always the same sample of it."""
    entropy = Entropy(b"a typical workload")
    return [
        Demand(
            draw_length(entropy, plan.prompt_tokens), draw_length(entropy, plan.completion_tokens)
        )
        for _ in range(_TYPICAL_REQUESTS)
    ]


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
    arrivals = _draw_arrivals(scenario, entropy)
    pieces = scenario.workload.pieces
    for number, arrival in enumerate(arrivals):
        piece = next((piece for piece in pieces if arrival.at_us < piece.until_us), None)
        weights = [node.share for node in population.nodes]
        if piece is not None and piece.shares:
            weights = list(piece.shares)
        origin = _draw_weighted(entropy, weights)
        yield _create_request(
            scenario, population, entropy, number=number, arrival=arrival, origin=origin
        )


def create_traced_requests(
    scenario: Scenario, population: Population, entropy: Entropy, trace: Sequence[Arrival]
) -> Iterator[UserRequest]:
    """The requests of a trace; each of its clients talks to one node, drawn by the shares."""
    homes: dict[str, int] = {}
    weights = [node.share for node in population.nodes]
    for number, row in enumerate(trace):
        if not row.client:
            origin = _draw_weighted(entropy, weights)
        else:
            origin = homes.setdefault(row.client, _draw_weighted(entropy, weights))
        yield _create_request(
            scenario, population, entropy, number=number, arrival=row, origin=origin
        )


def fit_trace(trace: Sequence[Arrival], scenario: Scenario, load_permille: int) -> list[Arrival]:
    """The trace played faster or slower, so that its mean rate is the wanted load."""
    interval_us = compute_pooled_us(scenario, list_demands(trace))
    wanted_us = len(trace) * interval_us * _PERMILLE // max(1, load_permille)
    span_us = max(1, trace[-1].at_us)
    return [
        Arrival(
            row.at_us * wanted_us // span_us, row.prompt_tokens, row.completion_tokens, row.client
        )
        for row in trace
    ]


def list_demands(trace: Sequence[Arrival]) -> list[Demand]:
    """What a trace asks of engines."""
    return [Demand(max(1, row.prompt_tokens), row.completion_tokens) for row in trace]


def parse_trace(text: str) -> list[Arrival]:
    """Read a trace's CSV text. Raises `BadInput` naming the column or line that is wrong."""
    reader = csv.DictReader(text.splitlines())
    found = reader.fieldnames or []
    for column in TRACE_COLUMNS:
        if column not in found:
            raise BadInput(
                field=f"trace column {column!r}",
                found=", ".join(found)[:200] or "an empty file",
                expected="a header with " + ", ".join(TRACE_COLUMNS) + " and perhaps client",
                fix="rename or add the column",
            )
    rows = [_parse_row(row, number) for number, row in enumerate(reader, start=2)]
    if not 0 < len(rows) <= TRACE_ROWS_MAX:
        raise BadInput(
            field="trace",
            found=f"{len(rows)} rows",
            expected=f"1 to {TRACE_ROWS_MAX} rows",
            fix="cut the file",
        )
    return sorted(rows, key=lambda row: row.at_us)


def _parse_row(row: dict[str, str], line: int) -> Arrival:
    try:
        at_us = int(float(row["arrival_s"]) * SECOND)
        prompt, completion = int(float(row["prompt_tokens"])), int(float(row["output_tokens"]))
    except (ValueError, TypeError, OverflowError) as error:
        raise _create_row_fault(row, line) from error
    if min(at_us, prompt, completion) < 0:
        raise _create_row_fault(row, line)
    return Arrival(at_us, prompt, max(1, completion), row.get("client") or "")


def _create_row_fault(row: dict[str, str], line: int) -> BadInput:
    return BadInput(
        field=f"trace line {line}",
        found=", ".join(str(row.get(column)) for column in TRACE_COLUMNS)[:200],
        expected="three numbers that are not negative",
        fix="correct or remove the line",
    )


def _draw_arrivals(scenario: Scenario, entropy: Entropy) -> Iterator[Arrival]:
    plan = scenario.workload
    pieces = plan.pieces or (Piece(until_us=scenario.duration_us),)
    saturated_us = compute_interval_us(scenario)
    begin_us = 0
    for piece in pieces:
        end_us = min(piece.until_us, scenario.duration_us)
        rate_permille = plan.load_permille * piece.rate_permille // _PERMILLE
        at_us = begin_us
        # A Poisson process forgets: each piece may start anew at its own rate.
        while rate_permille:
            at_us += draw_exponential(entropy, saturated_us * _PERMILLE // rate_permille)
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
        route=_draw_route(plan, entropy),
    )
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
