"""A target that takes all memory: the runner must end it and say so."""

from wwwserve.values.limits import MIB

HOARDED_MIB = 2_048
_HOARD: list[bytes] = []


def make_seeds() -> list[bytes]:
    """One input that is well, and one that is not."""
    return [b"well", b"broken"]


def consume(data: bytes) -> None:
    """Hoard."""
    if data == b"broken":
        _HOARD.extend(b"x" * MIB for _ in range(HOARDED_MIB))
