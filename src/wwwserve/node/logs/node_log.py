"""The log of one node, whose level and form may change while it runs."""

from contextlib import ExitStack
from dataclasses import dataclass

from structlog.typing import FilteringBoundLogger

from wwwserve.node.config import LogsConfig
from wwwserve.node.fact_hub import FactHub
from wwwserve.node.logs.facts import FactLog
from wwwserve.node.logs.lines import STANDARD_ERROR, LineWriter
from wwwserve.node.logs.loggers import open_logs
from wwwserve.ports.clock import Clock
from wwwserve.values.ids import NodeId, node_prefix


@dataclass(frozen=True, slots=True)
class _Source:
    """Where what is told comes from."""

    facts: FactHub
    node: NodeId
    clock: Clock


class NodeLog:
    """Writes what a node tells, under the settings that hold now."""

    def __init__(self, settings: LogsConfig, descriptor: int = STANDARD_ERROR) -> None:
        self._source: _Source | None = None
        # One for all settings: ending it may have to wait, which a running node must not.
        self._writer = LineWriter(descriptor)
        self._stack = ExitStack()
        self._settings = settings
        self.logger: FilteringBoundLogger = self._stack.enter_context(
            open_logs(settings, self._writer)
        )
        """For what is no fact; another one after `set`."""

    def follow(self, facts: FactHub, node: NodeId, clock: Clock) -> None:
        """From now on every line names the node, and its facts become lines."""
        self._source = _Source(facts, node, clock)
        self.logger = self._follow(self._stack, self.logger)

    def set(self, settings: LogsConfig) -> None:
        """From now on lines are written under these settings."""
        if settings == self._settings:
            return
        fresh = ExitStack()
        self.logger = self._follow(fresh, fresh.enter_context(open_logs(settings, self._writer)))
        self._stack.close()
        self._stack, self._settings = fresh, settings

    def close(self) -> None:
        """Write what waits, and no more."""
        self._stack.close()
        self._writer.close()

    def _follow(self, stack: ExitStack, logger: FilteringBoundLogger) -> FilteringBoundLogger:
        source = self._source
        if source is None:
            return logger
        bound = logger.bind(node=node_prefix(source.node))
        on_fact = FactLog(bound, source.node, source.clock).on_fact
        stack.callback(source.facts.listen(on_fact))
        return bound
