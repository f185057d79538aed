"""Who holds whom for what, kept from the facts peers report: no peer has to be looked into."""

from wwwserve.core.facts import MemberStatus


class Standing:
    """What each running peer holds of each host, and how many agree."""

    def __init__(self, host_count: int) -> None:
        """Nobody runs, nobody knows anybody."""
        self._held: list[dict[int, MemberStatus]] = [{} for _ in range(host_count)]
        self._counts = [dict.fromkeys(MemberStatus, 0) for _ in range(host_count)]
        self._is_running = [False] * host_count

    @property
    def running_count(self) -> int:
        """How many processes run."""
        return sum(self._is_running)

    def is_running(self, host: int) -> bool:
        """Whether its process runs."""
        return self._is_running[host]

    def on_birth(self, host: int) -> None:
        """A process starts, and knows nobody yet."""
        self._is_running[host] = True

    def on_death(self, host: int) -> None:
        """A process is gone, and with it what it held."""
        for subject, status in self._held[host].items():
            self._counts[subject][status] -= 1
        self._held[host].clear()
        self._is_running[host] = False

    def on_change(self, observer: int, subject: int, status: MemberStatus) -> None:
        """A peer holds something else of another from now on."""
        counts, held = self._counts[subject], self._held[observer]
        if subject in held:
            counts[held[subject]] -= 1
        counts[status] += 1
        held[subject] = status

    def get(self, observer: int, subject: int) -> MemberStatus | None:
        """What one holds of another, if it ever heard of it."""
        return self._held[observer].get(subject)

    def count_holding(self, subject: int, *statuses: MemberStatus) -> int:
        """How many running peers hold one of these of a host."""
        return sum(self._counts[subject][status] for status in statuses)

    def is_agreed(self) -> bool:
        """Whether each running peer holds all other running ones alive, and nobody else."""
        others = self.running_count - 1
        return others >= 0 and all(
            counts[MemberStatus.ALIVE] == (others if is_running else 0)
            for counts, is_running in zip(self._counts, self._is_running, strict=True)
        )
