"""`wwwserve engine`: the small real model, the local engine alone, and an emulated GPU."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from wwwserve.adapters.engines import (
    FETCHED_MODEL,
    EmulatedSettings,
    FetchFailure,
    FetchProgress,
    LocalSettings,
    fetch_model,
    parse_fault,
    serve_emulated,
    serve_local,
)
from wwwserve.cli.terminal import (
    CommandFailed,
    JsonFlag,
    open_console,
    open_side_console,
    print_json,
    print_table,
)
from wwwserve.enginemodel import find_profile, list_profiles

app = App(name="engine", help="Engines of our own: a small real one, and an emulated GPU.")


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

    serve_local(settings, lambda url: _tell_ready(url, as_json=as_json))


@app.command
def emulate(
    *,
    profile: Annotated[str, Parameter(help="GPU:MODEL; `wwwserve engine profiles` lists them.")],
    port: Annotated[int, Parameter(help="0 = any free one.")] = 0,
    speedup: Annotated[float, Parameter(help="How much faster than the real engine.")] = 1.0,
    seed: Annotated[int, Parameter(help="Decides lengths of answers, and faults.")] = 0,
    fault: Annotated[
        tuple[str, ...],
        Parameter(
            help="KIND[:SHARE%][@SECONDS]; kinds: crash, hang, drip, 5xx. May be repeated.",
            negative="",
            show_default=False,
        ),
    ] = (),
    as_json: JsonFlag = False,
) -> None:
    """Run a pretend engine that takes the time a GPU would, on loopback, until Ctrl-C."""
    settings = EmulatedSettings(
        profile=find_profile(profile),
        port=port,
        speedup=speedup,
        seed=seed,
        faults=tuple(parse_fault(text) for text in fault),
    )
    serve_emulated(settings, lambda url: _tell_ready(url, as_json=as_json))


@app.command
def profiles(*, as_json: JsonFlag = False) -> None:
    """Which GPUs and models can be emulated."""
    if as_json:
        print_json(list_profiles())
        return
    print_table(
        "profiles of GPUs with models",
        ("profile", ">context in the cache", ">at once", "checked"),
        [
            (
                profile.name,
                f"{profile.kv_capacity_tokens:,}",
                str(profile.max_num_seqs),
                profile.confidence,
            )
            for profile in list_profiles()
        ],
    )


def _tell_ready(url: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"event": "ready", "url": url})
    else:
        open_console().print(f"The engine answers at {url}/v1 (Ctrl-C stops it).")


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
