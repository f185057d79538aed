"""Where things lie in the `CHAIN` lane: keys are final, as files outlive programs.

| key | value |
|---|---|
| `g` | the genesis record |
| `b` and the height, 8 bytes | the block of that height with its feed blocks (`ChainRecord`) |
| `s` and the key of an entry | that entry, as of the block that the log's own entry names |
| `f` | proof that the sequencer signed two histories (`ForkTold`) |
"""

from typing import Final

GENESIS_PLACE: Final = b"g"
FORK_PLACE: Final = b"f"
BLOCKS: Final = (b"b", b"c")
"""The first key of blocks, and the first beyond them."""
STATE: Final = (b"s", b"t")
"""The same for the state."""
_HEIGHT_BYTES: Final = 8


def block_place(height: int) -> bytes:
    """Where the block of a height lies."""
    return b"b" + height.to_bytes(_HEIGHT_BYTES, "big")


def read_height(place: bytes) -> int:
    """The height of the block that lies there."""
    return int.from_bytes(place[1:], "big")


def state_place(key: bytes) -> bytes:
    """Where an entry of the state lies."""
    return b"s" + key
