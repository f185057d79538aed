"""An operator sees and runs the node, and nobody else does: over real HTTP, on a pretend peer.

The forms are compared whole, because commands and scripts rely on their names.
"""

from collections.abc import AsyncIterator

import aiohttp
import msgspec
import pytest

from tests.fakes.peer_handle import MODEL, NODE, FakePeerHandle
from wwwserve.core.engines import EngineHealth
from wwwserve.core.facts import (
    Alternative,
    AttemptFailed,
    AttemptStarted,
    EngineChanged,
    Fact,
    FactsDropped,
    MemberChanged,
    MemberStatus,
)
from wwwserve.core.sessions import Role, SessionId
from wwwserve.frontends.admin import TOKEN_HEADER, make_fact, start_admin
from wwwserve.ports.peer_handle import ConfigChange
from wwwserve.values.ids import RequestId, node_text
from wwwserve.values.refusals import BadInput, DeclineReason, FailureKind

TOKEN = "operators-token"
REQUEST = RequestId(b"\x02" * 16)
REQUEST_TEXT = "req-" + "02" * 16
SESSION = SessionId(Role.ORIGIN, 7)


@pytest.fixture
def handle() -> FakePeerHandle:
    return FakePeerHandle()


@pytest.fixture
async def session(handle: FakePeerHandle) -> AsyncIterator[aiohttp.ClientSession]:
    admin = await start_admin(handle, TOKEN)
    async with aiohttp.ClientSession(admin.url, headers={TOKEN_HEADER: TOKEN}) as session:
        yield session
    await admin.close()


async def call(
    session: aiohttp.ClientSession, method: str, path: str, **options: object
) -> tuple[int, dict[str, object]]:
    async with session.request(method, path, **options) as response:  # type: ignore[arg-type]
        return response.status, msgspec.json.decode(await response.read())


async def test_the_status_is_the_whole_peer(session: aiohttp.ClientSession) -> None:
    status, body = await call(session, "GET", "/status")
    assert status == 200
    assert (body["node"], body["slots"], body["is_draining"]) == (node_text(NODE), 4, False)
    assert body["addresses"] == ["127.0.0.1:1"]
    assert body["engines"] == [
        {"name": "engine", "reading": None, "own_running": 1, "peer_running": 0}
    ]
    assert (body["requests_open"], body["works_open"], body["members"]) == (1, 0, [])
    assert isinstance(body["totals"], dict)
    assert body["totals"]["requests"] == 3


async def test_peers_models_and_the_process_are_shown(session: aiohttp.ClientSession) -> None:
    assert await call(session, "GET", "/peers") == (200, {"peers": []})
    _, body = await call(session, "GET", "/models")
    assert body["models"] == [
        {
            "model": MODEL,
            "aliases": ["echo"],
            "context_tokens": 4096,
            "capabilities": ["chat", "tools"],
            "quantisations": ["Q4"],
            "is_local": True,
            "nodes": 2,
            "engines": ["engine"],
        }
    ]
    _, process = await call(session, "GET", "/process")
    assert set(process) == {"pid", "cpu_s", "rss_bytes", "uptime_s"}
    assert process["rss_bytes"] > 10**6  # type: ignore[operator]


async def test_orders_reach_the_peer(
    session: aiohttp.ClientSession, handle: FakePeerHandle
) -> None:
    assert await call(session, "POST", "/invite") == (200, {"ticket": "ticket"})
    assert await call(session, "POST", "/join", json={"ticket": "192.0.2.1:1"}) == (200, {})
    assert handle.joined == ["192.0.2.1:1"]
    assert not handle.has_left
    assert await call(session, "POST", "/shutdown") == (200, {})
    assert handle.has_left


async def test_a_rest_is_begun_ended_and_shown(
    session: aiohttp.ClientSession, handle: FakePeerHandle
) -> None:
    opening: dict[str, object] = {
        "is_open": False,
        "is_within_hours": True,
        "hours_change_at": "2024-05-06T18:00:00+00:00",
        "rest": {
            "kind": "pause",
            "until": "2024-05-06T02:00:00+00:00",
            "is_by_policy": False,
        },
    }
    shown = {"opening": opening, "works_open": 0}
    assert await call(session, "POST", "/pause", json={"for_s": 7200}) == (200, shown)
    assert (await call(session, "GET", "/status"))[1]["opening"] == opening
    opening["rest"] = {"kind": "pause", "until": None, "is_by_policy": False}
    assert await call(session, "POST", "/pause", json={}) == (200, shown)
    opening["rest"] = {"kind": "drain", "until": None, "is_by_policy": False}
    assert await call(session, "POST", "/drain") == (200, shown)
    opening |= {"is_open": True, "rest": None}
    assert await call(session, "POST", "/resume") == (200, shown)
    assert handle.resting is None


async def test_a_rest_that_cannot_be_kept_is_said(
    session: aiohttp.ClientSession, handle: FakePeerHandle
) -> None:
    handle.is_disk_full = True
    status, body = await call(session, "POST", "/pause", json={})
    assert status == 500
    assert body["error"] == {
        "field": "state folder",
        "found": "no space left",
        "expected": "a disk that can be written",
        "fix": "free or repair the disk; until then it holds only as long as the node runs",
    }


async def test_facts_come_one_a_line(
    session: aiohttp.ClientSession, handle: FakePeerHandle
) -> None:
    handle.facts = [MemberChanged(NODE, MemberStatus.DEAD, 3), FactsDropped(2)]
    async with session.get("/facts") as response:
        lines = [line.strip() async for line in response.content]
    assert [msgspec.json.decode(line) for line in lines if line] == [
        {"event": "MemberChanged", "node": node_text(NODE), "status": "dead", "version": 3},
        {"event": "FactsDropped", "count": 2},
    ]


@pytest.mark.parametrize(
    ("fact", "form"),
    [
        (
            AttemptStarted(
                REQUEST, SESSION, NODE, MODEL, (Alternative(NODE, 5, DeclineReason.BUSY),)
            ),
            {
                "event": "AttemptStarted",
                "request": REQUEST_TEXT,
                "session": "origin-7",
                "executor": node_text(NODE),
                "model": MODEL,
                "alternatives": [
                    {
                        "node": node_text(NODE),
                        "finish_us": 5,
                        "decline": "busy",
                        "first_token_us": 0,
                        "burden_us": 0,
                        "harmed": 0,
                        "round_trip_us": 0,
                        "cost": 0,
                        "weight_us": 0,
                        "reason": "",
                    }
                ],
                "reason": "least-weight",
                "due_us": 0,
            },
        ),
        (
            AttemptFailed(REQUEST, SESSION, NODE, FailureKind.LINK_LOST, None, "gone"),
            {
                "event": "AttemptFailed",
                "request": REQUEST_TEXT,
                "session": "origin-7",
                "executor": node_text(NODE),
                "kind": "link_lost",
                "decline": None,
                "detail": "gone",
            },
        ),
        (
            EngineChanged("engine", EngineHealth.READY, ""),
            {"event": "EngineChanged", "engine": "engine", "health": "ready", "detail": ""},
        ),
    ],
)
def test_facts_keep_their_names(fact: Fact, form: dict[str, object]) -> None:
    assert make_fact(fact) == form


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/join", b'{"ticket":"nonsense"}'),
        ("/join", b"{}"),
        ("/join", b"not json"),
        ("/join", b'{"ticket":' + b"[" * 5_000),
        ("/pause", b'{"for_s":"a while"}'),
    ],
)
async def test_a_wrong_order_is_explained(
    session: aiohttp.ClientSession, handle: FakePeerHandle, path: str, body: bytes
) -> None:
    status, answer = await call(session, "POST", path, data=body)
    assert status == 400
    assert set(answer["error"]) == {"field", "found", "expected", "fix"}  # type: ignore[call-overload]
    assert not handle.joined
    assert handle.resting is None


async def test_a_node_that_accepts_no_links_says_so(
    session: aiohttp.ClientSession, handle: FakePeerHandle
) -> None:
    handle.accepts_links = False
    status, answer = await call(session, "POST", "/invite")
    assert (status, answer["error"]["field"]) == (400, "links.listen")  # type: ignore[index]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({TOKEN_HEADER: "guess"}, 401),
        ({TOKEN_HEADER: ""}, 401),
        ({TOKEN_HEADER: TOKEN + "é"}, 401),
        ({"host": "evil.example"}, 403),
        ({"host": "127.0.0.1.evil.example:80"}, 403),
        ({"host": "localhost:1"}, 200),
        ({"host": "[::1]:1"}, 200),
    ],
)
async def test_only_the_operator_on_this_machine_comes_in(
    session: aiohttp.ClientSession, headers: dict[str, str], status: int
) -> None:
    assert (await call(session, "GET", "/status", headers=headers))[0] == status


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/x", 404), ("GET", "/join", 405)])
async def test_what_is_not_there_is_said_in_the_same_form(
    session: aiohttp.ClientSession, method: str, path: str, status: int
) -> None:
    found, answer = await call(session, method, path)
    assert found == status
    assert "error" in answer


async def test_an_endless_order_is_refused(session: aiohttp.ClientSession) -> None:
    status, answer = await call(session, "POST", "/join", data=b"x" * 100_000)
    assert status == 413
    assert "error" in answer


async def test_a_new_configuration_is_told_change_by_change_or_refused(
    session: aiohttp.ClientSession, handle: FakePeerHandle
) -> None:
    assert await call(session, "POST", "/reload", json={}) == (200, {"changes": []})
    handle.changes = (ConfigChange("policy.deny_models", [], ["a/b"]),)
    _, body = await call(session, "POST", "/reload", json={})
    assert body == {"changes": [{"key": "policy.deny_models", "old": [], "new": ["a/b"]}]}
    handle.changes = BadInput("network.name", "'other'", "'main'", "restart the node")
    status, body = await call(session, "POST", "/reload", json={})
    assert (status, body["error"]) == (
        400,
        {
            "field": "network.name",
            "found": "'other'",
            "expected": "'main'",
            "fix": "restart the node",
        },
    )
