"""How much of its own credits a node keeps staked: at a target, or a share of what it earns.

Rules:

- An order is given at most once in `ORDER_EPOCHS`, and is for a quarter of what is missing or too
  much, at least a seat. So a target is come near to step by step, and a slip in it costs little.
- Credits are staked only as far as the reserve stays free. To refill the reserve nothing is taken
  out: what it has to be is up to the provider, and stake is worth something for being lasting.
- What is too much is taken out when it has been too much for `SURPLUS_EPOCHS`, since it comes free
  only after the unbonding time. A share of the income only ever adds.
- With one target there is never both: an order to stake does not pass it, and one to take out does
  not fall below it.
- Between an order and the log nothing else is decided, whoever gave it. A new process waits as
  after an order.
- What is ordered is taken off what was set aside once: by the word of its end, or, if a process is
  killed before it has written that, by the order itself, which is on disk before anybody sees it.
"""

from typing import Final

from wwwserve.core.deciding import Holdings, StakeCase, StakeOrder
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.values.credits import MICROCREDITS_MAX, credits_text
from wwwserve.values.moments import Moment

ORDER_EPOCHS: Final = 6
"""Epochs of the ledger from one order to the next at least: an hour of a real network."""
SURPLUS_EPOCHS: Final = 12
"""Epochs for which more than the target must have been staked before any is taken out."""
STEP_DIVISOR: Final = 4
"""The part of a difference that one order is for."""
SEATS_ORDERED_MAX: Final = 1_000_000
"""Seats of one order: more than there are, and few enough for an op."""
_PERMILLE: Final = 1000


def decide_stake(settings: PolicySettings, case: StakeCase) -> tuple[int, str]:
    """Seats to stake, or if below nothing to take out, and the name of the rule that says so."""
    missing = count_missing(settings, case)
    if missing == 0:
        return 0, "kept"
    if case.rest_epochs:
        return 0, "pace"
    if missing < 0:
        is_lasting = case.surplus_epochs >= SURPLUS_EPOCHS
        return (-_take_step(-missing), "surplus") if is_lasting else (0, "surplus")
    spare = max(case.holdings.free - settings.stake_reserve, 0)
    seats = min(_take_step(missing), spare // case.holdings.seat_price)
    return (seats, "missing") if seats else (0, "reserve")


def describe_stake(settings: PolicySettings, case: StakeCase, rule: str) -> str:
    """What a rule compared, for a person."""
    holdings = case.holdings
    staked = f"{holdings.bond // holdings.seat_price} seats are staked"
    wanted = f"{settings.stake_seats} wanted"
    if settings.stake_income_permille:
        wanted = f"{credits_text(case.set_aside)} of the income are to be"
    match rule:
        case "pace":
            return f"{staked}, {wanted}; orders rest for {case.rest_epochs} epochs"
        case "surplus":
            return f"{staked}, {wanted}, for {case.surplus_epochs} of {SURPLUS_EPOCHS} epochs"
        case "reserve" | "missing":
            free, price = credits_text(holdings.free), credits_text(holdings.seat_price)
            kept = credits_text(settings.stake_reserve)
            return f"{staked}, {wanted}; {free} are free, {kept} stay so, a seat costs {price}"
        case _:
            return f"{staked}, {wanted}"


def count_missing(settings: PolicySettings, case: StakeCase) -> int:
    """Whole seats that the policy wants staked beside those that are; below nothing: too many."""
    price = case.holdings.seat_price
    if settings.stake_income_permille:
        return case.set_aside // price
    return settings.stake_seats - case.holdings.bond // price


def is_on(settings: PolicySettings) -> bool:
    """Whether the policy has a say about stake at all."""
    return settings.stake_seats > 0 or settings.stake_income_permille > 0


class Staking:
    """What was set aside, and when something was ordered last."""

    def __init__(self, set_aside: int = 0, orders: int = 0) -> None:
        """`set_aside` is what the last process had left, with so many `orders` taken off."""
        self.set_aside = set_aside
        """Micro-credits of income that are to be staked, and are not ordered yet."""
        self.orders = orders
        """How many orders have come to an end."""
        self._number = orders
        """Of the newest order."""
        self._ordered: int | None = None
        """Micro-credits of the order that is on its way; None = there is none."""
        self._ordered_epoch: int | None = None
        self._surplus_epoch: int | None = None
        """Since when more has been staked than is wanted."""

    @property
    def owed(self) -> int:
        """Micro-credits of income that are to be staked, with those on their way to the log."""
        return self.set_aside + (self._ordered or 0)

    @property
    def order(self) -> StakeOrder:
        """The newest order, as it is to be written down."""
        return StakeOrder(self._number, self._ordered or 0)

    def set(self, settings: PolicySettings) -> bool:
        """These settings hold now; returns whether what was set aside is given up."""
        if settings.stake_income_permille or not self.owed:
            return False
        self.set_aside = 0
        self._ordered = None if self._ordered is None else 0
        return True

    def resume(self, order: StakeOrder) -> bool:
        """A process before this one signed an order; returns whether it had not noted its end."""
        if order.number <= self.orders:
            return False
        self.orders = self._number = order.number
        self.set_aside = max(self.set_aside - order.microcredits, 0)
        return True

    def note_income(self, settings: PolicySettings, microcredits: int) -> bool:
        """So much was earned; returns whether some of it is set aside."""
        share = microcredits * settings.stake_income_permille // _PERMILLE
        self.set_aside = min(self.set_aside + share, MICROCREDITS_MAX - (self._ordered or 0))
        return share > 0

    def look(self, settings: PolicySettings, holdings: Holdings, now: Moment) -> StakeCase | None:
        """What is to be decided about; None while an order is on its way."""
        if self._ordered is not None:
            return None
        epoch = holdings.epoch
        if self._ordered_epoch is None:
            self._ordered_epoch = epoch
        case = StakeCase(
            at=now,
            holdings=holdings,
            set_aside=self.set_aside,
            rest_epochs=max(self._ordered_epoch + ORDER_EPOCHS - epoch, 0),
            surplus_epochs=0 if self._surplus_epoch is None else epoch - self._surplus_epoch,
        )
        if count_missing(settings, case) >= 0:
            self._surplus_epoch = None
        elif self._surplus_epoch is None:
            self._surplus_epoch = epoch
        return case

    def begin(self, holdings: Holdings, seats: int) -> None:
        """So many seats are ordered: they are no longer to be ordered."""
        self._number += 1
        self._ordered = min(max(seats, 0) * holdings.seat_price, self.set_aside)
        self._ordered_epoch = holdings.epoch
        self.set_aside -= self._ordered

    def end(self, *, is_done: bool) -> None:
        """The order is in the log, or came to nothing and is to be given again."""
        if not is_done:
            self.set_aside += self._ordered or 0
        self._ordered = None
        self.orders = self._number


def _take_step(seats: int) -> int:
    return min(-(-seats // STEP_DIVISOR), SEATS_ORDERED_MAX)
