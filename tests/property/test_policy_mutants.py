"""The simulator's checker notices a broken policy: each seeded bug of `policy_mutants` is stopped.

Each is put into the source, peers and world are loaded afresh, and a provider lives four minutes
with another's many users; bugs of stake meet the auditor of `staking_walk` instead. The same worlds
run clean without the bug.
"""

import pytest

from tests.property.policy_mutants import BUGS, Bug, find_fault, find_fault_of


def test_each_bug_is_one_place() -> None:
    assert len({bug.mutant.what for bug in BUGS}) == len(BUGS)
    for bug in BUGS:
        compile(bug.mutant.write(), bug.mutant.what, "exec")


@pytest.mark.slow
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.mutant.what)
def test_a_bug_is_noticed_and_nothing_else_is(bug: Bug) -> None:
    assert find_fault(bug.world) == ""
    fault = find_fault_of(bug)
    assert fault.startswith(("policy: owner", "budget: asker", "stake: ")), fault
