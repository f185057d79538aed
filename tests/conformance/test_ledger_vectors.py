"""A ledger can be replayed from its bytes by anybody: here by the core, from the committed story.

`tests/data/ledger/story.json` has a genesis, signed blocks and feed blocks, and after each block
what the reference of `spec/ledger.md` holds, which ops it refused, and the state's root. Written by
`tools/write_ledger_vectors.py`; another implementation can be checked with the same file.
"""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.property.ledger_story import tell_story, to_text
from tests.property.ledger_world import read_core, read_outcomes
from wwwserve.adapters.host import LibsodiumVerifier
from wwwserve.core.ledger import Ledger
from wwwserve.values.refusals import Refusal
from wwwserve.wire import decode_canonical
from wwwserve.wire.ledger import FeedOpener, SealedBlock, SealedFeed, open_block, open_genesis

STORY = Path(__file__).parents[1] / "data" / "ledger" / "story.json"
BYTES_MAX = 100_000


def read_story() -> dict[str, Any]:
    story: dict[str, Any] = json.loads(STORY.read_text(encoding="utf-8"))
    return story


def read(text: str, kind: type[Any]) -> Any:
    return decode_canonical(bytes.fromhex(text), msgspec.msgpack.Decoder(kind), bytes_max=BYTES_MAX)


def test_the_story_is_told_as_it_was() -> None:
    # [LEDGER-ENCODING.1]
    assert json.loads(json.dumps(tell_story())) == read_story()


def test_the_core_replays_the_story() -> None:
    # [LEDGER-REPLAY.1], [LEDGER-MODEL.1]
    story = read_story()
    ledger = Ledger.from_genesis(open_genesis(bytes.fromhex(story["genesis"])))
    network_id = bytes.fromhex(story["network_id"])
    assert ledger.constitution.network_id == network_id
    verifier = LibsodiumVerifier()
    memory = ledger.parameters.puzzle_memory_log2
    opener = FeedOpener(verifier, verifier, network_id, memory)
    refused = 0
    for step in story["steps"]:
        block = open_block(read(step["block"], SealedBlock), verifier, network_id)
        feeds = [opener.open(read(feed, SealedFeed)) for feed in step["feeds"]]
        facts = ledger.apply_block(block, feeds)
        assert read_outcomes(facts) == step["refused"]
        assert to_text(read_core(ledger)) == step["after"]
        assert ledger.root.hex() == step["root"]
        refused += sum(len(places or ()) for places in step["refused"])
    assert ledger.log.halt
    assert refused == 2


def test_a_story_with_a_block_left_out_is_noticed() -> None:
    # [LEDGER-BLOCK.1]
    story = read_story()
    ledger = Ledger.from_genesis(open_genesis(bytes.fromhex(story["genesis"])))
    network_id = bytes.fromhex(story["network_id"])
    block = open_block(
        read(story["steps"][1]["block"], SealedBlock), LibsodiumVerifier(), network_id
    )
    with pytest.raises(Refusal, match="block-"):
        ledger.apply_block(block, [])
