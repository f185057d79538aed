"""What an emulated engine is started with: which GPU and model, how fast, and what goes wrong."""

import re
from dataclasses import dataclass
from enum import Enum

import msgspec

from wwwserve.enginemodel import EngineProfile
from wwwserve.values.moments import SECOND
from wwwserve.values.refusals import BadInput

SPEEDUP_MIN = 0.01
SPEEDUP_MAX = 1_000.0
SLOTS_MAX = 4_096
CONTEXT_TOKENS_MAX = 32_768
"""Prompt and answer of one request; less where the KV cache is smaller. As an operator would set
`--max-model-len`: the profiles do not tell what a model was trained for."""
PORT_MAX = 65_535
SEED_MAX = 2**63 - 1
_SHARE_MAX = 100
_PERMILLE_PER_PERCENT = 10

_FAULT = re.compile(r"(crash|hang|drip|5xx)(?::(\d{1,3})%)?(?:@(\d{1,9}))?")


class FaultKind(Enum):
    """What may befall a request."""

    CRASH = "crash"
    """Half-way through the answer the whole engine is gone, as if killed."""
    HANG = "hang"
    """Half-way through, the answer stops and never goes on."""
    DRIP = "drip"
    """The answer comes one token a second."""
    ERROR = "5xx"
    """A 500 at once."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong, for some of the requests, from some time on."""

    kind: FaultKind
    share_permille: int = 1_000
    """Of the requests, drawn from the engine's seed."""
    after_us: int = 0
    """From the engine's start, in real time."""


@dataclass(frozen=True, slots=True)
class EmulatedSettings:
    """One emulated engine."""

    profile: EngineProfile
    """The GPU and model it behaves like."""
    host: str = "127.0.0.1"
    port: int = 0
    """0 is any free one."""
    speedup: float = 1.0
    """How much faster than the real engine."""
    seed: int = 0
    """Decides how long answers are and which requests a fault befalls."""
    slots: int = 0
    """Requests worked on at once; 0 is the profile's own number."""
    faults: tuple[Fault, ...] = ()
    """The first that applies to a request befalls it."""

    def __post_init__(self) -> None:
        """Refuse numbers no engine can be started with; raises `BadInput`."""
        _validate_range("speedup", self.speedup, SPEEDUP_MIN, SPEEDUP_MAX)
        _validate_range("port", self.port, 0, PORT_MAX)
        _validate_range("slots", self.slots, 0, SLOTS_MAX)
        _validate_range("seed", self.seed, 0, SEED_MAX)

    def get_profile(self) -> EngineProfile:
        """The profile with this engine's own number of slots."""
        if not self.slots:
            return self.profile
        return msgspec.structs.replace(self.profile, max_num_seqs=self.slots)


def parse_fault(text: str) -> Fault:
    """A fault as it is typed: `KIND[:SHARE%][@SECONDS]`; raises `BadInput`."""
    match = _FAULT.fullmatch(text)
    share = int(match[2] or _SHARE_MAX) if match else 0
    if match is None or share > _SHARE_MAX:
        raise BadInput(
            field="fault",
            found=text,
            expected="KIND[:SHARE%][@SECONDS], KIND being crash, hang, drip or 5xx",
            fix="5xx:10% for a tenth of the requests, crash@30 for the first after 30 seconds",
        )
    return Fault(
        FaultKind(match[1]),
        share_permille=share * _PERMILLE_PER_PERCENT,
        after_us=int(match[3] or 0) * SECOND,
    )


def _validate_range(field: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise BadInput(
            field=field,
            found=str(value),
            expected=f"a number from {low} to {high}",
            fix=f"{min(max(value, low), high)}",
        )
