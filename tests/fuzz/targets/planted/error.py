"""A target that is broken on purpose: the runner must say so."""


def make_seeds() -> list[bytes]:
    """One input that is well, and one that is not."""
    return [b"well", b"broken"]


def consume(data: bytes) -> None:
    """Break."""
    assert data != b"broken", "planted"
