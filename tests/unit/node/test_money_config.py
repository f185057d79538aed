"""Prices, lines and reserves are read exactly, from every layer, and refused by name and fix."""

from pathlib import Path

import pytest

from wwwserve.node import Config, DoorChoice, Layer, list_values, load_config, parse_config
from wwwserve.node.config import list_changes
from wwwserve.node.setup_parts import make_prices
from wwwserve.ports.peer_handle import ConfigChange
from wwwserve.values.credits import CREDIT
from wwwserve.values.model_names import ModelId
from wwwserve.values.refusals import BadInput

FILE = """
[policy]
own_first = false
[policy.price]
prompt = "0.25"
[policy.price.models."Qwen/Qwen3-8B"]
completion = 12
[ledger]
door = "earn"
[wallet]
reserve = "1.5"
"""


def parse(**sections: object) -> Config:
    return parse_config([Layer("config.toml", sections)]).config


def refuse(**sections: object) -> BadInput:
    with pytest.raises(BadInput) as caught:
        parse(**sections)
    return caught.value


def test_a_section_within_another_is_read_from_every_layer(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(FILE, encoding="utf-8")
    loaded = load_config(
        path, {"WWWSERVE_POLICY__PRICE__COMPLETION": "0.5"}, ["policy.price.prompt=0.75"]
    )
    config = loaded.config
    assert not config.policy.own_first
    assert config.ledger.door is DoorChoice.EARN
    assert loaded.origins["policy.price.completion"] == "environment"
    rows = {key: (value, origin) for key, value, origin in list_values(loaded)}
    assert rows["policy.price.prompt"] == ("0.75", "flag")
    assert rows["wallet.reserve"] == ("1.5", str(path))
    prices = make_prices(config.price, config.ledger)
    other = prices.find(ModelId("a/b"))
    assert (other.prompt, other.completion) == (CREDIT * 3 // 4, CREDIT // 2)
    assert prices.line_max == 10 * CREDIT
    own = prices.find(ModelId("Qwen/Qwen3-8B"))
    assert (own.prompt, own.completion) == (CREDIT * 3 // 4, 12 * CREDIT)


def test_prices_without_a_word_are_the_reference_ones() -> None:
    prices = make_prices(Config().price, Config().ledger)
    assert prices.default.prompt * 500 + prices.default.completion * 250 == pytest.approx(
        1_000_000 * CREDIT, rel=0.001
    )


@pytest.mark.parametrize(
    ("sections", "field", "expected"),
    [
        ({"policy": {"price": {"prompt": 0.5}}}, "policy.price.prompt", "quotes"),
        ({"policy": {"price": {"prompt": True}}}, "policy.price.prompt", "credits"),
        ({"policy": {"price": {"prompt": "-1"}}}, "policy.price.prompt", "credits"),
        ({"policy": {"price": {"completion": 2_000_000}}}, "policy.price.completion", "at most"),
        ({"policy": {"price": {"promt": 1}}}, "policy.price.promt", "a known one"),
        ({"policy": {"price": {"models": {"a": {}}}}}, "policy.price.models", "org/name"),
        (
            {"policy": {"price": {"models": {"a/b": {"x": 1}}}}},
            "policy.price.models",
            "prompt and completion",
        ),
        (
            {"policy": {"price": {"models": {"a/b": {"prompt": "x"}}}}},
            'policy.price.models."a/b".prompt',
            "credits",
        ),
        ({"ledger": {"door": "window"}}, "ledger.door", "'earn'"),
        ({"ledger": {"line_max": "lots"}}, "ledger.line_max", "credits"),
        ({"wallet": {"reserve": -1}}, "wallet.reserve", "credits"),
    ],
)
def test_a_wrong_amount_names_its_field(
    sections: dict[str, object], field: str, expected: str
) -> None:
    error = refuse(**sections)
    assert error.field == field
    assert expected in error.expected
    assert error.fix


def test_a_changed_price_is_told_as_a_change() -> None:
    old = parse_config([])
    new = parse_config([Layer("file", {"policy": {"price": {"prompt": "0.5"}}})])
    assert list_changes(old, new) == (ConfigChange("policy.price.prompt", 667, "0.5"),)
