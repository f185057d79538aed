"""A node's Ed25519 key: made once, kept in a file only its owner may read, used to sign.

The file is standard (PKCS #8, PEM; `openssl pkey -in FILE -text` reads it). Whoever has it is the
node, so a file that others could have read is refused rather than used. All checking of signatures
in the product is libsodium's, here: verifiers disagree about odd keys and encodings, and mixing two
would let one forge what the other accepts.
"""

import os
import secrets
import stat
from pathlib import Path
from typing import Final, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from nacl.bindings import (
    crypto_core_ed25519_is_valid_point,
    crypto_sign,
    crypto_sign_open,
    crypto_sign_seed_keypair,
)
from nacl.exceptions import BadSignatureError

from wwwserve.values.ids import NODE_ID_BYTES, NodeId, node_prefix
from wwwserve.values.refusals import BadInput
from wwwserve.wire.signing import SIGNATURE_BYTES

SEED_BYTES: Final = 32
KEY_FILE_BYTES_MAX: Final = 4_096
"""A key file is 119 bytes; a much larger one is some other file, and is not read."""
_OWNER_ONLY: Final = 0o600
_OTHERS: Final = 0o077


class NodeKey:
    """The secret key of one node: `wire.signing.Signer`, and the seed that links need for TLS."""

    __slots__ = ("_node_id", "_secret", "_seed")

    def __init__(self, seed: bytes) -> None:
        """`seed` is the 32 secret bytes of RFC 8032."""
        assert len(seed) == SEED_BYTES, "an Ed25519 seed is 32 bytes"
        public, self._secret = crypto_sign_seed_keypair(seed)
        self._seed = seed
        self._node_id = NodeId(public)

    @classmethod
    def create(cls, path: Path) -> Self:
        """Make a key and its file, whole or not at all. Raises `BadInput` if a file is there."""
        key = cls(secrets.token_bytes(SEED_BYTES))
        text = Ed25519PrivateKey.from_private_bytes(key.seed).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        )
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            _write_new(draft, text)
            # A link, unlike a rename, never replaces what is there.
            path.hardlink_to(draft)
            _sync_folder(path.parent)
        except FileExistsError as error:
            raise BadInput(
                field="key file",
                found=str(path),
                expected="no file there yet",
                fix="keep that key, or move it away: without its key a node is another node",
            ) from error
        except OSError as error:
            raise BadInput(
                field="key file",
                found=str(path),
                expected="a place to write a new file",
                fix=f"make the folder and check its permissions ({error})",
            ) from error
        finally:
            draft.unlink(missing_ok=True)
        return key

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a node's key. Raises `BadInput` if it is missing, readable by others, or no key."""
        text = _read_guarded(path)
        try:
            key = load_pem_private_key(text, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise BadInput(
                field="key file",
                found=str(path),
                expected="an unencrypted Ed25519 private key (PKCS #8, PEM)",
                fix="restore it from a backup, or move it away and run `wwwserve init`",
            )
        return cls(key.private_bytes_raw())

    def __repr__(self) -> str:
        return f"NodeKey({node_prefix(self._node_id)})"

    @property
    def node_id(self) -> NodeId:
        """The public key that checks what this signs."""
        return self._node_id

    @property
    def seed(self) -> bytes:
        """The secret itself, for the transport's certificate. Never log or send it."""
        return self._seed

    def sign(self, message: bytes) -> bytes:
        """The 64-byte Ed25519 signature of `message`."""
        return crypto_sign(message, self._secret)[:SIGNATURE_BYTES]


class LibsodiumVerifier:
    """`wire.signing.Verifier` by libsodium, which refuses small-order keys and odd encodings."""

    __slots__ = ()

    def is_signed_by(self, node_id: NodeId, message: bytes, signature: bytes) -> bool:
        """Whether `signature` over `message` was made with the key `node_id`."""
        if len(signature) != SIGNATURE_BYTES or len(node_id) != NODE_ID_BYTES:
            return False
        try:
            crypto_sign_open(signature + message, node_id)
        except BadSignatureError:
            return False
        return True

    def is_sound_key(self, key: bytes) -> bool:
        """Whether these bytes are a point of the prime-order group, canonically encoded."""
        return len(key) == NODE_ID_BYTES and crypto_core_ed25519_is_valid_point(key)


def _write_new(path: Path, text: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    """Have the new name itself survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_guarded(path: Path) -> bytes:
    """The file's bytes, if it is an ordinary file that its owner alone may use, and that is us."""
    try:
        # Not blocking: a pipe put in its place must not hold the node up before it is refused.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise BadInput(
            field="key file",
            found=str(path),
            expected="a key file this user can read",
            fix=f"run `wwwserve init`, or check the path ({error.strerror})",
        ) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > KEY_FILE_BYTES_MAX:
            raise BadInput(
                field="key file",
                found=str(path),
                expected=f"an ordinary file of at most {KEY_FILE_BYTES_MAX} bytes",
                fix="check the path",
            )
        if status.st_uid != os.geteuid() or status.st_mode & _OTHERS:
            mode = stat.S_IMODE(status.st_mode)
            raise BadInput(
                field="key file permissions",
                found=f"{path} with mode {mode:04o}, owned by user {status.st_uid}",
                expected=f"mode {_OWNER_ONLY:04o}, owned by user {os.geteuid()}",
                fix=f"chmod 600 {path}; if others may have read it, make a new key",
            )
        return os.read(descriptor, KEY_FILE_BYTES_MAX)
    finally:
        os.close(descriptor)
