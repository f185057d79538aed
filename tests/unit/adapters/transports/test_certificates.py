"""A certificate carries a node's key and nothing else, and only keys a node may have are read.

Certificates are made with the real code and with `cryptography` directly, as an attacker would;
small-order keys are taken from their definition: eight times the point is zero.
"""

import datetime as dt
import ssl
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from wwwserve.adapters.host import NodeKey
from wwwserve.adapters.transports.certificates import (
    IdentityRefused,
    is_small_order,
    make_contexts,
    read_identity,
)
from wwwserve.adapters.transports.tls import TlsBroken, TlsSession

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
Y_OF_ORDER_8 = int.from_bytes(
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"
)


def shake_hands(dialler: TlsSession, acceptor: TlsSession) -> None:
    dialler.start()
    for _ in range(4):
        acceptor.receive(dialler.take_output())
        dialler.receive(acceptor.take_output())


def make_session_pair(dialler: NodeKey, acceptor: NodeKey) -> tuple[TlsSession, TlsSession]:
    return (
        TlsSession(make_contexts(dialler.seed)[0], is_dialler=True),
        TlsSession(make_contexts(acceptor.seed)[1], is_dialler=False),
    )


def test_both_ends_learn_each_others_key_and_talk() -> None:
    keys = NodeKey(b"1" * 32), NodeKey(b"2" * 32)
    dialler, acceptor = make_session_pair(*keys)
    shake_hands(dialler, acceptor)
    assert dialler.is_established
    assert acceptor.is_established
    assert read_identity(dialler.get_peer_certificate()) == keys[1].node_id
    assert read_identity(acceptor.get_peer_certificate()) == keys[0].node_id
    sealed = dialler.seal(b"secret" * 10_000)
    assert b"secret" not in sealed
    pieces = [piece for byte in _chop(sealed, 999) for piece in acceptor.receive(byte)]
    assert b"".join(pieces) == b"secret" * 10_000


def test_sealed_bytes_that_were_changed_break_the_session() -> None:
    dialler, acceptor = make_session_pair(NodeKey(b"1" * 32), NodeKey(b"2" * 32))
    shake_hands(dialler, acceptor)
    sealed = bytearray(dialler.seal(b"pay 1 credit"))
    sealed[8] ^= 1
    with pytest.raises(TlsBroken):
        acceptor.receive(bytes(sealed))
    assert acceptor.take_output(), "an alert tells the peer"


def test_only_tls_1_3_is_spoken() -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname = False
    old.verify_mode = ssl.CERT_NONE
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    acceptor = TlsSession(make_contexts(bytes(32))[1], is_dialler=False)
    dialler = TlsSession(old, is_dialler=True)
    dialler.start()
    with pytest.raises(TlsBroken, match="UNSUPPORTED_PROTOCOL"):
        acceptor.receive(dialler.take_output())


def test_the_key_leaves_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    make_contexts(bytes(32))
    assert list(tmp_path.iterdir()) == []


def make_certificate(key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "anyone")])
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
    )
    algorithm = None if isinstance(key, Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, algorithm).public_bytes(Encoding.DER)


def test_keys_of_other_kinds_and_broken_certificates_name_no_node() -> None:
    with pytest.raises(IdentityRefused, match="Ed25519"):
        read_identity(make_certificate(ec.generate_private_key(ec.SECP256R1())))
    for noise in (b"", b"noise", make_certificate(Ed25519PrivateKey.generate())[:-20]):
        with pytest.raises(IdentityRefused, match="cannot be read"):
            read_identity(noise)


def list_small_order_keys() -> Iterator[bytes]:
    """All encodings, canonical or not, of the points whose eightfold is zero."""
    ys = (0, 1, P - 1, Y_OF_ORDER_8, P - Y_OF_ORDER_8)
    for y, multiple, sign in product(ys, (0, 1), (0, 1)):
        if y + multiple * P < 2**255:
            yield (y + multiple * P | sign << 255).to_bytes(32, "little")


def test_small_order_keys_are_known_in_every_encoding() -> None:
    for key in list_small_order_keys():
        y = (int.from_bytes(key, "little") & (2**255 - 1)) % P
        assert _is_eightfold_zero(y)
        assert is_small_order(key)


def test_a_certificate_of_a_small_order_key_names_no_node() -> None:
    honest = Ed25519PrivateKey.from_private_bytes(bytes(32))
    certificate = make_certificate(honest)
    public = honest.public_key().public_bytes_raw()
    for weak in list_small_order_keys():
        with pytest.raises(IdentityRefused, match=r"small order|cannot be read"):
            read_identity(certificate.replace(public, weak))


def test_honest_keys_are_not_of_small_order() -> None:
    for number in range(50):
        assert not is_small_order(NodeKey(number.to_bytes(32, "big")).node_id)


def _is_eightfold_zero(y: int) -> bool:
    """Doubling three times in the y coordinate alone, from the curve's own equation."""
    for _ in range(3):
        x_squared = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
        y = (y * y + x_squared) * pow(1 - D * x_squared * y * y, -1, P) % P
    return y == 1


def _chop(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]
