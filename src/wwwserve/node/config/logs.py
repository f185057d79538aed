"""What the node writes about itself while it runs."""

from dataclasses import dataclass
from enum import Enum


class LogLevel(Enum):
    """The least important line that is still written."""

    DEBUG = "debug"
    """Each step of each request, and links as they come and go."""
    INFO = "info"
    """How each request ended, and who came and went."""
    WARNING = "warning"
    """What somebody may have to mend."""
    ERROR = "error"
    """What is broken in the node itself."""


class LogFormat(Enum):
    """How a line is written."""

    AUTO = "auto"
    """`text` on a terminal, `json` everywhere else."""
    JSON = "json"
    """One JSON object a line, for programs."""
    TEXT = "text"
    """Words and `key=value`, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogsConfig:
    """The log, on standard error. No line holds a prompt, an answer or a key."""

    level: LogLevel = LogLevel.INFO
    """The least important line that is still written."""
    format: LogFormat = LogFormat.AUTO
    """How a line is written."""
