"""Bugs seeded into the wallet, and what of its suite is to notice them."""

import importlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import pytest

from tests.property.ledger_mutants import Mutant, infected

FRESH: Final = (
    "wwwserve.core.wallet",
    "tests.fakes.wallet_node",
    "tests.property.wallet_walk",
    "tests.property.wallet_world",
    "tests.unit.core.wallet",
)
"""What is loaded afresh: the wallet, and the tests that look at it."""
STORIES: Final = ("holds", "account")
WALKS: Final = 60
COMMANDS: Final = 200


def find_killer(mutant: Mutant) -> str:
    """Which part of the suite notices the bug; empty if it lives."""
    with infected(mutant.module, mutant.write(), FRESH):
        for part, check in list_checks():
            try:
                check()
            except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - any will do
                return f"{part} ({type(error).__name__})"
    return ""


def list_checks() -> Iterator[tuple[str, Callable[[], object]]]:
    """The quick parts of the suite, each to be called; they import what they look at."""
    stage = importlib.import_module("tests.unit.core.wallet.wallet_stage")
    for story in STORIES:
        module = importlib.import_module(f"tests.unit.core.wallet.test_wallet_{story}")
        for name, test in vars(module).items():
            if name.startswith("test_") and not getattr(test, "pytestmark", ()):
                yield name, partial(_tell, test, stage.Stage)
    walk = importlib.import_module("tests.property.wallet_walk")
    for seed in range(WALKS):
        yield f"walk {seed}", partial(walk.draw_walk, seed, COMMANDS)


def _tell(test: Callable[..., object], make_stage: Callable[[], object]) -> None:
    test(*[make_stage()] * test.__code__.co_argcount)


def _wallet(what: str, module: str, old: str, new: str) -> Mutant:
    return Mutant(what, f"wwwserve.core.wallet.{module}", old, new)


MUTANTS: Final = (
    # -- never two words of one number
    _wallet("an expired word is never replaced", "line",
            "if self._blocks and self._blocks[0].valid_until_ms < self._time_ms:", "if False:"),
    _wallet("the first expired word is replaced while those behind it live", "line",
            "self._fall_silent(self._blocks[-1].valid_until_ms)",
            "self._fall_silent(self._blocks[0].valid_until_ms)"),
    _wallet("silence ends one instant early", "line",
            "if self._last.silent_until_ms and left_ms >= 0:",
            "if self._last.silent_until_ms and left_ms > 0:"),
    _wallet("unknown words are taken as one's own", "line",
            "if synced.lost or (head not in heads and seq >= lowest_seq):", "if synced.lost:"),
    _wallet("an unclean boot is forgotten", "line",
            "if has_lost and not self._last.has_lost:", "if False:"),
    _wallet("silence is for as long as one has it", "line",
            "until_ms = self._time_ms + self._ledger.parameters.feed_life_ms",
            "until_ms = self._time_ms"),
    _wallet("what is signed last is not written", "line",
            "        self._note(Last(block.seq, block.feed_id, block.valid_until_ms))\n",
            "        self._last = Last(block.seq, block.feed_id, block.valid_until_ms)\n"),
    _wallet("a signed word is not written", "line",
            "        self._changes[feed_place(block.seq)] = encode(sealed)\n", ""),
    _wallet("signs before the log is whole", "standing",
            "if not self._is_caught_up:\n            told", "if False:\n            told"),
    _wallet("signed and written too late", "machine",
            "        self._write_at = now\n        return block",
            "        self._write_at = after(now, WRITE_US)\n        return block"),
    # -- what waits
    _wallet("the line has no end", "standing",
            "return len(self._line.blocks) >= LINE_LENGTH_MAX", "return False"),
    _wallet("a word is brought to the sequencer once", "machine",
            "block.submit_at = after(now, SUBMIT_US)\n            block.is_submitted",
            "block.submit_at = NEVER\n            block.is_submitted"),
    _wallet("a word behind an unanswered hold goes alone", "machine",
            "if earlier.seq <= block.seq and", "if earlier.seq == block.seq and"),
    _wallet("a dropped hold shifts those behind it", "renewing",
            "if not ops and is_in_place and pinned and block.seq < pinned[-1]:", "if False:"),
    _wallet("a hold is renewed for an epoch that is over", "renewing",
            "return replace(op, seed_epoch=epoch) if isinstance(op, Hold) else op", "return op"),
    _wallet("a hold nobody worked for is renewed", "books",
            "return block.hold_id is not None and not self.closes.is_void(block.hold_id)",
            "return True"),
    # -- money
    _wallet("fees are not reserved", "budget",
            "costs += factor * parameters.op_fee * expense.ops + expense.spends",
            "costs += expense.spends"),
    _wallet("what waits is free", "budget",
            "costs += factor * parameters.op_fee * expense.ops + expense.spends",
            "costs += factor * parameters.op_fee * expense.ops"),
    _wallet("the minimum is spent", "budget",
            "return max(self.free - self.op_fee - self.balance_min, 0)",
            "return max(self.free - self.op_fee, 0)"),
    _wallet("the rate of fees is unknown", "budget", "        used += expense.ops\n", ""),
    _wallet("a newcomer's first fee is not lent", "budget",
            "fees_max=max(account.fees_max - costs, 0)", "fees_max=max(account.avail - costs, 0)"),
    # -- claims and closes
    _wallet("a shallower preimage replaces a deeper one", "claims",
            "elif kept is not None and event.depth > kept.depth:", "elif kept is not None:"),
    _wallet("claims before the stream is over", "claims",
            "and (kept.is_over or is_late or hold.close_depth >= 0)", ""),
    _wallet("a close is not answered", "claims",
            "and (kept.is_over or is_late or hold.close_depth >= 0)",
            "and (kept.is_over or is_late)"),
    _wallet("a refused claim is tried for ever", "claims",
            "            and kept.tries < CLAIM_TRIES_MAX\n", ""),
    _wallet("a claim is signed twice", "claims",
            "            not kept.is_claimed\n            and kept", "            kept"),
    _wallet("a settled hold's preimage stays", "books",
            "            self.claims.forget(fact.hold_id)\n", ""),
    _wallet("preimages of before a kill are not claimed", "claims",
            "kept.since_ms, is_over=True)", "kept.since_ms)"),
    _wallet("closes at the depth above", "closes",
            "own.depth = depth\n", "own.depth = max(depth - 1, 0)\n"),
    _wallet("a hold is never closed", "closes",
            "            if hold is not None and hold.close_depth < 0:\n",
            "            if False:\n"),
    _wallet("a chain does not depend on its number", "hash_chains",
            "encode((seq, terms))", "encode(terms)"),
)  # fmt: skip
