"""A key gets what its rules allow, evenly, and hears when to come back; never more, never less.

Time is a number here: each test says when things happen.
"""

import pytest

from wwwserve.frontends.gateway import limits
from wwwserve.frontends.gateway.errors import Refused
from wwwserve.frontends.gateway.limits import KeyLimits
from wwwserve.ports.keys import KeyRules
from wwwserve.values.moments import SECOND, Moment

START = Moment(5 * SECOND)


def at(seconds: float) -> Moment:
    return Moment(START + int(seconds * SECOND))


def refused(table: KeyLimits, rules: KeyRules, tokens: int, now: Moment) -> Refused:
    with pytest.raises(Refused) as caught:
        table.admit(rules, tokens, now)
    assert caught.value.status == 429
    return caught.value


def test_without_limits_everything_goes() -> None:
    table, rules = KeyLimits(), KeyRules(name="free")
    for _ in range(1_000):
        table.admit(rules, 10**9, START)
    assert table.make_headers(rules, START) == {}


def test_a_minutes_worth_goes_at_once_and_then_one_by_one() -> None:
    table, rules = KeyLimits(), KeyRules(name="k", requests_per_minute_max=3)
    for _ in range(3):
        table.admit(rules, 0, START)
    error = refused(table, rules, 0, START)
    assert error.headers["retry-after"] == "20"
    assert error.headers["x-ratelimit-remaining-requests"] == "0"
    assert error.code == "rate_limit_exceeded"
    refused(table, rules, 0, at(19))
    table.admit(rules, 0, at(20))
    refused(table, rules, 0, at(20))


def test_a_refused_request_takes_nothing() -> None:
    table = KeyLimits()
    rules = KeyRules(name="k", requests_per_minute_max=2, tokens_per_minute_max=100)
    table.admit(rules, 100, START)
    for _ in range(10):
        refused(table, rules, 50, START)
    assert table.make_headers(rules, START)["x-ratelimit-remaining-requests"] == "1"


def test_tokens_are_corrected_by_what_was_used() -> None:
    table, rules = KeyLimits(), KeyRules(name="k", tokens_per_minute_max=600)
    lease = table.admit(rules, 600, START)
    assert refused(table, rules, 60, START).headers["retry-after"] == "6"
    table.release(lease, 540, START)
    table.admit(rules, 60, START)
    refused(table, rules, 1, START)


def test_use_above_the_estimate_is_owed() -> None:
    table, rules = KeyLimits(), KeyRules(name="k", tokens_per_minute_max=600)
    table.release(table.admit(rules, 10, START), 1_200, START)
    assert refused(table, rules, 1, at(59)).type == "tokens"
    table.admit(rules, 1, at(61))


def test_a_request_larger_than_the_limit_waits_for_the_full_bucket() -> None:
    table, rules = KeyLimits(), KeyRules(name="k", tokens_per_minute_max=100)
    table.admit(rules, 10_000, START)
    refused(table, rules, 10_000, at(59))
    table.admit(rules, 10_000, at(60))


def test_only_so_many_run_at_once() -> None:
    table, rules = KeyLimits(), KeyRules(name="k", concurrent_max=2)
    first, _ = table.admit(rules, 0, START), table.admit(rules, 0, START)
    assert int(refused(table, rules, 0, START).headers["retry-after"]) >= 1
    table.release(first, None, START)
    table.release(first, None, START)
    table.admit(rules, 0, START)
    refused(table, rules, 0, START)


def test_keys_do_not_take_from_each_other() -> None:
    table = KeyLimits()
    one, two = (KeyRules(name=name, requests_per_minute_max=1) for name in ("one", "two"))
    table.admit(one, 0, START)
    table.admit(two, 0, START)
    refused(table, one, 0, START)


def test_what_is_left_is_told() -> None:
    table = KeyLimits()
    rules = KeyRules(name="k", requests_per_minute_max=60, tokens_per_minute_max=6_000)
    table.admit(rules, 1_000, START)
    assert table.make_headers(rules, START) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1000ms",
        "x-ratelimit-limit-tokens": "6000",
        "x-ratelimit-remaining-tokens": "5000",
        "x-ratelimit-reset-tokens": "10000ms",
    }


def test_the_table_is_bounded_and_forgets_idle_keys_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "KEYS_TRACKED_MAX", 2)
    table, busy = KeyLimits(), KeyRules(name="busy", concurrent_max=1)
    lease = table.admit(busy, 0, START)
    for number in range(5):
        idle = KeyRules(name=str(number))
        table.release(table.admit(idle, 0, START), 0, START)
    refused(table, busy, 0, START)
    table.release(lease, 0, START)
    table.admit(busy, 0, START)
