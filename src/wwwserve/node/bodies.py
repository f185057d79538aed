"""The body store: prompts in flight, held in one bounded place and never shown to the core."""

from wwwserve.values.limits import BODY_STORE_BYTES_MAX


class BodyStoreFull(Exception):
    """No room for another body now: the request must be refused, not half kept."""


class BodyStore:
    """Bodies of requests being worked on, by any key, within `bytes_max` bytes in all."""

    def __init__(self, *, bytes_max: int = BODY_STORE_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._bodies: dict[object, bytes] = {}
        self._reserved: dict[object, int] = {}
        self._bytes_used = 0

    @property
    def bytes_used(self) -> int:
        """Bytes held or reserved."""
        return self._bytes_used

    def reserve(self, key: object, body_bytes: int) -> None:
        """Set room aside for a body that is still arriving. Raises `BodyStoreFull`."""
        assert key not in self._reserved, "a key names one body"
        if self._bytes_used + body_bytes > self._bytes_max:
            raise BodyStoreFull
        self._reserved[key] = body_bytes
        self._bytes_used += body_bytes

    def put(self, key: object, body: bytes) -> None:
        """Keep a body, in the room reserved for it if there is. Raises `BodyStoreFull`."""
        if key not in self._reserved:
            self.reserve(key, len(body))
        assert len(body) <= self._reserved[key], "a body fits what was reserved for it"
        self._bodies[key] = body

    def get(self, key: object) -> bytes:
        """The body kept under `key`."""
        return self._bodies[key]

    def remove(self, key: object) -> None:
        """Forget a body and its room. Idempotent."""
        self._bodies.pop(key, None)
        self._bytes_used -= self._reserved.pop(key, 0)
