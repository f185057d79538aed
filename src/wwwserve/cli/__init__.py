"""The `wwwserve` command: one file for each verb, loaded only when that verb is typed.

Commands that speak to a running node find it by its state folder and use its operator's API, as
any other program could.
"""

import sys


def main() -> None:
    """Run the command line and leave with its exit code."""
    from wwwserve.cli.app import run  # noqa: PLC0415 - `wwwserve.cli` itself stays quick to import

    sys.exit(run(sys.argv[1:]))
