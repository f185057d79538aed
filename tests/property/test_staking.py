"""A node's stake follows its policy: never out of the reserve, up to the target, and no further.

Drawn providers live for 400 epochs beside an auditor of their orders (`staking_walk`).
"""

from hypothesis import given
from hypothesis import strategies as st

from tests.property.staking_walk import EPOCHS_APART, PRICE, Account, find_stake_fault
from wwwserve.core.deciding import Holdings, IncomeSetAside, PolicyMemory, StakeDecided
from wwwserve.core.entropy import Entropy
from wwwserve.core.policy import Policy
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.values.moments import SECOND, Moment

EPOCHS = 400
NOW = Moment(SECOND)


def make(settings: PolicySettings, memory: PolicyMemory | None = None) -> Policy:
    return Policy(settings, Entropy(b"policy"), memory or PolicyMemory())


@given(
    seats=st.integers(1, 30),
    reserve=st.integers(0, 500),
    free=st.integers(0, 3_000),
    bond=st.integers(0, 2_500),
    seed=st.integers(0, 1_000),
)
def test_a_target_is_kept(seats: int, reserve: int, free: int, bond: int, seed: int) -> None:
    """[POLICY-STAKE.1], [POLICY-STAKE.2], [POLICY-STAKE.3]."""
    settings = PolicySettings(stake_seats=seats, stake_reserve=reserve)
    account = Account(free, bond)
    assert find_stake_fault(make(settings), settings, account, seed, EPOCHS) == ""


@given(
    permille=st.integers(1, 1_000),
    reserve=st.integers(0, 500),
    free=st.integers(0, 3_000),
    seed=st.integers(0, 1_000),
)
def test_a_share_of_the_income_is_staked_and_no_more(
    permille: int, reserve: int, free: int, seed: int
) -> None:
    """[POLICY-STAKE.1], [POLICY-STAKE.4]."""
    settings = PolicySettings(stake_income_permille=permille, stake_reserve=reserve)
    account = Account(free, bond=0)
    assert find_stake_fault(make(settings), settings, account, seed, EPOCHS) == ""
    assert permille < 500 or account.seats > 0


def look(policy: Policy, epoch: int, bond: int = 0) -> int:
    return policy.decide_stake(Holdings(epoch, free=1_000, bond=bond, seat_price=PRICE), NOW)


def test_without_a_setting_nothing_is_kept() -> None:
    policy = make(PolicySettings())
    assert not policy.keeps_stake
    policy.note_income(1_000, NOW)
    assert policy.take_facts() == []


def test_another_policy_holds_at_once() -> None:
    """What was staked goes on for a while where too much is, as a slip would cost a day."""
    policy = make(PolicySettings(stake_seats=8, stake_reserve=0))
    assert [look(policy, epoch) for epoch in range(7)] == [0, 0, 0, 0, 0, 0, 2]
    policy.end_stake_order(NOW, is_done=True)
    policy.set(PolicySettings(stake_seats=1), NOW)
    orders = [look(policy, epoch, bond=2 * PRICE) for epoch in range(7, 25)]
    assert orders.index(-1) == 13 - 1
    assert set(orders) == {0, -1}


def test_what_is_set_aside_outlives_the_process_and_ends_with_the_setting() -> None:
    policy = make(PolicySettings(stake_income_permille=500))
    policy.note_income(3 * PRICE, NOW)
    (told,) = policy.take_facts()
    assert told == IncomeSetAside(NOW, 75)
    again = make(
        PolicySettings(stake_income_permille=500, stake_reserve=0), PolicyMemory(set_aside=75)
    )
    look(again, 0)
    assert look(again, EPOCHS_APART) == 1
    assert again.take_facts()[-1] == IncomeSetAside(NOW, 25)
    again.end_stake_order(NOW, is_done=False)
    assert again.take_facts() == [IncomeSetAside(NOW, 75)], "an order that failed is owed still"
    again.set(PolicySettings(), NOW)
    assert again.take_facts()[-1] == IncomeSetAside(NOW, 0)


def test_an_answer_is_told_once_and_each_order() -> None:
    policy = make(PolicySettings(stake_seats=1, stake_reserve=0))
    for epoch in range(9):
        look(policy, epoch, bond=PRICE if epoch > 6 else 0)
        if epoch == 6:
            policy.end_stake_order(NOW, is_done=True)
    told = [fact for fact in policy.take_facts() if isinstance(fact, StakeDecided)]
    assert [(fact.seats, fact.rule) for fact in told] == [(0, "pace"), (1, "missing"), (0, "kept")]
