"""All verbs in one table, and the one place where what went wrong becomes a line and an exit code.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | it could not be done: no node runs here, a file is missing, the network said no |
| 1 | of `doctor`: it was done, and found an error |
| 2 | what was typed or configured is wrong; the message names the field and the fix |
| 130 | stopped with Ctrl-C |
"""

import sys
from collections.abc import Sequence
from difflib import get_close_matches

from cyclopts import App, CycloptsError, Group

from wwwserve import __version__
from wwwserve.cli.terminal import CommandFailed, show_bad_input, show_error
from wwwserve.values.refusals import BadInput

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130

_START = Group("Start", sort_key=0)
_USE = Group("Use a running node", sort_key=1)
_STUDY = Group("Study", sort_key=2)

_VERBS: tuple[tuple[Group, str, str, str], ...] = (
    (_START, "demo", "demo:demo", "A whole network on this machine, with a real model."),
    (_START, "init", "init:init", "Make a node: its key, its configuration, an API key."),
    (_START, "up", "up:up", "Run the node in the foreground."),
    (_START, "engine", "engine:app", "The local engine: fetch a model, or run it alone."),
    (_START, "config", "config:app", "Show, check or reload the configuration."),
    (_START, "policy", "policy:app", "What the node allows: check, explain, replay."),
    (_START, "keys", "keys:app", "API keys of the gateway: add, list, revoke."),
    (_START, "doctor", "doctor:doctor", "What is wrong with a node, and what to do about it."),
    (_USE, "status", "status:status", "What the node is doing."),
    (_USE, "peers", "peers:peers", "The other nodes it knows."),
    (_USE, "models", "models:models", "The models that can be asked for through it."),
    (_USE, "explain", "explain:explain", "Why a request went where it went."),
    (_USE, "wallet", "wallet:app", "The node's credits: balance, send, stake, history."),
    (_USE, "ask", "ask:ask", "Ask a model something, from the terminal."),
    (_USE, "invite", "invite:invite", "A ticket with which another node joins."),
    (_USE, "join", "join:join", "Meet a node, by its ticket or address."),
    (_USE, "pause", "pause:pause", "Take no work of other nodes for a while."),
    (_USE, "resume", "pause:resume", "Take their work again, after a pause or a drain."),
    (_USE, "drain", "drain:drain", "Let the node run empty of their work, to stop it."),
    (_STUDY, "ledger", "ledger:app", "Where the ledger stands, records in it, and auditing it."),
    (_STUDY, "sim", "sim:app", "Simulated networks: list, run, fuzz, replay."),
    (_STUDY, "bench", "bench:app", "What the gateway, a link and the core cost here."),
    (_STUDY, "version", "version:version", "The version of this program."),
)


def make_app() -> App:
    """The command line with every verb, none of them loaded yet."""
    app = App(
        name="wwwserve",
        help="Independent LLM servers, joined into one open network.",
        version=__version__,
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
        suppress_keyboard_interrupt=False,
    )
    for rank, (group, name, place, summary) in enumerate(_VERBS):
        app.command(f"wwwserve.cli.{place}", name=name, help=summary, group=group, sort_key=rank)
    return app


def run(arguments: Sequence[str]) -> int:
    """Carry out one command line; returns the exit code."""
    try:
        _validate_verb(arguments)
        code = make_app()(list(arguments))
    except BadInput as error:
        show_bad_input(error)
        return EXIT_BAD_INPUT
    except CycloptsError as error:
        show_error(
            str(error).strip(), " ".join(["wwwserve", *(error.command_chain or ()), "--help"])
        )
        return EXIT_BAD_INPUT
    except CommandFailed as error:
        show_error(error.what, error.fix)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has had enough (`wwwserve peers | head -1`).
        sys.stderr.close()
        return 0
    return code if isinstance(code, int) else 0


def _validate_verb(arguments: Sequence[str]) -> None:
    """Refuse an unknown verb before any is loaded, naming the nearest."""
    verbs = [name for _, name, _, _ in _VERBS]
    if arguments and not arguments[0].startswith("-") and arguments[0] not in verbs:
        close = get_close_matches(arguments[0], verbs, n=1)
        fix = f"wwwserve {close[0]}" if close else "wwwserve --help lists them"
        raise BadInput("command", arguments[0], "a command", fix)
