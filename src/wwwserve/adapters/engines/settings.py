"""What one operator says about an engine: where it is, or how to run one here."""

from dataclasses import dataclass
from pathlib import Path

from wwwserve.values.limits import STALL_US, STARVED_US
from wwwserve.values.moments import MILLISECOND, SECOND
from wwwserve.values.refusals import BadInput

AUTO_KIND = "auto"
"""Find out what kind of engine it is by asking it."""

CONNECT_US = 5 * SECOND
"""Time for a connection to an engine, a free place in the pool included; then it is unavailable."""
STATE_PAGE_US = 2 * SECOND
"""Time for one page of an engine's state; a later page is unknown."""
ENGINE_CONNECTIONS_MAX = 2_048
"""Requests one engine is given at once; one more waits `CONNECT_US` for a place, then fails."""

LOCAL_SLOTS_MAX = 64
"""Requests a local engine can be told to run at once: each slot has its own share of memory."""
LOCAL_CONTEXT_TOKENS_MIN = 128
LOCAL_CONTEXT_TOKENS_MAX = 1_048_576
LOCAL_PORT_MAX = 65_535


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """An engine that is already running somewhere, reached by its OpenAI-compatible URL."""

    name: str
    """What this node calls it."""
    url: str
    """Its base URL, with or without `/v1`."""
    kind: str = AUTO_KIND
    """`auto`, or one of the names in `kinds.DIALECTS`."""
    api_key: str = ""
    """The node's own key for it; no client's key is ever passed on. Empty: none is sent."""
    connect_us: int = CONNECT_US
    stall_us: int = STALL_US
    """Longest silence, before the status line and between bytes."""
    starved_us: int = STARVED_US
    """The same of an answer that has begun, while the engine goes on with others."""
    state_page_us: int = STATE_PAGE_US
    connections_max: int = ENGINE_CONNECTIONS_MAX


@dataclass(frozen=True, slots=True)
class RestartPlan:
    """How a dead child process is brought back: soon at first, then ever more slowly."""

    first_wait_us: int = 500 * MILLISECOND
    """Wait after the first death; it doubles with each further one."""
    wait_us_max: int = 30 * SECOND
    deaths_max: int = 3
    """Deaths in a row from which on the engine counts as unavailable, not as loading."""
    steady_us: int = 60 * SECOND
    """A child that lived this long after it was ready begins a new row of deaths."""
    start_us_max: int = 600 * SECOND
    """Time to load the model; a child that is not ready by then is ended and counts as a death."""


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """A small engine this node starts itself, in front of one GGUF file."""

    name: str = "local"
    """What this node calls it."""
    model_path: Path | None = None
    """The GGUF file; None is the model that `wwwserve engine fetch` brings."""
    model_name: str = ""
    """The name it is served under; empty is the fetched model's id, or the file's stem."""
    slots: int = 4
    """Requests worked on at once."""
    context_tokens: int = 2_048
    """Longest prompt plus answer of one request: each slot has its own."""
    threads: int = 0
    """Processor threads; 0 is half of the machine's cores, at least one."""
    port: int = 0
    """On loopback; 0 is any free one."""
    restart: RestartPlan = RestartPlan()

    def __post_init__(self) -> None:
        """Refuse numbers no engine can be started with; raises `BadInput`."""
        _validate_range("engine slots", self.slots, 1, LOCAL_SLOTS_MAX)
        _validate_range(
            "engine context_tokens",
            self.context_tokens,
            LOCAL_CONTEXT_TOKENS_MIN,
            LOCAL_CONTEXT_TOKENS_MAX,
        )
        _validate_range("engine port", self.port, 0, LOCAL_PORT_MAX)
        _validate_range("engine threads", self.threads, 0, 1_024)


def _validate_range(field: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise BadInput(
            field=field,
            found=str(value),
            expected=f"a whole number from {low} to {high}",
            fix=f"set it to {min(max(value, low), high)}",
        )
