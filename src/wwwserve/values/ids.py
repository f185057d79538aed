"""Opaque identifiers, each its own type, with the one text form people see."""

import base64
import binascii
from typing import NewType

from wwwserve.values.refusals import BadInput

NodeId = NewType("NodeId", bytes)
"""A node: the 32 raw bytes of its Ed25519 public key (RFC 8032)."""

RequestId = NewType("RequestId", bytes)
"""One user request, 16 bytes, given by the origin and kept over every hop and retry."""

NODE_ID_BYTES = 32
REQUEST_ID_BYTES = 16
PREFIX_LENGTH = 8
REQUEST_DIGITS_MIN = 6
"""Hexadecimal digits of a request's id with which a person may stop."""
_REQUEST_PREFIX = "req-"


def node_text(node_id: NodeId) -> str:
    """The full printable name of a node: 52 lower-case base32 characters (RFC 4648, no padding)."""
    return base64.b32encode(node_id).decode("ascii").rstrip("=").lower()


def node_prefix(node_id: NodeId) -> str:
    """The first 8 characters of a node's name: enough for a person, not for a decision."""
    # Five bytes are eight characters; this is on the way of every answer.
    return base64.b32encode(node_id[: PREFIX_LENGTH * 5 // 8]).decode("ascii").lower()


def parse_node_id(text: str) -> NodeId:
    """Read a node's printable name; raises `BadInput` when it is not one."""
    padded = text.strip().upper() + "=" * (-len(text.strip()) % 8)
    try:
        raw = base64.b32decode(padded)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != NODE_ID_BYTES:
        raise BadInput(
            field="node id",
            found=text[:80],
            expected="52 base32 characters",
            fix="copy it whole from `wwwserve status` or an invite",
        )
    return NodeId(raw)


def request_text(request_id: RequestId) -> str:
    """The printable name of a request, as in the `x-wwwserve-request-id` header."""
    return _REQUEST_PREFIX + request_id.hex()


def parse_request_prefix(text: str) -> str:
    """Read a request's printable name, or the beginning of it; gives its hexadecimal digits.

    Raises `BadInput` when it is none, or too little to find one by.
    """
    digits = text.strip().lower().removeprefix(_REQUEST_PREFIX)
    is_some = REQUEST_DIGITS_MIN <= len(digits) <= 2 * REQUEST_ID_BYTES
    if not is_some or set(digits) - set("0123456789abcdef"):
        raise BadInput(
            field="request",
            found=text[:80],
            expected=f"its id, or at least {REQUEST_DIGITS_MIN} digits of it",
            fix="take it from the x-wwwserve-request-id header of the answer",
        )
    return digits
