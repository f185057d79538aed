"""Records of the ledger for people and programs: `wwwserve ledger show` and what it prints."""

import base64
import binascii
from collections.abc import Mapping
from typing import assert_never

import msgspec

from wwwserve.core.ledger import NO_CLOSE
from wwwserve.node import Found, FoundAccount, FoundBlock, FoundFeed, FoundHold, LedgerBook
from wwwserve.values.credits import credits_text
from wwwserve.values.ids import NODE_ID_BYTES, NodeId, node_text
from wwwserve.values.refusals import BadInput
from wwwserve.wire.ledger import DIGEST_BYTES, Op

PREFIX_LENGTH_MIN = 4
"""Characters of a key that may stand for it, if it is the only account that begins so."""
ID_LENGTH_MIN = 8
"""Digits of an id that may stand for it; logs show 12 of them, commands 16."""
FEEDS_SHOWN_MAX = 32
"""Feed blocks of one block shown to people; --json has all."""
_KEY_FIELDS = ("payee", "target", "key", "new_key")
"""Fields of ops that name an account."""
_AMOUNT_FIELDS = ("first", "unit", "amount")
"""Fields of ops that are amounts."""

Json = dict[str, object]
Rows = list[tuple[str, str]]


def find_record(book: LedgerBook, text: str) -> Found:
    """What a height, an id or a key names; raises `BadInput` if nothing here."""
    word = text.strip().lower()
    found: Found | None = None
    if word.isascii() and word.isdigit() and len(word) < DIGEST_BYTES:
        found = book.find_block(int(word))
        if found is None:
            top = book.ledger.log.height
            raise _make_unknown(text, f"the height of a block, 1 to {top}", "a lower one")
    elif len(word) == 2 * DIGEST_BYTES and _is_hexadecimal(word):
        found = book.find_id(bytes.fromhex(word))
    elif (key := _find_key(book, word)) is not None:
        found = book.find_account(key)
    elif len(word) >= ID_LENGTH_MIN and _is_hexadecimal(word):
        whole = book.complete_id(word)
        found = book.find_id(whole) if whole is not None else None
    if found is None:
        raise _make_unknown(
            text,
            "a block's height or id, the id of a feed block or hold, or an account's key",
            "more of the id or key; old blocks by their height",
        )
    return found


def make_record_json(found: Found) -> Json:
    """A record for programs: amounts are micro-credits, ids hexadecimal, accounts by name."""
    match found:
        case FoundBlock():
            header = found.header
            return {
                "record": "block",
                "height": header.height,
                "id": found.block.block_id.hex(),
                "parent": header.parent.hex(),
                "epoch": header.epoch,
                "dt_ms": header.dt_ms,
                "state_root": header.state_root.hex(),
                "leader": node_text(found.block.leader),
                "feeds": [_make_feed_json(feed) for feed in found.feeds],
            }
        case FoundFeed():
            return {"record": "feed", **_make_feed_json(found)}
        case FoundHold():
            return _make_hold_json(found)
        case FoundAccount():
            return _make_account_json(found)
        case _:
            assert_never(found)


def describe_record(found: Found) -> tuple[str, Rows]:
    """A record for people: a title and its lines."""
    match found:
        case FoundBlock():
            return _describe_block(found)
        case FoundFeed():
            return f"Feed block {found.feed.feed_id.hex()}", _describe_feed(found)
        case FoundHold():
            return f"Hold {found.hold_id.hex()}", _describe_hold(found)
        case FoundAccount():
            return f"Account {node_text(found.key)}", _describe_account(found)
        case _:
            assert_never(found)


def describe_op(op: Op) -> str:
    """An op in a line: its name and its fields, amounts in credits."""
    fields = []
    for name, value in msgspec.structs.asdict(op).items():
        match value:
            case bytes() if name in _KEY_FIELDS:
                shown = node_text(NodeId(value))[:8]
            case bytes():
                shown = value.hex()[:16]
            case int() if name in _AMOUNT_FIELDS:
                shown = credits_text(value)
            case _:
                shown = str(value)
        fields.append(f"{name} {shown}")
    return ", ".join([type(op).__name__, *fields])


def _describe_block(found: FoundBlock) -> tuple[str, Rows]:
    header = found.header
    rows = [
        ("id", found.block.block_id.hex()),
        ("parent", header.parent.hex()),
        ("epoch", str(header.epoch)),
        ("ledger clock", f"{header.dt_ms} ms after the block before"),
        ("state below", header.state_root.hex()),
        ("signed by", node_text(found.block.leader)),
        ("feed blocks", str(len(found.feeds))),
    ]
    for feed in found.feeds[:FEEDS_SHOWN_MAX]:
        who = node_text(feed.feed.account)[:8]
        ops = "; ".join(describe_op(op) for op in feed.feed.ops)
        rows.append((f"  {feed.feed.feed_id.hex()[:16]}", f"{who} {feed.feed.header.seq}: {ops}"))
    if len(found.feeds) > FEEDS_SHOWN_MAX:
        rows.append(("", f"{len(found.feeds) - FEEDS_SHOWN_MAX} more; --json has all"))
    return f"Block {header.height}", rows


def _describe_feed(found: FoundFeed) -> Rows:
    header = found.feed.header
    return [
        ("account", node_text(found.feed.account)),
        ("number", str(header.seq)),
        ("after", header.previous.hex()),
        ("in block", f"{found.height}, place {found.index}"),
        *(("op", describe_op(op)) for op in found.feed.ops),
    ]


def _describe_hold(found: FoundHold) -> Rows:
    rows: Rows = []
    if found.opened is not None and found.hold is not None:
        rows += [
            ("payer", node_text(found.opened.feed.account)),
            ("payee", node_text(NodeId(found.hold.payee))),
            (
                "pays",
                f"{credits_text(found.hold.first)} for the prompt, then "
                f"{credits_text(found.hold.unit)} for {found.hold.unit_tokens} tokens, "
                f"{found.hold.units_max} times at most",
            ),
            ("opened in block", f"{found.opened.height}"),
        ]
    if found.state is not None:
        closing = found.state.close_depth != NO_CLOSE
        state = f"closing at depth {found.state.close_depth}" if closing else "open"
        rows.append(("state", f"{state}, {credits_text(found.state.locked)} set aside"))
    elif found.ended is None:
        rows.append(("state", "not open: it was refused, or ran out unclaimed"))
    if found.ended is not None:
        feed, op = found.ended
        what = f"{type(op).__name__.lower()} at depth {op.depth}"
        paid = (
            "" if found.hold is None else f", worth {credits_text(_compute_pay(found, op.depth))}"
        )
        rows.append((what, f"in block {feed.height}{paid}"))
    return rows


def _describe_account(found: FoundAccount) -> Rows:
    account = found.account
    rows = [
        ("free", credits_text(account.avail)),
        ("staked", f"{credits_text(account.bond)}; {found.seats} seats weigh in this epoch"),
        ("number", f"{account.seq}, {account.head.hex()[:16]}"),
        ("open holds", f"{account.holds_out} it pays, {account.holds_in} that pay it"),
    ]
    if account.lent:
        rows.append(("lent as stake", credits_text(account.lent)))
    if account.sponsorship is not None:
        sponsor = node_text(NodeId(account.sponsorship.sponsor))
        rows.append(("sponsor", f"{sponsor}, with {credits_text(account.sponsorship.amount)}"))
    if account.unbonding:
        rows.append(("unbonding", credits_text(sum(amount for _, amount in account.unbonding))))
    if account.newcomer is not None:
        rows.append(("newcomer", f"owes {credits_text(account.newcomer.debt)} for fees"))
    if found.allowance:
        rows.append(("allowance", credits_text(found.allowance)))
    return rows


def _make_feed_json(found: FoundFeed) -> Json:
    header = found.feed.header
    return {
        "id": found.feed.feed_id.hex(),
        "account": node_text(found.feed.account),
        "seq": header.seq,
        "previous": header.previous.hex(),
        "valid_until_ms": header.valid_until_ms,
        "height": found.height,
        "index": found.index,
        "ops": [_make_op_json(op) for op in found.feed.ops],
    }


def _make_op_json(op: Op) -> Json:
    return {"op": type(op).__name__} | _make_plain(msgspec.structs.asdict(op))


def _make_plain(values: Mapping[str, object]) -> Json:
    """Fields in plain form: keys of accounts by name, other bytes hexadecimal."""
    plain: Json = {}
    for name, value in values.items():
        match value:
            case bytes() if name in (*_KEY_FIELDS, "payer", "sponsor"):
                plain[name] = node_text(NodeId(value)) if value else ""
            case bytes():
                plain[name] = value.hex()
            case msgspec.Struct():
                plain[name] = _make_plain(msgspec.structs.asdict(value))
            case tuple():
                plain[name] = [each.hex() if isinstance(each, bytes) else each for each in value]
            case _:
                plain[name] = value
    return plain


def _make_hold_json(found: FoundHold) -> Json:
    shown: Json = {"record": "hold", "id": found.hold_id.hex(), "is_open": found.state is not None}
    if found.opened is not None and found.hold is not None:
        shown["payer"] = node_text(found.opened.feed.account)
        shown["height"] = found.opened.height
        shown["hold"] = _make_plain(msgspec.structs.asdict(found.hold))
    if found.state is not None:
        shown["state"] = _make_plain(msgspec.structs.asdict(found.state))
    if found.ended is not None:
        feed, op = found.ended
        paid = None if found.hold is None else _compute_pay(found, op.depth)
        shown["ended"] = {
            "by": type(op).__name__,
            "depth": op.depth,
            "worth": paid,
            "height": feed.height,
        }
    return shown


def _make_account_json(found: FoundAccount) -> Json:
    return {
        "record": "account",
        "node": node_text(found.key),
        "seats": found.seats,
        "allowance": found.allowance,
        **_make_plain(msgspec.structs.asdict(found.account)),
    }


def _compute_pay(found: FoundHold, depth: int) -> int:
    assert found.hold is not None
    return found.hold.first + (depth - 1) * found.hold.unit if depth > 0 else 0


def _find_key(book: LedgerBook, word: str) -> NodeId | None:
    """The account a key or its beginning names; raises `BadInput` if several do."""
    if len(word) < PREFIX_LENGTH_MIN:
        return None
    try:
        # Base32 has words of certain lengths only; `A` is five zero bits, which do not count.
        raw = base64.b32decode(word.upper() + "A" * (-len(word) % 8))
    except (binascii.Error, ValueError):
        return None
    found = book.find_accounts(raw, min(5 * len(word), 8 * NODE_ID_BYTES))
    if len(found) > 1:
        expected = "the beginning of one key"
        raise BadInput("RECORD", f"{word}, which begins {len(found)} keys", expected, "more of it")
    return found[0] if found else None


def _is_hexadecimal(word: str) -> bool:
    return all(sign in "0123456789abcdef" for sign in word)


def _make_unknown(text: str, expected: str, fix: str) -> BadInput:
    return BadInput("RECORD", text[:80], expected, fix)
