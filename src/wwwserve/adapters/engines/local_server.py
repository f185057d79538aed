"""Run llama.cpp's server, as a library, in front of one GGUF file: alone or as a node's child.

As a child (`python -m wwwserve.adapters.engines.local_server --model ...`) it follows the protocol
of `readiness`. Loading a model holds the interpreter, so a parent's end is noticed right after it.
"""

import signal
import sys
import threading
from collections.abc import Callable, Sequence

from wwwserve.adapters.engines.local_command import parse_arguments, resolve_local
from wwwserve.adapters.engines.readiness import (
    announce_ready,
    end_with_parent,
    reserve_standard_output,
)
from wwwserve.adapters.engines.settings import LocalSettings
from wwwserve.values.refusals import BadInput

PROMPT_CACHE_MIB = 256
"""Memory for prompts' states that left their slot, so that a returning prefix is not read again."""

_HOST = "127.0.0.1"


def serve_local(settings: LocalSettings, on_ready: Callable[[str], None]) -> None:
    """Serve in the foreground until SIGINT or SIGTERM; `on_ready` is told the URL.

    Running answers are finished first; a second signal ends them too. Call it on the main thread.
    Raises `BadInput` when something is missing or the model cannot be loaded.
    """
    server, url = _open_server(resolve_local(settings))
    is_over = threading.Event()

    def on_signal(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        is_over.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    on_ready(url)
    is_over.wait()
    del server  # Its end waits for the answers it is giving.


def _open_server(settings: LocalSettings) -> tuple[object, str]:
    # Imported here because it is an extra, and because its import alone takes a while.
    import xllamacpp  # noqa: PLC0415

    assert settings.model_path is not None
    params = xllamacpp.CommonParams()
    params.model.path = str(settings.model_path)
    params.model_alias = {settings.model_name}
    params.n_parallel = settings.slots
    params.n_ctx = settings.slots * settings.context_tokens  # Divided among the slots.
    params.fit_params = False  # Take these numbers or fail; do not shrink them silently.
    params.cpuparams.n_threads = settings.threads
    params.cache_ram_mib = PROMPT_CACHE_MIB
    params.embedding = True
    params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    params.endpoint_metrics = True
    params.endpoint_slots = True
    params.hostnames = [_HOST]
    params.port = settings.port
    params.cors_origins = ""  # No web page may use it.
    params.cors_credentials = False
    params.ui = False
    params.verbosity = 1  # Errors.
    try:
        server = xllamacpp.Server(params)
    except (RuntimeError, ValueError) as error:
        raise BadInput(
            field="engine model",
            found=f"{settings.model_path}: {error}",
            expected="a GGUF file llama.cpp can load, and memory for it",
            fix="try fewer slots, less context_tokens or another file",
        ) from error
    return server, str(server.listening_address)


def main(arguments: Sequence[str]) -> None:
    """Serve as the child of a process that holds our standard input."""
    output = reserve_standard_output()
    end_with_parent()
    try:
        server, url = _open_server(resolve_local(parse_arguments(arguments)))
    except BadInput as error:
        raise SystemExit(str(error)) from error
    announce_ready(output, url)
    # SIGTERM keeps its default: whoever wanted the answers is gone, and nothing is to be saved.
    threading.Event().wait()
    del server  # Not reached: it keeps the server alive until then.


if __name__ == "__main__":
    main(sys.argv[1:])
