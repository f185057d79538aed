"""What the policies of a pretend network decided, in the records of a real node's diary.

The records are the same, made and encoded by the same code, so whatever reads a node's diary reads
these. They are handed on as they come, to whoever asked for them; a run that nobody asks is as it
is without them. A pretend host never reads its diary: a new life of a node counts anew.
"""

from collections.abc import Callable
from typing import Final

from wwwserve.core.policy import InForce, Life, encode_record, make_record
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.sim.cluster import Cluster
from wwwserve.sim.hosts import Host
from wwwserve.values.moments import SECOND

KeepLine = Callable[[str, bytes], None]
"""Takes the next line of a node's diary, without its end; the node by its name in the plan."""

WORLD_WALL_US: Final = 4 * 24 * 3_600 * SECOND
"""What calendars show when a world begins: the first Monday after 1970 began, in microseconds."""


def keep_diaries(cluster: Cluster, keep: KeepLine) -> None:
    """Hand every record of every node to `keep`. To be called before the cluster starts."""

    def on_birth(host: Host, settings: PolicySettings) -> None:
        now = host.read_clock()
        keep(host.name, encode_record(Life(now, WORLD_WALL_US + host.world.now_us)))
        keep(host.name, encode_record(InForce(now, settings)))

    def on_fact(host: Host, fact: object) -> None:
        record = make_record(fact)
        if record is not None:
            keep(host.name, encode_record(record))

    cluster.births.append(on_birth)
    cluster.watchers.append(on_fact)
