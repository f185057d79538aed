"""What requests cost, and how it is paid: quotes, holds, units, claims, and who trusts first.

- `Payments` is the machine, for both roles. Requests ask it; the ledger, the wallet and the data
  plane are spoken to in events and effects. It keeps no secret and writes nothing down: what must
  survive a crash is the wallet's.
- `PayerMeter` and `PayeeMeter` count in the data plane which unit is sent, and when to stop.
- `prices` has one function for each amount, `admission` one for each rule of a hold.

Rules of the machine:

- Nobody's word about another counts: trust is own experience and what the ledger shows.
- A hold is worked for once, by the node it names, at a price that node has quoted.
- Before a hold is final, output leaves only for payers whose stake covers all of theirs that are
  not; while the ledger stands still, for those within their lines.
- Every table has a bound with a name; what is forgotten costs trust, never money.
"""

from wwwserve.core.payments.counts import CountsDiffer, count_completion
from wwwserve.core.payments.effects import (
    ClaimHold,
    ForwardHold,
    HoldOver,
    KeepPreimage,
    PaymentsEffect,
    ProveFork,
    SubmitHold,
)
from wwwserve.core.payments.events import (
    BlockApplied,
    OfferDeclined,
    PaymentsEvent,
)
from wwwserve.core.payments.machine import Payments, PaymentsSetup
from wwwserve.core.payments.meters import PayeeMeter, PayerMeter
from wwwserve.core.payments.questions import AsksWallet
from wwwserve.core.pricing import PRICE_MAX, PRICES_DEFAULT, Prices, PriceTable

__all__ = [
    "PRICES_DEFAULT",
    "PRICE_MAX",
    "AsksWallet",
    "BlockApplied",
    "ClaimHold",
    "CountsDiffer",
    "ForwardHold",
    "HoldOver",
    "KeepPreimage",
    "OfferDeclined",
    "PayeeMeter",
    "PayerMeter",
    "Payments",
    "PaymentsEffect",
    "PaymentsEvent",
    "PaymentsSetup",
    "PriceTable",
    "Prices",
    "ProveFork",
    "SubmitHold",
    "count_completion",
]
