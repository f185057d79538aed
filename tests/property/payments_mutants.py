"""Bugs seeded into payments, and the means to run the quick part of their tests against each."""

import importlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import pytest

from tests.property.ledger_mutants import Mutant, infected

FRESH: Final = (
    "wwwserve.core.payments",
    "tests.fakes.honest_wallet",
    "tests.property.payments_stream",
    "tests.property.payments_walk",
    "tests.property.payments_world",
    "tests.property.test_meters",
    "tests.unit.core.payments",
)
"""What is loaded afresh: payments, and the tests that look at them."""
SUITES: Final = (
    "tests.unit.core.payments.test_meters",
    "tests.unit.core.payments.test_admission",
    "tests.unit.core.payments.test_early",
    "tests.unit.core.payments.test_works",
    "tests.unit.core.payments.test_paying",
    "tests.unit.core.payments.test_prices",
    "tests.unit.core.payments.test_counts",
    "tests.unit.core.payments.test_trust",
    "tests.property.test_meters",
)
WALKS: Final = 40
STEPS: Final = 60


def find_killer(module: str, source: str) -> str:
    """Which part of the tests notices the bug; empty if it lives."""
    with infected(module, source, FRESH):
        for part, check in list_checks():
            try:
                check()
            except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - any will do
                return f"{part} ({type(error).__name__})"
    return ""


def list_checks() -> Iterator[tuple[str, Callable[[], object]]]:
    """The quick parts of the tests, each to be called; they import what they look at."""
    for suite in SUITES:
        module = importlib.import_module(suite)
        for name in dir(module):
            if name.startswith("test_"):
                for check in list_calls(getattr(module, name)):
                    yield name, check
    walk = importlib.import_module("tests.property.payments_walk")
    for seed in range(WALKS):
        yield f"walk {seed}", partial(walk.draw_walk, seed, STEPS)


def list_calls(function: Callable[..., object]) -> Iterator[Callable[[], object]]:
    """A test with each row of its table, or as it is if it has none."""
    marks = [mark for mark in getattr(function, "pytestmark", ()) if mark.name == "parametrize"]
    if not marks:
        yield function
        return
    names, rows = marks[0].args
    for row in rows:
        values = {names: row} if isinstance(names, str) else dict(zip(names, row, strict=True))
        yield partial(function, **values)


def _bug(what: str, module: str, old: str, new: str) -> Mutant:
    return Mutant(what, f"wwwserve.core.payments.{module}", old, new)


MUTANTS: Final = (
    # -- the meters
    _bug("a payer pays a unit too much", "meters",
         "return self._paid_by_tokens + beyond // self.terms.unit_tokens",
         "return self._paid_by_tokens + beyond // self.terms.unit_tokens + 1"),
    _bug("a stranger does not pay ahead", "meters",
         "self._ahead = 1 if payment.terms.lead_units < 1 else 0", "self._ahead = 0"),
    _bug("the prompt is paid before any output", "meters",
         "if completion_tokens < self._next_tokens or not (has_output or self._ahead):",
         "if completion_tokens < self._next_tokens:"),
    _bug("a started unit counts at the end", "meters",
         "(2 * beyond + unit) // (2 * unit)", "-(-beyond // unit)"),
    _bug("a unit may be shallower", "meters", "if unit.depth <= self.paid:", "if False:"),
    _bug("a unit may be beyond its hold", "meters",
         "if unit.depth > self.terms.units_max:", "if False:"),
    _bug("preimages are not looked at", "meters", "if link != self.preimage:", "if False:"),
    _bug("an executor goes one unit further", "meters",
         "self.paid + terms.lead_units + 1)", "self.paid + terms.lead_units + 2)"),
    _bug("an executor stops a unit early", "meters",
         "self.paid + terms.lead_units + 1)", "self.paid + terms.lead_units)"),
    _bug("an extension pays the prompt again", "meters",
         "        self._paid_by_tokens = 0\n", "        self._paid_by_tokens = 1\n"),
    _bug("an extension begins at the first token", "meters",
         "        self._started_at = self.compute_tokens(paid)\n", ""),
    _bug("an extension may leave the prompt unpaid", "meters", "if self.paid == 0:", "if False:"),
    _bug("one unit covers whatever comes", "meters",
         "if self.paid == terms.units_max == 1:", "if self.paid == terms.units_max:"),
    _bug("costs of holds before are forgotten", "meters",
         "self._cost_before = self.cost", "self._cost_before = 0"),
    # -- what a hold must be
    _bug("a hold in the log is taken again", "admission",
         "if not is_final and not account.seq < header.seq <= account.seq + SEQ_AHEAD_MAX:",
         "if header.seq > account.seq + SEQ_AHEAD_MAX:"),
    _bug("a hold in the log is worked for twice", "early",
         "            self._forget(hold.opened.account, hold.hold_id)\n", "            pass\n"),
    _bug("one payer's holds push out another's", "early",
         "most = max(self._holds, key=lambda payer: len(self._holds[payer]))",
         "most = next(iter(self._holds))"),
    _bug("holds in the log are remembered without end", "early",
         "if self._count > EARLY_MAX:", "if False:"),
    _bug("holds in the log are bounded for each payer alone", "early",
         "if self._count > EARLY_MAX:", "if len(self._holds[view.payer]) > EARLY_MAX:"),
    _bug("a hold in the log that was kept back is good", "early", "+ wait_ms:", "+ 99 * wait_ms:"),
    _bug("any hold of its number is the one in the log", "early",
         " and view.anchor == hold.hold.anchor", ""),
    _bug("a hold in the log that is declined is kept", "payee",
         "            self._settle_unused(hold.hold_id, hold.hold.anchor)\n", "            pass\n"),
    _bug("twins are not looked for", "admission", "other.n == op.n", "other is op"),
    _bug("a single unit pays a whole answer", "admission",
         "if op.units_max == 1 and", "if op.units_max == 0 and"),
    _bug("a hold may pay nothing for the prompt", "admission", "if op.first < first:", "if False:"),
    _bug("a hold may pay less for a unit", "admission", "if op.unit < unit:", "if False:"),
    _bug("a further hold may be for another request", "admission",
         "same = (op.req_commit, op.quote_hash, op.unit, op.unit_tokens)",
         "same = (before.req_commit, op.quote_hash, op.unit, op.unit_tokens)"),
    _bug("a further hold may be cheaper", "admission",
         "same = (op.req_commit, op.quote_hash, op.unit, op.unit_tokens)",
         "same = (op.req_commit, op.quote_hash, before.unit, op.unit_tokens)"),
    _bug("a further hold's first is not looked at", "admission",
         "if op.first < op.unit:", "if False:"),
    _bug("anybody's hold is worked for", "payee",
         "        if hold.hold.payee != self._own:\n            raise",
         "        if False:\n            raise"),
    _bug("a quote holds for any model", "payee", "if quote.model != model:", "if False:"),
    _bug("a quote holds for ever", "quoting",
         "return quote if quote is not None and time_ms <= quote.expiry_ms else None",
         "return quote"),
    # -- what is risked
    _bug("a hold is worked for twice", "risk",
         "if self._exposure.find(hold.hold_id) is not None:", "if False:"),
    _bug("what is not final costs nothing", "risk",
         "total = self._exposure.compute_total(payer) + locked", "total = locked"),
    _bug("everybody is covered", "risk",
         "return total <= account.stake and not has_left_unpaid", "return True"),
    _bug("a stake covers who has cheated", "risk",
         "return total <= account.stake and not has_left_unpaid",
         "return total <= account.stake"),
    _bug("credits may be promised without having them", "risk",
         "if total > account.spendable:", "if False:"),
    _bug("a stall opens every line", "risk",
         "if not self._is_lent(payer, account, locked):", "if False:"),
    _bug("a hold is waited for for ever", "payee",
         "        self._waits.append(Wait(until, session, hold.hold_id, now, is_covered))\n", ""),
    _bug("a hold that its payer keeps back is worked for", "payee",
         "        if self._risk.has_gone_on(wait.since):\n", "        if False:\n"),
    _bug("a ledger that stands still is its payers' fault", "payee",
         "        if self._risk.has_gone_on(wait.since):\n", "        if True:\n"),
    _bug("a hold that lost its number goes unnoticed", "payee",
         "            self._lose(pending)\n\n    def note_settled",
         "            pass\n\n    def note_settled"),
    _bug("a settled hold is worked for", "payee",
         "        self._stop_paid_by(fact.hold_id)\n", ""),
    _bug("output leaves when any hold is final", "payee",
         "            self._release(hold_id)\n\n", "            pass\n\n"),
    _bug("who did not pay is trusted", "payee",
         "            self._risk.note_unpaid(work.payer)\n", "            pass\n"),
    _bug("strangers are trusted", "trust",
         "return account.seats > 0 or", "return account.seats >= 0 or"),
    _bug("what was paid counts for ever", "trust", "if day > since", "if day > 0 - VOLUME_DAYS"),
    # -- what is claimed and closed
    _bug("preimages are not kept", "payee", "            self.effects.append(kept)\n", ""),
    _bug("nothing is claimed", "payee",
         "            self.effects.append(ClaimHold(work.hold_id))\n", "            pass\n"),
    _bug("the hold before is not claimed", "payee",
         "        self._claim(work)\n        terms", "        terms"),
    _bug("a declined hold is kept", "payee",
         "            self._settle_unused(hold_id, pending.op.anchor)\n", "            pass\n"),
    _bug("a declined hold is not ordered", "payer",
         "        run.is_over = True\n        self._submit(run)\n", "        run.is_over = True\n"),
    _bug("a user's limit holds for each hold alone", "payer",
         "run.order.cost_max - run.spent - newest", "run.order.cost_max"),
    # -- prices
    _bug("amounts are rounded down", "prices",
         "return -(-amount // divisor)", "return amount // divisor"),
    _bug("a prompt's exact count is told", "prices",
         "** 4).bit_length() // 2", "** 4).bit_length() // 2 + 1"),
    _bug("no unit is left to be paid ahead", "prices",
         "needed = completion_tokens // unit_tokens + 2",
         "needed = completion_tokens // unit_tokens + 1"),
)  # fmt: skip
