"""What a node's policy has of its host: a diary on disk, and the provider's own Python policies."""

from dataclasses import dataclass

from msgspec.structs import replace

from wwwserve.adapters.host import MonotonicClock
from wwwserve.core.deciding import PolicyMemory
from wwwserve.node.config import Config
from wwwserve.node.guests import GuestHouse
from wwwserve.node.local_time import read_wall_us
from wwwserve.node.policy_diary import PolicyDiary
from wwwserve.node.setup_parts import make_policy
from wwwserve.node.state_folder import StateFolder


@dataclass(frozen=True, slots=True)
class Providing:
    """The host's side of one node's policy."""

    diary: PolicyDiary
    guests: GuestHouse
    memory: PolicyMemory
    """For the peer that is about to begin."""

    def close(self) -> None:
        """The node has ended."""
        self.diary.close()
        self.guests.close()


def begin_providing(config: Config, home: StateFolder) -> Providing:
    """Let in the guest, and look up what was taken and spent. Raises `BadInput`."""
    clock = MonotonicClock()
    guests = GuestHouse(clock)
    guests.prepare(config.policy.guest)()
    diary = PolicyDiary(home, clock, read_wall_us)
    memory = diary.begin(make_policy(config))
    return Providing(diary, guests, replace(memory, guests=guests))
