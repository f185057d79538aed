"""The suite notices a bug: each of the seeded ones makes some quick part of it fail.

`ledger_mutants` lists what a careless hand might have written, in rules, holds, units, epochs and
encoding. Each is put into the source, the ledger is loaded afresh, and short walks beside the
reference, the wire snapshot and the unit tests run until one fails. `tools/mutate_ledger.py` does
the same with every place it finds by itself.
"""

import pytest

from tests.property.ledger_mutants import MUTANTS, Mutant, find_killer, infected, list_checks


def test_there_are_enough_mutants_and_each_is_one_place() -> None:
    assert len(MUTANTS) >= 25
    assert len({mutant.what for mutant in MUTANTS}) == len(MUTANTS)
    for mutant in MUTANTS:
        compile(mutant.write(), mutant.what, "exec")


@pytest.mark.slow
def test_without_a_bug_the_suite_is_content() -> None:
    sound = MUTANTS[0]
    with infected(sound.module, sound.path.read_text(encoding="utf-8")):
        for _, check in list_checks():
            check()


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what)
def test_a_bug_is_noticed(mutant: Mutant) -> None:
    assert find_killer(mutant.module, mutant.write())
