"""Fuzz one target, several, or all of them: `python -m tests.fuzz [TARGET ...] [--seconds N]`.

Tells how far each got, and ends with 1 if one broke. The input that broke it is then under
`tests/data/fuzz`, where the tests find it. `make fuzz ARGS="streams --seconds 600"` is the same.
"""

import argparse
import sys
from pathlib import Path

from tests.fuzz.campaigns import (
    TARGETS,
    Campaign,
    explain_absence,
    keep_input,
    run_campaign,
    write_hex,
)

SECONDS = 60
SHOWN_BYTES_MAX = 2_048
"""Bytes of a breaking input that are shown; all of them are in its file."""


def parse_arguments() -> argparse.Namespace:
    """Which targets, and for how long."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description="Fuzz what reads bytes from outside."
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of: {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="for each (%(default)s)")
    parser.add_argument(
        "--corpus", type=Path, help="a folder that keeps what was reached, for the next run"
    )
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.targets) - set(TARGETS)):
        parser.error(f"no such target: {', '.join(unknown)}. Try: {', '.join(TARGETS)}")
    return arguments


def tell(campaign: Campaign) -> None:
    """Say how it went, and after a failure what is left to do."""
    print(
        f"{campaign.target:15} {campaign.executions:>10,} inputs  {campaign.branches:>6,} branches"
        f"  {campaign.features:>7,} features  {'BROKEN' if campaign.failure else 'ok'}",
        flush=True,
    )
    if not campaign.failure:
        return
    print(f"\n{campaign.failure}\n")
    if campaign.broken_by is None:
        print("No input was left by it: look at the output above.")
        return
    print(f"Broken by {len(campaign.broken_by)} bytes:")
    print(write_hex(campaign.broken_by[:SHOWN_BYTES_MAX]))
    print(f"They are in {keep_input(campaign)}: mend the code, and commit them as a test.")


def main() -> int:
    """Run the campaigns in turn; 0 when none broke."""
    arguments = parse_arguments()
    if absence := explain_absence():
        print(f"Nothing was fuzzed: {absence}.")
        return 2
    is_good = True
    for name in arguments.targets or TARGETS:
        corpus = arguments.corpus / name if arguments.corpus else None
        campaign = run_campaign(name, arguments.seconds, corpus=corpus)
        tell(campaign)
        is_good &= not campaign.failure
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
