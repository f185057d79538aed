"""What to do about one line of another's table: no state, no change."""

from collections.abc import Mapping
from enum import Enum

from wwwserve.core.facts import MemberStatus
from wwwserve.wire import Dead, Entry, OpenedRecord, Standing, Suspect

STANDINGS = {
    MemberStatus.ALIVE: Standing.ALIVE,
    MemberStatus.SUSPECT: Standing.SUSPECT,
    MemberStatus.DEAD: Standing.DEAD,
    MemberStatus.LEFT: Standing.LEFT,
}
"""How a status travels."""
DOUBTS: Mapping[Standing, type[Suspect] | type[Dead]] = {
    Standing.SUSPECT: Suspect,
    Standing.DEAD: Dead,
}
"""What a doubting line of a table says, as a claim."""
_DOUBTED = (MemberStatus.SUSPECT, MemberStatus.DEAD)


class Step(Enum):
    """What follows from one node's place in two tables."""

    NOTHING = "nothing"
    WANT = "want"
    """The other has a newer record."""
    OWE = "owe"
    """We have a newer record."""
    HEAR = "hear"
    """The other doubts a record that we do not."""
    TELL = "tell"
    """We doubt a record that the other does not."""


Held = tuple[OpenedRecord, MemberStatus]
"""What a table says of one node, with its record."""


def compute_step(entry: Entry, held: Held | None) -> Step:
    """Compare what another holds of a node with what we do.

    Records of the dead are neither wanted nor owed: whoever forgot them would take them for alive.
    """
    if held is None:
        is_live = entry.standing in (Standing.ALIVE, Standing.SUSPECT)
        return Step.WANT if is_live else Step.NOTHING
    opened, status = held
    version = opened.record.version
    if entry.version > version:
        return Step.NOTHING if entry.standing is Standing.DEAD else Step.WANT
    if entry.version < version:
        return Step.NOTHING if status is MemberStatus.DEAD else Step.OWE
    if status is MemberStatus.ALIVE and entry.standing in DOUBTS:
        return Step.HEAR
    if status in _DOUBTED and entry.standing is Standing.ALIVE:
        return Step.TELL
    return Step.NOTHING
