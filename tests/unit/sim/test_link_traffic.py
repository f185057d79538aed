"""What a network's links carry is weighed from when its users come, as a crowd's are.

A small network is played, and its weights are held against the messages it sent.
"""

from msgspec.structs import replace

from wwwserve.sim import SCENARIOS, measure, run_scenario
from wwwserve.sim.link_traffic import HEARTBEATS
from wwwserve.sim.membership.traffic import compute_message_bytes
from wwwserve.values.moments import SECOND

CALM = replace(SCENARIOS["hello"], duration_us=30 * SECOND)


def test_every_message_weighs_at_least_its_frame() -> None:
    result = run_scenario(CALM, 1)
    assert set(result.message_bytes) - {HEARTBEATS} <= set(result.message_counts)
    assert result.message_bytes[HEARTBEATS] >= 0
    for kind in ("Probe", "Quote"):
        # Nobody asks before the users have come: all of them are weighed.
        assert result.message_bytes[kind] > result.message_counts[kind] * compute_message_bytes(0)
    assert 0 < result.message_bytes["Ping"] < 200 * result.message_counts["Ping"]


def test_probes_and_quotes_are_no_part_of_membership() -> None:
    result = run_scenario(CALM, 1)
    found = measure(result)
    asking = result.message_bytes["Probe"] + result.message_bytes["Quote"]
    spent = sum(result.message_bytes.values()) - asking - result.message_bytes.get("Room", 0)
    node_seconds = len(CALM.nodes) * (result.ended_us - CALM.join_us) / SECOND
    assert abs(found.membership_bytes - spent / node_seconds) < 1e-6
    assert found.probes_per_request == result.message_counts["Probe"] / len(result.requests)


def test_schedulers_without_links_cost_none() -> None:
    result = run_scenario(CALM, 1, strategy="central-fresh")
    assert result.message_bytes == {}
    assert measure(result).membership_bytes == 0
