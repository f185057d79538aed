"""`kill -9` of a real sequencer on a real disk, at any instant: what it acknowledged is there.

A process makes blocks of real signatures as fast as it can and says after each that is applied its
height and head. It is killed in the middle of that, several times over one disk; each time the disk
holds every block that was told, with the same ids, and a state that a replay from genesis comes to.
"""

import asyncio
import subprocess
import sys
from functools import partial
from pathlib import Path

from wwwserve.adapters.host import LibsodiumVerifier
from wwwserve.adapters.storage import SqliteStore
from wwwserve.bench.ledger_host import LedgerHost
from wwwserve.bench.ledger_traffic import Traffic
from wwwserve.core.chain import begin_chain, load_chain, open_record, read_blocks
from wwwserve.core.lanes import Lane
from wwwserve.values.moments import SECOND
from wwwserve.wire.chain import read_feed_shape

KILLS = 4
TOLD_MIN = 6
"""Blocks a process has told when it is killed, or a few more."""
FEEDS_PER_BLOCK = 8
SEQUENCER = [sys.executable, __file__]


def test_kill_9_loses_no_told_block_and_tells_no_height_twice(tmp_path: Path) -> None:
    # [ORDER-DURABLE.2]
    told: dict[int, str] = {}
    for round_number in range(KILLS):
        for height, head in run_until_killed(tmp_path, TOLD_MIN + round_number):
            assert height not in told, "a height was told twice"
            told[height] = head
        verify_disk(tmp_path, told)
    assert len(told) >= KILLS * TOLD_MIN


def run_until_killed(folder: Path, blocks: int) -> list[tuple[int, str]]:
    """What a sequencer said before it was killed."""
    command = [*SEQUENCER, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(blocks)]
        process.kill()
        # The last line may be torn: then it was not said.
        lines += [line for line in process.stdout.readlines() if line.endswith("\n")]
    return [(int(height), head) for height, head in (line.split() for line in lines)]


def verify_disk(folder: Path, told: dict[int, str]) -> None:
    traffic = Traffic()
    verifier = LibsodiumVerifier()
    read = partial(SqliteStore(folder).read_range, Lane.CHAIN)
    found = load_chain(read, verifier, verifier)
    assert found is not None
    replayed = begin_chain(traffic.genesis).ledger
    for height, record in read_blocks(read, 1):
        block, feeds = open_record(record, traffic.opener)
        replayed.apply_block(block, feeds)
        assert told.get(height, block.block_id.hex()) == block.block_id.hex()
    assert replayed.log.height >= max(told)
    assert replayed.root == found.ledger.root


async def sequence(folder: Path) -> None:
    """Make blocks until killed."""
    traffic, verifier, store = Traffic(), LibsodiumVerifier(), SqliteStore(folder)
    read = partial(store.read_range, Lane.CHAIN)
    found = load_chain(read, verifier, verifier) or begin_chain(traffic.genesis)
    host = LedgerHost(found, traffic.sequencer, store)
    await host.start()
    traffic.resume(found.ledger)
    # A restarted sequencer listens for a while.
    wait_us = 4 * SECOND
    while True:
        said = traffic.make_payments(FEEDS_PER_BLOCK, 1)
        host.submit([traffic.opener.open(read_feed_shape(data)) for data in said])
        await host.close_block(wait_us)
        status = host.chain.get_status()
        print(status.height, status.head.hex(), flush=True)  # noqa: T201 - read by the test
        wait_us = SECOND // 4


if __name__ == "__main__":
    asyncio.run(sequence(Path(sys.argv[1])))
