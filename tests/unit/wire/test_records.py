"""A record of a newer format is nobody's fault: it is left out, and what comes with it counts.

Records are signed by pretend keys, in the format of today and in ones that do not exist yet. Claim:
[GOSSIP-BOUNDS.4].
"""

import msgspec
import pytest

from tests.unit.core.gossip.pretend import (
    NETWORK_ID,
    PretendSigner,
    PretendVerifier,
    make_record,
    name,
)
from wwwserve.values.refusals import Refusal, Severity
from wwwserve.wire import (
    RECORD_FORMAT,
    Alive,
    Gossip,
    SealedRecord,
    compute_signing_input,
    encode_message,
    open_message,
    open_record,
)
from wwwserve.wire.records import KIND_PEER_RECORD


def seal(body: bytes) -> SealedRecord:
    signed = compute_signing_input(KIND_PEER_RECORD, NETWORK_ID, body)
    return SealedRecord(body, PretendSigner(name(9)).sign(signed))


def make_foreign(found: int) -> SealedRecord:
    """A record of another format, with fields that this one has not."""
    fields = msgspec.msgpack.decode(make_record(9).sealed.body)
    return seal(msgspec.msgpack.encode([found, *fields[1:], {"more": 1}]))


@pytest.mark.parametrize(
    ("found", "severity"),
    [(RECORD_FORMAT + 1, Severity.IGNORE), (2**40, Severity.IGNORE), (0, Severity.REJECT)],
)
def test_other_formats_are_refused_and_newer_ones_blame_nobody(
    found: int, severity: Severity
) -> None:
    with pytest.raises(Refusal) as refused:
        open_record(make_foreign(found), PretendVerifier(), NETWORK_ID)
    assert (refused.value.rule, refused.value.severity) == ("record-format", severity)


@pytest.mark.parametrize("body", [b"", b"\x90", b"\x91\xa1x", b"\xc0", b"\x91"])
def test_what_has_no_format_is_refused(body: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        open_record(seal(body), PretendVerifier(), NETWORK_ID)
    assert refused.value.severity is Severity.REJECT


def test_a_newer_record_among_others_is_left_out_and_counts_against_nobody() -> None:
    good, newer, bad = make_record(1), make_foreign(RECORD_FORMAT + 1), make_foreign(0)
    message = Gossip(tuple(Alive(sealed) for sealed in (newer, good.sealed, bad)))
    envelope = open_message(
        encode_message(message),
        sender=name(2),
        verifier=PretendVerifier(),
        network_id=NETWORK_ID,
    )
    assert envelope.records == (good,)
    assert envelope.refused == 1
