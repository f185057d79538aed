"""What a local engine is started with: defaults filled in, checked, and as a command line."""

import argparse
import importlib.util
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from wwwserve.adapters.engines.model_files import FETCHED_MODEL, get_default_model_path
from wwwserve.adapters.engines.settings import LocalSettings
from wwwserve.values.refusals import BadInput


def resolve_local(settings: LocalSettings) -> LocalSettings:
    """Fill in what was left to defaults; raises `BadInput` when something is not installed."""
    if importlib.util.find_spec("xllamacpp") is None:
        raise BadInput(
            field="engine",
            found="no local engine installed",
            expected="the 'local' extra (the package xllamacpp)",
            fix="pip install 'wwwserve[local]'",
        )
    path = settings.model_path or get_default_model_path()
    if not path.is_file():
        is_default = settings.model_path is None
        raise BadInput(
            field="engine model",
            found=f"no file {path}",
            expected="a GGUF file",
            fix="wwwserve engine fetch" if is_default else "give the path of a GGUF file",
        )
    default_name = path.stem if settings.model_path else FETCHED_MODEL.model_name
    return replace(
        settings,
        model_path=path,
        model_name=settings.model_name or default_name,
        threads=settings.threads or max(1, (os.cpu_count() or 1) // 2),
    )


def build_arguments(settings: LocalSettings) -> tuple[str, ...]:
    """The command line that makes a child serve `settings` (resolved)."""
    return (
        f"--model={settings.model_path}",
        f"--name={settings.model_name}",
        f"--slots={settings.slots}",
        f"--context={settings.context_tokens}",
        f"--threads={settings.threads}",
        f"--port={settings.port}",
    )


def parse_arguments(arguments: Sequence[str]) -> LocalSettings:
    """What `build_arguments` wrote."""
    parser = argparse.ArgumentParser(description="llama.cpp's server in front of one GGUF file")
    defaults = LocalSettings()
    parser.add_argument("--model", type=Path)
    parser.add_argument("--name", default="")
    parser.add_argument("--slots", type=int, default=defaults.slots)
    parser.add_argument("--context", type=int, default=defaults.context_tokens)
    parser.add_argument("--threads", type=int, default=defaults.threads)
    parser.add_argument("--port", type=int, default=defaults.port)
    found = parser.parse_args(arguments)
    return LocalSettings(
        model_path=found.model,
        model_name=found.name,
        slots=found.slots,
        context_tokens=found.context,
        threads=found.threads,
        port=found.port,
    )
