"""The share of its prices that a node asks: by its load, by how long nobody bought, to a floor."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wwwserve.core.policy import compute_curve
from wwwserve.core.policy.asking import Asking
from wwwserve.core.policy.usage import HOUR_US
from wwwserve.core.policy_settings import CurvePoint, PolicySettings
from wwwserve.core.pricing import PRICE_MAX, Prices

CURVE = (CurvePoint(200, 500), CurvePoint(700, 1000), CurvePoint(1000, 2500))


@pytest.mark.parametrize(
    ("utilisation", "share"),
    [(0, 500), (200, 500), (450, 750), (700, 1000), (850, 1750), (1000, 2500), (1500, 2500)],
)
def test_the_curve_is_linear_between_its_points(utilisation: int, share: int) -> None:
    # [POLICY-ASK.1]
    assert compute_curve(CURVE, utilisation) == share


def test_without_a_curve_all_is_asked() -> None:
    assert compute_curve((), 990) == 1000


def test_an_idle_node_cuts_its_ask_by_a_hundredth_an_hour_to_the_floor() -> None:
    # [POLICY-ASK.1]
    asking, settings = Asking(), PolicySettings()
    shares = []
    for hours in (0, 1, 10, 50, 500):
        asking.advance(hours * HOUR_US)
        shares.append(asking.compute_share(settings, 0))
    assert shares == [1000, 990, 900, 500, 500]


def test_a_sale_gives_a_step_back_and_begins_the_hour_anew() -> None:
    # [POLICY-ASK.1]
    asking, settings = Asking(), PolicySettings()
    asking.advance(10 * HOUR_US)
    asking.note_sale(10 * HOUR_US + HOUR_US // 2)
    assert asking.compute_share(settings, 0) == 910
    asking.advance(11 * HOUR_US)
    assert asking.compute_share(settings, 0) == 910
    asking.advance(11 * HOUR_US + HOUR_US // 2)
    assert asking.compute_share(settings, 0) == 900


def test_an_operator_may_switch_it_off() -> None:
    asking = Asking()
    asking.advance(500 * HOUR_US)
    assert asking.compute_share(PolicySettings(idle_cut_permille=0), 0) == 1000


@given(
    hours=st.integers(0, 3_000),
    utilisation=st.integers(0, 1_000),
    floor=st.integers(0, 1_000),
    cut=st.integers(0, 1_000),
)
def test_nothing_goes_below_the_floor(hours: int, utilisation: int, floor: int, cut: int) -> None:
    # [POLICY-ASK.1]
    settings = PolicySettings(load_curve=CURVE, price_floor_permille=floor, idle_cut_permille=cut)
    asking = Asking()
    asking.advance(hours * HOUR_US)
    share = asking.compute_share(settings, utilisation)
    assert floor <= share <= 2500
    prices = Prices(1_000_003, 7).scale(share)
    assert prices.prompt >= 1_000_003 * share // 1000
    assert prices.is_payable


def test_no_share_makes_a_price_that_nobody_pays() -> None:
    assert Prices(PRICE_MAX, 1).scale(100_000) == Prices(PRICE_MAX, 100)
