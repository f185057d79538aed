"""A policy in a file means what it says, and a slip in it is told with its name and the fix."""

import re
import tomllib
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from wwwserve.core.policy_settings import CurvePoint, PolicySettings
from wwwserve.node import Config, Layer, parse_config
from wwwserve.node.config import PolicyConfig, PriceConfig, StakeConfig
from wwwserve.node.hours import parse_pause
from wwwserve.node.setup_parts import make_policy
from wwwserve.values.credits import CREDIT, MICROCREDITS_MAX
from wwwserve.values.moments import SECOND
from wwwserve.values.refusals import BadInput

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "policies.md"


def parse(**policy: object) -> Config:
    return parse_config([Layer("config.toml", {"policy": policy})]).config


def make(**policy: object) -> PolicySettings:
    config = parse(**policy)
    return make_policy(config)


def refuse(**policy: object) -> BadInput:
    with pytest.raises(BadInput) as caught:
        parse(**policy)
    return caught.value


def test_the_defaults_of_a_file_are_those_of_the_core() -> None:
    assert make() == PolicySettings()


def test_every_setting_arrives() -> None:
    settings = make(
        idle_only=True,
        idle_busy_max=0.15,
        idle_for_s=60,
        reserve_concurrency=2,
        requests_per_minute_max=30,
        tokens_per_day_per_peer_max=5_000,
        context_tokens_max=8_192,
        offload_price_max="1500.5",
        offload_credits_per_day_max=20,
        guest="mine",
        price={"load_curve": ["0:0.8", "0.755:1", "1: 2.5"], "floor": 0.3, "idle_cut": 0},
        stake={"target_seats": 7, "reserve": "12.5"},
    )
    assert settings == PolicySettings(
        idle_only=True,
        idle_busy_permille=150,
        idle_for_us=60 * SECOND,
        reserve_concurrency=2,
        requests_per_minute_max=30,
        tokens_per_day_per_peer_max=5_000,
        context_tokens_max=8_192,
        offload_price_max=1500 * CREDIT + CREDIT // 2,
        offload_credits_per_hour_max=MICROCREDITS_MAX,
        offload_credits_per_day_max=20 * CREDIT,
        guest="mine",
        load_curve=(CurvePoint(0, 800), CurvePoint(755, 1000), CurvePoint(1000, 2500)),
        price_floor_permille=300,
        idle_cut_permille=0,
        stake_seats=7,
        stake_reserve=12 * CREDIT + CREDIT // 2,
    )
    assert make(stake={"income_share": 0.25}) == PolicySettings(stake_income_permille=250)


@pytest.mark.parametrize(
    ("policy", "field", "words"),
    [
        ({"tokens_per_day_max": -1}, "policy.tokens_per_day_max", "from 1 to"),
        ({"requests_per_minute_max": 0}, "policy.requests_per_minute_max", "from 1 to"),
        ({"reserve_concurrency": -1}, "policy.reserve_concurrency", "from 0 to"),
        ({"idle_busy_max": 20}, "policy.idle_busy_max", "from 0 to 1"),
        ({"idle_for_s": 90_000}, "policy.idle_for_s", "to 86400"),
        ({"paused_until": "tomorrow"}, "policy.paused_until", "2026-03-02 14:30"),
        ({"paused_until": "0001-01-01T00:00+14:00"}, "policy.paused_until", "a date and a time"),
        ({"offload_price_max": 0.1}, "policy.offload_price_max", "credits"),
        ({"offload_credits_per_day_max": "-1"}, "policy.offload_credits_per_day_max", "credits"),
        ({"token_per_day_max": 1}, "policy.token_per_day_max", "policy.tokens_per_day_max"),
        ({"price": {"load_curve": ["half"]}}, "policy.price.load_curve", "0.5:0.8"),
        ({"price": {"load_curve": ["1.5:1"]}}, "policy.price.load_curve", "up to 1"),
        ({"price": {"load_curve": ["0:101"]}}, "policy.price.load_curve", "up to 100"),
        ({"price": {"load_curve": ["0.5:1", "0.5:2"]}}, "policy.price.load_curve", "rising"),
        ({"price": {"floor": -0.1}}, "policy.price.floor", "from 0 to 1"),
        ({"stake": {"income_share": 1.5}}, "policy.stake.income_share", "from 0 to 1"),
        ({"stake": {"target_seats": -1}}, "policy.stake.target_seats", "from 0 to"),
        ({"stake": {"reserve": "-3"}}, "policy.stake.reserve", "credits"),
        ({"stake": {"reserve": 0.1}}, "policy.stake.reserve", "credits"),
        ({"stake": {"seats": 5}}, "policy.stake.seats", "policy.stake.target_seats"),
        (
            {"stake": {"target_seats": 5, "income_share": 0.1}},
            "policy.stake",
            "leave out target_seats",
        ),
    ],
)
def test_a_slip_is_told_with_its_name(policy: dict[str, object], field: str, words: str) -> None:
    error = refuse(**policy)
    assert error.field == field
    assert words in str(error)


@pytest.mark.parametrize(
    ("text", "zone", "moment"),
    [
        ("2026-03-02 14:30", "Europe/Zurich", datetime(2026, 3, 2, 13, 30, tzinfo=UTC)),
        ("2026-07-02T14:30", "Europe/Zurich", datetime(2026, 7, 2, 12, 30, tzinfo=UTC)),
        ("2026-03-02T14:30Z", "Asia/Tokyo", datetime(2026, 3, 2, 14, 30, tzinfo=UTC)),
        ("2026-03-02", "Asia/Tokyo", datetime(2026, 3, 1, 15, 0, tzinfo=UTC)),
    ],
)
def test_a_pause_ends_by_the_clock_of_its_zone(text: str, zone: str, moment: datetime) -> None:
    until_us = parse_pause("policy.paused_until", text, ZoneInfo(zone))
    assert until_us == moment.timestamp() * SECOND


def test_no_pause_is_none() -> None:
    assert parse_pause("policy.paused_until", "", None) is None


def list_guide_tables() -> list[dict[str, object]]:
    """The `[policy]` of each block of TOML in the guide."""
    text = GUIDE.read_text(encoding="utf-8")
    blocks = re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    tables = [tomllib.loads(block) for block in blocks]
    return [table["policy"] for table in tables if "policy" in table]


def test_the_guide_shows_every_setting_and_no_other() -> None:
    tables = list_guide_tables()
    for table in tables:
        parse(**table)
    keys = {key for table in tables for key in table}
    assert keys == {field.name for field in fields(PolicyConfig)} | {"price", "stake"}
    (price,) = [table["price"] for table in tables if "price" in table]
    assert isinstance(price, dict)
    assert price.keys() == {field.name for field in fields(PriceConfig)}
    stakes = [table["stake"] for table in tables if "stake" in table]
    shown = {key for stake in stakes if isinstance(stake, dict) for key in stake}
    assert shown == {field.name for field in fields(StakeConfig)}
