"""The file a new node starts with says the truth: every setting is in it, with its real default.

The commented lines are uncommented and parsed as an operator would have them.
"""

import re
import tomllib
from dataclasses import fields

from wwwserve.node import Config, Layer, make_config_text, parse_config
from wwwserve.node.config import (
    EngineConfig,
    ModelConfig,
    ObjectiveConfig,
    PriceConfig,
    StakeConfig,
)

SETTING = re.compile(r"^# (\w+ = |\[)")


def uncomment(text: str) -> str:
    return "\n".join(
        line.removeprefix("# ") if SETTING.match(line) else line for line in text.splitlines()
    )


def test_a_new_file_changes_nothing() -> None:
    values = tomllib.loads(make_config_text())
    assert parse_config([Layer("config.toml", values)]).config == Config()


def test_every_setting_is_there_with_its_default() -> None:
    values = tomllib.loads(uncomment(make_config_text()))
    price, stake = values["policy"].pop("price"), values["policy"].pop("stake")
    assert price.keys() == {field.name for field in fields(PriceConfig)}
    assert stake.keys() == {field.name for field in fields(StakeConfig)}
    for section in ("network", "links", "gateway", "admin", "logs", "policy", "ledger", "wallet"):
        known = {field.name for field in fields(getattr(Config(), section))}
        assert values[section].keys() == known
    values["policy"] |= {"price": price, "stake": stake}
    assert values["engine"].keys() == {field.name for field in fields(EngineConfig)}
    several = [Layer("config.toml", {"engines": values["engines"]})]
    assert [engine.name for engine in parse_config(several).config.engines] == ["large", "small"]
    (model,) = values["models"]
    assert model.keys() == {field.name for field in fields(ModelConfig)}
    assert values["groups"].keys() == {"small"}
    (objective,) = values["objectives"]
    assert objective.keys() == {field.name for field in fields(ObjectiveConfig)}
    del values["models"], values["groups"], values["engines"], values["objectives"]
    assert parse_config([Layer("config.toml", values)]).config == Config()


def test_the_engine_can_be_named_at_once() -> None:
    url = 'http://127.0.0.1:8000/v1?"quoted"'
    assert tomllib.loads(make_config_text(url))["engine"] == {"url": url}


def test_a_node_of_the_local_network_has_three_settings_and_all_else_as_before() -> None:
    text = make_config_text(on_lan=True)
    values = tomllib.loads(text)
    assert values.pop("policy") == {"price": {}, "stake": {}}
    assert {section: keys for section, keys in values.items() if keys} == {
        "links": {"listen": "0.0.0.0:8778", "advertise": ["auto"]},
        "network": {"lan_discovery": True},
    }
    parse_config([Layer("config.toml", values)])
    assert set(tomllib.loads(uncomment(text))) == set(tomllib.loads(uncomment(make_config_text())))
