"""What work costs: each amount against the plain words of its rule, to the micro-credit."""

from fractions import Fraction
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wwwserve.core.paying import AHEAD
from wwwserve.core.payments.prices import (
    HoldPlan,
    choose_lead,
    choose_unit_tokens,
    compute_cost,
    compute_first,
    compute_prompt_step,
    compute_unit,
    compute_units_max,
    plan_extension,
    plan_hold,
)
from wwwserve.core.pricing import PRICE_MAX, PRICES_DEFAULT, Prices, PriceTable
from wwwserve.values.credits import CREDIT, MICROCREDITS_MAX
from wwwserve.values.ledger_parameters import MAIN_LEDGER
from wwwserve.values.limits import TOKENS_MAX
from wwwserve.values.model_names import ModelId

PRICES = st.integers(0, PRICE_MAX)
TOKENS = st.integers(0, TOKENS_MAX)


def test_the_reference_request_costs_a_credit_at_the_default_prices() -> None:
    assert Prices(667 * CREDIT, 2_667 * CREDIT) == PRICES_DEFAULT
    first = compute_first(PRICES_DEFAULT.prompt, compute_prompt_step(500))
    assert first == 512 * 667
    plan = HoldPlan(first, compute_unit(PRICES_DEFAULT.completion, 32), 16, 32)
    assert abs(compute_cost(plan, 250) - CREDIT) < CREDIT // 20


def test_a_model_may_have_its_own_prices() -> None:
    table = PriceTable(models={ModelId("org/big"): Prices(1, 2)})
    assert table.find(ModelId("org/big")) == Prices(1, 2)
    assert table.find(ModelId("org/small")) == PRICES_DEFAULT


@pytest.mark.parametrize(
    ("tokens", "step"), [(0, 0), (1, 0), (2, 2), (3, 3), (4, 4), (100, 13), (512, 18), (600, 18)]
)
def test_a_prompts_step_is_the_nearest_power_of_the_root_of_two(tokens: int, step: int) -> None:
    assert compute_prompt_step(tokens) == step


@given(tokens=st.integers(1, TOKENS_MAX))
def test_a_step_is_within_a_fourth_root_of_two_of_its_count(tokens: int) -> None:
    ratio = tokens / sqrt(2) ** compute_prompt_step(tokens)
    assert 0.8408 < ratio < 1.1893


@given(tokens=st.integers(1, TOKENS_MAX), permille=st.integers(1_000, 1_414))
def test_counts_within_a_factor_of_the_root_of_two_are_one_step_apart_at_most(
    tokens: int, permille: int
) -> None:
    other = tokens * permille // 1_000
    assert compute_prompt_step(other) - compute_prompt_step(tokens) in {0, 1}


@given(price=PRICES, tokens=TOKENS)
def test_a_first_is_its_steps_price_rounded_up_and_never_nothing(price: int, tokens: int) -> None:
    step = compute_prompt_step(tokens)
    first = compute_first(price, step)
    # first - 1 < price x 2^(step / 2) / 10^6 <= first, squared.
    square = Fraction(price * price * 2**step, 10**12)
    assert square <= first * first
    assert first == 1 or (first - 1) ** 2 < square
    assert 1 <= first <= MICROCREDITS_MAX


@given(price=PRICES, exponent=st.integers(2, 8))
def test_a_unit_is_its_tokens_price_rounded_up(price: int, exponent: int) -> None:
    unit = compute_unit(price, 2**exponent)
    assert unit - 1 < Fraction(price * 2**exponent, 10**6) <= unit


@pytest.mark.parametrize(
    ("predicted", "tokens"),
    [(None, 32), (0, 4), (30, 4), (64, 8), (90, 8), (96, 16), (256, 32), (512, 64), (10_000, 256)],
)
def test_a_unit_is_about_an_eighth_of_the_answer(predicted: int | None, tokens: int) -> None:
    assert choose_unit_tokens(predicted, MAIN_LEDGER) == tokens


@given(tokens=st.integers(1, 30_000), exponent=st.integers(2, 8))
def test_units_are_a_power_of_two_that_pays_all_tokens_one_unit_ahead(
    tokens: int, exponent: int
) -> None:
    unit_tokens = 2**exponent
    units = compute_units_max(tokens, unit_tokens, MAIN_LEDGER)
    assert units & (units - 1) == 0
    if units < MAIN_LEDGER.units_max:
        assert (units - 1) * unit_tokens > tokens
        assert (units // 2 - 1) * unit_tokens <= tokens


def test_a_request_without_completion_has_a_single_unit() -> None:
    plan = plan_hold(PRICES_DEFAULT, 500, 0, 0, MAIN_LEDGER)
    assert plan.units_max == 1
    assert plan.locked == plan.first


def test_an_extensions_first_is_a_unit_even_a_free_one() -> None:
    plan = HoldPlan(first=1_000, unit=30, units_max=8, unit_tokens=4)
    assert plan_extension(plan, 20, MAIN_LEDGER) == HoldPlan(30, 30, 8, 4)
    free = HoldPlan(first=1, unit=0, units_max=8, unit_tokens=4)
    assert plan_extension(free, 20, MAIN_LEDGER).locked == 1


def test_strangers_pay_ahead_but_not_to_a_node_without_a_seat() -> None:
    leads = {
        (is_trusted, is_seated): choose_lead(
            MAIN_LEDGER, is_trusted=is_trusted, is_seated=is_seated
        )
        for is_trusted in (True, False)
        for is_seated in (True, False)
    }
    assert leads.pop((False, True)) == AHEAD
    assert set(leads.values()) == {MAIN_LEDGER.lead_units}
