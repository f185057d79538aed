"""What an examination finds: one thing each, why it matters, and what to do about it."""

from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """How much a finding matters."""

    OK = "ok"
    """As it should be."""
    NOTE = "note"
    """Works; good to know, or not looked at and why."""
    WARNING = "warning"
    """Works less well than it could, or may stop to."""
    ERROR = "error"
    """Something asked for does not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. No field holds a secret."""

    check: str
    """What was looked at, in a word or two."""
    level: Level
    found: str
    """How it is."""
    why: str = ""
    """What follows from it."""
    fix: str = ""
    """What to do: a command where there is one, else a setting."""
