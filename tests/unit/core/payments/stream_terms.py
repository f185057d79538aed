"""Terms of paid streams for tests: a hold with a real hash chain, as each end knows it."""

from wwwserve.core.paying import HoldTerms, PayeeTerms, PayerTerms
from wwwserve.values.ids import NodeId
from wwwserve.wire.ledger import compute_link

PAYER, PAYEE = NodeId(b"p" * 32), NodeId(b"e" * 32)


def make_links(units_max: int, secret: bytes = b"s" * 32) -> bytes:
    """A hash chain, the anchor first."""
    links = [secret]
    for _ in range(units_max):
        links.append(compute_link(links[-1]))
    return b"".join(reversed(links))


def make_terms(
    *,
    lead: int = 2,
    units_max: int = 16,
    unit_tokens: int = 4,
    first: int = 100,
    name: bytes = b"h",
) -> tuple[PayerTerms, PayeeTerms]:
    """Both ends' terms of one hold; a unit is worth 10."""
    links = make_links(units_max, secret=name * 32)
    terms = HoldTerms(
        hold_id=name * 32,
        payer=PAYER,
        payee=PAYEE,
        first=first,
        unit=10,
        units_max=units_max,
        unit_tokens=unit_tokens,
        anchor=links[:32],
        lead_units=lead,
    )
    salt = b"salt" * 8
    return PayerTerms(terms, links, salt), PayeeTerms(terms, is_covered=True, salt=salt, accept=b"")
