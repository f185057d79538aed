"""What requests cost, and how it is paid: quotes, holds, units, claims, and who trusts first."""
