"""The page a scraper reads: the counts so far, and how the peer and its process are just now."""

import platform
import time
from collections.abc import Iterable, Iterator
from itertools import chain

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from wwwserve import __version__
from wwwserve.core.engines import EngineHealth, EngineReading
from wwwserve.core.facts import MemberStatus
from wwwserve.core.snapshot import EngineView, LedgerStatus, Snapshot, WalletView
from wwwserve.frontends.admin.process import ProcessUse
from wwwserve.values.credits import CREDIT
from wwwserve.values.parameters import PROTOCOL_VERSION

PAGE_TYPE = CONTENT_TYPE_PLAIN_0_0_4
"""Every scraper reads this one; nothing here needs a newer."""
_PERMILLE = 1_000
_STARTED_AT_S = time.time()


def make_page(counts: CollectorRegistry, snapshot: Snapshot, use: ProcessUse) -> bytes:
    """All numbers as text. May run in any thread: it takes only what does not change."""
    return generate_latest(_Now(counts, snapshot, use))


class _Now(Collector):
    """The counts, with the state of one moment."""

    def __init__(self, counts: CollectorRegistry, snapshot: Snapshot, use: ProcessUse) -> None:
        self._counts = counts
        self._snapshot = snapshot
        self._use = use

    def collect(self) -> Iterable[Metric]:
        """All families, in the page's order."""
        return chain(
            _make_process(self._use),
            _make_peer(self._snapshot),
            _make_engines(self._snapshot.engines),
            _make_ledger(self._snapshot.ledger),
            _make_wallet(self._snapshot.wallet),
            self._counts.collect(),
        )


def _make_process(use: ProcessUse) -> Iterator[Metric]:
    build = {
        "version": __version__,
        "protocol": str(PROTOCOL_VERSION),
        "python": platform.python_version(),
    }
    yield InfoMetricFamily("wwwserve_build", "Which program this is.", value=build)
    # These three have the names that every client library gives them.
    yield CounterMetricFamily(
        "process_cpu_seconds", "Processor time taken so far.", value=use.cpu_s
    )
    yield GaugeMetricFamily("process_resident_memory_bytes", "Memory in RAM.", value=use.rss_bytes)
    yield GaugeMetricFamily(
        "process_start_time_seconds", "When it started, since 1970.", value=_STARTED_AT_S
    )


def _make_peer(snapshot: Snapshot) -> Iterator[Metric]:
    def gauge(name: str, what: str, value: int) -> Metric:
        return GaugeMetricFamily(f"wwwserve_{name}", what, value=value)

    yield gauge("requests_open", "Own users' requests alive.", snapshot.requests_open)
    yield gauge("queue_length", "Of these, those waiting for a place.", snapshot.requests_queued)
    yield gauge("works_open", "Others' requests running here.", snapshot.works_open)
    yield gauge("slots", "Requests the shared models run at once.", snapshot.record.slots)
    yield gauge("models_served", "Models offered to others.", len(snapshot.record.models))
    yield gauge("models_known", "Models that can be asked for here.", len(snapshot.models))
    yield gauge("open_to_peers", "1 while others are served.", int(snapshot.opening.is_open))
    yield gauge("links", "Open links.", sum(one.is_linked for one in snapshot.members))
    statuses = [member.status for member in snapshot.members]
    members = GaugeMetricFamily("wwwserve_members", "Other nodes known.", labels=("status",))
    for status in MemberStatus:
        members.add_metric((status.value,), statuses.count(status))
    yield members


def _make_ledger(ledger: LedgerStatus | None) -> Iterator[Metric]:
    """Where the ledger stands here; no lines in a network without one."""
    if ledger is None:
        return

    def gauge(name: str, what: str, value: int) -> Metric:
        return GaugeMetricFamily(f"wwwserve_ledger_{name}", what, value=value)

    yield gauge("height", "Newest block applied here.", ledger.height)
    behind = max(ledger.told_height - ledger.height, 0)
    yield gauge("blocks_behind", "Blocks others told of, not here yet.", behind)
    yield gauge("epoch", "The epoch of the ledger clock.", ledger.epoch)
    yield gauge("accounts", "Accounts in the ledger.", ledger.accounts)
    yield gauge("holds_open", "Open holds in the ledger.", ledger.holds)
    yield gauge("stalled", "1 while no block comes.", int(ledger.is_stalled))
    yield gauge("forked", "1 once the sequencer has signed two histories.", int(bool(ledger.fork)))


def _make_wallet(wallet: WalletView | None) -> Iterator[Metric]:
    """The own account, in credits as people see it."""
    if wallet is None:
        return

    def gauge(name: str, what: str, value: float) -> Metric:
        return GaugeMetricFamily(f"wwwserve_wallet_{name}", what, value=value)

    yield gauge("ready", "1 while it can sign.", int(wallet.is_ready))
    yield gauge("seats", "Seats that weigh in this epoch.", wallet.seats)
    yield gauge("feeds_waiting", "Feed blocks signed and not in the log.", wallet.waiting)
    # Shown on dashboards only; no sum is made of these.
    for name, what, amount in (
        ("spendable_credits", "What can be set aside now.", wallet.spendable),
        ("held_credits", "In open holds of its own.", wallet.held),
        ("staked_credits", "In seats.", wallet.bond),
        ("claimable_credits", "Earned and not claimed yet.", wallet.claimable),
    ):
        yield gauge(name, what, amount / CREDIT)
    for name, what, amount in (
        ("earned_credits", "Paid to it since the start.", wallet.earned),
        ("spent_credits", "Paid by it since the start, fees included.", wallet.spent),
    ):
        yield CounterMetricFamily(f"wwwserve_wallet_{name}", what, value=amount / CREDIT)


def _make_engines(engines: tuple[EngineView, ...]) -> Iterator[Metric]:
    health = GaugeMetricFamily(
        "wwwserve_engine_health", "1 at what holds; none: unknown.", labels=("engine", "health")
    )
    given = GaugeMetricFamily(
        "wwwserve_engine_given_requests",
        "What this node has given it to do.",
        labels=("engine", "for"),
    )
    for engine in engines:
        for kind in EngineHealth:
            holds = engine.reading is not None and engine.reading.health is kind
            health.add_metric((engine.name, kind.value), int(holds))
        given.add_metric((engine.name, "own"), engine.own_running)
        given.add_metric((engine.name, "peers"), engine.peer_running)
    yield health
    yield given
    yield from _make_loads([(one.name, one.reading) for one in engines if one.reading is not None])


def _make_loads(readings: list[tuple[str, EngineReading]]) -> Iterator[Metric]:
    """What engines tell of their load; what one does not tell has no line, since it is not zero."""

    def gauge(name: str, what: str, values: Iterable[tuple[str, float | None]]) -> Metric:
        family = GaugeMetricFamily(f"wwwserve_engine_{name}", what, labels=("engine",))
        for engine, value in values:
            if value is not None:
                family.add_metric((engine,), value)
        return family

    yield gauge(
        "running_requests",
        "Requests it works on, whoever asked.",
        ((name, reading.running) for name, reading in readings),
    )
    yield gauge(
        "waiting_requests",
        "Requests it has queued itself.",
        ((name, reading.waiting) for name, reading in readings),
    )
    yield gauge(
        "slots",
        "Requests it says it can work on at once.",
        ((name, reading.slots) for name, reading in readings),
    )
    yield gauge(
        "kv_cache_used_ratio",
        "Share of its key-value cache in use.",
        ((name, _get_share(reading.kv_used_permille)) for name, reading in readings),
    )


def _get_share(permille: int | None) -> float | None:
    return None if permille is None else permille / _PERMILLE
