"""`wwwserve version`: which program this is."""

import platform

from wwwserve import __version__
from wwwserve.cli.terminal import JsonFlag, open_console, print_json
from wwwserve.values.parameters import PROTOCOL_VERSION


def version(*, as_json: JsonFlag = False) -> None:
    """Print the version of this program, of its protocol and of Python."""
    python = platform.python_version()
    if as_json:
        print_json({"version": __version__, "protocol": PROTOCOL_VERSION, "python": python})
    else:
        line = f"wwwserve {__version__} (link protocol {PROTOCOL_VERSION}, Python {python})"
        open_console().print(line)
