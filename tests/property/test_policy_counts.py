"""What is counted against a provider's caps and budgets is never too low, and little too high.

Requests come at any moments and are over at others; a plain list of what happened, searched from
end to end, says what is right at each of them.
"""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.desk import node
from wwwserve.core.deciding import PastUse
from wwwserve.core.paying import HoldTerms
from wwwserve.core.policy import usage
from wwwserve.core.policy.spending import Spending
from wwwserve.core.policy.usage import DAY_US, GRAINS, HOUR_US, MINUTE_US, RollingSum, Usage
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.core.sessions import Role, SessionId
from wwwserve.values.moments import Moment, after

BORN_AT = Moment(5 * HOUR_US + 7)
STEPS = st.lists(
    st.tuples(
        st.integers(0, DAY_US // 3) | st.integers(0, 2 * MINUTE_US),
        st.integers(0, 1_000),
        st.integers(0, 2),
    ),
    max_size=60,
)


@dataclass(frozen=True, slots=True)
class Taken:
    """What the list remembers of one request."""

    at: Moment
    asker: int
    tokens: int


def sum_since(taken: list[Taken], since: int, asker: int | None = None) -> int:
    return sum(
        one.tokens for one in taken if one.at > since and (asker is None or one.asker == asker)
    )


@given(
    st.sampled_from([MINUTE_US, HOUR_US, DAY_US]),
    st.lists(st.tuples(st.integers(0, DAY_US), st.integers(0, 9)), max_size=50),
)
def test_a_sum_covers_its_span_and_a_sixtieth_more(
    span_us: int, steps: list[tuple[int, int]]
) -> None:
    # [POLICY-COUNT.1]
    rolling, now, added = RollingSum(span_us), BORN_AT, []
    for wait_us, amount in steps:
        now = after(now, wait_us % (2 * span_us))
        rolling.add(amount, now)
        added.append(Taken(now, 0, amount))
        assert sum_since(added, now - span_us) <= rolling.compute(now)
        assert rolling.compute(now) <= sum_since(added, now - span_us - span_us // GRAINS)
        assert len(list(rolling.list_entries())) <= GRAINS + 2


@given(STEPS)
def test_running_requests_count_as_the_most_they_may_come_to(
    steps: list[tuple[int, int, int]],
) -> None:
    # [POLICY-COUNT.2]
    used, now = Usage(), BORN_AT
    over: list[Taken] = []
    running: dict[SessionId, Taken] = {}
    for number, (wait_us, tokens, asker) in enumerate(steps):
        now = after(now, wait_us)
        session = SessionId(Role.EXECUTOR, number)
        if tokens % 3 and running:
            ended, most = running.popitem()
            used.end(ended, most.tokens // 2, now)
            over.append(Taken(now, most.asker, most.tokens // 2))
        else:
            used.take(session, node(asker + 1), tokens, now)
            running[session] = Taken(now, asker, tokens)
        for one in (0, 1, 2):
            counts = used.count(node(one + 1), now)
            open_tokens = sum_since([*running.values()], -1)
            assert counts.day_tokens >= sum_since(over, now - DAY_US) + open_tokens
            open_asker = sum_since([*running.values()], -1, one)
            assert counts.day_tokens_asker >= sum_since(over, now - DAY_US, one) + open_asker


@given(STEPS, st.integers(-10 * DAY_US, 10 * DAY_US))
def test_a_process_that_comes_after_counts_no_less(
    steps: list[tuple[int, int, int]], shift_us: int
) -> None:
    # [POLICY-COUNT.2]
    used, now = Usage(), BORN_AT
    for number, (wait_us, tokens, asker) in enumerate(steps):
        now = after(now, wait_us)
        session = SessionId(Role.EXECUTOR, number)
        used.take(session, node(asker + 1), tokens, now)
        if number % 2:
            used.end(session, tokens, now)
    before = [used.count(node(one), now) for one in (1, 2, 3)]
    born_again = Usage(used.list_past(now, shift_us))
    for one, counts in zip((1, 2, 3), before, strict=True):
        again = born_again.count(node(one), after(now, shift_us))
        assert again.day_tokens >= counts.day_tokens
        assert again.day_tokens_asker >= counts.day_tokens_asker


def test_nodes_beyond_the_bound_share_one_account(monkeypatch: pytest.MonkeyPatch) -> None:
    # [POLICY-COUNT.4]
    monkeypatch.setattr(usage, "ACCOUNTS_MAX", 2)
    used = Usage()
    for one in (1, 2, 3, 4):
        used.take(SessionId(Role.EXECUTOR, one), node(one), 10, BORN_AT)
    shares = [used.count(node(one), BORN_AT).day_tokens_asker for one in (1, 2, 3, 4)]
    assert shares == [10, 10, 20, 20]
    for one in (1, 2, 3, 4):
        used.end(SessionId(Role.EXECUTOR, one), 0, BORN_AT)
    later = after(BORN_AT, 2 * DAY_US)
    used.take(SessionId(Role.EXECUTOR, 5), node(5), 10, later)
    assert used.count(node(5), later).day_tokens_asker == 10
    assert used.count(node(2), later).day_tokens_asker == 0


def test_what_came_before_is_told_for_each_node() -> None:
    used = Usage([PastUse(node(1), BORN_AT, 30), PastUse(None, BORN_AT, 5)])
    counts = used.count(node(1), BORN_AT)
    assert (counts.day_tokens, counts.day_tokens_asker) == (35, 30)


# -- what is spent -------------------------------------------------------------------------------


def hold(number: int, units_max: int = 8) -> HoldTerms:
    """Pays 100 at first and 10 for each further unit."""
    return HoldTerms(
        hold_id=bytes([number]) * 32,
        payer=node(0),
        payee=node(1),
        first=100,
        unit=10,
        units_max=units_max,
        unit_tokens=32,
        anchor=bytes(32),
        lead_units=2,
    )


def session(number: int) -> SessionId:
    return SessionId(Role.ORIGIN, number)


def test_a_hold_counts_as_the_most_it_can_pay_until_it_has_paid() -> None:
    # [POLICY-BUDGET.2]
    spending = Spending()
    spending.note_hold(session(1), hold(1))
    assert spending.compute_hour(BORN_AT) == 170
    spending.note_paid(session(1), hold(1).hold_id, 3)
    assert spending.compute_hour(BORN_AT) == 170
    spending.note_hold(session(1), hold(2))
    spending.note_paid(session(1), hold(2).hold_id, 1)
    assert spending.end(session(1), BORN_AT) == 120 + 100
    assert spending.compute_hour(BORN_AT) == 220
    assert spending.compute_hour(after(BORN_AT, 2 * HOUR_US)) == 0
    assert spending.compute_day(after(BORN_AT, 2 * HOUR_US)) == 220
    assert spending.end(session(9), BORN_AT) == 0


@pytest.mark.parametrize(
    "settings",
    [
        PolicySettings(offload_credits_per_hour_max=200),
        PolicySettings(offload_credits_per_day_max=200),
    ],
)
def test_what_may_pass_a_budget_is_not_sent(settings: PolicySettings) -> None:
    # [POLICY-BUDGET.1]
    spending = Spending()
    assert spending.describe_excess(settings, 200, BORN_AT) == ""
    assert "budget" in spending.describe_excess(settings, 201, BORN_AT)
    spending.note_hold(session(1), hold(1))
    assert spending.describe_excess(settings, 30, BORN_AT) == ""
    assert "budget" in spending.describe_excess(settings, 31, BORN_AT)


def test_sessions_beyond_the_bound_count_as_having_paid_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("wwwserve.core.policy.spending.SESSIONS_MAX", 1)
    spending = Spending()
    spending.note_hold(session(1), hold(1))
    spending.note_hold(session(2), hold(2))
    assert spending.compute_hour(BORN_AT) == 340
    spending.end(session(2), BORN_AT)
    assert spending.compute_hour(BORN_AT) == 170
