"""A small log with real keys: payments, a hold, claims, stake, a refused op, a void feed block."""

from dataclasses import dataclass, field

from msgspec.structs import replace

from tests.property.ledger_world import make_genesis
from wwwserve.adapters.host import LibsodiumVerifier, NodeKey
from wwwserve.core.chain import GENESIS_PLACE, block_place
from wwwserve.core.ledger import Ledger
from wwwserve.values.credits import CREDIT
from wwwserve.values.ledger_parameters import TINY_LEDGER
from wwwserve.wire import encode
from wwwserve.wire.chain import ChainRecord
from wwwserve.wire.ledger import (
    AccountFlag,
    Bond,
    Claim,
    FeedOpener,
    GenesisAccount,
    Hold,
    Op,
    OpenedBlock,
    SealedFeed,
    Transfer,
    compute_anchor,
    compute_genesis_id,
    compute_hold_id,
    seal_block,
    seal_feed,
)

SECRET = b"s" * 32
KEYS = tuple(NodeKey(bytes([number]) * 32) for number in range(1, 5))
SEQUENCER, TREASURY, ALICE, BOB = KEYS


@dataclass
class Log:
    """Blocks as they are made, and what they come to."""

    records: list[ChainRecord] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.genesis = replace(
            make_genesis(),
            sequencer=SEQUENCER.node_id,
            accounts=tuple(
                GenesisAccount(
                    key.node_id,
                    20 * CREDIT,
                    flags=AccountFlag.TREASURY if key is TREASURY else 0,
                )
                for key in KEYS
            ),
            supply=100 * CREDIT,
        )
        self.network_id = compute_genesis_id(self.genesis)
        verifier = LibsodiumVerifier()
        self.opener = FeedOpener(verifier, verifier, self.network_id, puzzle_memory_log2=1)
        self.ledger = Ledger.from_genesis(self.genesis)
        self.heads: dict[bytes, tuple[int, bytes]] = {}

    def write(self, key: NodeKey, *ops: Op) -> SealedFeed:
        """An account's next feed block."""
        seq, previous = self.heads.get(key.node_id, (0, bytes(32)))
        sealed = seal_feed(
            ops,
            seq=seq + 1,
            previous=previous,
            valid_until_ms=TINY_LEDGER.epoch_ms,
            signer=key,
            network_id=self.network_id,
        )
        self.heads[key.node_id] = (seq + 1, sealed.compute_id())
        return sealed

    def seal(self, *feeds: SealedFeed, key: NodeKey = SEQUENCER, dt_ms: int = 50) -> OpenedBlock:
        """The next block, not applied."""
        ids = tuple(sealed.compute_id() for sealed in feeds)
        header = replace(self.ledger.make_header(dt_ms, ids), leader=key.node_id)
        return seal_block(header, ids, key, self.network_id)

    def close(self, *feeds: SealedFeed) -> ChainRecord:
        """The next block, applied."""
        block = self.seal(*feeds)
        self.ledger.apply_block(block, [self.opener.open(sealed) for sealed in feeds])
        self.records.append(ChainRecord(block.sealed, feeds))
        return self.records[-1]

    def list_entries(self) -> dict[bytes, bytes]:
        """The log as it lies in the `CHAIN` lane, without the state."""
        entries = {GENESIS_PLACE: encode(self.genesis)}
        for height, record in enumerate(self.records, start=1):
            entries[block_place(height)] = encode(record)
        return entries


def make_log() -> Log:
    """Six blocks in which something of everything happens."""
    log = Log()
    log.close(log.write(ALICE, Transfer(BOB.node_id, CREDIT)), log.write(BOB, Bond(1)))
    log.close()
    hold = Hold(
        n=1,
        payee=BOB.node_id,
        first=1_000,
        unit=100,
        units_max=8,
        unit_tokens=32,
        anchor=compute_anchor(SECRET, 8),
        req_commit=b"r" * 32,
        quote_hash=b"q" * 32,
        deadline_ms=1_000,
        seed_epoch=0,
    )
    log.close(log.write(ALICE, hold))
    hold_id = compute_hold_id(ALICE.node_id, 2, 1)
    log.close(
        log.write(BOB, Claim(hold_id, 5, compute_anchor(SECRET, 3)), Claim(hold_id, 6, SECRET)),
        log.write(ALICE, Transfer(TREASURY.node_id, 5)),
    )
    first, second = (log.write(TREASURY, Transfer(BOB.node_id, 1)) for _ in range(2))
    log.close(second, first)
    log.close(log.write(ALICE, Transfer(BOB.node_id, 3)))
    return log
