"""A local engine's settings are filled in, checked, and survive the way over a command line."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from wwwserve.adapters.engines import FETCHED_MODEL, LocalSettings
from wwwserve.adapters.engines.local_command import (
    build_arguments,
    parse_arguments,
    resolve_local,
)
from wwwserve.values.refusals import BadInput

pytest.importorskip("xllamacpp", reason="the local extra is not installed")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "my model-Q4_K_M.gguf"
    path.write_bytes(b"GGUF")
    return path


def test_defaults_are_filled_in(model: Path) -> None:
    settings = resolve_local(LocalSettings(model_path=model))
    assert settings.model_name == "my model-Q4_K_M"
    assert settings.threads >= 1


def test_the_command_line_carries_every_setting(model: Path) -> None:
    settings = LocalSettings(
        model_path=model, model_name="--odd name", slots=3, context_tokens=512, threads=2, port=81
    )
    assert parse_arguments(build_arguments(settings)) == replace(settings)


def test_the_fetched_model_that_is_not_there_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WWWSERVE_CACHE", str(tmp_path))
    with pytest.raises(BadInput) as caught:
        resolve_local(LocalSettings())
    assert caught.value.fix == "wwwserve engine fetch"
    assert FETCHED_MODEL.file_name in caught.value.found


def test_a_file_of_the_users_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"absent\.gguf"):
        resolve_local(LocalSettings(model_path=tmp_path / "absent.gguf"))


def test_a_missing_extra_names_the_command(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "xllamacpp", raising=False)
    with pytest.raises(BadInput) as caught:
        resolve_local(LocalSettings(model_path=model))
    assert caught.value.fix == "pip install 'wwwserve[local]'"


@pytest.mark.parametrize(
    "wrong",
    [{"slots": 0}, {"slots": 65}, {"context_tokens": 1}, {"threads": -1}, {"port": 70_000}],
)
def test_numbers_no_engine_can_have_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(BadInput, match="engine"):
        LocalSettings(**wrong)  # type: ignore[arg-type]
