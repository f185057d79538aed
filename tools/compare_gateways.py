"""Our gateway beside others', against the same mock engine in one run: `make compare`.

In turn: the engine itself, the 40-line pass-through, a node that serves from its own engine, and
the peers of `gateway_peers`, installed from the package index. docs/benchmarks.md says how to read
the numbers. A peer that does not install, start or answer is reported with the reason.

Linux only: what a process uses is read from /proc.
"""

import argparse
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import uvloop

from tools.gateway_measures import BASELINE, OURS, Comparison, choose_cores, compare
from tools.gateway_peers import PEERS, ROOT, Peer, PeerAbsent, validate_version
from wwwserve.bench.results import BenchResult, compute_result, make_report

REPEATS = 3
_UNITS = {
    "added_p50": "ms",
    "added_p95": "ms",
    "requests_per_s": "requests/s",
    "requests_per_cpu_s": "requests per CPU-second",
    "chunks_per_cpu_s": "chunks per CPU-second",
    "paced_chunks_per_cpu_s": "chunks per CPU-second",
    "memory": "MiB",
}


# -- the report ----------------------------------------------------------------------------------


def summarise(comparison: Comparison) -> list[BenchResult]:
    """Each measure of each way, beside the pass-through's of the same run."""
    results = []
    for measure, ways in comparison.values.items():
        for way, values in ways.items():
            baseline = None if way == BASELINE else ways[BASELINE]
            results.append(compute_result(f"{measure}_{way}", _UNITS[measure], values, baseline))
    return results


def show_table(comparison: Comparison) -> None:
    """The medians as a table, a column for each way."""
    names = [BASELINE, OURS, *(peer.name for peer in comparison.peers)]
    rows = [["", *names, ""]]
    for measure, ways in comparison.values.items():
        cells = [f"{median(ways[name]):,.4g}" if name in ways else "-" for name in names]
        rows.append([measure, *cells, _UNITS[measure]])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *cells, last in rows:
        middle = (cell.rjust(width) for cell, width in zip(cells, widths[1:-1], strict=True))
        print(f"{first.ljust(widths[0])}  {'  '.join(middle)}  {last}".rstrip())
    for name, reason in comparison.absent.items():
        print(f"{name}: {reason}")


def show_json(comparison: Comparison, repeats: int, how: Mapping[str, object]) -> None:
    """The object every bench prints, and what only this one has to say."""
    report = asdict(make_report("compare", repeats, summarise(comparison)))
    versions = {peer.name: peer.version for peer in comparison.peers}
    print(json.dumps({**report, "versions": versions, "absent": comparison.absent, **how}))


# -- the command ---------------------------------------------------------------------------------


def parse_arguments() -> argparse.Namespace:
    """What to measure, and where the peers live."""
    names = ", ".join(peer.name for peer in PEERS)
    parser = argparse.ArgumentParser(
        prog="make compare ARGS=...", description="Our gateway beside others', in one run."
    )
    parser.add_argument("--repeats", type=int, default=REPEATS, help="median of (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print one object")
    parser.add_argument(
        "--environments",
        type=Path,
        help="where peers are installed and found again; by default a folder that is removed",
    )
    parser.add_argument("--peers", help=f"only these, by commas; none for none (of {names})")
    parser.add_argument(
        "--version", action="append", default=[], metavar="PEER=VERSION", help="another version"
    )
    return parser.parse_args()


def choose_peers(chosen: str | None, versions: Sequence[str]) -> tuple[Peer, ...]:
    """The peers to measure, at the wanted versions. Raises `SystemExit`."""
    wanted = {peer.name for peer in PEERS} if chosen is None else {*chosen.split(","), "none"}
    pins = dict(pin.partition("=")[::2] for pin in versions)
    if unknown := (wanted | set(pins)) - {peer.name for peer in PEERS} - {"none"}:
        raise SystemExit(f"no such peer: {', '.join(sorted(unknown))}")
    peers = [replace(peer, version=pins.get(peer.name, peer.version)) for peer in PEERS]
    try:
        for peer in peers:
            validate_version(peer)
    except PeerAbsent as refusal:
        raise SystemExit(str(refusal)) from refusal
    return tuple(peer for peer in peers if peer.name in wanted)


def find_environments(stack: ExitStack, chosen: Path | None) -> Path:
    """The folder for the peers' environments: never inside this project."""
    if chosen is None:
        return Path(stack.enter_context(TemporaryDirectory(prefix="wwwserve-peers-")))
    folder = chosen.resolve()
    if folder.is_relative_to(ROOT):
        raise SystemExit(f"{folder} is inside this project; peers live elsewhere. Try: ~/peers")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def main() -> None:
    """Compare, and print what came of it."""
    arguments = parse_arguments()
    if not Path("/proc/self/smaps_rollup").exists():
        raise SystemExit("what processes use is read from Linux's /proc, which is not here")
    with ExitStack() as stack:
        comparison = Comparison(
            peers=choose_peers(arguments.peers, arguments.version),
            environments=find_environments(stack, arguments.environments),
            wrk=shutil.which("wrk") or "",
        )
        cores = choose_cores()
        os.sched_setaffinity(0, {cores.load})
        uvloop.run(compare(comparison, arguments.repeats, cores))
    load = "wrk" if comparison.wrk else "wwwserve.bench.http_load"
    if arguments.json:
        circumstances = {"whole_answers_by": load, "cores": asdict(cores)}
        show_json(comparison, arguments.repeats, circumstances)
    else:
        show_table(comparison)
        print(f"Whole answers were asked for by {load}; cores: {asdict(cores)}.")


if __name__ == "__main__":
    main()
