"""The wallet's suite notices a bug: each of the seeded ones makes some quick part of it fail.

`wallet_mutants` lists what a careless hand might have written about numbers, money, claims and
closes. Each is put into the source, the wallet is loaded afresh, and its stories and short walks
run until one fails.
"""

import pytest

from tests.property.ledger_mutants import Mutant
from tests.property.wallet_mutants import MUTANTS, find_killer, list_checks


def test_each_mutant_is_one_place() -> None:
    assert len({mutant.what for mutant in MUTANTS}) == len(MUTANTS)
    for mutant in MUTANTS:
        compile(mutant.write(), mutant.what, "exec")


@pytest.mark.slow
def test_without_a_bug_the_suite_is_content() -> None:
    for _, check in list_checks():
        check()


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what)
def test_a_bug_is_noticed(mutant: Mutant) -> None:
    assert find_killer(mutant)
