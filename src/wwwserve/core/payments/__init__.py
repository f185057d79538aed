"""What requests cost, and how it is paid: quotes, holds, units, claims, and who trusts first."""

from wwwserve.core.payments.meters import PayeeMeter, PayerMeter

__all__ = ["PayeeMeter", "PayerMeter"]
