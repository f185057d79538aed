"""What this provider allows: when, what and how much.

Rules of the machine:

- Every answer is a pure function of the settings in force, a `LoadView`, the request's summary and
  one draw; `rules` holds these functions, `machine` the settings and the draws.
- A request's draw depends on the request alone, so asking again does not change an answer, and a
  probe and the offer that follows it meet the same one.
- What was accepted is never taken back; a new policy holds for the next decision.
- The hours (`hours`, `opening`) turn at moments of their own: `Opening.turn_at` says when the next
  one is, and it is called before anything else is decided at or after that moment.
"""

from wwwserve.core.policy.hours import WEEK_MINUTES, WEEK_US
from wwwserve.core.policy.machine import Policy
from wwwserve.core.policy.rules import (
    decide_offer,
    decide_own,
    decide_wait,
    is_below_target,
    is_shared,
)

__all__ = [
    "WEEK_MINUTES",
    "WEEK_US",
    "Policy",
    "decide_offer",
    "decide_own",
    "decide_wait",
    "is_below_target",
    "is_shared",
]
