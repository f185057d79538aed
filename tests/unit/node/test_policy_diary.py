"""A node's diary: written as it happens, short, readable after any crash, known to the next life.

The folder outlives the process; clock and calendar are numbers.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.unit.core.desk import node, summary
from wwwserve.core.deciding import (
    IncomeSetAside,
    PolicyInForce,
    PolicyMemory,
    RequestDecided,
    SpendingCounted,
    UseCounted,
)
from wwwserve.core.placing import Accepted
from wwwserve.core.policy import (
    Carried,
    Decided,
    InForce,
    Life,
    Spent,
    Used,
    replay,
)
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.core.sessions import Role, SessionId
from wwwserve.node import StateFolder, policy_diary
from wwwserve.node.policy_diary import DIARY_FILE_US, PolicyDiary, get_older, read_diary
from wwwserve.policies.testing import make_offer
from wwwserve.values.ids import NodeId
from wwwserve.values.limits import MIB
from wwwserve.values.moments import SECOND, Moment
from wwwserve.values.refusals import BadInput

HOUR_US = 3600 * SECOND


class Host:
    """A machine with a folder, whose processes come and go."""

    diary: PolicyDiary

    def __init__(self, path: Path) -> None:
        self.folder = StateFolder(path)
        self.time = Moment(100 * SECOND)
        self.wall_us = 1_700_000_000 * SECOND

    def now(self) -> Moment:
        return self.time

    def wait(self, span_us: int) -> None:
        self.time = Moment(self.time + span_us)
        self.wall_us += span_us

    def begin(self, settings: PolicySettings | None = None) -> tuple[PolicyDiary, PolicyMemory]:
        self.diary = PolicyDiary(self.folder, self, lambda: self.wall_us)
        return self.diary, self.diary.begin(settings or PolicySettings())

    async def kill(self) -> None:
        """What the process has not given to the system when its loop has turned is lost."""
        await asyncio.sleep(0)
        content = self.folder.policy_diary_file.read_bytes()
        self.diary.close()
        self.folder.policy_diary_file.write_bytes(content)

    async def boot(self, gap_us: int) -> tuple[PolicyDiary, PolicyMemory]:
        """The process is killed, the machine starts anew, and so does its clock."""
        await self.kill()
        self.wait(gap_us)
        self.time = Moment(1)
        return self.begin()

    def use(self, number: int, tokens: int, *, is_over: bool = True) -> UseCounted:
        return UseCounted(
            session=SessionId(Role.EXECUTOR, number),
            request=summary(number).request,
            asker=node(1),
            model="org/small",
            at=self.time,
            prompt_tokens=0,
            completion_tokens=tokens,
            is_over=is_over,
        )

    def decision(self) -> RequestDecided:
        return RequestDecided(replace(make_offer(), at=self.time), Accepted(), "all of them")


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    made = Host(tmp_path)
    yield made
    made.diary.close()


async def test_everything_is_read_as_it_was_told(host: Host) -> None:
    diary, memory = host.begin()
    assert (memory.use, memory.spending) == ((), ())
    taken, over = host.use(1, 200, is_over=False), host.use(1, 50)
    spent = SpendingCounted(SessionId(Role.ORIGIN, 1), host.time, 7, is_over=True)
    settings = PolicySettings(own_first=False)
    decided = host.decision()
    for fact in (decided, taken, over, spent, PolicyInForce(host.time, settings), "another fact"):
        diary.on_fact(fact)
    diary.close()
    assert list(read_diary(host.folder)) == [
        Life(host.time, host.wall_us),
        InForce(host.time, PolicySettings()),
        Decided(decided.case, "accepted", "all of them"),
        Used(taken),
        Used(over),
        Spent(spent.session, spent.at, 7, is_over=True),
        InForce(host.time, settings),
    ]
    assert host.folder.policy_diary_file.stat().st_mode & 0o777 == 0o600


async def test_a_killed_process_loses_nothing_that_was_counted(host: Host) -> None:
    """[POLICY-COUNT.2]: the next one is told all of it, and what ran as the most it may be."""
    diary, _ = host.begin()
    diary.on_fact(host.use(1, 200, is_over=False))
    diary.on_fact(host.use(1, 50))
    diary.on_fact(host.use(2, 300, is_over=False))
    diary.on_fact(SpendingCounted(SessionId(Role.ORIGIN, 1), host.time, 170, is_over=False))
    _, memory = await host.boot(2 * HOUR_US)
    assert sum(use.tokens for use in memory.use) == 350
    # Times are kept by grains, and rounded to their end.
    assert all(-2 * HOUR_US <= use.at <= HOUR_US // 2 for use in memory.use)
    assert [spent.microcredits for spent in memory.spending] == [170]
    _, again = await host.boot(HOUR_US)
    assert sum(use.tokens for use in again.use) == 350
    _, later = await host.boot(24 * HOUR_US)
    assert (later.use, later.spending) == ((), ())


async def test_what_was_set_aside_for_stake_is_known_to_the_next_process(host: Host) -> None:
    """[POLICY-STAKE.4]: whatever of the diary is dropped in between."""
    diary, memory = host.begin()
    assert memory.set_aside == 0
    diary.on_fact(IncomeSetAside(host.time, 70))
    diary.on_fact(IncomeSetAside(host.time, 90, orders=3))
    diary, memory = await host.boot(SECOND)
    assert (memory.set_aside, memory.orders) == (90, 3), "a killed process loses nothing"
    host.wait(DIARY_FILE_US)
    diary.on_fact(host.use(1, 1))
    diary.close()
    assert get_older(host.folder.policy_diary_file).exists()
    get_older(host.folder.policy_diary_file).unlink()
    _, memory = host.begin()
    assert (memory.set_aside, memory.orders) == (90, 3)


async def test_decisions_wait_a_moment_and_what_counts_takes_them_along(host: Host) -> None:
    diary, _ = host.begin()
    before = host.folder.policy_diary_file.stat().st_size
    diary.on_fact(host.decision())
    assert host.folder.policy_diary_file.stat().st_size == before
    diary.on_fact(host.use(1, 200, is_over=False))
    await asyncio.sleep(0)
    assert [type(record) for record in read_diary(host.folder)][2:] == [Decided, Used]


@pytest.mark.parametrize("torn", [b'{"type":"used","coun', b"\xff\xff\x00", b"[]\n7\n"])
async def test_a_line_cut_short_is_left_out(host: Host, torn: bytes) -> None:
    diary, _ = host.begin()
    diary.on_fact(host.use(1, 50, is_over=False))
    await asyncio.sleep(0)
    with host.folder.policy_diary_file.open("ab") as file:
        file.write(b"\n" + torn)
    _, memory = await host.boot(HOUR_US)
    assert [use.tokens for use in memory.use] == [50]
    assert replay(read_diary(host.folder)).changed == 0


async def test_a_full_file_becomes_the_older_one_and_counts_are_carried(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy_diary, "DIARY_BYTES_MAX", 20_000)
    diary, _ = host.begin()
    for number in range(200):
        diary.on_fact(host.use(number, 10, is_over=False))
        diary.on_fact(host.use(number, 10))
        host.wait(SECOND)
        await asyncio.sleep(0)
    diary.on_fact(host.use(999, 5, is_over=False))
    diary.close()
    file = host.folder.policy_diary_file
    assert file.stat().st_size + get_older(file).stat().st_size < 22_000
    assert isinstance(next(iter(read_diary(host.folder))), Carried)
    _, memory = await host.boot(HOUR_US)
    assert sum(use.tokens for use in memory.use) == 2_005


@pytest.mark.slow
async def test_what_many_nodes_used_at_all_hours_is_carried_whole(host: Host) -> None:
    """[POLICY-COUNT.2]: though that is a line of more than a mebibyte."""
    diary, _ = host.begin()
    for hour in range(24):
        for asker in range(600):
            name = NodeId(asker.to_bytes(32))
            over = replace(host.use(hour * 600 + asker, 10), asker=name)
            diary.on_fact(replace(over, is_over=False))
            diary.on_fact(over)
        host.wait(HOUR_US)
    diary.on_fact(host.decision())
    diary.close()
    older = get_older(host.folder.policy_diary_file)
    assert older.exists(), "a day is over, and its page turned"
    older.unlink()
    assert host.folder.policy_diary_file.stat().st_size > MIB
    _, memory = await host.boot(1)
    # Of the day's first hour the first moments are past.
    assert sum(use.tokens for use in memory.use) >= 23 * 600 * 10


async def test_a_page_is_turned_after_a_day(host: Host) -> None:
    diary, _ = host.begin()
    diary.on_fact(host.use(1, 10, is_over=False))
    await asyncio.sleep(0)
    host.wait(DIARY_FILE_US)
    diary.on_fact(host.use(1, 10))
    diary.on_fact(host.use(2, 0, is_over=False))
    await asyncio.sleep(0)
    records = list(read_diary(host.folder))
    assert [type(record) for record in records[-2:]] == [Carried, InForce]
    _, memory = await host.boot(HOUR_US)
    assert sum(use.tokens for use in memory.use) == 10


async def test_a_full_disk_does_not_stop_the_counting(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    diary, _ = host.begin()
    diary.close()

    def refuse(*_: object) -> int:
        raise OSError(28, "no space")

    with monkeypatch.context() as full:
        full.setattr("os.open", refuse)
        diary.on_fact(host.use(1, 10, is_over=False))
        await asyncio.sleep(0)
    diary.on_fact(host.use(2, 20, is_over=False))
    _, memory = await host.boot(HOUR_US)
    assert sum(use.tokens for use in memory.use) == 20


def test_without_a_diary_there_is_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="run the node first"):
        next(read_diary(StateFolder(tmp_path)))
