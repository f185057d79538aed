"""`wwwserve demo`: a whole network on this machine, in front of real models, told as it happens.

Several independent node processes, each with its own engine, find each other, take OpenAI requests
and hand them to one another. With `--engine emulated` the engines are eight GPUs of different kinds
with three models, which nobody needs to have. Nothing of it is left behind: state lives in a
temporary folder, and every process ends with the demo, however that ends.
"""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from time import monotonic
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from wwwserve.cli.demo_credits import wait_settled
from wwwserve.cli.demo_engines import EMULATED_PROFILES, EngineName
from wwwserve.cli.demo_network import DemoNetwork, DemoNode, join_all, open_network
from wwwserve.cli.demo_traffic import plan_questions, send_burst
from wwwserve.cli.engine import fetch_with_progress
from wwwserve.cli.genesis_text import ONE_SEQUENCER
from wwwserve.cli.narration import NAME_LENGTH, Narrator
from wwwserve.cli.terminal import JsonFlag, open_console, print_json
from wwwserve.values.credits import credits_text
from wwwserve.values.ids import node_text

NODES = 4
NODES_MAX = 16
"""Each has an engine of its own, of about 300 MB."""

REFRESH_PER_SECOND = 12
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_USAGE = """\
It is yours now; every node takes the same key. Ctrl-C ends the demo and removes all of it.

  base_url  {base_url}
  api_key   {api_key}

  curl {base_url}/chat/completions -H "Authorization: Bearer {api_key}" \\
    -H "Content-Type: application/json" \\
    -d '{{"model": "auto", "max_tokens": 48, "messages": [{{"role": "user", "content": "Hi!"}}]}}'

  {command} ask --home {home} "Hi!"
  {command} wallet --home {home}
  {command} ledger status --home {home}

  from openai import OpenAI  # pip install openai
  client = OpenAI(base_url="{base_url}", api_key="{api_key}")
  print(client.chat.completions.create(model="{model}", max_tokens=48,
      messages=[{{"role": "user", "content": "Hi!"}}]).choices[0].message.content)

End a node with `kill -9` and watch what the others do.
"""

Json = Mapping[str, object]
OnFact = Callable[[DemoNode, Json | None], None]
"""Hears a node's facts, and None when the node is gone."""

NodesFlag = Annotated[
    int | None,
    Parameter(
        help=f"Nodes to start; {NODES} without it, {len(EMULATED_PROFILES)} of emulated engines.",
        validator=Number(gte=1, lte=NODES_MAX),
    ),
]
ExitFlag = Annotated[
    float | None,
    Parameter(help="End this many seconds after the network is ready.", validator=Number(gte=0)),
]
EngineFlag = Annotated[
    EngineName,
    Parameter(help="A small real model; emulated GPUs of different kinds; or a mock for tests."),
]


def demo(
    *,
    nodes: NodesFlag = None,
    exit_after: ExitFlag = None,
    engine: EngineFlag = "local",
    as_json: JsonFlag = False,
) -> None:
    """Run a whole network on this machine until Ctrl-C, and watch it work.

    With --json, the first line says where everything is, and a line for each fact follows; nobody
    sends requests then but you.
    """
    if engine == "local":
        fetch_with_progress()
    count = nodes or (len(EMULATED_PROFILES) if engine == "emulated" else NODES)
    run = _run_json if as_json else _run
    try:
        asyncio.run(_until_stopped(run(count, engine, exit_after)))
    except asyncio.CancelledError:
        # Ctrl-C, SIGTERM or a closed terminal: how a demo ends.
        return


async def _until_stopped(work: Awaitable[None]) -> None:
    """Do the work until a signal says stop; more signals do not disturb the cleaning up."""
    this = asyncio.current_task()
    assert this is not None
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if not this.cancelling():
            this.cancel()

    for number in _SIGNALS:
        loop.add_signal_handler(number, on_signal)
    await work


async def _run_json(count: int, engine: EngineName, exit_after: float | None) -> None:
    async with open_network(count, engine, on_start=lambda _up: None) as network:
        await join_all(network, lambda _seen: None)
        print_json(_describe(network))
        async with _watching(network, _print_fact):
            await _wait(exit_after)
        print_json({"event": "stopping"})


async def _run(count: int, engine: EngineName, exit_after: float | None) -> None:
    console, narrator, begin = open_console(), Narrator(), monotonic()
    status = console.status(f"Starting {count} nodes, each with its own engine ...")

    def on_fact(node: DemoNode, fact: Json | None) -> None:
        told = _tell_end(narrator, node) if fact is None else narrator.tell(node.info.node, fact)
        if told is not None:
            moment = (f"{monotonic() - begin:6.1f} s  ", "dim")
            console.print(Text.assemble(moment, told), soft_wrap=True)

    if console.is_terminal:
        status.start()
    try:
        async with open_network(
            count,
            engine,
            on_start=lambda up: status.update(f"{up} of {count} nodes are up ..."),
        ) as network:
            async with _watching(network, on_fact):
                await join_all(
                    network,
                    lambda seen: status.update(f"Meeting: the nodes see {_list(seen)} others ..."),
                )
                status.stop()
                _show_network(console, network, narrator, monotonic() - begin)
                if engine == "emulated":
                    console.print("The answers are words without meaning, at those GPUs' pace.\n")
                await _show_traffic(console, network)
                await _show_balances(console, network, narrator)
                _show_usage(console, network)
                await _wait(exit_after)
            if console.is_terminal:
                status.update("Stopping the nodes ...")
                status.start()
    finally:
        status.stop()
    console.print("The demo is over; nothing of it is left.")


async def _wait(seconds: float | None) -> None:
    """Wait until the demo is to end by itself, or for ever."""
    if seconds is None:
        await asyncio.get_running_loop().create_future()
    else:
        await asyncio.sleep(seconds)


_UNTOLD = frozenset({"RequestDecided", "UseCounted", "SpendingCounted", "IncomeSetAside"})


@asynccontextmanager
async def _watching(network: DemoNetwork, on_fact: OnFact) -> AsyncIterator[None]:
    """Hear every fact of every node while the context is open."""
    async with asyncio.TaskGroup() as tasks:
        watchers = [tasks.create_task(_watch(node, on_fact)) for node in network.nodes]
        yield
        for watcher in watchers:
            watcher.cancel()


async def _watch(node: DemoNode, on_fact: OnFact) -> None:
    async for fact in node.admin.watch_facts():
        on_fact(node, fact)
    on_fact(node, None)


def _print_fact(node: DemoNode, fact: Json | None) -> None:
    # Mock engines run in this very process and stand still while nobody reads what it prints, so
    # it says what happens to requests and not each decision about them (`policy explain` does).
    if fact is not None and fact["event"] in _UNTOLD:
        return
    print_json({**(fact or {"event": "NodeEnded"}), "reporter": node.info.node})


def _describe(network: DemoNetwork) -> Json:
    """The ready line: where everything is, for programs that use the demo's network."""
    return {
        "event": "ready",
        "base_url": f"{network.nodes[0].info.gateway}/v1",
        "api_key": network.api_key,
        "nodes": [
            {
                "id": node.info.node,
                "gateway": node.info.gateway,
                "admin": node.info.admin,
                "models": node.models,
                "engine": node.engine,
                "pid": node.process.pid,
                "home": str(node.folder.path),
            }
            for node in network.nodes
        ],
    }


def _tell_end(narrator: Narrator, node: DemoNode) -> Text:
    return narrator.name(node.info.node).append(" its process has ended", style="bold red")


def _show_network(
    console: Console, network: DemoNetwork, narrator: Narrator, seconds: float
) -> None:
    console.print(
        f"\n[bold]{len(network.nodes)} nodes, and each sees all others[/] ({seconds:.1f} s)"
    )
    for node in network.nodes:
        line = Text("  ").append_text(narrator.name(node.info.node))
        line.append(f"  {node.info.gateway}/v1  process {node.process.pid}  ", style="dim")
        line.append(", ".join(node.models)).append(f"  {node.engine}", style="dim")
        console.print(line, soft_wrap=True)
        narrator.introduce(node.info.node, node.models)
    console.print()


async def _show_traffic(console: Console, network: DemoNetwork) -> None:
    """Send the first requests, with the first answer growing below what the nodes tell."""
    name = network.nodes[0].info.node[:NAME_LENGTH]
    questions = plan_questions(network)
    console.print(f"[bold]{len(questions)} requests at once, all to {name}:[/]")
    answer = Panel("", title=questions[0][1], title_align="left", style="cyan")
    live = Live(answer, console=console, refresh_per_second=REFRESH_PER_SECOND, transient=True)

    def on_text(text: str) -> None:
        answer.renderable = Text(text)

    with live if console.is_terminal else nullcontext():
        burst = await send_burst(network, questions, on_text=on_text)
    console.print(answer)
    for failure in burst.failures:
        console.print(Text(failure, style="red"))
    console.print(f"[bold]{burst.answered} of {burst.sent} answered.[/]\n")


async def _show_balances(console: Console, network: DemoNetwork, narrator: Narrator) -> None:
    """Who has what, once the first requests are paid, and that nothing was made or lost."""
    balances = await wait_settled(network.nodes[0].folder)
    console.print(f"[bold]Who has what, at block {balances.height}:[/]")
    for one in balances.nodes:
        line = Text("  ").append_text(narrator.name(node_text(one.node)))
        sign = "+" if one.change > 0 else ""
        line.append(f"  {credits_text(one.total)}  ({sign}{credits_text(one.change)})")
        console.print(line)
    console.print(f"  the pool, fees included: {credits_text(balances.pool)}")
    if balances.held:
        console.print(f"  in open holds: {credits_text(balances.held)}")
    adds_up = "all of it" if balances.adds_up else "[bold red]which does not add up to[/]"
    console.print(f"  {adds_up} {credits_text(balances.supply)}. There is {ONE_SEQUENCER}.\n")


def _show_usage(console: Console, network: DemoNetwork) -> None:
    base_url, model = f"{network.nodes[0].info.gateway}/v1", network.nodes[0].models[0]
    text = _USAGE.format(
        base_url=base_url,
        api_key=network.api_key,
        model=model,
        # As it was started: in a fresh checkout it is on nobody's path.
        command=sys.argv[0] if Path(sys.argv[0]).name == "wwwserve" else "wwwserve",
        home=network.nodes[0].folder.path,
    )
    console.print(Text(text), soft_wrap=True)


def _list(numbers: Sequence[int]) -> str:
    return ", ".join(str(number) for number in numbers)
