"""What a follower refuses of its sequencer, before anything is changed."""

from wwwserve.core.consensus.events import BlockReceived
from wwwserve.core.consensus.ordering import Head
from wwwserve.values.ids import NodeId
from wwwserve.values.ledger_parameters import LedgerParameters
from wwwserve.values.refusals import Refusal
from wwwserve.wire.chain import read_feed_shape, validate_feeds_size
from wwwserve.wire.ledger import OpenedBlock


def validate_leader(block: OpenedBlock, sequencer: NodeId) -> None:
    """Refuse a block that another than the sequencer signed."""
    if block.leader != sequencer:
        raise Refusal("block-leader", "it is not signed by the sequencer")


def validate_next(received: BlockReceived, head: Head, parameters: LedgerParameters) -> None:
    """Refuse a block that does not follow a head."""
    header = received.block.header
    if header.height != head.height + 1:
        raise Refusal("block-height", f"height {header.height} after {head.height}")
    if header.parent != head.block_id:
        raise Refusal("block-parent", "it does not follow the block below it")
    if header.dt_ms > parameters.height_ms_max:
        raise Refusal("block-time", f"{header.dt_ms} ms, over {parameters.height_ms_max}")
    if header.epoch != (head.time_ms + header.dt_ms) // parameters.epoch_ms:
        raise Refusal("block-epoch", f"it is not epoch {header.epoch} then")
    if header.state_root != head.root:
        raise Refusal("block-state-root", "the state below it has another root here")
    ids = tuple(read_feed_shape(word).compute_id() for word in received.words)
    if ids != received.block.feed_ids:
        raise Refusal("block-feeds", "its feed blocks are not those it lists")
    validate_list(ids, tuple(len(word) for word in received.words))


def validate_list(ids: tuple[bytes, ...], sizes: tuple[int, ...]) -> None:
    """Refuse a block that names a word twice, or whose words are more than a block may hold."""
    if len(dict.fromkeys(ids)) != len(ids):
        raise Refusal("block-twice", "it lists a feed block twice")
    validate_feeds_size(sizes)
