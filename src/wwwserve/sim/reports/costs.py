"""What being a network costs its nodes, in a sentence."""

from collections.abc import Sequence

from wwwserve.sim.measures import measure
from wwwserve.sim.runs import RunResult


def describe_costs(results: Sequence[RunResult]) -> list[str]:
    """A line for each strategy whose nodes talk to each other; means over its runs."""
    lines: list[str] = []
    for strategy in dict.fromkeys(result.strategy for result in results):
        found = [measure(one) for one in results if one.strategy == strategy and one.message_bytes]
        if found:
            membership = sum(one.membership_bytes for one in found) / len(found)
            probes = sum(one.probes_per_request for one in found) / len(found)
            lines.append(
                f"{strategy}: membership takes {membership:.0f} bytes a second of each node, and "
                f"a request {probes:.1f} probes.\n"
            )
    return lines
