"""An export of an honest log passes the audit; whatever is done to it, the first fault is named.

The exports are of a small log with real keys. Bytes are flipped, records dropped, swapped, repeated
and signed anew, also by the sequencer itself; each time the audit names the rule and the place.
"""

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from tests.fakes.ledger_log import ALICE, BOB, SEQUENCER, TREASURY, Log, make_log
from wwwserve.adapters.storage import MemoryStore, SqliteStore, write_export
from wwwserve.cli.app import run
from wwwserve.cli.ledger import check_export
from wwwserve.core.chain import Broken, Export
from wwwserve.core.lanes import Lane
from wwwserve.values.ids import node_text
from wwwserve.values.ledger_parameters import TINY_LEDGER
from wwwserve.wire import encode
from wwwserve.wire.chain import ChainRecord, ExportEnd
from wwwserve.wire.ledger import BlockHeader, Transfer, compute_feeds_hash, seal_block

FIRST_LINE = len(b"wwwserve ledger export 1\n")


@pytest.fixture(scope="module")
def log() -> Log:
    return make_log()


@pytest.fixture
def file(log: Log, tmp_path: Path) -> Path:
    path = tmp_path / "export"
    written = Export(partial(MemoryStore({Lane.CHAIN: log.list_entries()}).read_range, Lane.CHAIN))
    write_export(path, written.list_records(), written.make_end)
    return path


def write_records(path: Path, log: Log, records: Sequence[ChainRecord]) -> Path:
    """An export of any records, with an end that fits what is there."""

    def make_end(digest: bytes) -> bytes:
        head = hashlib.sha256(records[-1].block.header).digest()
        return encode(ExportEnd(len(records), head, digest))

    write_export(path, map(encode, [log.genesis, *records]), make_end)
    return path


def find_fault(path: Path) -> Broken:
    with pytest.raises(Broken) as caught:
        check_export(path)
    return caught.value


def place(broken: Broken) -> tuple[str, int, int | None]:
    return broken.rule, broken.height, broken.index


def test_an_honest_log_adds_up(log: Log, file: Path) -> None:
    # [ORDER-AUDIT.1]
    totals = check_export(file)
    assert totals.root == log.ledger.root
    assert (totals.height, totals.accounts, totals.holds) == (6, 4, 0)
    assert (totals.feeds, totals.feeds_void) == (8, 1)
    assert (totals.ops, totals.ops_refused) == (8, 1)
    parts = totals.free + totals.staked + totals.unbonding + totals.held + totals.pool
    assert parts == totals.supply == log.genesis.supply


def test_a_log_without_blocks_adds_up(log: Log, tmp_path: Path) -> None:
    path = tmp_path / "empty"
    entries = {b"g": encode(log.genesis)}
    written = Export(partial(MemoryStore({Lane.CHAIN: entries}).read_range, Lane.CHAIN))
    write_export(path, written.list_records(), written.make_end)
    assert check_export(path).height == 0


@pytest.mark.slow
def test_a_flip_of_any_byte_is_named_with_its_block(file: Path, tmp_path: Path) -> None:
    # [ORDER-AUDIT.2]
    whole = file.read_bytes()
    heights = list_heights(whole)
    flipped = tmp_path / "flipped"
    # A prime, so that every field of every record is met somewhere.
    for position in range(0, len(whole), 13):
        changed = bytearray(whole)
        changed[position] ^= 1 << position % 8
        flipped.write_bytes(changed)
        broken = find_fault(flipped)
        # Another genesis that is one makes another network: its first block does not fit.
        expected = {0, 1} if heights[position] == 0 else {heights[position]}
        assert broken.height in expected, f"byte {position}: {broken}"


def list_heights(whole: bytes) -> list[int]:
    """For each byte of an export: the height of its record, 0 for the genesis."""
    heights, at = [0] * FIRST_LINE, FIRST_LINE
    height = 0
    while at < len(whole):
        size = 4 + int.from_bytes(whole[at : at + 4], "big")
        heights += [height] * size
        at += size
        height += 1
    return heights


def test_a_file_cut_anywhere_is_named(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    cut = tmp_path / "cut"
    for size in range(0, len(whole), 61):
        cut.write_bytes(whole[:size])
        assert find_fault(cut).rule in {"export-cut", "export-format", "export-end"}


def test_more_after_the_end_is_named(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"\0\0\0\1x")
    assert find_fault(file).height == 7


Tamper = Callable[[Log, list[ChainRecord]], None]


def drop(log: Log, records: list[ChainRecord]) -> None:
    del records[2]


def swap(log: Log, records: list[ChainRecord]) -> None:
    records[2], records[3] = records[3], records[2]


def repeat(log: Log, records: list[ChainRecord]) -> None:
    records.insert(3, records[2])


def drop_feed(log: Log, records: list[ChainRecord]) -> None:
    records[3] = replace(records[3], feeds=records[3].feeds[:1])


def swap_feeds(log: Log, records: list[ChainRecord]) -> None:
    records[3] = replace(records[3], feeds=records[3].feeds[::-1])


def foreign_feed(log: Log, records: list[ChainRecord]) -> None:
    records[3] = replace(records[3], feeds=(records[3].feeds[0], records[5].feeds[0]))


def forged_feed(log: Log, records: list[ChainRecord]) -> None:
    """Somebody's word with somebody else's signature."""
    first, second = records[3].feeds
    forged = replace(second, signature=TREASURY.sign(second.header))
    records[3] = replace(records[3], feeds=(first, forged))


def changed_ops(log: Log, records: list[ChainRecord]) -> None:
    first, second = records[3].feeds
    changed = replace(second, ops=encode((Transfer(TREASURY.node_id, 6),)))
    records[3] = replace(records[3], feeds=(first, changed))


def signed_by_another(log: Log, records: list[ChainRecord]) -> None:
    records[3] = reseal(log, records[3], key_of=1, leader=TREASURY.node_id)


def in_anothers_name(log: Log, records: list[ChainRecord]) -> None:
    block = records[3].block
    records[3] = replace(records[3], block=replace(block, signature=BOB.sign(block.header)))


def rewritten(log: Log, records: list[ChainRecord]) -> None:
    """The sequencer itself leaves a payment out and signs the block anew: the next does not fit."""
    one = replace(records[3], feeds=records[3].feeds[:1])
    records[3] = reseal(log, one, feed_ids=one.block.feed_ids[:1])


def minted(log: Log, records: list[ChainRecord]) -> None:
    """The sequencer claims another state than the log comes to."""
    records[3] = reseal(log, records[3], state_root=b"m" * 32)


def hurried(log: Log, records: list[ChainRecord]) -> None:
    records[3] = reseal(log, records[3], dt_ms=TINY_LEDGER.height_ms_max + 1)


def twice(log: Log, records: list[ChainRecord]) -> None:
    feeds = (*records[3].feeds, records[3].feeds[0])
    ids = tuple(sealed.compute_id() for sealed in feeds)
    records[3] = reseal(log, replace(records[3], feeds=feeds), feed_ids=ids)


def reseal(
    log: Log,
    record: ChainRecord,
    key_of: int = 0,
    feed_ids: tuple[bytes, ...] | None = None,
    **changes: object,
) -> ChainRecord:
    ids = record.block.feed_ids if feed_ids is None else feed_ids
    header = msgspec.msgpack.decode(record.block.header, type=BlockHeader)
    header = replace(header, feeds_hash=compute_feeds_hash(ids), **changes)
    key = (SEQUENCER, TREASURY)[key_of]
    return replace(record, block=seal_block(header, ids, key, log.network_id).sealed)


@pytest.mark.parametrize(
    ("tamper", "found"),
    [
        (drop, ("block-height", 3, None)),
        (swap, ("block-height", 3, None)),
        (repeat, ("block-height", 4, None)),
        (drop_feed, ("block-feeds", 4, None)),
        (swap_feeds, ("block-feeds", 4, 0)),
        (foreign_feed, ("block-feeds", 4, 1)),
        (forged_feed, ("feed-signature", 4, 1)),
        (changed_ops, ("feed-ops", 4, 1)),
        (signed_by_another, ("block-leader", 4, None)),
        (in_anothers_name, ("block-signature", 4, None)),
        (rewritten, ("block-parent", 5, None)),
        (minted, ("block-state-root", 4, None)),
        (hurried, ("block-time", 4, None)),
        (twice, ("block-twice", 4, None)),
    ],
)
def test_each_way_of_tampering_is_named(
    log: Log, tmp_path: Path, tamper: Tamper, found: tuple[str, int, int | None]
) -> None:
    # [ORDER-AUDIT.2]
    records = list(log.records)
    tamper(log, records)
    assert place(find_fault(write_records(tmp_path / "export", log, records))) == found


def test_a_bad_feed_block_is_named_with_its_account_and_number(log: Log, tmp_path: Path) -> None:
    records = list(log.records)
    forged_feed(log, records)
    broken = find_fault(write_records(tmp_path / "export", log, records))
    assert (broken.account, broken.seq) == (ALICE.node_id, 3)


def test_another_genesis_is_another_network(log: Log, tmp_path: Path) -> None:
    other = Log()
    other.genesis = replace(log.genesis, name="another")
    broken = find_fault(write_records(tmp_path / "export", other, log.records))
    assert place(broken)[1:] == (1, None)


# -- the command ---------------------------------------------------------------------------------


@pytest.fixture
async def home(log: Log, tmp_path: Path) -> Path:
    """The state folder of a node that has kept the log."""
    store = SqliteStore(tmp_path / "home" / "state")
    store.write(Lane.CHAIN, log.list_entries(), lambda _: None)
    await store.close()
    return tmp_path / "home"


def test_the_command_writes_and_checks(
    home: Path, log: Log, capsys: pytest.CaptureFixture[str]
) -> None:
    file = home / "export"
    assert run(["ledger", "export", str(file), "--home", str(home), "--json"]) == 0
    assert run(["ledger", "audit", str(file), "--json"]) == 0
    said = [msgspec.json.decode(line) for line in capsys.readouterr().out.splitlines()]
    assert said[0]["blocks"] == 6
    assert said[1]["ok"] is True
    assert said[1]["root"] == log.ledger.root.hex()
    assert said[1]["byzantine_tolerance"] is False
    assert run(["ledger", "audit", str(file)]) == 0
    assert "100 cr" in capsys.readouterr().out


def test_the_command_says_what_is_broken(
    log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = list(log.records)
    forged_feed(log, records)
    file = write_records(tmp_path / "export", log, records)
    assert run(["ledger", "audit", str(file), "--json"]) == 1
    said = msgspec.json.decode(capsys.readouterr().out)
    assert said["ok"] is False
    assert (said["rule"], said["height"], said["index"]) == ("feed-signature", 4, 1)
    assert (said["account"], said["seq"]) == (node_text(ALICE.node_id), 3)
    assert run(["ledger", "audit", str(file)]) == 1
    assert "block 4, feed block 1: feed-signature" in capsys.readouterr().out


def test_the_command_says_where_there_is_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["ledger", "audit", str(tmp_path / "nothing")]) == 2
    assert run(["ledger", "export", str(tmp_path / "x"), "--home", str(tmp_path)]) == 1
    assert "no ledger" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
