"""Changes to decoded values, so that a fuzzer gets past the decoder and at the rules behind it.

A decoder in C tells a fuzzer nothing of how near its bytes were. Whoever changes one leaf of a good
value and encodes it again is past the decoder at once.
"""

from random import Random

import msgspec

from wwwserve.wire import encode

ODD_VALUES: tuple[object, ...] = (
    None, True, False, 0, 1, -1, 127, 255, 2**31, 2**53, 2**63 - 1, 2**64 - 1, -(2**63),
    0.5, -0.0, 1e308, "", "x", "\x00", "\u2028", "😀", "x" * 201, "org/name", "127.0.0.1:1",
    [], [[]], {}, {"": None},
)  # fmt: skip
"""Values at the bounds of what a field may be, and of other kinds than it is."""
DEPTH_MAX = 12
"""How far down a change is made; what lies deeper changes with what holds it."""


UNFIT = (ValueError, TypeError, OverflowError, RecursionError)
"""What decoding and encoding say to bytes that are no value, and to values that have no bytes."""


def mutate_msgpack(data: bytes, chance: Random) -> bytes | None:
    """Encoded bytes with one thing in their value changed; None for bytes that are no value."""
    try:
        return encode(mutate_tree(msgspec.msgpack.decode(data), chance))
    except UNFIT:
        return None


def mutate_json(data: bytes, chance: Random) -> bytes | None:
    """JSON with one thing in it changed; None for bytes that are no JSON."""
    try:
        return msgspec.json.encode(mutate_tree(msgspec.json.decode(data), chance))
    except UNFIT:
        return None


def mutate_tree(tree: object, chance: Random, depth: int = 0) -> object:
    """The same value with one thing in it changed, dropped, doubled or exchanged."""
    if isinstance(tree, list) and tree and depth < DEPTH_MAX and chance.randrange(4):
        at = chance.randrange(len(tree))
        return [*tree[:at], mutate_tree(tree[at], chance, depth + 1), *tree[at + 1 :]]
    if isinstance(tree, dict) and tree and depth < DEPTH_MAX and chance.randrange(4):
        key = chance.choice(list(tree))
        return tree | {key: mutate_tree(tree[key], chance, depth + 1)}
    return _change(tree, chance)


def _change(value: object, chance: Random) -> object:
    """Another value in the place of this one, mostly of its kind."""
    if not chance.randrange(4):
        return chance.choice(ODD_VALUES)
    match value:
        case bool() | None:
            return chance.choice(ODD_VALUES)
        case int():
            return _change_number(value, chance)
        case str():
            return _change_bytes(value.encode("utf-8", "replace"), chance).decode(
                "utf-8", "replace"
            )
        case bytes():
            return _change_bytes(value, chance)
        case list():
            return _change_list(value, chance)
        case dict():
            return _change_fields(value, chance)
        case _:
            return chance.choice(ODD_VALUES)


def _change_number(value: int, chance: Random) -> int:
    steps = (value + 1, value - 1, -value, value ^ 1 << chance.randrange(63), chance.randrange(256))
    return max(-(2**63), min(2**64 - 1, chance.choice(steps)))


def _change_bytes(value: bytes, chance: Random) -> bytes:
    at = chance.randrange(len(value) + 1)
    match chance.randrange(4):
        case 0:
            return value[:at] + chance.randbytes(chance.randint(1, 4)) + value[at:]
        case 1:
            return value[:at] + value[at + chance.randint(1, 8) :]
        case 2:
            return value[:at] + chance.randbytes(1) + value[at + 1 :]
        case _:
            return (value or b"x") * chance.choice((2, 3, 17))


def _change_list(value: list[object], chance: Random) -> list[object]:
    at = chance.randrange(len(value) + 1)
    match chance.randrange(4):
        case 0:
            return [*value[:at], chance.choice(ODD_VALUES), *value[at:]]
        case 1:
            return [*value[:at], *value[at + 1 :]]
        case 2:
            return value * chance.choice((2, 3, 17))
        case _:
            return chance.sample(value, len(value))


def _change_fields(value: dict[object, object], chance: Random) -> dict[object, object]:
    names = list(value)
    match chance.randrange(3):
        case 0:
            return value | {chance.choice(("", "index", "error", "x-wwwserve-seed")): 1}
        case 1 if names:
            dropped = chance.choice(names)
            return {name: item for name, item in value.items() if name != dropped}
        case _ if names:
            return value | {chance.choice(names): chance.choice(ODD_VALUES)}
        case _:
            return {"": chance.choice(ODD_VALUES)}
