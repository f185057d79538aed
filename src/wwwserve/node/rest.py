"""An operator's word that the node take no work of others: an order, or a line of the policy.

To the peer it is one command (`Depart`), told again at each start. Which kind of rest an order is,
and until when, is remembered here, in a lane of the node's store, so that a pause outlives
`kill -9`; what the policy says is read from it anew. The calendar ends both.
"""

import asyncio
from collections.abc import Callable

import msgspec

from wwwserve.core.events import Depart, Departure, Event
from wwwserve.core.lanes import Lane
from wwwserve.node.local_time import ReadWall, read_wall_us
from wwwserve.ports.opening import RestKind
from wwwserve.ports.store import Store, StoreFailed
from wwwserve.values.moments import SECOND
from wwwserve.values.refusals import BadInput

FORMAT = 1
"""Version of what is stored."""
REST_S_MAX = 366 * 24 * 3600
"""Longest rest with an end, in seconds; one without lasts until the operator says otherwise."""
_KEY = b"rest"

OnDurable = Callable[[StoreFailed | None], None]


class StoredRest(msgspec.Struct, array_like=True, frozen=True):
    """A rest as it is on disk."""

    format: int
    kind: RestKind
    until_us: int | None
    """By the calendar, in microseconds since 1970; None = without end."""


class RestKeeper:
    """The rests in force: one that was ordered, and one that the policy says, if any."""

    def __init__(
        self, store: Store, deliver: Callable[[Event], None], read_wall: ReadWall = read_wall_us
    ) -> None:
        """Read what was in force when the node ended. Raises `BadInput` if that cannot be read."""
        self._store = store
        self._deliver = deliver
        self._read_wall = read_wall
        self._rest = _read(store)
        self._by_policy: StoredRest | None = None

    @property
    def rest(self) -> StoredRest | None:
        """The rest that was ordered, if any."""
        return self._rest

    @property
    def by_policy(self) -> StoredRest | None:
        """The rest that the policy says, if any."""
        return self._by_policy

    def follow(self, *, is_draining: bool, paused_until_us: int | None) -> None:
        """The policy says this from now on; a pause ends by the calendar."""
        was_resting = self._is_resting
        if is_draining:
            self._by_policy = StoredRest(FORMAT, RestKind.DRAIN, None)
        elif paused_until_us is not None and self._read_wall() < paused_until_us:
            self._by_policy = StoredRest(FORMAT, RestKind.PAUSE, paused_until_us)
        else:
            self._by_policy = None
        if self._is_resting != was_resting:
            self._tell()

    def start(self) -> None:
        """Tell a peer that has just started, unless the rest's time ran out meanwhile."""
        self.look()
        if self._is_resting:
            self._tell()

    def look(self) -> None:
        """End what has its time over."""
        if self._is_over(self._rest):
            # If this is not written, the next start finds the time over and comes here again.
            self._set(None, _ignore)
        if self._is_over(self._by_policy):
            self._by_policy = None
            self._tell()

    async def begin(self, kind: RestKind, for_s: int | None = None) -> None:
        """Take no work of others from now on; returns once that would outlive a power cut.

        Raises `BadInput` for a length of time that is none, and `StoreFailed`: then it holds, but
        only until the process ends.
        """
        if for_s is not None and not 0 < for_s <= REST_S_MAX:
            expected = f"1 to {REST_S_MAX} seconds (366 days)"
            fix = "leave it out to pause until `wwwserve resume`"
            raise BadInput("length of the pause", f"{for_s} s", expected, fix)
        until_us = None if for_s is None else self._read_wall() + for_s * SECOND
        await self._set_durably(StoredRest(FORMAT, kind, until_us))

    async def end(self) -> None:
        """Take others' work again, as far as the policy allows. Raises `StoreFailed`."""
        await self._set_durably(None)

    def on_stopped(self) -> None:
        """The node has stopped in order: a drain has done what it was for."""
        if self._rest is not None and self._rest.kind is RestKind.DRAIN:
            self._write(None, _ignore)

    async def _set_durably(self, rest: StoredRest | None) -> None:
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def on_durable(failure: StoreFailed | None) -> None:
            if written.done():
                return
            if failure is None:
                written.set_result(None)
            else:
                written.set_exception(failure)

        self._set(rest, on_durable)
        await written

    def _set(self, rest: StoredRest | None, on_durable: OnDurable) -> None:
        """Make it so at once, and have it written."""
        self._rest = rest
        self._tell()
        self._write(rest, on_durable)

    @property
    def _is_resting(self) -> bool:
        return not (self._rest is None and self._by_policy is None)

    def _is_over(self, rest: StoredRest | None) -> bool:
        return rest is not None and rest.until_us is not None and self._read_wall() >= rest.until_us

    def _tell(self) -> None:
        self._deliver(Depart(Departure.DRAIN if self._is_resting else Departure.RESUME))

    def _write(self, rest: StoredRest | None, on_durable: OnDurable) -> None:
        content = None if rest is None else msgspec.msgpack.encode(rest)
        self._store.write(Lane.OPERATOR, {_KEY: content}, on_durable)


def _ignore(_: StoreFailed | None) -> None:
    """For a write that the next start makes up for."""


def _read(store: Store) -> StoredRest | None:
    content = store.read(Lane.OPERATOR).get(_KEY)
    if content is None:
        return None
    try:
        rest = msgspec.msgpack.decode(content, type=StoredRest)
    except ValueError as error:
        raise _unreadable(str(error)) from error
    if rest.format != FORMAT:
        raise _unreadable(f"format {rest.format}")
    return rest


def _unreadable(why: str) -> BadInput:
    return BadInput(
        field="state/operator.sqlite",
        found=f"an order to rest that cannot be read: {why}",
        expected=f"format {FORMAT}",
        fix="use the version that wrote it, or remove the file to take work again",
    )
