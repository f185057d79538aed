"""What a machine has promised itself to do, and when: many deadlines behind one."""

import heapq
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from wwwserve.values.moments import NEVER, Moment


class Task(StrEnum):
    """Something to do later. Tasks about one node or meeting name it as their subject.

    Strings, for they are looked up by name with each event, and a plain member hashes slowly.
    """

    PROBE = "probe"
    """Judge the last probe and begin the next."""
    PROBE_TIMEOUT = "probe-timeout"
    """No direct answer: ask others to probe."""
    SEEK = "seek"
    """Ask around for a member that may be watched by nobody."""
    GOSSIP = "gossip"
    """Tell a few peers the queued news."""
    PUSH_PULL = "push-pull"
    """Exchange tables with one peer."""
    REFUTE = "refute"
    """Sign a higher version of the own record, put off because the last was just before."""
    WRITE_BOOK = "write-book"
    """Make changed records durable."""
    KNOCK = "knock"
    """Dial one node that is dead or was not heard of since the start."""
    TEND = "tend"
    """Look whom to have links to."""
    INTRODUCE = "introduce"
    """Ask a linked peer for its record, if it has not shown one yet."""
    GIVE = "give"
    """Give a linked peer the next part of the records it is owed."""
    DIAL = "dial"
    """Make a link to a live member."""
    MEET = "meet"
    """Make a link to an address given by the operator."""
    DECLARE_DEAD = "declare-dead"
    """A suspicion was not refuted in time."""
    RELAY = "relay"
    """A probe on a peer's behalf has not been answered."""
    FORGET = "forget"
    """A node has been gone long enough."""


TaskAboutOne = Literal[
    Task.INTRODUCE,
    Task.GIVE,
    Task.DIAL,
    Task.MEET,
    Task.DECLARE_DEAD,
    Task.RELAY,
    Task.FORGET,
]
"""Those with a subject."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One task, about one subject (empty for none): a node's id, an address, a relay's number."""

    task: Task
    subject: bytes
    due: Moment


@dataclass(slots=True)
class Agenda:
    """Each task with each subject has at most one moment; setting it again moves it.

    A moved or cancelled entry stays in the heap until it surfaces; `_sequences` says which entry of
    a task is the true one, and breaks ties in the order of setting.
    """

    _heap: list[tuple[Moment, int, Task, bytes]] = field(default_factory=list)
    _sequences: dict[tuple[Task, bytes], int] = field(default_factory=dict)
    _count: int = 0

    def set(self, at: Moment, task: Task, subject: bytes = b"") -> None:
        """Do it at this moment, not at the one set before."""
        self._count += 1
        self._sequences[task, subject] = self._count
        heapq.heappush(self._heap, (at, self._count, task, subject))
        if len(self._heap) > 4 * len(self._sequences) + 64:
            self._compact()

    def set_once(self, at: Moment, task: Task, subject: bytes = b"") -> None:
        """Do it at this moment, unless it is on the agenda already."""
        if (task, subject) not in self._sequences:
            self.set(at, task, subject)

    def cancel(self, task: Task, subject: bytes = b"") -> None:
        """Do not do it."""
        self._sequences.pop((task, subject), None)

    def clear(self) -> None:
        """Do nothing any more."""
        self._heap.clear()
        self._sequences.clear()

    def get_next(self) -> Moment:
        """The earliest moment of all, or `NEVER`."""
        self._drop_stale()
        return self._heap[0][0] if self._heap else NEVER

    def pop_due(self, now: Moment) -> Entry | None:
        """Take off the earliest entry that is due, if any is."""
        if self.get_next() > now or not self._heap:
            return None
        due, _, task, subject = heapq.heappop(self._heap)
        del self._sequences[task, subject]
        return Entry(task, subject, due)

    def _drop_stale(self) -> None:
        while self._heap and not self._is_true(self._heap[0]):
            heapq.heappop(self._heap)

    def _is_true(self, item: tuple[Moment, int, Task, bytes]) -> bool:
        _, sequence, task, subject = item
        return self._sequences.get((task, subject)) == sequence

    def _compact(self) -> None:
        self._heap = [item for item in self._heap if self._is_true(item)]
        heapq.heapify(self._heap)
