"""A log says what happened in one form, holds nobody's secrets, and never holds its node up.

Lines go through a real pipe; a pipe that nobody reads stands for a log collector that hangs.
"""

import json
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from structlog.typing import FilteringBoundLogger

from wwwserve.core.engines import EngineHealth
from wwwserve.core.facts import (
    AttemptFailed,
    AttemptStarted,
    EngineChanged,
    Fact,
    FactsDropped,
    LinkChanged,
    MemberChanged,
    MemberStatus,
    OpeningChanged,
    PeerRefused,
    RequestFinished,
    RequestQueued,
    RequestReceived,
    WorkDeclined,
    WorkFinished,
    WorkStarted,
)
from wwwserve.core.ledger_facts import FeedVoid, Transferred
from wwwserve.core.sessions import Role, SessionId
from wwwserve.node.config import LogFormat, LogLevel, LogsConfig
from wwwserve.node.logs import FactLog
from wwwserve.node.logs.facts import LINES_PER_MINUTE_MAX, Line, describe
from wwwserve.node.logs.lines import LINES_AT_ONCE_MAX, LINES_QUEUED_MAX, LineWriter
from wwwserve.node.logs.loggers import open_logs
from wwwserve.values.ids import NodeId, RequestId, node_prefix
from wwwserve.values.moments import SECOND, Moment
from wwwserve.values.refusals import DeclineReason, FailureKind
from wwwserve.wire import Endpoint

OWN = NodeId(b"\x01" * 32)
PEER = NodeId(b"\x09" * 32)
REQUEST = RequestId(b"\x02" * 16)
REQUEST_TEXT = "req-" + "02" * 16
SESSION = SessionId(Role.ORIGIN, 7)
WORK = SessionId(Role.EXECUTOR, 3)
START = Moment(0)
WRITTEN = LINES_QUEUED_MAX + 2_000
PIPE_BYTES_MAX = 65_536
"""What a pipe holds on Linux; less elsewhere."""
LINE_BYTES_MAX = 256
DEBUG, INFO, WARNING = logging.DEBUG, logging.INFO, logging.WARNING


@dataclass
class HandClock:
    """Stands still unless moved."""

    moment: Moment = START

    def now(self) -> Moment:
        return self.moment


@contextmanager
def open_log(descriptor: int, settings: LogsConfig | None = None) -> Iterator[FilteringBoundLogger]:
    """A log that writes to a descriptor, until it has written everything."""
    writer = LineWriter(descriptor)
    with open_logs(settings or LogsConfig(), writer) as log:
        yield log
    writer.close()


@contextmanager
def open_file(path: Path, settings: LogsConfig | None = None) -> Iterator[FilteringBoundLogger]:
    """A log that writes to a file."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        with open_log(descriptor, settings) as log:
            yield log
    finally:
        os.close(descriptor)


def write_facts(
    tmp_path: Path, *facts: Fact, level: LogLevel = LogLevel.DEBUG, clock: HandClock | None = None
) -> list[Any]:
    """What a node's log holds after these facts."""
    settings = LogsConfig(level=level)
    with open_file(tmp_path / "log", settings) as log:
        facts_log = FactLog(log, OWN, clock or HandClock())
        for fact in facts:
            facts_log.on_fact(fact)
    return [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]


def test_lines_of_the_ledger_name_accounts_as_all_others_do(tmp_path: Path) -> None:
    (moved, refused) = write_facts(
        tmp_path,
        Transferred(OWN, PEER, 7),
        FeedVoid(b"\xab" * 32, PEER, "feed-late", "too late"),
    )
    assert (moved["event"], moved["amount"]) == ("transferred", 7)
    assert (moved["source"], moved["target"]) == (node_prefix(OWN), node_prefix(PEER))
    # An id that is no node's is told by its first digits.
    assert (refused["account"], refused["feed_id"]) == (node_prefix(PEER), "abababababab")


def make_finished(error: str = "", executor: NodeId | None = PEER) -> RequestFinished:
    return RequestFinished(
        request=REQUEST,
        endpoint=Endpoint.CHAT,
        model="acme/Echo-1B",
        executor=executor,
        error=error,
        attempts=2,
        wait_us=2_500,
        first_output_us=0 if error else 300_000,
        total_us=1_300_000,
        prompt_tokens=100,
        completion_tokens=11,
    )


def test_the_end_of_a_request_is_one_whole_line(tmp_path: Path) -> None:
    (line,) = write_facts(tmp_path, make_finished(), level=LogLevel.INFO)
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "info",
        "event": "request finished",
        "request": REQUEST_TEXT,
        "route": "network",
        "peer": node_prefix(PEER),
        "model": "acme/Echo-1B",
        "attempts": 2,
        "wait_ms": 2,
        "first_output_ms": 300,
        "total_ms": 1300,
        "prompt_tokens": 100,
        "completion_tokens": 11,
    }


@pytest.mark.parametrize(
    ("fact", "level", "event"),
    [
        (RequestReceived(REQUEST, "m", 1), DEBUG, "request received"),
        (RequestQueued(REQUEST, 1), DEBUG, "request queued"),
        (AttemptStarted(REQUEST, SESSION, OWN, "m", ()), DEBUG, "attempt started"),
        (
            AttemptFailed(REQUEST, SESSION, PEER, FailureKind.LINK_LOST, None, "gone"),
            WARNING,
            "attempt failed",
        ),
        (
            AttemptFailed(REQUEST, SESSION, PEER, FailureKind.DECLINED, DeclineReason.BUSY, "busy"),
            DEBUG,
            "attempt failed",
        ),
        (make_finished("failed"), WARNING, "request finished"),
        (make_finished("no_capacity", None), WARNING, "request finished"),
        (make_finished("cancelled"), INFO, "request finished"),
        (WorkStarted(WORK, REQUEST, PEER, "m"), DEBUG, "work started"),
        (WorkDeclined(PEER, REQUEST, DeclineReason.BUSY, is_probe=True), DEBUG, "work declined"),
        (WorkFinished(WORK, REQUEST, PEER, "m", "", 1, 1, 1), INFO, "work finished"),
        (MemberChanged(PEER, MemberStatus.SUSPECT, 3), INFO, "member changed"),
        (LinkChanged(PEER, is_open=False, detail="lost"), DEBUG, "link closed"),
        (EngineChanged("engine", EngineHealth.READY, ""), INFO, "engine changed"),
        (EngineChanged("engine", EngineHealth.READY, "tells no load"), WARNING, "engine changed"),
        (EngineChanged("engine", EngineHealth.LOADING, "loading"), INFO, "engine changed"),
        (EngineChanged("engine", EngineHealth.UNAVAILABLE, "gone"), WARNING, "engine changed"),
        (OpeningChanged(False, False, True), INFO, "closed to others"),  # noqa: FBT003 - short
        (PeerRefused(PEER, "rate", "too much"), WARNING, "peer refused"),
        (FactsDropped(4), WARNING, "facts dropped"),
    ],
)
def test_each_fact_has_its_level(fact: Fact, level: int, event: str) -> None:
    line = describe(fact, OWN)
    assert (line.level, line.event) == (level, event)


def test_what_is_about_a_request_names_it_and_whom_it_went_to() -> None:
    def get_fields(fact: Fact) -> Line:
        return describe(fact, OWN)

    here = get_fields(AttemptStarted(REQUEST, SESSION, OWN, "m", ())).fields
    assert here == {
        "request": REQUEST_TEXT,
        "session": "origin-7",
        "model": "m",
        "route": "local",
    }
    work = get_fields(WorkFinished(WORK, REQUEST, PEER, "m", "", 1, 1, 1)).fields
    assert work["request"] == REQUEST_TEXT
    assert (work["session"], work["peer"]) == ("executor-3", node_prefix(PEER))


def test_steps_are_left_out_above_debug(tmp_path: Path) -> None:
    steps = (RequestReceived(REQUEST, "m", 1), LinkChanged(PEER, is_open=True, detail=""))
    assert write_facts(tmp_path, *steps, level=LogLevel.INFO) == []


def test_lines_that_others_can_cause_are_rationed(tmp_path: Path) -> None:
    clock = HandClock()
    refused = PeerRefused(PEER, "rate", "too much")
    with open_file(tmp_path / "log") as log:
        facts_log = FactLog(log, OWN, clock)
        for _ in range(LINES_PER_MINUTE_MAX + 40):
            facts_log.on_fact(refused)
        facts_log.on_fact(make_finished())
        clock.moment = Moment(60 * SECOND)
        facts_log.on_fact(refused)
        facts_log.on_fact(refused)
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    refusals = [line for line in lines if line["event"] == "peer refused"]
    assert len(refusals) == LINES_PER_MINUTE_MAX + 2
    assert [line.get("left_out") for line in refusals[-2:]] == [40, None]
    assert len(lines) == len(refusals) + 1, "an own request's line is never left out"


def test_libraries_warnings_look_the_same_and_show_no_values(tmp_path: Path) -> None:
    def break_down() -> None:
        prompt = "a prompt " + "nobody may read"
        raise ValueError(len(prompt))

    with open_file(tmp_path / "log"):
        logging.getLogger("library").debug("a trifle")
        try:
            break_down()
        except ValueError:
            logging.getLogger("library").exception("it broke over %s", "something")
    logging.getLogger("library").handle(
        logging.LogRecord("library", WARNING, "", 0, "after the end", None, None)
    )
    (line,) = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert (line["level"], line["event"]) == ("error", "it broke over something")
    assert line["logger"] == "library"
    assert "ValueError: 24" in line["exception"]
    assert "a prompt nobody may read" not in line["exception"]


def test_what_is_no_text_is_escaped_and_nothing_is_lost(tmp_path: Path) -> None:
    with open_file(tmp_path / "log") as log:
        log.info("odd", detail="half a character: \udc80", value=object)
    (line,) = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert line["detail"] == "half a character: \udc80"
    assert line["value"] == repr(object)


def test_text_is_for_people_and_no_peer_writes_lines_of_its_own(tmp_path: Path) -> None:
    settings = LogsConfig(format=LogFormat.TEXT)
    with open_file(tmp_path / "log", settings) as log:
        facts_log = FactLog(log.bind(node="short"), OWN, HandClock())
        facts_log.on_fact(PeerRefused(PEER, "rule", "one\nerror forged \x1b[31m"))
    (line,) = (tmp_path / "log").read_text().splitlines()
    assert "\x1b" not in line
    assert "peer refused" in line
    assert "node=short" in line
    assert "rule=rule" in line


def read_all(descriptor: int) -> bytes:
    received = bytearray()
    while data := os.read(descriptor, 1 << 20):
        received += data
    return bytes(received)


def test_a_log_that_nobody_reads_holds_nobody_up() -> None:
    reading, writing = os.pipe()
    writer = LineWriter(writing)
    for _ in range(WRITTEN):
        writer.write("x" * 100)
    # Its reader is back: what was kept comes whole.
    with ThreadPoolExecutor(1) as threads:
        received = threads.submit(read_all, reading)
        writer.close()
        os.close(writing)
        lines = received.result().splitlines()
    os.close(reading)
    lost = writer.take_lost()
    assert lost > 0
    assert lines == [b"x" * 100] * (WRITTEN - lost)
    assert writer.take_lost() == 0


def test_the_next_line_tells_how_many_were_lost() -> None:
    reading, writing = os.pipe()
    first = bytearray()
    with ThreadPoolExecutor(1) as threads:
        with open_log(writing) as log:
            for _ in range(WRITTEN):
                log.info("busy", filling="x" * 100)
            while len(first) < PIPE_BYTES_MAX + LINES_AT_ONCE_MAX * LINE_BYTES_MAX:
                first += os.read(reading, 4096)
            # More than the pipe and the writer's hand can have held when the queue was full: lines
            # have left it since then, and it has room again.
            log.info("again")
            rest = threads.submit(read_all, reading)
        os.close(writing)
        lines = [json.loads(line) for line in (first + rest.result()).splitlines()]
    os.close(reading)
    assert lines[-1]["event"] == "again"
    assert lines[-1]["lines_lost"] == WRITTEN + 1 - len(lines)


def test_a_log_whose_reader_has_gone_is_lost_quietly() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    writer = LineWriter(writing)
    writer.write("for nobody")
    writer.close()
    assert writer.take_lost() == 1
    os.close(writing)
