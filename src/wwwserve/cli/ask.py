"""`wwwserve ask`: chat with a model through the running node, as any user would."""

import asyncio
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from wwwserve.adapters.host import FileKeyRing
from wwwserve.cli.admin_client import find_running_node
from wwwserve.cli.gateway_client import ChatAnswer, GatewayClient
from wwwserve.cli.terminal import HomeFlag, JsonFlag, open_console, open_side_console, print_json
from wwwserve.node import StateFolder, find_state_folder
from wwwserve.ports.keys import KeyRules
from wwwserve.values.model_names import AUTO

ASK_KEY_NAME = "ask"
"""The API key this command makes for itself, kept in the state folder for its owner only."""
KEY_NOTICED_SECONDS = 1.2
"""A running node looks for new keys once a second."""
TURNS_MAX = 100
"""Messages of a conversation sent again with each question; the oldest are left out."""

Message = Mapping[str, str]


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class AskOptions:
    """How a question is asked."""

    model: str = AUTO
    """A name from `wwwserve models`."""
    system: str = ""
    """Instructions for the model."""
    max_tokens: int = 256
    """Longest answer."""
    temperature: float | None = None
    """The engine's own if not given."""


_PLAIN = AskOptions()


def ask(
    question: Annotated[str, Parameter(help="Without one: a conversation, until Ctrl-D.")] = "",
    /,
    *,
    options: AskOptions = _PLAIN,
    home: HomeFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Ask a model something and read the answer as it is written."""
    folder = find_state_folder(home, os.environ)
    info = find_running_node(folder)
    client = GatewayClient(info.gateway, _get_key(folder))
    chat = _Conversation(client, options)
    if not question and not sys.stdin.isatty():
        question = sys.stdin.read().strip()
    if as_json:
        answer = asyncio.run(chat.ask(question, None))
        print_json(
            {
                "model": options.model,
                "content": answer.text,
                "request": answer.request,
                "executor": answer.executor,
                "route": answer.route,
                "queue_ms": answer.queue_ms,
                "usage": answer.usage,
            }
        )
    elif question:
        asyncio.run(chat.ask(question, open_console()))
    else:
        _converse(chat)


class _Conversation:
    """What was said so far, and the next question."""

    def __init__(self, client: GatewayClient, options: AskOptions) -> None:
        self._client = client
        self._model = options.model
        self._options: dict[str, object] = {"max_tokens": options.max_tokens}
        if options.temperature is not None:
            self._options["temperature"] = options.temperature
        self._system: list[Message] = []
        if options.system:
            self._system.append({"role": "system", "content": options.system})
        self._turns: list[Message] = []

    async def ask(self, question: str, console: Console | None) -> ChatAnswer:
        """One question and its answer, written to `console` as it comes."""
        self._turns.append({"role": "user", "content": question})
        answer = ChatAnswer()
        pieces = self._client.chat(
            [*self._system, *self._turns[-TURNS_MAX:]],
            model=self._model,
            answer=answer,
            options=self._options,
        )
        async for piece in pieces:
            if console is not None:
                console.out(piece, end="", highlight=False)
        self._turns.append({"role": "assistant", "content": answer.text})
        if console is not None:
            console.print()
            _show_origin(answer)
        return answer


def _converse(chat: _Conversation) -> None:
    console = open_console()
    console.print("[dim]Ask away; Ctrl-D ends.[/]")
    while True:
        try:
            question = console.input("[bold]> [/]").strip()
        except EOFError:
            console.print()
            return
        if question:
            asyncio.run(chat.ask(question, console))


def _show_origin(answer: ChatAnswer) -> None:
    tokens = answer.usage.get("completion_tokens", "?")
    where = f"node {answer.executor}" if answer.executor else "this node"
    open_side_console().print(f"[dim]{where}, {answer.route or 'local'}, {tokens} tokens[/]")


def _get_key(folder: StateFolder) -> str:
    """This command's own key, made at its first use."""
    ring = FileKeyRing(folder.api_keys_file)
    if folder.ask_key_file.exists():
        key = folder.ask_key_file.read_text(encoding="ascii").strip()
        if ring.find(key) is not None:
            return key
    if any(rules.name == ASK_KEY_NAME for rules in ring.list_rules()):
        ring.revoke(ASK_KEY_NAME)
    key = ring.add(KeyRules(ASK_KEY_NAME))
    folder.write_private(folder.ask_key_file, key.encode())
    # Without this the first question would be refused: the node has not seen the key yet.
    asyncio.run(asyncio.sleep(KEY_NOTICED_SECONDS))
    return key
