"""What share of its prices a node asks: by how busy it is, and by how long nobody has bought.

Rules:

- The load curve says a share for each utilisation; between its points it is linear, outside them
  it is as at the nearest.
- Each hour open to others in which no request of theirs was taken lowers the ask by
  `idle_cut_permille`; each request taken gives one such step back.
- The two multiply, and `price_floor_permille` is the least that comes of it.
- A node that starts anew starts from its prices.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from wwwserve.core.policy.usage import HOUR_US
from wwwserve.core.policy_settings import CurvePoint, PolicySettings

PERMILLE: Final = 1000
CUTS_MAX: Final = 1000
"""Steps down at most: no ask is lower after the thousandth, however small a step is."""


class Asking:
    """How far a node has come down with its ask."""

    def __init__(self) -> None:
        self._cuts = 0
        self._counted_us = 0
        """Up to where time open to others has been turned into cuts."""

    def advance(self, open_us: int) -> None:
        """The node was open to others for so long, all in all, with nothing taken lately."""
        hours = (open_us - self._counted_us) // HOUR_US
        self._counted_us += hours * HOUR_US
        self._cuts = min(self._cuts + hours, CUTS_MAX)

    def note_sale(self, open_us: int) -> None:
        """A request of others was taken."""
        self.advance(open_us)
        self._counted_us = open_us
        self._cuts = max(self._cuts - 1, 0)

    def compute_share(self, settings: PolicySettings, utilisation_permille: int) -> int:
        """The share of its prices to ask now, in thousandths."""
        by_load = compute_curve(settings.load_curve, utilisation_permille)
        by_idling = max(PERMILLE - self._cuts * settings.idle_cut_permille, 0)
        return max(by_load * by_idling // PERMILLE, settings.price_floor_permille)


def compute_curve(curve: Sequence[CurvePoint], utilisation_permille: int) -> int:
    """The share a load curve says, in thousandths, rounded down; all of it where there is none."""
    if not curve:
        return PERMILLE
    if utilisation_permille <= curve[0].utilisation_permille:
        return curve[0].price_permille
    for low, high in pairwise(curve):
        if utilisation_permille <= high.utilisation_permille:
            reach = high.utilisation_permille - low.utilisation_permille
            gone = utilisation_permille - low.utilisation_permille
            return low.price_permille + (high.price_permille - low.price_permille) * gone // reach
    return curve[-1].price_permille
