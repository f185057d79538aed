"""The tests of payments notice a bug: each of the seeded ones makes some quick part of them fail.

`payments_mutants` lists what a careless hand might have written, in meters, admission, risk and
claims. Each is put into the source, payments are loaded afresh, and the unit tests, the meters'
properties and short walks run until one fails.
"""

import pytest

from tests.property.ledger_mutants import Mutant, infected
from tests.property.payments_mutants import FRESH, MUTANTS, find_killer, list_checks


def test_there_are_enough_mutants_and_each_is_one_place() -> None:
    assert len(MUTANTS) >= 40
    assert len({mutant.what for mutant in MUTANTS}) == len(MUTANTS)
    for mutant in MUTANTS:
        compile(mutant.write(), mutant.what, "exec")


@pytest.mark.slow
def test_without_a_bug_the_tests_are_content() -> None:
    sound = MUTANTS[0]
    with infected(sound.module, sound.path.read_text(encoding="utf-8"), FRESH):
        for _, check in list_checks():
            check()


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what)
def test_a_bug_is_noticed(mutant: Mutant) -> None:
    assert find_killer(mutant.module, mutant.write())
