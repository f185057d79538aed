"""Accounts with real keys and what they say: the traffic of `wwwserve bench ledger`."""

import hashlib
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from wwwserve.adapters.host import LibsodiumVerifier, NodeKey
from wwwserve.core.ledger import Account, Entries, Ledger
from wwwserve.values.credits import CREDIT
from wwwserve.values.ledger_parameters import MAIN_LEDGER
from wwwserve.wire import encode
from wwwserve.wire.ledger import (
    NO_DIGEST,
    Circulation,
    Claim,
    FeedOpener,
    Genesis,
    GenesisAccount,
    Hold,
    Op,
    Transfer,
    compute_anchor,
    compute_genesis_held,
    compute_genesis_id,
    compute_hold_id,
    seal_feed,
)

AUTHORS: Final = 256
"""Accounts that speak."""
UNITS: Final = 16
"""Units of each hold: 512 tokens, of which nine are paid."""
PAID: Final = 9
_FIRST: Final = 300_000
_UNIT: Final = 80_000


@dataclass(slots=True)
class _Author:
    key: NodeKey
    seq: int = 0
    head: bytes = NO_DIGEST


class Traffic:
    """Signs in advance what is to be measured."""

    def __init__(self) -> None:
        self._authors = [
            _Author(NodeKey(hashlib.sha256(b"bench ledger %d" % number).digest()))
            for number in range(AUTHORS)
        ]
        bare = Genesis(
            format=1,
            name="bench",
            salt=NO_DIGEST,
            peer_parameters=NO_DIGEST,
            parameters=MAIN_LEDGER,
            sequencer=self.sequencer.node_id,
            circulation=Circulation.OPEN,
            doors=(),
            supply=0,
            accounts=tuple(
                GenesisAccount(author.key.node_id, 100_000 * CREDIT) for author in self._authors
            ),
        )
        self.genesis = replace(bare, supply=compute_genesis_held(bare))
        self._network_id = compute_genesis_id(self.genesis)
        verifier = LibsodiumVerifier()
        memory = MAIN_LEDGER.puzzle_memory_log2
        self.opener = FeedOpener(verifier, verifier, self._network_id, memory)

    @property
    def sequencer(self) -> NodeKey:
        """The first author orders the log."""
        return self._authors[0].key

    def resume(self, ledger: Ledger) -> None:
        """Go on from what a ledger knows of the authors."""
        for author in self._authors:
            account = ledger.accounts[author.key.node_id]
            author.seq, author.head = account.seq, account.head

    def make_payments(self, feeds: int, payments: int) -> list[bytes]:
        """Feed blocks of so many transfers each, as they come over a link."""
        return [
            self._say(number, *(Transfer(self._payee(number), 1) for _ in range(payments)))
            for number in range(feeds)
        ]

    def make_requests(self, feeds: int) -> list[bytes]:
        """A hold and its claim in turn, each in a feed block of its own."""
        said: list[bytes] = []
        for number in range(feeds // 2):
            secret = hashlib.sha256(b"secret %d" % number).digest()
            said.append(self._say(number, self._make_hold(number, secret)))
            payer = self._authors[number % AUTHORS]
            hold_id = compute_hold_id(payer.key.node_id, payer.seq, 1)
            preimage = compute_anchor(secret, UNITS - PAID)
            said.append(self._say(number + 1, Claim(hold_id, PAID, preimage)))
        return said

    def _payee(self, number: int) -> bytes:
        return self._authors[(number + 1) % AUTHORS].key.node_id

    def _say(self, number: int, *ops: Op) -> bytes:
        author = self._authors[number % AUTHORS]
        author.seq += 1
        sealed = seal_feed(
            ops,
            seq=author.seq,
            previous=author.head,
            valid_until_ms=MAIN_LEDGER.feed_life_ms,
            signer=author.key,
            network_id=self._network_id,
        )
        author.head = sealed.compute_id()
        return encode(sealed)

    def _make_hold(self, number: int, secret: bytes) -> Hold:
        return Hold(
            n=1,
            payee=self._payee(number),
            first=_FIRST,
            unit=_UNIT,
            units_max=UNITS,
            unit_tokens=MAIN_LEDGER.unit_tokens,
            anchor=compute_anchor(secret, UNITS),
            req_commit=hashlib.sha256(secret).digest(),
            quote_hash=NO_DIGEST,
            deadline_ms=60_000,
            seed_epoch=0,
        )


def make_crowd(genesis: Genesis, accounts: int) -> Entries:
    """The state of a network with so many accounts, the first of them genesis's."""
    entries = dict(Ledger.from_genesis(genesis).take_snapshot())
    idle = encode(Account(seq=0, avail=CREDIT))
    for number in range(accounts - len(genesis.accounts)):
        entries[b"a" + hashlib.sha256(b"idle %d" % number).digest()] = idle
    return entries
