"""What this provider allows: when, what, how much and at what price.

Rules of the machine:

- Every answer is a pure function of the settings in force and a `Case`, which holds everything else
  it rests on; `rules` and `offers` hold these functions, `machine` the settings and the draws.
- So each answer can be given again later, and explained: answers are told as facts, with their
  cases, and `replaying` decides a day of them anew.
- A request's draw depends on the request alone, so asking again does not change an answer, and a
  probe and the offer that follows it meet the same one.
- What was accepted is never taken back; a new policy holds for the next decision.
- Counts (`usage`, `spending`) are never too low, and go on whatever policy comes into force.
- How much is staked (`staking`) is decided likewise, with each block of the ledger.
- The hours (`hours`, `opening`) turn at moments of their own: `Opening.turn_at` says when the next
  one is, and it is called before anything else is decided at or after that moment.
"""

from wwwserve.core.policy.asking import compute_curve
from wwwserve.core.policy.diary import (
    Carried,
    Decided,
    InForce,
    Life,
    Record,
    Remembered,
    SetAside,
    Spent,
    Staked,
    Used,
    encode_record,
    make_answer,
    make_record,
    read_answer,
    read_record,
)
from wwwserve.core.policy.hours import WEEK_MINUTES, WEEK_US
from wwwserve.core.policy.machine import Policy
from wwwserve.core.policy.replaying import Change, Outcome, Replayed, replay
from wwwserve.core.policy.rules import decide, explain, is_shared
from wwwserve.core.policy.ruling import count_answer_tokens, is_below_target
from wwwserve.core.policy.staking import decide_stake, describe_stake

__all__ = [
    "WEEK_MINUTES",
    "WEEK_US",
    "Carried",
    "Change",
    "Decided",
    "InForce",
    "Life",
    "Outcome",
    "Policy",
    "Record",
    "Remembered",
    "Replayed",
    "SetAside",
    "Spent",
    "Staked",
    "Used",
    "compute_curve",
    "count_answer_tokens",
    "decide",
    "decide_stake",
    "describe_stake",
    "encode_record",
    "explain",
    "is_below_target",
    "is_shared",
    "make_answer",
    "make_record",
    "read_answer",
    "read_record",
    "replay",
]
