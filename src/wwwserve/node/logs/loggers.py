"""How a log line looks, and that lines of libraries look the same."""

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor

from wwwserve.node.config import LogFormat, LogLevel, LogsConfig
from wwwserve.node.logs.lines import LineWriter

_LEVELS = {
    LogLevel.DEBUG: logging.DEBUG,
    LogLevel.INFO: logging.INFO,
    LogLevel.WARNING: logging.WARNING,
    LogLevel.ERROR: logging.ERROR,
}
_FIRST = ("time", "level", "event")
_EVENT_WIDTH = 20
"""Columns that short events are padded to, so that what follows them stands in one line."""


@contextmanager
def open_logs(settings: LogsConfig, writer: LineWriter) -> Iterator[FilteringBoundLogger]:
    """A logger under these settings; libraries' warnings go the same way meanwhile."""
    is_text = settings.format is LogFormat.TEXT or (
        settings.format is LogFormat.AUTO and writer.is_terminal
    )
    log: FilteringBoundLogger = structlog.wrap_logger(
        _Sink(writer.write),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            # Plain tracebacks: they show code, never what a variable held.
            structlog.processors.format_exc_info,
            _make_loss_teller(writer),
            *(_make_text_processors(writer) if is_text else _JSON),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[settings.level]),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    handler = _LibraryHandler(log)
    root.addHandler(handler)
    try:
        yield log
    finally:
        root.removeHandler(handler)


class _Sink:
    """What structlog hands finished lines to, whatever their level."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = write


class _LibraryHandler(logging.Handler):
    """Passes warnings of the standard library's `logging` on to the node's log."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record as a line."""
        level = min(record.levelno // 10 * 10, logging.CRITICAL)
        fields = {"exc_info": record.exc_info} if record.exc_info else {}
        self._log.log(level, record.getMessage(), logger=record.name, **fields)


def _make_loss_teller(writer: LineWriter) -> Processor:
    def tell_loss(_: object, __: str, line: EventDict) -> EventDict:
        if lost := writer.take_lost():
            line["lines_lost"] = lost
        return line

    return tell_loss


def _render_json(_: object, __: str, line: EventDict) -> str:
    ordered = {**{name: line[name] for name in _FIRST}, **line}
    try:
        return msgspec.json.encode(ordered, enc_hook=repr).decode()
    except UnicodeEncodeError:
        # Half a character, of a file's name perhaps: this one escapes whatever is no text.
        return json.dumps(ordered, default=repr)


_JSON: tuple[Processor, ...] = (_render_json,)


def _make_text_processors(writer: LineWriter) -> tuple[Processor, ...]:
    console = structlog.dev.ConsoleRenderer(
        colors=writer.is_terminal,
        pad_event_to=_EVENT_WIDTH,
        sort_keys=False,
        timestamp_key="time",
        exception_formatter=structlog.dev.plain_traceback,
    )
    return (_escape, console)


def _escape(_: object, __: str, line: EventDict) -> EventDict:
    """Keep other nodes' words from looking like lines of our own, or from moving the cursor."""
    for name, value in line.items():
        # A traceback is our own, and has lines.
        if isinstance(value, str) and name != "exception" and not value.isprintable():
            line[name] = value.encode("unicode_escape").decode("ascii")
    return line
