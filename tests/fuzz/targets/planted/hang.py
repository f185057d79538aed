"""A target that never comes back: the runner must end it and say so."""


def make_seeds() -> list[bytes]:
    """One input that is well, and one that is not."""
    return [b"well", b"broken"]


def consume(data: bytes) -> None:
    """Hang."""
    while data == b"broken":
        pass
