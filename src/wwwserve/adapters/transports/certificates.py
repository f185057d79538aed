"""How a node's key gets into TLS, and how the peer's key is read out of it.

A certificate here says nothing but "this is my key", and TLS 1.3 proves possession of that key.
Python's `ssl` has no way to accept a certificate whose signer it does not know (cpython #75425), so
every node signs its own certificate with one *public* key, the network CA. Anyone can use it: it
grants no trust. It only makes OpenSSL ask for the peer's certificate, check that the peer holds its
key, and hand it to us; who the peer is, is decided here, by the Ed25519 key in it.
"""

import datetime as dt
import hashlib
import secrets
import ssl
import tempfile
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
)

from wwwserve.values.ids import NodeId

CA_SEED: Final = hashlib.sha256(b"wwwserve network CA: public, and trusted by nobody").digest()
CA_NAME: Final = "wwwserve network CA (public, grants no trust)"
_LEAF_NAME: Final = "wwwserve node"
# Certificates live as long as the process that made them. Clocks do not agree, and a machine may
# wake up in 1970, so they are valid for ever (RFC 5280, 4.1.2.5: no well-defined expiration).
VALID_FROM: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
VALID_UNTIL: Final = dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC)
_KEY_PASSWORD_BYTES: Final = 32

_FIELD: Final = 2**255 - 19
_Y_MASK: Final = 2**255 - 1
_Y_OF_ORDER_8: Final = int.from_bytes(
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"
)
_SMALL_ORDER_YS: Final = (0, 1, _FIELD - 1, _Y_OF_ORDER_8, _FIELD - _Y_OF_ORDER_8)


class IdentityRefused(Exception):
    """The peer's certificate names no key a node may have; the text says what it was instead."""


def make_contexts(seed: bytes) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The TLS settings for dialling and for accepting as the node whose 32-byte seed this is."""
    key = Ed25519PrivateKey.from_private_bytes(seed)
    authority = Ed25519PrivateKey.from_private_bytes(CA_SEED)
    authority_certificate = _make_certificate(authority, authority, is_authority=True)
    leaf = _make_certificate(key, authority, is_authority=False)
    contexts = (
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),
    )
    for context in contexts:
        context.check_hostname = False  # A node is named by its key, not by its address.
        context.verify_mode = ssl.CERT_REQUIRED
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_verify_locations(
            cadata=authority_certificate.public_bytes(Encoding.PEM).decode()
        )
        _load_leaf(context, leaf, key)
    contexts[1].num_tickets = 0  # Links are long: nothing is resumed.
    return contexts


def read_identity(certificate_der: bytes) -> NodeId:
    """The node a proved certificate belongs to. Raises `IdentityRefused`."""
    try:
        key = x509.load_der_x509_certificate(certificate_der).public_key()
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise IdentityRefused(f"the peer's certificate cannot be read: {error}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise IdentityRefused(f"a node's key is Ed25519, the peer's is {type(key).__name__}")
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    if is_small_order(raw):
        raise IdentityRefused("the peer's key is of small order: anyone can sign for it")
    return NodeId(raw)


def is_small_order(key: bytes) -> bool:
    """Whether a key is one of the few under which OpenSSL accepts forged signatures.

    They are the points whose eightfold is zero; five values of y cover all of them and all their
    encodings. libsodium refuses the same (`ge25519_has_small_order`).
    """
    y = (int.from_bytes(key, "little") & _Y_MASK) % _FIELD
    return y in _SMALL_ORDER_YS


def _make_certificate(
    key: Ed25519PrivateKey, authority: Ed25519PrivateKey, *, is_authority: bool
) -> x509.Certificate:
    name = CA_NAME if is_authority else _LEAF_NAME
    usage = x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    authority_key = authority.public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(_make_name(name))
        .issuer_name(_make_name(CA_NAME))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(VALID_FROM)
        .not_valid_after(VALID_UNTIL)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key), critical=False
        )
    )
    return builder.sign(authority, algorithm=None)


def _make_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _load_leaf(context: ssl.SSLContext, leaf: x509.Certificate, key: Ed25519PrivateKey) -> None:
    """Give the context its certificate and key, which `ssl` reads from files only.

    The key is on disk for a moment, in a folder of ours and under a password nobody else ever has.
    """
    password = secrets.token_hex(_KEY_PASSWORD_BYTES).encode()
    encryption = BestAvailableEncryption(password)
    with tempfile.TemporaryDirectory(prefix="wwwserve-") as folder:
        file = Path(folder) / "leaf.pem"
        file.write_bytes(
            leaf.public_bytes(Encoding.PEM)
            + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
        )
        context.load_cert_chain(file, password=password)
