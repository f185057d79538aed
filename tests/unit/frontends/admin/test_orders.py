"""What an operator may have the wallet sign, each form over real HTTP, and what is no order."""

from collections.abc import AsyncIterator

import aiohttp
import msgspec
import pytest

from tests.fakes.peer_handle import NODE, FakePeerHandle
from wwwserve.frontends.admin import TOKEN_HEADER, start_admin
from wwwserve.values.credits import MICROCREDITS_MAX
from wwwserve.values.ids import node_text
from wwwserve.values.refusals import BadInput
from wwwserve.wire.ledger import Allow, Bond, Op, Sponsor, Transfer, Unbond, Unsponsor

TOKEN = "operators-token"
KEY = node_text(NODE)


@pytest.fixture
def handle() -> FakePeerHandle:
    return FakePeerHandle()


@pytest.fixture
async def session(handle: FakePeerHandle) -> AsyncIterator[aiohttp.ClientSession]:
    admin = await start_admin(handle, TOKEN)
    async with aiohttp.ClientSession(admin.url, headers={TOKEN_HEADER: TOKEN}) as session:
        yield session
    await admin.close()


async def give(session: aiohttp.ClientSession, body: bytes) -> tuple[int, dict[str, object]]:
    async with session.post("/wallet", data=body) as response:
        return response.status, msgspec.json.decode(await response.read())


@pytest.mark.parametrize(
    ("order", "op"),
    [
        ({"order": "send", "key": KEY, "microcredits": 1}, Transfer(NODE, 1)),
        ({"order": "stake", "seats": 2}, Bond(2)),
        ({"order": "unstake", "seats": 3}, Unbond(3)),
        ({"order": "sponsor", "key": KEY, "seats": 4}, Sponsor(NODE, 4)),
        ({"order": "unsponsor", "key": KEY, "seats": 5}, Unsponsor(NODE, 5)),
        ({"order": "allow", "key": KEY, "microcredits": 0}, Allow(NODE, 0)),
    ],
    ids=lambda value: value["order"] if isinstance(value, dict) else "",
)
async def test_an_order_becomes_the_word_that_the_wallet_signs(
    session: aiohttp.ClientSession, handle: FakePeerHandle, order: dict[str, object], op: Op
) -> None:
    status, told = await give(session, msgspec.json.encode(order))
    assert (status, told["seq"], told["is_final"]) == (200, 1, True)
    assert handle.signed == [(op,)]


@pytest.mark.parametrize(
    "order",
    [
        {},
        {"order": "mint", "microcredits": 1},
        {"order": "send", "key": KEY},
        {"order": "send", "key": KEY, "microcredits": 0},
        {"order": "send", "key": KEY, "microcredits": -1},
        {"order": "send", "key": KEY, "microcredits": 1.5},
        {"order": "send", "key": KEY, "microcredits": "1"},
        {"order": "send", "key": KEY, "microcredits": MICROCREDITS_MAX + 1},
        {"order": "send", "key": KEY[:8], "microcredits": 1},
        {"order": "send", "key": KEY, "microcredits": 1, "from": KEY},
        {"order": "stake", "seats": 0},
        {"order": "stake", "seats": 2**40},
        {"order": "unstake"},
        {"order": "sponsor", "key": "", "seats": 1},
        {"order": "unsponsor", "key": KEY, "seats": True},
        {"order": "allow", "key": KEY, "microcredits": -1},
    ],
)
async def test_what_is_no_order_is_refused_and_nothing_is_signed(
    session: aiohttp.ClientSession, handle: FakePeerHandle, order: dict[str, object]
) -> None:
    status, told = await give(session, msgspec.json.encode(order))
    assert (status, handle.signed) == (400, [])
    assert set(told) == {"error"}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 10_000])
async def test_what_is_no_json_is_refused(
    session: aiohttp.ClientSession, handle: FakePeerHandle, body: bytes
) -> None:
    assert (await give(session, body))[0] == 400
    assert handle.signed == []


async def test_what_the_wallet_refuses_is_told_with_its_reason(
    session: aiohttp.ClientSession, handle: FakePeerHandle
) -> None:
    handle.wallet_refuses = BadInput("wallet", "bond: 50 cr needed", "less", "wwwserve wallet")
    status, told = await give(session, b'{"order": "stake", "seats": 1}')
    assert status == 400
    assert "50 cr needed" in str(told["error"])
