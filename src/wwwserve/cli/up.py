"""`wwwserve up`: run the node of a state folder until it is told to stop."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from typing import Annotated

from cyclopts import Parameter

from wwwserve.cli.terminal import (
    CommandFailed,
    HomeFlag,
    JsonFlag,
    SetFlag,
    open_side_console,
    print_facts_of,
    print_json,
)
from wwwserve.node import (
    LoadedConfig,
    Orders,
    ReadyInfo,
    StateFolder,
    find_state_folder,
    load_config,
    run_node,
)
from wwwserve.ports.store import StoreFailed
from wwwserve.values.ids import node_text
from wwwserve.values.refusals import BadInput

EXIT_CUT_OFF = 1
STANDARD_ERROR = 2
"""Its file descriptor."""


def up(
    *,
    home: HomeFlag = None,
    set_: SetFlag = (),
    as_json: JsonFlag = False,
    stop_with_stdin: Annotated[
        bool, Parameter(name="--stop-with-stdin", negative="", show=False)
    ] = False,
) -> int:
    """Run the node in the foreground. Ctrl-C lets running requests end; twice stops at once.

    SIGHUP has it read its configuration again, as `wwwserve config reload` does.
    """
    folder = find_state_folder(home, os.environ)
    load = partial(load_config, folder.config_file, os.environ, set_)
    load()  # What is mistyped is told first, whatever else is missing.
    if not folder.node_key_file.exists():
        raise BadInput(
            field="state folder",
            found=f"{folder.path}, where no node was made yet",
            expected="the folder of a node",
            fix=f"wwwserve init --home {folder.path}",
        )
    ready: list[ReadyInfo] = []

    def on_ready(info: ReadyInfo) -> None:
        ready.append(info)
        (_print_ready_json if as_json else _print_ready)(info)

    with asyncio.Runner(loop_factory=_find_loop_factory()) as runner:
        try:
            runner.run(_serve(load, folder, on_ready, stop_with_stdin=stop_with_stdin))
        except asyncio.CancelledError:
            return EXIT_CUT_OFF
        except Exception as error:
            # Here the node's last task ends, and whatever ended it is reported.
            raise _explain(error, was_ready=bool(ready)) from error
    if as_json:
        print_json({"event": "stopped"})
    return 0


async def _serve(
    load: Callable[[], LoadedConfig],
    folder: StateFolder,
    on_ready: Callable[[ReadyInfo], None],
    *,
    stop_with_stdin: bool,
) -> None:
    """Run the node; the first signal asks it to stop, the second cuts it off; SIGHUP reloads."""
    orders = Orders()
    _obey_signals(orders)
    if stop_with_stdin:
        _stop_with_stdin(orders)
    await run_node(load, folder, on_ready=on_ready, orders=orders)


def _obey_signals(orders: Orders) -> None:
    """Turn what the system sends this process into orders for the node that runs in this task."""
    loop, this = asyncio.get_running_loop(), asyncio.current_task()
    has_terminal = os.isatty(STANDARD_ERROR)
    was_told = False

    def on_stop() -> None:
        # Signals count by themselves: the first cuts off nothing that a command stops in order.
        nonlocal was_told
        if was_told:
            assert this is not None
            this.cancel()
            return
        was_told = True
        orders.stop.set()
        console = open_side_console()
        if console.is_terminal:
            # Elsewhere the log says it, in its own form.
            console.print("Stopping: running requests may end. Once more stops at once.")

    def on_hangup() -> None:
        # The same signal says that the terminal has gone, and then nobody means to reload.
        has_lost_terminal = has_terminal and not os.isatty(STANDARD_ERROR)
        (orders.stop if has_lost_terminal else orders.reload).set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_stop)
    loop.add_signal_handler(signal.SIGHUP, on_hangup)


def _stop_with_stdin(orders: Orders) -> None:
    """Whoever started us holds the other end: when they are gone, however that came, so are we."""
    loop, descriptor = asyncio.get_running_loop(), sys.stdin.fileno()

    def on_input() -> None:
        if not os.read(descriptor, 4096):
            loop.remove_reader(descriptor)
            orders.stop.set()

    loop.add_reader(descriptor, on_input)


def _find_loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The loop of uvloop, where installed: half of the standard loop's processor time."""
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return None
    return uvloop.new_event_loop


def _explain(error: Exception, *, was_ready: bool) -> Exception:
    """What the operator should read: their own mistakes in their words, a bug as it is."""
    cause: BaseException = error
    while isinstance(cause, BaseExceptionGroup) and len(cause.exceptions) == 1:
        cause = cause.exceptions[0]
    match cause:
        case BadInput():
            return cause
        case StoreFailed():
            return CommandFailed(f"the node stopped, its disk failed: {cause}", "wwwserve up")
        case OSError() if not was_ready:
            return CommandFailed(
                f"the node cannot start: {cause}",
                "another port: --set gateway.port=0, admin.port=0 or links.listen=127.0.0.1:0",
            )
        case _:
            return error


def _print_ready(info: ReadyInfo) -> None:
    models = ", ".join(info.models) or "none yet: the engine is still loading, or not there"
    links = ", ".join(info.link_addresses) or "none: this node only dials out"
    print_facts_of(
        "The node is up.",
        [
            ("node", node_text(info.node)),
            ("gateway", f"{info.gateway_url}/v1"),
            ("links", links),
            ("models", models),
            ("see", "wwwserve status, wwwserve peers, wwwserve ask"),
        ],
    )


def _print_ready_json(info: ReadyInfo) -> None:
    print_json(
        {
            "event": "ready",
            "node": node_text(info.node),
            "gateway": info.gateway_url,
            "admin": info.admin_url,
            "links": info.link_addresses,
            "models": info.models,
        }
    )
