"""What the places for a request are compared by: one number for each, the least is best.

An engine with many runs looks fast to one more, which bears little of the harm it does to the
others. So a place is as good as it is for everybody: what the request itself waits for, what it is
late by, and what all others there wait longer because of it. What it costs counts as the time that
its user would wait to save as much.
"""

from wwwserve.core.placing import NO_AIM, Aim, Bid
from wwwserve.values.moments import SECOND

PRICE_US_MAX = 3_600 * SECOND
"""A place is never taken for worse than an hour because of its price."""


def weigh(bid: Bid, aim: Aim = NO_AIM) -> int:
    """The time a request would take of everybody's there, its own user's included."""
    price_us = 0
    if bid.cost and aim.second_value:
        price_us = min(bid.cost * SECOND // aim.second_value, PRICE_US_MAX)
    return bid.finish_us + aim.compute_lateness_us(bid) + bid.burden_us + price_us
