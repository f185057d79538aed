"""A node's key is kept where its owner alone can read it, and signs what libsodium accepts.

Real files in a temporary folder, real signatures, and the published vectors of RFC 8032. The forged
signatures are made the way an attacker would: under keys for which no secret is needed.
"""

from pathlib import Path

import pytest

from wwwserve.adapters.host import LibsodiumVerifier, NodeKey
from wwwserve.values.ids import NodeId
from wwwserve.values.refusals import BadInput

# RFC 8032, 7.1, tests 2 and 3: seed, public key, message, signature.
VECTORS = [
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
]
IDENTITY = bytes([1]) + bytes(31)
ORDER_8 = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")


@pytest.mark.parametrize(("seed", "public", "message", "signature"), VECTORS)
def test_signatures_are_those_of_the_standard(
    seed: str, public: str, message: str, signature: str
) -> None:
    key = NodeKey(bytes.fromhex(seed))
    assert key.node_id.hex() == public
    assert key.sign(bytes.fromhex(message)).hex() == signature
    verifier = LibsodiumVerifier()
    assert verifier.is_signed_by(key.node_id, bytes.fromhex(message), bytes.fromhex(signature))


def test_a_changed_message_signature_or_key_is_refused() -> None:
    key, other = NodeKey(bytes(32)), NodeKey(b"1" * 32)
    signature = key.sign(b"message")
    is_signed_by = LibsodiumVerifier().is_signed_by
    assert not is_signed_by(key.node_id, b"massage", signature)
    assert not is_signed_by(other.node_id, b"message", signature)
    for place in (0, 31, 32, 63):
        forged = bytearray(signature)
        forged[place] ^= 1
        assert not is_signed_by(key.node_id, b"message", bytes(forged))
    assert not is_signed_by(key.node_id, b"message", signature[:-1])
    assert not is_signed_by(key.node_id, b"message", b"")
    assert not is_signed_by(NodeId(b"short"), b"message", signature)


@pytest.mark.parametrize("weak", [IDENTITY, ORDER_8, bytes(32)])
def test_a_key_for_which_anyone_can_sign_is_refused(weak: bytes) -> None:
    # Under the identity, any S with R = S * base is a "valid" signature of every message: here
    # S = 0 and R = identity, which needs no secret at all.
    forged = IDENTITY + bytes(32)
    assert not LibsodiumVerifier().is_signed_by(NodeId(weak), b"I owe you", forged)


def test_a_key_is_made_once_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    made = NodeKey.create(path)
    assert NodeKey.load(path).seed == made.seed
    assert NodeKey.load(path).node_id == made.node_id
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["node.key"], "no draft stays behind"


def test_two_keys_differ(tmp_path: Path) -> None:
    assert NodeKey.create(tmp_path / "a").seed != NodeKey.create(tmp_path / "b").seed


def test_a_key_that_is_there_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    first = NodeKey.create(path)
    with pytest.raises(BadInput, match="no file there yet"):
        NodeKey.create(path)
    assert NodeKey.load(path).seed == first.seed
    assert [file.name for file in tmp_path.iterdir()] == ["node.key"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="make the folder"):
        NodeKey.create(tmp_path / "absent" / "node.key")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o700 | 0o010, 0o666])
def test_a_key_others_could_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "node.key"
    NodeKey.create(path)
    path.chmod(mode)
    with pytest.raises(BadInput, match="chmod 600") as refused:
        NodeKey.load(path)
    assert f"{mode:04o}" in refused.value.found
    assert "0600" in refused.value.expected


def test_a_key_its_owner_may_only_read_is_fine(tmp_path: Path) -> None:
    path = tmp_path / "node.key"
    NodeKey.create(path)
    path.chmod(0o400)
    NodeKey.load(path)


CUT_OFF = (
    b"-----BEGIN PRIVATE KEY-----\nMIIBVAIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----\n"
)


@pytest.mark.parametrize("content", [b"", b"not a key", bytes(4_096), CUT_OFF])
def test_contents_that_are_no_key_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "node.key"
    path.touch(mode=0o600)
    path.write_bytes(content)
    with pytest.raises(BadInput, match="Ed25519 private key"):
        NodeKey.load(path)


def test_what_is_no_ordinary_small_file_is_refused(tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.touch(mode=0o600)
    large.write_bytes(bytes(5_000))
    for path in (large, tmp_path):
        with pytest.raises(BadInput, match="ordinary file"):
            NodeKey.load(path)
    with pytest.raises(BadInput, match="wwwserve init"):
        NodeKey.load(tmp_path / "absent")


def test_the_secret_is_not_shown(tmp_path: Path) -> None:
    key = NodeKey.create(tmp_path / "node.key")
    assert key.seed.hex() not in repr(key)
    assert repr(key.seed) not in f"{key} {key!r}"
