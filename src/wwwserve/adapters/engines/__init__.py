"""Engines: the LLM servers behind a node, whatever they are, behind one port.

`open_http_engine` reaches any OpenAI-compatible URL (and reads more from the kinds it knows),
`LocalEngine` runs a real model in a process of its own, `fetch_model` brings that model,
`MockEngineServer` is a pretend engine for tests and benches, and `serve_emulated` one that takes
the time a GPU would. All raise `BadInput` for settings no
engine can have, and `ports.engine.EngineFailure` for what the world does.
"""

from collections.abc import Callable

from wwwserve.adapters.engines.emulated_settings import EmulatedSettings, parse_fault
from wwwserve.adapters.engines.kinds import DIALECTS, open_http_engine
from wwwserve.adapters.engines.local import LocalEngine
from wwwserve.adapters.engines.local_command import resolve_local
from wwwserve.adapters.engines.mock import MockEngineServer
from wwwserve.adapters.engines.mock_course import MockSettings
from wwwserve.adapters.engines.model_files import (
    FETCHED_MODEL,
    FetchFailure,
    FetchProgress,
    FetchStage,
    fetch_model,
    get_default_model_path,
    get_models_folder,
)
from wwwserve.adapters.engines.openai_http import HttpEngine
from wwwserve.adapters.engines.settings import EngineSettings, LocalSettings, RestartPlan
from wwwserve.adapters.engines.supervised import ServerState, SupervisedServer

__all__ = [
    "DIALECTS",
    "FETCHED_MODEL",
    "EmulatedSettings",
    "EngineSettings",
    "FetchFailure",
    "FetchProgress",
    "FetchStage",
    "HttpEngine",
    "LocalEngine",
    "LocalSettings",
    "MockEngineServer",
    "MockSettings",
    "RestartPlan",
    "ServerState",
    "SupervisedServer",
    "fetch_model",
    "get_default_model_path",
    "get_models_folder",
    "open_http_engine",
    "parse_fault",
    "resolve_local",
    "serve_emulated",
    "serve_local",
]


def serve_emulated(settings: EmulatedSettings, on_ready: Callable[[str], None]) -> None:
    """Run an emulated engine in the foreground until SIGINT or SIGTERM; `on_ready` gets its URL.

    Call it on the main thread. Raises `BadInput` when its port is taken.
    """
    from wwwserve.adapters.engines import emulated_server  # noqa: PLC0415

    emulated_server.serve_emulated(settings, on_ready)


def serve_local(settings: LocalSettings, on_ready: Callable[[str], None]) -> None:
    """Run the local engine in the foreground until SIGINT or SIGTERM; `on_ready` gets its URL.

    Call it on the main thread. Raises `BadInput` when something is not installed.
    """
    # Late, so that `python -m` finds that module fresh in the child process.
    from wwwserve.adapters.engines import local_server  # noqa: PLC0415

    local_server.serve_local(settings, on_ready)
