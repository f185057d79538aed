"""A node's stake follows its policy: never out of the reserve, up to the target, and no further.

Drawn providers live for 400 epochs beside an auditor of their orders (`staking_walk`). Processes
are killed before and after each thing they write.
"""

from hypothesis import given
from hypothesis import strategies as st

from tests.property.staking_walk import EPOCHS_APART, PRICE, Account, find_stake_fault
from wwwserve.core.deciding import (
    Holdings,
    IncomeSetAside,
    PolicyMemory,
    StakeDecided,
    StakeOrder,
)
from wwwserve.core.entropy import Entropy
from wwwserve.core.policy import Policy
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.values.moments import SECOND, Moment

EPOCHS = 400
NOW = Moment(SECOND)
STEPS = (
    ("earn", False), ("order", False), ("order", True), ("order, unwritten", True),
    ("settle", False), ("settle", True), ("fail", False), ("nothing", True),
)  # fmt: skip
"""What happens to a process, and whether it is killed before its diary hears of that."""


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
    again.note_income(10, NOW)
    assert again.take_facts()[-1] == IncomeSetAside(NOW, 80), "until the order is in the log"
    again.end_stake_order(NOW, is_done=False)
    assert again.take_facts() == [IncomeSetAside(NOW, 80, orders=1)], "it failed, and is owed still"
    assert look(again, 2 * EPOCHS_APART) == 1
    again.end_stake_order(NOW, is_done=True)
    assert again.take_facts()[-1] == IncomeSetAside(NOW, 30, orders=2)
    again.set(PolicySettings(), NOW)
    assert again.take_facts()[-1] == IncomeSetAside(NOW, 0, orders=2)


def test_what_is_given_up_while_an_order_is_on_its_way_does_not_come_back() -> None:
    policy = make(
        PolicySettings(stake_income_permille=500, stake_reserve=0), PolicyMemory(set_aside=PRICE)
    )
    look(policy, 0)
    assert look(policy, EPOCHS_APART) == 1
    policy.set(PolicySettings(), NOW)
    policy.end_stake_order(NOW, is_done=False)
    assert policy.take_facts()[-1] == IncomeSetAside(NOW, 0, orders=1)


class Process:
    """Processes of one node, of which each may be killed; beside them the log, to the letter."""

    def __init__(self) -> None:
        self.diary = IncomeSetAside(NOW, 0)
        self.written: StakeOrder | None = None
        """What lies in the wallet's lane."""
        self.earned = self.staked = self.waiting = self.epoch = 0
        self.begin()

    def begin(self) -> None:
        memory = PolicyMemory(set_aside=self.diary.microcredits, orders=self.diary.orders)
        self.policy = make(PolicySettings(stake_income_permille=1_000, stake_reserve=0), memory)
        self.is_own = False
        """Whether the order on its way is this process's."""
        if self.written is not None:
            self.policy.resume_stake(self.written, NOW)

    def earn(self) -> None:
        self.policy.note_income(PRICE * 3 // 4, NOW)
        self.earned += PRICE * 3 // 4

    def order(self, *, is_written: bool) -> None:
        if self.waiting:
            return
        look(self.policy, self.epoch)
        self.epoch += EPOCHS_APART
        seats = look(self.policy, self.epoch)
        if seats and is_written:
            self.written, self.waiting, self.is_own = self.policy.stake_order, seats * PRICE, True

    def settle(self) -> None:
        if self.is_own:
            self.policy.end_stake_order(NOW, is_done=True)
        self.staked, self.waiting, self.is_own = self.staked + self.waiting, 0, False

    def fail(self) -> None:
        if self.is_own:
            self.policy.end_stake_order(NOW, is_done=False)
            self.waiting, self.is_own = 0, False

    def note(self) -> None:
        """What was told reaches the diary."""
        told = [fact for fact in self.policy.take_facts() if isinstance(fact, IncomeSetAside)]
        self.diary = told[-1] if told else self.diary

    def count_left(self) -> int:
        """What a process that began now would still order."""
        is_taken = self.written is not None and self.written.number > self.diary.orders
        taken = self.written.microcredits if self.written is not None and is_taken else 0
        return self.diary.microcredits - taken


@given(steps=st.lists(st.sampled_from(STEPS), min_size=40, max_size=80))
def test_whatever_is_killed_what_was_set_aside_is_staked_once(
    steps: list[tuple[str, bool]],
) -> None:
    """[POLICY-STAKE.4]: each credit is staked, on its way or kept, and in one of these alone."""
    process = Process()
    for what, is_killed in steps:
        match what:
            case "earn":
                process.earn()
            case "order" | "order, unwritten":
                process.order(is_written=what == "order")
            case "settle":
                process.settle()
            case "fail":
                process.fail()
            case _:
                pass
        if is_killed:
            process.begin()
        process.note()
        assert process.staked + process.waiting + process.count_left() == process.earned


def test_an_answer_is_told_once_and_each_order() -> None:
    policy = make(PolicySettings(stake_seats=1, stake_reserve=0))
    for epoch in range(9):
        look(policy, epoch, bond=PRICE if epoch > 6 else 0)
        if epoch == 6:
            policy.end_stake_order(NOW, is_done=True)
    told = [fact for fact in policy.take_facts() if isinstance(fact, StakeDecided)]
    assert [(fact.seats, fact.rule) for fact in told] == [(0, "pace"), (1, "missing"), (0, "kept")]
