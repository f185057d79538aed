"""`wwwserve engine`: the small real model, and the local engine on its own."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from wwwserve.adapters.engines import (
    FETCHED_MODEL,
    FetchFailure,
    FetchProgress,
    LocalSettings,
    fetch_model,
    serve_local,
)
from wwwserve.cli.terminal import (
    CommandFailed,
    JsonFlag,
    open_console,
    open_side_console,
    print_json,
)

app = App(name="engine", help="The local engine: fetch a model, or run it alone.")


@app.command
def fetch(*, as_json: JsonFlag = False) -> None:
    """Bring a small real model to this machine (98 MB, once); nothing is fetched after that."""
    path = fetch_with_progress()
    if as_json:
        print_json({"model": FETCHED_MODEL.model_name, "path": str(path)})
    else:
        open_console().print(f"{FETCHED_MODEL.model_name} is at {path}", soft_wrap=True)


@app.command
def local(
    *,
    model: Annotated[Path | None, Parameter(help="A GGUF file; without one, the fetched.")] = None,
    port: Annotated[int, Parameter(help="0 = any free one.")] = 0,
    slots: Annotated[int, Parameter(help="Requests worked on at once.")] = 4,
    context_tokens: Annotated[int, Parameter(help="Prompt plus answer of one request.")] = 2_048,
    threads: Annotated[int, Parameter(help="0 = half of the cores.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Run the local engine alone, as an OpenAI-compatible server on loopback, until Ctrl-C."""
    settings = LocalSettings(
        model_path=model, port=port, slots=slots, context_tokens=context_tokens, threads=threads
    )

    def on_ready(url: str) -> None:
        if as_json:
            print_json({"event": "ready", "url": url})
        else:
            open_console().print(f"The engine answers at {url}/v1 (Ctrl-C stops it).")

    serve_local(settings, on_ready)


def fetch_with_progress() -> Path:
    """Make sure the small model is here, with a progress bar while it is not."""
    columns = (
        TextColumn("{task.description:>12}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    console = open_side_console()
    bars = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    try:
        with bars:
            task = bars.add_task("looking", total=None)

            def on_progress(progress: FetchProgress) -> None:
                bars.update(
                    task,
                    description=progress.stage.value,
                    completed=progress.done_bytes,
                    total=progress.total_bytes or None,
                )

            return fetch_model(on_progress)
    except FetchFailure as error:
        raise CommandFailed(error.detail, error.fix) from error
