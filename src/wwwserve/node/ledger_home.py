"""The ledger in a node's home: found again at its start, or begun from its genesis."""

import asyncio
import gc
from dataclasses import dataclass

from wwwserve.adapters.host import LibsodiumVerifier
from wwwserve.core.chain import Loaded, PartReader, begin_chain, load_chain
from wwwserve.core.lanes import Lane
from wwwserve.node.config import Config
from wwwserve.node.genesis import KnownGenesis, find_genesis
from wwwserve.node.state_folder import StateFolder
from wwwserve.ports.store import RangeReader
from wwwserve.values.refusals import BadInput, Refusal
from wwwserve.wire.ledger import compute_genesis_id, open_genesis


@dataclass(frozen=True, slots=True)
class HomeLedger:
    """The ledger of a node's network, as far as its home knows it."""

    genesis_id: bytes
    """Names the network."""
    loaded: Loaded | None
    """None: only the id is known, and any neighbour may tell the rest."""


async def open_ledger(home: StateFolder, config: Config, store: RangeReader) -> HomeLedger | None:
    """Find the ledger, in a worker; None where nothing is paid. Raises `BadInput`, `StoreFailed`.

    A log of 10^5 accounts takes about a second.
    """
    known = find_genesis(home, config)
    loaded = await asyncio.to_thread(_load, home, store)
    if loaded is None:
        if known is None:
            return None
        return HomeLedger(known.genesis_id, _begin(known))
    found = compute_genesis_id(open_genesis(loaded.genesis_record))
    if known is not None and known.genesis_id != found:
        raise _make_mismatch(home, known, found)
    # The state stays as long as the node: no collection need ever look through it.
    gc.freeze()
    return HomeLedger(found, loaded)


def make_reader(store: RangeReader) -> PartReader:
    """The ledger's lane of a store, as the chain reads it."""

    def read(first: bytes, last: bytes, count_max: int) -> list[tuple[bytes, bytes]]:
        return store.read_range(Lane.CHAIN, first, last, count_max)

    return read


def _load(home: StateFolder, store: RangeReader) -> Loaded | None:
    verifier = LibsodiumVerifier()
    try:
        return load_chain(make_reader(store), verifier, verifier)
    except Refusal as refusal:
        raise BadInput(
            field=str(home.store_folder / f"{Lane.CHAIN.value}.sqlite"),
            found=str(refusal),
            expected="the ledger as this node wrote it",
            fix="`wwwserve ledger export` and `wwwserve ledger audit` name the first broken record;"
            " move the file away, and the node takes the log from its peers again",
        ) from refusal


def _begin(known: KnownGenesis) -> Loaded | None:
    return begin_chain(open_genesis(known.record)) if known.record is not None else None


def _make_mismatch(home: StateFolder, known: KnownGenesis, found: bytes) -> BadInput:
    return BadInput(
        field=str(home.genesis_file),
        found=f"the ledger {known.genesis_id.hex()[:16]}, by that file or by a ticket",
        expected=f"the ledger {found.hex()[:16]}, which this node has followed so far",
        fix="join another ledger from a state folder of its own: wwwserve init --home DIR",
    )
