"""Simulated nodes keep the diary of a real one, and its decisions come out alike once more.

A short part of `day`, which has policies of every kind, with a killed process and a policy that is
exchanged. Diaries are read back from their lines, and lived through again by the policies of the
time, and by the plan's own as if they came from a file. `docs/evaluation.md` has the whole day.
"""

from collections import defaultdict

import pytest
from msgspec.structs import replace

from wwwserve.core.policy import Decided, Life, Record, Used, read_record, replay
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.sim import SCENARIOS, RunResult, Verdict, create_trial, run_scenario
from wwwserve.sim.cluster import Cluster
from wwwserve.sim.plans import Fault
from wwwserve.values.moments import SECOND

DAY = SCENARIOS["day"]
KILLED, EXCHANGED = "tokyo-server", "denver-office"
FAULTS = (
    Fault(kind="kill", at_us=500 * SECOND, node=KILLED, for_us=20 * SECOND),
    Fault(kind="policy", at_us=600 * SECOND, node=EXCHANGED, policy={"accept_permille": 300}),
)
RULES = {
    "accept_frequency",
    "all of them",
    "completion_tokens_max",
    "idle_only",
    "offload_frequency",
    "queue_frequency",
    "reserve_concurrency",
    "room",
    "target_utilisation",
}
"""What must have decided for the day to be one of every kind; those of hours are never asked."""


class Diaries:
    """What a run's nodes wrote."""

    def __init__(self) -> None:
        self.records: dict[str, list[Record]] = defaultdict(list)

    def keep(self, node: str, line: bytes) -> None:
        self.records[node].append(read_record(line))

    def list_decided(self, node: str) -> list[Decided]:
        return [record for record in self.records[node] if isinstance(record, Decided)]


@pytest.fixture(scope="module")
def played() -> tuple[RunResult, Diaries]:
    diaries = Diaries()
    scenario = replace(DAY, duration_us=1_500 * SECOND, faults=FAULTS)
    result = run_scenario(scenario, 1, keep_line=diaries.keep)
    assert result.verdict is Verdict.OK, result.detail
    return result, diaries


def make_settings(node: str) -> PolicySettings:
    """A node's policy by the plan."""
    trial = create_trial(DAY, 1, "wwwserve")
    assert isinstance(trial, Cluster)
    return trial.create_policy(DAY.nodes[node].policy)


def test_every_decision_comes_out_alike(played: tuple[RunResult, Diaries]) -> None:
    # [POLICY-REPLAY.1]
    _, diaries = played
    assert set(diaries.records) == set(DAY.nodes)
    assert {one.rule for name in DAY.nodes for one in diaries.list_decided(name)} >= RULES
    for name, records in diaries.records.items():
        found = replay(records)
        assert found.alike == found.decisions == len(diaries.list_decided(name)) > 0
        assert found.was == found.is_now
    lives = {
        name: sum(isinstance(one, Life) for one in diaries.records[name]) for name in DAY.nodes
    }
    assert lives == dict.fromkeys(DAY.nodes, 1) | {KILLED: 2}


def test_the_same_policy_from_a_file_changes_nothing(played: tuple[RunResult, Diaries]) -> None:
    _, diaries = played
    for name, records in diaries.records.items():
        if name == EXCHANGED:
            continue
        found = replay(records, make_settings(name))
        assert (found.changes, found.quoted, found.alike) == ([], 0, found.decisions)


def test_another_policy_shows_in_each_decision_it_changes(
    played: tuple[RunResult, Diaries],
) -> None:
    _, diaries = played
    asked = sum(one.case.asker is not None for one in diaries.list_decided("delhi-server"))
    found = replay(diaries.records["delhi-server"], PolicySettings(completion_tokens_max=1))
    assert found.is_now.taken == 0 < found.was.taken
    assert found.is_now.refused.total() == asked
    # What its own policy refused by the same rule is no other answer.
    assert 0 < found.changed < asked


def test_all_that_ran_for_others_is_in_the_diary(played: tuple[RunResult, Diaries]) -> None:
    result, diaries = played
    wrote = {
        name: {one.counted.request for one in records if isinstance(one, Used)}
        for name, records in diaries.records.items()
    }
    elsewhere = [one for one in result.requests if one.is_offloaded]
    assert len(elsewhere) > 20
    for one in elsewhere:
        assert one.executor is not None
        assert bytes(one.request) in wrote[result.node_names[one.executor]]


def test_a_run_is_the_same_whether_diaries_are_kept_or_not() -> None:
    scenario = replace(DAY, duration_us=120 * SECOND)
    kept = run_scenario(scenario, 1, keep_line=Diaries().keep)
    assert kept.digest == run_scenario(scenario, 1).digest
