"""A provider's account over many epochs, and an auditor of what its policy orders for it.

The account is a few numbers: credits come and go, stake comes free after a while, orders take a
block to be in the log or a few dozen, and sometimes come to nothing. The auditor keeps lists and
knows the rules by the words of the documentation; it shares nothing with the policy but the
settings.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from wwwserve.core.deciding import Holdings
from wwwserve.core.entropy import Entropy
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.values.moments import SECOND, Moment

PRICE: Final = 50
"""Of a seat, in credits of this small world."""
UNBONDING_EPOCHS: Final = 20
EPOCHS_APART: Final = 6
EPOCHS_TOO_MANY: Final = 12
LOOKS: Final = 4
"""Blocks in an epoch."""
TAKEN_IN: Final = 9
"""Of ten orders, those that do what they say."""
SLOW: Final = 4
"""One order in so many takes `SLOW_LOOKS`."""
SLOW_LOOKS: Final = 8 * LOOKS


class StakePolicy(Protocol):
    """What the walk needs of a policy."""

    def note_income(self, microcredits: int, now: Moment) -> None:
        """Other nodes' work was paid."""
        ...

    def decide_stake(self, holdings: Holdings, now: Moment) -> int:
        """Seats to stake or take out."""
        ...

    def end_stake_order(self, now: Moment, *, is_done: bool) -> None:
        """The order is in the log, or came to nothing."""
        ...


@dataclass(slots=True)
class Account:
    """What a provider has."""

    free: int
    bond: int
    unbonding: list[tuple[int, int]] = field(default_factory=list)
    """When it comes free, and how much."""

    @property
    def seats(self) -> int:
        """Those it has staked."""
        return self.bond // PRICE

    def turn(self, epoch: int) -> None:
        """An epoch begins."""
        self.free += sum(amount for due, amount in self.unbonding if due <= epoch)
        self.unbonding = [(due, amount) for due, amount in self.unbonding if due > epoch]

    def sign(self, seats: int) -> None:
        """An order is signed: what it stakes is not free any more."""
        self.free -= max(seats, 0) * PRICE

    def apply(self, seats: int, epoch: int) -> None:
        """It is in the log."""
        self.bond += seats * PRICE
        if seats < 0:
            self.unbonding.append((epoch + UNBONDING_EPOCHS, -seats * PRICE))

    def give_up(self, seats: int) -> None:
        """It came to nothing."""
        self.free += max(seats, 0) * PRICE


@dataclass(slots=True)
class Auditor:
    """What was ordered, and what is wrong with it."""

    settings: PolicySettings
    ordered: list[int] = field(default_factory=list)
    """The epochs of orders."""
    too_many: list[bool] = field(default_factory=list)
    """Of each epoch that ended: whether more than the target was staked at any time of it."""
    earned: int = 0
    staked: int = 0
    waiting: tuple[int, int] | None = None
    """The order on its way: its seats, and for how many looks it still takes."""

    def find_fault(self, account: Account, seats: int, epoch: int) -> str:
        """What of the rules an order breaks; empty if nothing."""
        if self.ordered and epoch - self.ordered[-1] < EPOCHS_APART:
            return "stake: two orders within an hour"
        if epoch < EPOCHS_APART:
            return "stake: an order of a process that has just begun"
        self.ordered.append(epoch)
        if seats > 0:
            return self._find_staking_fault(account, seats)
        return self._find_taking_fault(account, seats)

    def _find_staking_fault(self, account: Account, seats: int) -> str:
        if account.free - seats * PRICE < self.settings.stake_reserve:
            return "stake: the reserve is staked"
        self.staked += seats * PRICE
        if self.settings.stake_income_permille:
            share = self.earned * self.settings.stake_income_permille // 1_000
            return "stake: more than the share of the income" if self.staked > share else ""
        is_over = account.seats + seats > self.settings.stake_seats
        return "stake: the target is passed" if is_over else ""

    def _find_taking_fault(self, account: Account, seats: int) -> str:
        if self.settings.stake_income_permille:
            return "stake: a share of the income is taken out again"
        if account.seats + seats < self.settings.stake_seats:
            return "stake: more is taken out than is too much"
        lately = self.too_many[-EPOCHS_TOO_MANY + 1 :]
        if len(lately) < EPOCHS_TOO_MANY - 1 or not all(lately):
            return "stake: taken out though it was not too much for long"
        return ""


def find_stake_fault(
    policy: StakePolicy, settings: PolicySettings, account: Account, seed: int, epochs: int
) -> str:
    """Let a provider live for so many epochs; what the auditor says of it, empty if nothing."""
    auditor, entropy = Auditor(settings), Entropy(seed.to_bytes(4))
    for epoch in range(epochs):
        account.turn(epoch)
        is_too_much = account.seats > settings.stake_seats
        for now in _list_looks(epoch):
            fault = _look(policy, auditor, account, epoch, now)
            if fault:
                return fault
            _trade(policy, auditor, account, entropy, now)
        auditor.too_many.append(is_too_much)
    return "" if settings.stake_income_permille else _find_rest(settings, account)


def _look(policy: StakePolicy, auditor: Auditor, account: Account, epoch: int, now: Moment) -> str:
    _end_waiting(policy, auditor, account, epoch, now)
    seats = policy.decide_stake(Holdings(epoch, account.free, account.bond, PRICE), now)
    if not seats:
        return ""
    if auditor.waiting:
        return "stake: a second order before the first is in the log"
    fault = auditor.find_fault(account, seats, epoch)
    account.sign(seats)
    is_slow = len(auditor.ordered) % SLOW == 0
    auditor.waiting = (seats, SLOW_LOOKS if is_slow else 1)
    return fault


def _end_waiting(
    policy: StakePolicy, auditor: Auditor, account: Account, epoch: int, now: Moment
) -> None:
    if auditor.waiting is None:
        return
    seats, looks = auditor.waiting
    auditor.waiting = (seats, looks - 1) if looks > 1 else None
    if auditor.waiting:
        return
    is_done = len(auditor.ordered) % (TAKEN_IN + 1) != TAKEN_IN
    if is_done:
        account.apply(seats, epoch)
    else:
        account.give_up(seats)
        auditor.staked -= max(seats, 0) * PRICE
    policy.end_stake_order(now, is_done=is_done)


def _trade(
    policy: StakePolicy, auditor: Auditor, account: Account, entropy: Entropy, now: Moment
) -> None:
    """Credits come in for work, and go out for others' work as far as there are any."""
    income, outgo = entropy.below(12), entropy.below(8)
    policy.note_income(income, now)
    auditor.earned += income
    account.free += income
    account.free -= min(outgo, account.free)


def _find_rest(settings: PolicySettings, account: Account) -> str:
    """What is left to do at the end of a life long enough to do it."""
    can_more = account.free - settings.stake_reserve >= 2 * PRICE
    if account.seats < settings.stake_seats and can_more:
        return f"stake: {account.seats} seats though {settings.stake_seats} can be had"
    if account.seats > settings.stake_seats:
        return f"stake: {account.seats} seats though {settings.stake_seats} are wanted"
    return ""


def _list_looks(epoch: int) -> Iterator[Moment]:
    return (Moment((epoch * LOOKS + look) * SECOND) for look in range(LOOKS))
