"""What a provider asks, what it keeps, and how far it lends: amounts are credits, read exactly.

An amount is a whole number, or a decimal one in quotes: a bare `0.1` would be a binary fraction
that is not quite that, and money is never rounded behind somebody's back.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated

from msgspec import Meta, Struct

from wwwserve.core.policy_settings import CURVE_PERMILLE_MAX, CURVE_POINTS_MAX, CurvePoint
from wwwserve.node.config.bounds import Share
from wwwserve.node.config.checks import validate_model_id
from wwwserve.values.credits import parse_credits
from wwwserve.values.limits import RECORD_MODELS_MAX
from wwwserve.values.refusals import BadInput

Credits = Annotated[str, Meta(max_length=40)] | Annotated[int, Meta(ge=0, le=2**63 - 1)]
"""An amount of credits as it is written."""
PRICE_MAX = 1_000_000
"""Credits for a million tokens: one credit a token. A price beyond it has a slip in it, and sums of
a request's tokens stay far below what an amount can hold."""


STAKE_SEATS_MAX = 1_000_000
"""Seats nobody has: a target beyond it has a slip in it."""
_PERMILLE = 1000
_POINT = re.compile(r"([0-9]{1,4}(?:\.[0-9]{1,3})?) *: *([0-9]{1,4}(?:\.[0-9]{1,3})?)", re.ASCII)


class DoorChoice(Enum):
    """How this node comes into a network whose requests are paid."""

    ANY = ""
    """The first door of the network."""
    SPONSOR = "sponsor"
    """A member lends it seats: `wwwserve sponsor` there."""
    EARN = "earn"
    """It gets a newcomer's slot for solving a puzzle, and earns its first seat."""
    FAUCET = "faucet"
    """The pool grants it a little for solving a puzzle."""
    DEV = "dev"
    """The pool grants it a little; only networks made for one laptop have this door."""
    NONE = "none"
    """It does not come in by itself: somebody sends it credits, or it only watches."""


class ModelPrice(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one model costs here."""

    prompt: Credits | None = None
    """Credits for a million prompt tokens; None = as any model."""
    completion: Credits | None = None
    """The same for completion tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceConfig:
    """What other nodes pay for work done here, in credits for a million tokens."""

    prompt: Credits = 667
    """For prompt tokens; 0 = free. The defaults are the reference request's: 1 credit."""
    completion: Credits = 2667
    """For completion tokens; 0 = free."""
    models: Annotated[Mapping[str, ModelPrice], Meta(max_length=RECORD_MODELS_MAX)] = field(
        default_factory=dict
    )
    """By canonical model id, where a model costs something else."""
    load_curve: Annotated[tuple[str, ...], Meta(max_length=CURVE_POINTS_MAX)] = ()
    """Points `UTILISATION:SHARE`, as in `0.5:0.8`: what share of its prices the node asks when it
    is so busy; between points it is linear. None = all of them at any time."""
    floor: Share = 0.5
    """The least share of its prices that it asks."""
    idle_cut: Share = 0.01
    """By what share of its prices it lowers its ask for each hour in which nobody bought."""

    def __post_init__(self) -> None:
        """Refuse what is no price or no curve, and models that are none."""
        parse_curve("policy.price.load_curve", self.load_curve)
        _read_price("policy.price.prompt", self.prompt)
        _read_price("policy.price.completion", self.completion)
        for model, price in self.models.items():
            validate_model_id("policy.price.models", model)
            where = f'policy.price.models."{model}"'
            for name, amount in (("prompt", price.prompt), ("completion", price.completion)):
                if amount is not None:
                    _read_price(f"{where}.{name}", amount)


@dataclass(frozen=True, slots=True, kw_only=True)
class StakeConfig:
    """How much of its own credits this node keeps staked; nothing of it: what its operator orders.

    Stake is how often other nodes' requests come here. Without a ledger it means nothing.
    """

    target_seats: Annotated[int, Meta(ge=0, le=STAKE_SEATS_MAX)] = 0
    """Seats to keep: staked as credits are free, taken out when they are too many; 0 = off."""
    income_share: Share = 0.0
    """Or: the share of what other nodes pay that is staked, a seat at a time; 0 = off."""
    reserve: Credits = 100
    """Free credits that are never staked, so that the node can pay others."""

    def __post_init__(self) -> None:
        """Refuse two answers to one question, and what is no amount."""
        parse_credits("policy.stake.reserve", self.reserve)
        if self.target_seats and self.income_share:
            raise BadInput(
                field="policy.stake",
                found=f"target_seats = {self.target_seats}, income_share = {self.income_share:g}",
                expected="one of the two",
                fix="leave out target_seats to stake from what is earned, else income_share",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerConfig:
    """How this node lives with the ledger of its network, if that has one."""

    door: DoorChoice = DoorChoice.ANY
    """How it comes in when it has no account yet."""
    line_max: Credits = 10
    """The most it lends one payer while the ledger stands still; 0 = nothing. Never more than the
    network's own bound, a tenth of what that payer settled here in a week, or its stake."""

    def __post_init__(self) -> None:
        """Refuse what is no amount."""
        parse_credits("ledger.line_max", self.line_max)


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletConfig:
    """What the node may spend on other nodes' work."""

    reserve: Credits = 0
    """Credits that requests never spend: for fees, stake, and what you send by hand."""

    def __post_init__(self) -> None:
        """Refuse what is no amount."""
        parse_credits("wallet.reserve", self.reserve)


def parse_curve(field: str, texts: Sequence[str]) -> tuple[CurvePoint, ...]:
    """The points of a load curve; raises `BadInput` naming `field`."""
    points: list[CurvePoint] = []
    for text in texts:
        match = _POINT.fullmatch(text.strip())
        if match is None:
            expected = "a utilisation from 0 to 1 and a share of the prices, as in '0.5:0.8'"
            raise BadInput(field, text, expected, "write it like this one")
        point = CurvePoint(_read_permille(match[1]), _read_permille(match[2]))
        if point.utilisation_permille > _PERMILLE or point.price_permille > CURVE_PERMILLE_MAX:
            expected = f"a utilisation up to 1 and a share up to {CURVE_PERMILLE_MAX // _PERMILLE}"
            raise BadInput(field, text, expected, "lower it")
        if points and points[-1].utilisation_permille >= point.utilisation_permille:
            expected = "points in rising order of utilisation"
            raise BadInput(field, text, expected, f"put it before {texts[len(points) - 1]!r}")
        points.append(point)
    return tuple(points)


def _read_permille(text: str) -> int:
    whole, _, decimals = text.partition(".")
    return int(whole) * _PERMILLE + int(decimals.ljust(3, "0"))


def _read_price(name: str, amount: str | int) -> int:
    price = parse_credits(name, amount)
    if price > parse_credits(name, PRICE_MAX):
        raise BadInput(
            field=name,
            found=str(amount)[:40],
            expected=f"at most {PRICE_MAX} credits for a million tokens",
            fix="a price is for a million tokens: 2667 makes the reference answer cost a credit",
        )
    return price
