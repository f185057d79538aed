"""A target that takes all memory: the runner must end it and say so."""

from time import sleep

from wwwserve.values.limits import MIB

HOARDED_MIB = 2_048
HELD_S = 50
"""The runner looks at memory once a second and names the input of that moment, so this one must
still be at work then; less than one input may take, or it would be called a hang."""
_HOARD: list[bytes] = []


def make_seeds() -> list[bytes]:
    """One input that is well, and one that is not."""
    return [b"well", b"broken"]


def consume(data: bytes) -> None:
    """Hoard."""
    if data == b"broken":
        _HOARD.extend(b"x" * MIB for _ in range(HOARDED_MIB))
        sleep(HELD_S)
