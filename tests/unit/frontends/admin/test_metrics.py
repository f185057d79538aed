"""The numbers say what happened and what is now, and stay few: facts in, a parsed page out.

The page is read with Prometheus' own parser, over real HTTP where who may read it matters.
"""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.fakes.peer_handle import MODEL, NODE, FakePeerHandle
from wwwserve.core.engines import EngineHealth, EngineReading
from wwwserve.core.facts import (
    AttemptFailed,
    AttemptStarted,
    EngineChanged,
    FactsDropped,
    LinkChanged,
    MemberChanged,
    MemberStatus,
    PeerRefused,
    RequestFinished,
    RequestQueued,
    RequestReceived,
    StartReason,
    WorkDeclined,
    WorkFinished,
    WorkStarted,
)
from wwwserve.core.sessions import Role, SessionId
from wwwserve.core.snapshot import EngineView, LedgerStatus, Snapshot, WalletView
from wwwserve.frontends.admin import TOKEN_HEADER, start_admin
from wwwserve.frontends.admin.metrics import MODEL_LABELS_MAX, OTHER_MODELS, NodeMetrics
from wwwserve.frontends.admin.metrics_page import make_page
from wwwserve.frontends.admin.process import ProcessUse
from wwwserve.values.ids import NodeId, RequestId
from wwwserve.values.refusals import DeclineReason, FailureKind
from wwwserve.wire import Endpoint

TOKEN = "operators-token"
SCRAPER = "scrapers-token"
PEER = NodeId(b"\x09" * 32)
REQUEST = RequestId(b"\x02" * 16)
SESSION = SessionId(Role.ORIGIN, 7)
USE = ProcessUse(cpu_s=1.5, rss_bytes=4096)
LEDGER = LedgerStatus(
    network_id=bytes(32), sequencer=PEER, is_sequencer=False, height=9, head=bytes(32), time_ms=1,
    epoch=2, told_height=10, is_stalled=False, fork=None, accounts=4, holds=1, supply=10**12,
    tolerates_faults=False,
)  # fmt: skip
WALLET = WalletView(
    is_ready=True, waits_for="", avail=10**6, spendable=900_000, held=0, bond=0, unbonding=0,
    seats=0, debt=0, seq=3, waiting=0, claimable=0, earned=0, spent=0, forecast_ms=None,
)  # fmt: skip

Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def parse(page: bytes) -> Samples:
    """Every sample by its name and labels; a page with one of them twice is wrong."""
    found: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found
            found[key] = sample.value
    return found


def get(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((name, frozenset(labels.items())))


def read(metrics: NodeMetrics, snapshot: Snapshot | None = None) -> Samples:
    shown = snapshot or FakePeerHandle().get_snapshot()
    return parse(make_page(metrics.registry, shown, USE))


def make_finished(
    *, model: str = MODEL, executor: NodeId | None = NODE, error: str = "", tokens: int = 11
) -> RequestFinished:
    return RequestFinished(
        request=REQUEST,
        endpoint=Endpoint.CHAT,
        model=model,
        executor=executor,
        error=error,
        attempts=1,
        wait_us=2_000,
        first_output_us=300_000,
        total_us=1_300_000,
        prompt_tokens=100,
        completion_tokens=tokens,
    )


def test_own_requests_are_counted_by_how_and_where_they_ended() -> None:
    metrics = NodeMetrics(NODE)
    metrics.on_fact(RequestReceived(REQUEST, MODEL, 100))
    metrics.on_fact(RequestQueued(REQUEST, 1))
    metrics.on_fact(AttemptStarted(REQUEST, SESSION, PEER, MODEL, ()))
    metrics.on_fact(
        AttemptFailed(REQUEST, SESSION, PEER, FailureKind.LINK_LOST, None, "secret words")
    )
    late = StartReason.LATE_ELSEWHERE
    metrics.on_fact(AttemptStarted(REQUEST, SESSION, NODE, MODEL, (), late))
    metrics.on_fact(make_finished())
    metrics.on_fact(make_finished(executor=None, error="no_capacity", tokens=0))
    found = read(metrics)
    assert get(found, "wwwserve_requests_received_total") == 1
    assert get(found, "wwwserve_requests_queued_total") == 1
    assert get(found, "wwwserve_attempts_total", route="network") == 1
    assert get(found, "wwwserve_attempts_total", route="local") == 1
    assert get(found, "wwwserve_requests_moved_total", route="local") == 1
    assert get(found, "wwwserve_attempts_failed_total", kind="link_lost", route="network") == 1
    assert get(found, "wwwserve_requests_total", outcome="answered", route="local") == 1
    assert get(found, "wwwserve_requests_total", outcome="no_capacity", route="none") == 1
    assert get(found, "wwwserve_prompt_tokens_total", model=MODEL, route="local") == 100
    assert get(found, "wwwserve_completion_tokens_total", model=MODEL, route="local") == 11


def test_latencies_have_the_names_of_the_conventions() -> None:
    metrics = NodeMetrics(NODE)
    metrics.on_fact(make_finished())
    found = read(metrics)
    labels = {
        "gen_ai_operation_name": "chat",
        "gen_ai_request_model": MODEL,
        "wwwserve_route": "local",
    }
    first = "gen_ai_server_time_to_first_token_seconds"
    assert get(found, f"{first}_sum", **labels) == 0.3
    assert get(found, f"{first}_bucket", le="0.25", **labels) == 0
    assert get(found, f"{first}_bucket", le="0.5", **labels) == 1
    per_token = "gen_ai_server_time_per_output_token_seconds"
    assert get(found, f"{per_token}_sum", **labels) == pytest.approx(0.1)
    whole = "gen_ai_server_request_duration_seconds"
    assert get(found, f"{whole}_sum", **labels, error_type="") == 1.3
    assert get(found, "wwwserve_request_wait_seconds_sum", route="local") == 0.002


def test_a_failure_has_a_duration_and_no_token_times() -> None:
    metrics = NodeMetrics(NODE)
    metrics.on_fact(make_finished(error="failed"))
    names = {name for name, _ in read(metrics)}
    assert "gen_ai_server_request_duration_seconds_count" in names
    assert not any(name.startswith("gen_ai_server_time") for name in names)


def test_what_was_done_for_others_is_counted_and_no_peer_named() -> None:
    metrics = NodeMetrics(NODE)
    metrics.on_fact(WorkStarted(SESSION, REQUEST, PEER, MODEL))
    metrics.on_fact(WorkFinished(SESSION, REQUEST, PEER, MODEL, "", 50, 5, 1))
    metrics.on_fact(WorkFinished(SESSION, REQUEST, PEER, MODEL, "a peer's words", 0, 0, 1))
    metrics.on_fact(WorkDeclined(PEER, REQUEST, DeclineReason.BUSY, is_probe=True))
    metrics.on_fact(PeerRefused(PEER, "record-signature", "a peer's words"))
    metrics.on_fact(LinkChanged(PEER, is_open=True, detail="a peer's words"))
    metrics.on_fact(MemberChanged(PEER, MemberStatus.DEAD, 3))
    metrics.on_fact(EngineChanged("engine", EngineHealth.UNAVAILABLE, "its words"))
    metrics.on_fact(FactsDropped(4))
    found = read(metrics)
    assert get(found, "wwwserve_works_started_total", model=MODEL) == 1
    assert get(found, "wwwserve_works_total", outcome="answered") == 1
    assert get(found, "wwwserve_works_total", outcome="failed") == 1
    assert get(found, "wwwserve_work_completion_tokens_total", model=MODEL) == 5
    assert get(found, "wwwserve_works_declined_total", reason="busy", asked_by="probe") == 1
    assert get(found, "wwwserve_messages_refused_total", rule="record-signature") == 1
    assert get(found, "wwwserve_link_changes_total", change="opened") == 1
    assert get(found, "wwwserve_member_changes_total", status="dead") == 1
    assert get(found, "wwwserve_engine_changes_total", health="unavailable") == 1
    assert get(found, "wwwserve_facts_dropped_total") == 4
    assert "words" not in str(found)


def test_however_many_models_are_asked_for_the_page_stays_small() -> None:
    metrics = NodeMetrics(NODE)
    for number in range(3 * MODEL_LABELS_MAX):
        metrics.on_fact(make_finished(model=f"acme/model-{number}"))
    found = read(metrics)
    name = "wwwserve_prompt_tokens_total"
    models = [dict(labels)["model"] for sample, labels in found if sample == name]
    assert len(models) == MODEL_LABELS_MAX + 1
    rest = get(found, name, model=OTHER_MODELS, route="local")
    assert rest == 100 * 2 * MODEL_LABELS_MAX


def test_the_page_tells_how_peer_and_process_are_now() -> None:
    reading = EngineReading(EngineHealth.READY, running=3, kv_used_permille=250)
    snapshot = FakePeerHandle().get_snapshot()
    views = (
        EngineView("first", reading, own_running=2, peer_running=1),
        EngineView("second", None, own_running=0, peer_running=0),
    )
    found = read(
        NodeMetrics(NODE),
        replace(snapshot, engines=views),
    )
    assert get(found, "wwwserve_requests_open") == 1
    assert get(found, "wwwserve_members", status="alive") == 0
    assert get(found, "wwwserve_engine_health", engine="first", health="ready") == 1
    assert get(found, "wwwserve_engine_health", engine="second", health="ready") == 0
    assert get(found, "wwwserve_engine_running_requests", engine="first") == 3
    assert get(found, "wwwserve_engine_kv_cache_used_ratio", engine="first") == 0.25
    assert get(found, "wwwserve_engine_given_requests", **{"engine": "first", "for": "peers"}) == 1
    # What an engine does not tell is not zero.
    assert get(found, "wwwserve_engine_waiting_requests", engine="first") is None
    assert get(found, "wwwserve_engine_running_requests", engine="second") is None
    assert get(found, "process_cpu_seconds_total") == 1.5
    assert any(name == "wwwserve_build_info" for name, _ in found)


@pytest.fixture
async def url() -> AsyncIterator[str]:
    handle = FakePeerHandle()
    handle.facts = [make_finished()]
    admin = await start_admin(handle, TOKEN, metrics_token=SCRAPER)
    yield admin.url
    await admin.close()


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/metrics", {"authorization": f"Bearer {SCRAPER}"}, 200),
        ("/metrics", {"authorization": f"Bearer {TOKEN}"}, 200),
        ("/metrics", {TOKEN_HEADER: TOKEN}, 200),
        ("/metrics", {}, 401),
        ("/metrics", {"authorization": "Bearer "}, 401),
        ("/metrics", {"authorization": f"Bearer {SCRAPER}x"}, 401),
        ("/metrics", {"authorization": f"Bearer {SCRAPER}", "host": "evil.example"}, 403),
        ("/status", {"authorization": f"Bearer {SCRAPER}"}, 401),
        ("/facts", {TOKEN_HEADER: SCRAPER}, 401),
        ("/status", {"authorization": f"Bearer {TOKEN}"}, 200),
    ],
)
async def test_the_scrapers_token_opens_the_metrics_and_nothing_else(
    url: str, path: str, headers: dict[str, str], status: int
) -> None:
    async with (
        aiohttp.ClientSession(url) as session,
        session.get(path, headers=headers) as answer,
    ):
        assert answer.status == status


async def test_what_the_peer_reports_is_on_the_page(url: str) -> None:
    headers = {"authorization": f"Bearer {SCRAPER}"}
    async with (
        aiohttp.ClientSession(url, headers=headers) as session,
        session.get("/metrics") as answer,
    ):
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        found = parse(await answer.read())
    assert get(found, "wwwserve_requests_total", outcome="answered", route="local") == 1


async def test_who_scrapes_with_a_wrong_token_is_told_where_the_right_one_is(url: str) -> None:
    async with aiohttp.ClientSession(url) as session, session.get("/metrics") as answer:
        assert "metrics.token" in await answer.text()
    async with aiohttp.ClientSession(url) as session, session.get("/status") as answer:
        assert "run.json" in await answer.text()


async def test_without_a_token_of_its_own_the_page_is_the_operators() -> None:
    admin = await start_admin(FakePeerHandle(), TOKEN)
    async with aiohttp.ClientSession(admin.url) as session:
        for headers in ({}, {"authorization": "Bearer "}, {"authorization": ""}):
            async with session.get("/metrics", headers=headers) as answer:
                assert answer.status == 401
    await admin.close()


def test_the_guide_names_every_metric_and_no_other() -> None:
    guide = (Path(__file__).parents[4] / "docs/guides/operating.md").read_text()
    tables = [line for line in guide.splitlines() if line.startswith("| `")]
    named = set(re.findall(r"`((?:wwwserve|gen_ai|process)_[a-z_]+)`", "\n".join(tables)))
    reading = EngineReading(EngineHealth.READY)
    snapshot = replace(
        FakePeerHandle().get_snapshot(),
        engines=(EngineView("engine", reading, own_running=0, peer_running=0),),
        ledger=LEDGER,
        wallet=WALLET,
    )
    page = make_page(NodeMetrics(NODE).registry, snapshot, USE).decode()
    told = set(re.findall(r"^# TYPE (\S+) ", page, re.MULTILINE))
    assert told == named
