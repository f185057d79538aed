"""Objectives in a configuration: read as written, and refused with the field and the fix."""

from pathlib import Path

import pytest

from wwwserve.core.placing import OnMiss
from wwwserve.node.config import load_config
from wwwserve.node.setup_parts import make_objectives
from wwwserve.values.refusals import BadInput

CHAT = """
[[objectives]]
name = "chat"
base_ms = 2000
completion_token_us = 40000
on_miss = "refuse"
second_value = "0.5"
"""


def load(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text)
    return path


def test_an_objective_is_a_time_and_what_a_miss_means(tmp_path: Path) -> None:
    config = load_config(load(tmp_path, CHAT), {}).config
    chat = make_objectives(config)["chat"]
    assert chat.compute_bound_us(100, 50) == 4_000_000
    assert chat.on_miss is OnMiss.REFUSE
    assert chat.second_value == 500_000


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('[[objectives]]\nname = "chat"', "base_ms"),
        ("[[objectives]]\nbase_ms = 1", "name"),
        ('[[objectives]]\nname = " "\nbase_ms = 1', "name"),
        ('[[objectives]]\nname = "chat"\nbase_ms = 1\non_miss = "cry"', "on_miss"),
        ('[[objectives]]\nname = "chat"\nbase_ms = 1\nsecond_value = "much"', "second_value"),
        (CHAT + CHAT, "objectives.name"),
    ],
)
def test_one_that_cannot_be_is_refused_by_its_field(tmp_path: Path, text: str, field: str) -> None:
    with pytest.raises(BadInput) as refused:
        load_config(load(tmp_path, text), {})
    assert field in refused.value.field
    assert refused.value.fix
