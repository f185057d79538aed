"""A key spends what its budget allows and no more, and what it spent outlives the node.

A gateway on a free port in front of a pretend peer whose answers have a price, with real budget
files; the calendar is the test's own.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from tests.fakes.peer_handle import MODEL, FakePeerHandle
from wwwserve.adapters.host import FileSpending
from wwwserve.adapters.host import spending as spending_module
from wwwserve.core.effects import RequestErrorCode
from wwwserve.core.snapshot import WalletView
from wwwserve.frontends.gateway import start_gateway
from wwwserve.ports.keys import BudgetPeriod, KeyRules
from wwwserve.ports.peer_handle import RequestFailed
from wwwserve.values.credits import CREDIT, MICROCREDITS_MAX

SAVER = KeyRules("saver", budget=5 * CREDIT, budget_period=BudgetPeriod.DAY, key_id="s" * 16)


class Keys:
    def find(self, key: str) -> KeyRules | None:
        return SAVER if key == "saver" else KeyRules(key)

    def is_open(self) -> bool:
        return False


class Calendar:
    def __init__(self) -> None:
        self.now = datetime(2025, 2, 28, 22, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def calendar() -> Calendar:
    return Calendar()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "spending.jsonl"


@pytest.fixture
def handle() -> FakePeerHandle:
    return FakePeerHandle()


@pytest.fixture
async def session(
    handle: FakePeerHandle, calendar: Calendar, file: Path
) -> AsyncIterator[aiohttp.ClientSession]:
    gateway = await start_gateway(handle, Keys(), spending=FileSpending(file, calendar))
    async with aiohttp.ClientSession(gateway.url) as session:
        yield session
    await gateway.close()


async def ask(
    session: aiohttp.ClientSession, key: str = "saver", **fields: object
) -> tuple[int, str, str | None]:
    content = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]} | fields
    headers = {"authorization": f"Bearer {key}"}
    async with session.post("/v1/chat/completions", json=content, headers=headers) as response:
        return response.status, await response.text(), response.headers.get("retry-after")


async def test_a_key_is_served_until_its_budget_is_spent_and_again_on_the_next_day(
    session: aiohttp.ClientSession, handle: FakePeerHandle, calendar: Calendar
) -> None:
    handle.cost = 3 * CREDIT
    assert (await ask(session))[0] == 200
    assert (await ask(session, stream=True))[0] == 200
    assert [request.cost_max for request in handle.requests] == [5 * CREDIT, 2 * CREDIT]
    status, text, retry = await ask(session)
    assert status == 429
    assert "6 cr of its budget of 5 cr" in text
    assert "2025-03-01 00:00 UTC" in text
    assert retry == "3600", "no client is sent away for longer"
    assert (await ask(session, "other"))[0] == 200
    assert handle.requests[-1].cost_max == MICROCREDITS_MAX
    calendar.now = datetime(2025, 3, 1, 1, tzinfo=UTC)
    assert (await ask(session))[0] == 200
    assert handle.requests[-1].cost_max == 5 * CREDIT


async def test_an_answer_that_broke_off_costs_what_was_paid_for_it(
    session: aiohttp.ClientSession, handle: FakePeerHandle, file: Path, calendar: Calendar
) -> None:
    handle.cost = CREDIT
    failed = RequestFailed(RequestErrorCode.FAILED, "its executor has gone")
    handle.script = lambda _: [b"data: {}\n\n", failed]
    assert (await ask(session, stream=True))[0] == 200
    left = FileSpending(file, calendar).find_left(SAVER)
    assert left is not None
    assert left.spent == CREDIT


async def test_own_engines_cost_nothing(
    session: aiohttp.ClientSession, handle: FakePeerHandle, file: Path, calendar: Calendar
) -> None:
    for handle.cost in (None, 0):
        assert (await ask(session))[0] == 200
    left = FileSpending(file, calendar).find_left(SAVER)
    assert left is not None
    assert left.spent == 0


def test_what_was_charged_is_there_after_a_kill(file: Path, calendar: Calendar) -> None:
    first = FileSpending(file, calendar)
    for _ in range(3):
        first.charge(SAVER, CREDIT)
    # Nothing was closed: this is what another process finds at any moment.
    with file.open("ab") as torn:
        torn.write(b'\n{"key":"ssss')
    FileSpending(file, calendar).charge(SAVER, CREDIT // 2)
    again = FileSpending(file, calendar)
    left = again.find_left(SAVER)
    assert left is not None
    assert (left.spent, left.left) == (7 * CREDIT // 2, 3 * CREDIT // 2)
    assert file.stat().st_mode & 0o777 == 0o600


def test_the_file_stays_short_and_right(
    file: Path, calendar: Calendar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spending_module, "SPENDING_BYTES_MAX", 2_000)
    spending = FileSpending(file, calendar)
    for _ in range(500):
        spending.charge(SAVER, 7)
    assert file.stat().st_size < 3_000
    left = FileSpending(file, calendar).find_left(SAVER)
    assert left is not None
    assert left.spent == 3_500


def test_a_key_made_anew_begins_with_nothing_spent(file: Path, calendar: Calendar) -> None:
    spending = FileSpending(file, calendar)
    spending.charge(SAVER, CREDIT)
    left = spending.find_left(replace(SAVER, key_id="t" * 16))
    assert left is not None
    assert left.spent == 0


@pytest.mark.parametrize(
    ("period", "renews"),
    [
        (BudgetPeriod.DAY, "2025-03-01 00:00 UTC"),
        (BudgetPeriod.MONTH, "2025-03-01 00:00 UTC"),
        (BudgetPeriod.TOTAL, ""),
    ],
)
def test_a_budget_says_when_it_is_renewed(
    file: Path, calendar: Calendar, period: BudgetPeriod, renews: str
) -> None:
    left = FileSpending(file, calendar).find_left(replace(SAVER, budget_period=period))
    assert left is not None
    assert left.renews == renews


async def test_what_is_left_but_does_not_cover_a_request_is_told_as_the_budgets_end(
    session: aiohttp.ClientSession, handle: FakePeerHandle
) -> None:
    short = RequestFailed(RequestErrorCode.OUT_OF_CREDITS, "it needs 9 cr, and 5 cr can be spent")
    handle.script = lambda _: [short]
    handle.wallet = make_wallet(spendable=100 * CREDIT)
    status, text, _ = await ask(session)
    assert status == 429
    assert "it needs 9 cr" in text
    # Where the node itself has no more, the key is not to blame.
    handle.wallet = make_wallet(spendable=2 * CREDIT)
    assert (await ask(session))[0] == 503
    assert (await ask(session, "other"))[0] == 503


def make_wallet(spendable: int) -> WalletView:
    return WalletView(
        is_ready=True, waits_for="", avail=spendable, spendable=spendable, held=0, bond=0,
        unbonding=0, seats=0, debt=0, seq=0, waiting=0, claimable=0, earned=0, spent=0,
        forecast_ms=None,
    )  # fmt: skip
