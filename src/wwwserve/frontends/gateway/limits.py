"""How much each API key may ask for: requests and tokens a minute, and how many at once.

A bucket is one number, the moment at which it will be full again (the cell rate algorithm of ATM,
ITU-T I.371): what is taken moves that moment away, and nothing may be taken that moves it more than
a minute ahead. So a bucket holds a minute's worth, and refills evenly without anybody counting.
"""

from dataclasses import dataclass

from wwwserve.frontends.gateway.errors import Refused, format_seconds
from wwwserve.ports.keys import KeyRules
from wwwserve.values.moments import SECOND, Moment

MINUTE_US = 60 * SECOND
KEYS_TRACKED_MAX = 10_000
"""Keys whose use is remembered; above it those whose use is the oldest are forgotten."""
CONCURRENT_RETRY_US = 1 * SECOND
"""Advice when too many run at once: nobody knows when one will end."""


@dataclass(slots=True)
class _Use:
    """What one key has taken."""

    requests_full_at: int = 0
    tokens_full_at: int = 0
    running: int = 0


@dataclass(slots=True)
class Lease:
    """The right to run one request; handed back with `KeyLimits.release`."""

    rules: KeyRules
    tokens: int
    """Taken from the token bucket at entry."""
    is_released: bool = False


class KeyLimits:
    """The use of all keys. Time is passed in; nothing here waits."""

    __slots__ = ("_uses",)

    def __init__(self) -> None:
        self._uses: dict[str, _Use] = {}

    def admit(self, rules: KeyRules, tokens: int, now: Moment) -> Lease:
        """Take one request of so many tokens. Raises `Refused` (429), and then takes nothing."""
        use = self._find_use(rules.name)
        if rules.concurrent_max and use.running >= rules.concurrent_max:
            what = f"{rules.concurrent_max} requests at once"
            raise self._refuse(rules, now, what, "concurrent", CONCURRENT_RETRY_US)
        minute_requests, minute_tokens = rules.requests_per_minute_max, rules.tokens_per_minute_max
        requests_full_at = _take(use.requests_full_at, 1, minute_requests, now)
        if requests_full_at > now + MINUTE_US:
            what = f"{minute_requests} requests a minute"
            raise self._refuse(rules, now, what, "requests", requests_full_at - now - MINUTE_US)
        # A request larger than the whole bucket goes when the bucket is full, and empties it.
        taken = min(tokens, minute_tokens)
        tokens_full_at = _take(use.tokens_full_at, taken, minute_tokens, now)
        if tokens_full_at > now + MINUTE_US:
            what = f"{minute_tokens} tokens a minute"
            raise self._refuse(rules, now, what, "tokens", tokens_full_at - now - MINUTE_US)
        use.requests_full_at, use.tokens_full_at = requests_full_at, tokens_full_at
        use.running += 1
        return Lease(rules, taken)

    def release(self, lease: Lease, tokens_used: int | None, now: Moment) -> None:
        """Hand a lease back, once; with what was really used, if that is known."""
        if lease.is_released:
            return
        lease.is_released = True
        use = self._find_use(lease.rules.name)
        use.running = max(0, use.running - 1)
        if tokens_used is not None:
            correction = tokens_used - lease.tokens
            minute_tokens = lease.rules.tokens_per_minute_max
            use.tokens_full_at = _take(use.tokens_full_at, correction, minute_tokens, now)

    def make_headers(self, rules: KeyRules, now: Moment) -> dict[str, str]:
        """What is left, in OpenAI's header names; none for what is not limited."""
        headers: dict[str, str] = {}
        use = self._uses.get(rules.name)
        if use is None:
            return headers
        for name, full_at, per_minute in (
            ("requests", use.requests_full_at, rules.requests_per_minute_max),
            ("tokens", use.tokens_full_at, rules.tokens_per_minute_max),
        ):
            if per_minute:
                wait_us = max(0, full_at - now)
                left = max(0, (MINUTE_US - wait_us) * per_minute // MINUTE_US)
                headers[f"x-ratelimit-limit-{name}"] = str(per_minute)
                headers[f"x-ratelimit-remaining-{name}"] = str(left)
                headers[f"x-ratelimit-reset-{name}"] = f"{wait_us // 1_000}ms"
        return headers

    def _find_use(self, name: str) -> _Use:
        """The use of a key, now the latest one looked at."""
        use = self._uses.pop(name, None) or _Use()
        self._uses[name] = use
        if len(self._uses) > KEYS_TRACKED_MAX:
            # Only idle ones may be forgotten: a running request must find its count again.
            idle = (known for known, use in self._uses.items() if not use.running)
            self._uses.pop(next(idle, name), None)
            self._uses.setdefault(name, use)
        return use

    def _refuse(self, rules: KeyRules, now: Moment, what: str, kind: str, retry_us: int) -> Refused:
        wait = format_seconds(retry_us)
        return Refused(
            429,
            f"the key {rules.name!r} may have {what}. Try: again in {wait} s",
            "rate_limit_exceeded",
            type=kind,
            headers={"retry-after": wait, **self.make_headers(rules, now)},
        )


def _take(full_at: int, amount: int, per_minute: int, now: Moment) -> int:
    """When a bucket is full again after taking (or, below zero, giving back) so much."""
    if not per_minute:
        return full_at
    return max(full_at, now) + amount * MINUTE_US // per_minute
