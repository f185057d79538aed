"""A price is believed only under the signature of the node that quotes it.

Real keys; the ledger is but its name and its numbers.
"""

from dataclasses import dataclass

import pytest

from tests.joined_links import get_key
from wwwserve.adapters.host import LibsodiumVerifier
from wwwserve.core.ledger_view import AsksLedger
from wwwserve.node.streams import TillFinder
from wwwserve.values.ledger_parameters import TINY_LEDGER, LedgerParameters
from wwwserve.values.refusals import Refusal
from wwwserve.wire import Quote
from wwwserve.wire.ledger import FirmQuote
from wwwserve.wire.paying import seal_payment

OWN, PEER, OTHER = get_key(1), get_key(2), get_key(3)
NETWORK = b"l" * 32


@dataclass(frozen=True, slots=True)
class Named:
    """As much of a ledger as a till needs."""

    network_id: bytes = NETWORK
    parameters: LedgerParameters = TINY_LEDGER


def make_finder(ledger: Named | None) -> TillFinder:
    verifier = LibsodiumVerifier()

    def get_ledger() -> AsksLedger | None:
        return ledger  # type: ignore[return-value]

    return TillFinder(OWN, verifier, verifier, get_ledger)


FIRM = FirmQuote(PEER.node_id, OWN.node_id, "org/small", 0, 1, 2, 2, 1_000, 10_000)
GOOD = seal_payment(FIRM, PEER, NETWORK)


def test_a_price_its_node_signed_is_taken() -> None:
    make_finder(Named()).check_quote(PEER.node_id, Quote(1, decline=None, payment=GOOD))


@pytest.mark.parametrize(
    "payment",
    [
        seal_payment(FIRM, OTHER, NETWORK),
        seal_payment(FIRM, PEER, b"m" * 32),
        GOOD[:-1] + bytes([GOOD[-1] ^ 1]),
        b"no price at all",
    ],
    ids=["another's", "of another network", "malleated", "nonsense"],
)
def test_any_other_is_refused(payment: bytes) -> None:
    with pytest.raises(Refusal):
        make_finder(Named()).check_quote(PEER.node_id, Quote(1, decline=None, payment=payment))


def test_another_nodes_price_is_refused_however_it_is_signed() -> None:
    with pytest.raises(Refusal):
        make_finder(Named()).check_quote(OTHER.node_id, Quote(1, decline=None, payment=GOOD))


def test_without_a_ledger_nothing_is_looked_at() -> None:
    finder = make_finder(None)
    assert finder.find() is None
    finder.check_quote(PEER.node_id, Quote(1, decline=None, payment=b"whatever"))
