"""What is asked of a crowd: each question is one trial.

How fast news spreads, how soon a crash is known, what silence costs, who is wrongly doubted, how
soon newcomers and healed halves are taken in. All times are virtual, so they are the same on every
machine. What has not come after `WAIT_US_MAX` counts as having taken that long.
"""

from dataclasses import dataclass

from wwwserve.core.events import Depart, Departure, EnvelopeReceived, Event
from wwwserve.core.facts import Fact, MemberChanged, MemberStatus
from wwwserve.sim.hosts import Host
from wwwserve.sim.membership.crowd import Crowd
from wwwserve.sim.membership.traffic import Kind, compute_kinds, compute_node_bytes_per_s
from wwwserve.values.moments import SECOND

WAIT_US_MAX = 120 * SECOND
"""A trial gives up here."""
QUIET_US_MAX = 300 * SECOND
"""After the nodes agree, until what was news then is told to the end; at most so long."""
QUIET_LOOK_US = 5 * SECOND
"""In which hardly any news is told once it is quiet."""
FIRST_LINKS_PERIODS = 3
"""Push/pull periods after a start; by then the links of its first moments, when the network was
small and everybody was linked, are let go."""
REST_US = 10 * SECOND
"""After a crash, so that the next one is judged by nodes that have nothing else to doubt."""
SUSPECTING_PERMILLE = 990
"""Share of the others that must doubt a crashed node before it counts as suspected."""
_PERMILLE = 1000


@dataclass(frozen=True, slots=True)
class Crash:
    """What became known of one crash, counted from the instant it happened."""

    suspected_us: int
    """Until nearly all others (`SUSPECTING_PERMILLE`) held the node suspect or dead."""
    confirmed_us: int
    """Until all others held it dead."""


@dataclass(frozen=True, slots=True)
class Idle:
    """What a crowd sends while nothing happens."""

    bytes_per_s: float
    """By a node, on the mean, with the heartbeats of its links."""
    busiest_bytes_per_s: float
    """By the node that sends most."""
    messages_per_s: float
    """By a node, without heartbeats."""
    links: float
    """Of a node, on the mean."""
    kinds: dict[str, Kind]
    """All messages of the trial."""


@dataclass(frozen=True, slots=True)
class Doubts:
    """What running nodes were wrongly held for."""

    suspicions: int
    """Doubted records: however many hold a node suspect, it is one until the node refutes it."""
    deaths: int
    """Times any node held a running one dead."""


def settle(crowd: Crowd, hosts: list[Host] | None = None) -> int:
    """Start these (or all) within a second; how long after the last all agree; then it is quiet."""
    chosen = crowd.hosts if hosts is None else hosts
    crowd.start(chosen, within_us=SECOND)
    crowd.run_for(SECOND)
    took_us = _wait_agreed(crowd)
    crowd.run_for(FIRST_LINKS_PERIODS * crowd.plan.parameters.push_pull_period_us)
    wait_quiet(crowd)
    return took_us


def wait_quiet(crowd: Crowd) -> None:
    """Let time pass until the news is told: fewer rounds of it are held than there are nodes."""
    for _ in range(QUIET_US_MAX // QUIET_LOOK_US):
        before = crowd.traffic.read()
        crowd.run_for(QUIET_LOOK_US)
        kinds = compute_kinds(before, crowd.traffic.read())
        if kinds.get("Gossip", Kind()).count < len(crowd.hosts):
            return


def measure_idle(crowd: Crowd, span_us: int) -> Idle:
    """Count what is sent in a span of time."""
    before = crowd.traffic.read()
    crowd.run_for(span_us)
    after = crowd.traffic.read()
    running = [host.index for host in crowd.hosts if host.is_up]
    rates = compute_node_bytes_per_s(before, after)
    kinds = compute_kinds(before, after)
    messages = sum(kind.count for kind in kinds.values())
    return Idle(
        bytes_per_s=sum(rates) / len(running),
        busiest_bytes_per_s=max(rates),
        messages_per_s=messages * SECOND / span_us / len(running),
        links=after.link_ends / len(running),
        kinds=kinds,
    )


def measure_spread(crowd: Crowd, subject: Host) -> int:
    """A node says something new about itself; how long until every other has heard it."""
    waiting = {host.index: None for host in crowd.hosts if host.is_up and host is not subject}
    crowd.run_for(_draw_us(crowd))
    before = _get_version(subject)

    def note(host: Host, event: Event) -> None:
        if isinstance(event, EnvelopeReceived) and host.index in waiting:
            for opened in event.envelope.records:
                if opened.node == subject.node_id and opened.record.version > before:
                    waiting.pop(host.index, None)

    crowd.watchers.append(note)
    subject.tell(Depart(Departure.RESUME if _is_draining(subject) else Departure.DRAIN))
    took_us = crowd.wait_until(lambda: not waiting, within_us=WAIT_US_MAX)
    crowd.watchers.remove(note)
    return WAIT_US_MAX if took_us is None else took_us


def measure_crash(crowd: Crowd, host: Host, *, is_silent: bool) -> Crash:
    """Crash a node, see it found out, start it again and let it be taken in."""
    crowd.run_for(_draw_us(crowd))
    crowd.crash(host, is_silent=is_silent)
    others = crowd.standing.running_count
    doubted = (MemberStatus.SUSPECT, MemberStatus.DEAD)

    def is_suspected() -> bool:
        count = crowd.standing.count_holding(host.index, *doubted)
        return count * _PERMILLE >= others * SUSPECTING_PERMILLE

    def is_buried() -> bool:
        return crowd.standing.count_holding(host.index, MemberStatus.DEAD) == others

    began_us = crowd.now_us
    suspected_us = crowd.wait_until(is_suspected, within_us=WAIT_US_MAX)
    buried = crowd.wait_until(is_buried, within_us=WAIT_US_MAX)
    confirmed_us = WAIT_US_MAX if buried is None else crowd.now_us - began_us
    crowd.start_now(host)
    _wait_agreed(crowd)
    crowd.run_for(REST_US)
    return Crash(WAIT_US_MAX if suspected_us is None else suspected_us, confirmed_us)


def measure_newcomer(crowd: Crowd, host: Host) -> int:
    """A node starts; how long until it and all others hold each other alive."""
    crowd.start_now(host)
    return _wait_agreed(crowd)


def measure_partition(crowd: Crowd, for_us: int) -> int:
    """Cut the crowd into halves for a time; how long after the healing all agree again."""
    running = [host for host in crowd.hosts if host.is_up]
    heal = crowd.split(running[: len(running) // 2])
    crowd.run_for(for_us)
    heal()
    return _wait_agreed(crowd)


def watch_doubts(crowd: Crowd, span_us: int) -> Doubts:
    """Let time pass in which nobody crashes; who is doubted all the same."""
    suspected: dict[tuple[bytes, int], None] = {}
    deaths = 0

    def note(_observer: Host, fact: Fact) -> None:
        nonlocal deaths
        if not isinstance(fact, MemberChanged):
            return
        if fact.status is MemberStatus.SUSPECT:
            suspected[fact.node, fact.version] = None
        deaths += fact.status is MemberStatus.DEAD

    crowd.fact_watchers.append(note)
    crowd.run_for(span_us)
    crowd.fact_watchers.remove(note)
    return Doubts(len(suspected), deaths)


def pick_hosts(crowd: Crowd, count: int) -> list[Host]:
    """Different running hosts, all choices equally likely."""
    running = [host for host in crowd.hosts if host.is_up]
    return crowd.world.entropy.shuffle(running)[:count]


def _wait_agreed(crowd: Crowd) -> int:
    took_us = crowd.wait_until(crowd.standing.is_agreed, within_us=WAIT_US_MAX)
    return WAIT_US_MAX if took_us is None else took_us


def _draw_us(crowd: Crowd) -> int:
    """Some part of a second: what is measured begins at no special point of anybody's period."""
    return crowd.world.entropy.below(SECOND)


def _get_version(host: Host) -> int:
    snapshot = host.get_snapshot()
    assert snapshot is not None, "it runs"
    return snapshot.record.version


def _is_draining(host: Host) -> bool:
    snapshot = host.get_snapshot()
    assert snapshot is not None, "it runs"
    return snapshot.record.is_draining
