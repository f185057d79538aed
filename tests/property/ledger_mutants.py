"""Bugs seeded into the ledger, and the means to run the suite against each.

A mutant is a change of one place in the source. The mutated module and everything that imports it
are loaded afresh, under their own names, while the mutant lives; afterwards all is as before.
"""

import importlib
import importlib.abc
import importlib.machinery
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import CodeType, ModuleType
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
FRESH: Final = (
    "wwwserve.core.ledger",
    "wwwserve.wire.ledger",
    "tests.property.ledger_walk",
    "tests.property.ledger_world",
    "tests.unit.core.ledger",
    "tests.unit.wire.ledger_",
)
"""What is loaded afresh: the ledger, and the tests that look at it."""
SCENARIOS: Final = ("payment", "feeds", "stake", "doors", "evidence", "blocks")
WALKS: Final = 12
COMMANDS: Final = 120


@dataclass(frozen=True)
class Mutant:
    """One place of the source, and what a careless hand would have written there."""

    what: str
    module: str
    old: str
    new: str

    @property
    def path(self) -> Path:
        return ROOT.joinpath("src", *self.module.split(".")).with_suffix(".py")

    def write(self) -> str:
        """The source with the bug in it."""
        source = self.path.read_text(encoding="utf-8")
        assert source.count(self.old) == 1, f"{self.what}: `{self.old}` is not there once"
        return source.replace(self.old, self.new)


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads a module from other source than its file has."""

    source = ""

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.source, self.path, "exec")


class _Finder(importlib.abc.MetaPathFinder):
    """Finds one module, and gives it other source."""

    def __init__(self, module: str, source: str) -> None:
        self.module = module
        self.source = source

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.module:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        assert spec is not None
        assert spec.origin is not None
        loader = _Loader(fullname, spec.origin)
        loader.source = self.source
        spec.loader = loader
        return spec


@contextmanager
def infected(module: str, source: str, fresh: tuple[str, ...] = FRESH) -> Iterator[None]:
    """While it lasts, imports give this source for a module; what begins so is loaded afresh."""
    kept = {name: sys.modules[name] for name in sys.modules if name.startswith(fresh)}
    parents = {name: sys.modules.get(name.rpartition(".")[0]) for name in kept}
    finder = _Finder(module, source)
    for name in kept:
        del sys.modules[name]
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name.startswith(fresh)]:
            del sys.modules[name]
        sys.modules.update(kept)
        for name, parent in parents.items():
            if parent is not None:
                setattr(parent, name.rpartition(".")[2], kept[name])


def find_killer(module: str, source: str) -> str:
    """Which part of the suite notices the bug; empty if it lives."""
    with infected(module, source):
        for part, check in list_checks():
            try:
                check()
            except (Exception, pytest.fail.Exception) as error:  # noqa: BLE001 - any will do
                return f"{part} ({type(error).__name__})"
    return ""


def list_checks() -> Iterator[tuple[str, Callable[[], object]]]:
    """The quick parts of the suite, each to be called; they import what they look at."""
    yield "wire snapshot", _check_snapshot
    walk = importlib.import_module("tests.property.ledger_walk")
    for seed in range(WALKS):
        yield f"walk {seed}", partial(walk.draw_walk, seed, COMMANDS)
    for scenario in SCENARIOS:
        module = importlib.import_module(f"tests.unit.core.ledger.test_{scenario}")
        for name in dir(module):
            if name.startswith("test_"):
                yield name, getattr(module, name)


def _check_snapshot() -> None:
    snapshot = importlib.import_module("tests.unit.wire.ledger_snapshot")
    path = ROOT / "tests" / "data" / "ledger" / "wire.json"
    assert snapshot.build_snapshot() == json.loads(path.read_text(encoding="utf-8"))


def _core(what: str, module: str, old: str, new: str) -> Mutant:
    return Mutant(what, f"wwwserve.core.ledger.{module}", old, new)


def _wire(what: str, module: str, old: str, new: str) -> Mutant:
    return Mutant(what, f"wwwserve.wire.ledger.{module}", old, new)


MUTANTS: Final = (
    # -- holds and payment units
    _core("a close settles at once", "holds",
          "due_ms = min(state.log.time_ms + state.parameters.claim_window_ms, hold.ttl_ms)",
          "due_ms = state.log.time_ms"),
    _core("a close may outlast its hold", "holds",
          "due_ms = min(state.log.time_ms + state.parameters.claim_window_ms, hold.ttl_ms)",
          "due_ms = state.log.time_ms + state.parameters.claim_window_ms"),
    _core("a settled hold stays", "holds", "    state.remove_hold(hold_id)\n", ""),
    _core("the anchor is not looked at", "holds",
          "if not isinstance(proof, Anchor) or proof.value != hold.anchor:",
          "if not isinstance(proof, Anchor):"),
    _core("anybody claims", "holds", "if hold.payee != payee:", "if False:"),
    _core("anybody closes", "holds", "if hold.payer != payer:", "if False:"),
    _core("a claim may be shallower than a close", "holds",
          "if op.depth < hold.close_depth:", "if op.depth < 0:"),
    _core("a hold is closed twice", "holds", "if hold.close_depth != NO_CLOSE:", "if False:"),
    _core("depth is not bounded by the units", "holds",
          "if depth > hold.units_max:", "if depth > hold.units_max + 1:"),
    _core("the rest of a claim is not returned", "holds",
          "returned = hold.locked - paid", "returned = 0"),
    _core("the first unit is paid twice", "rules",
          "return hold.first + (depth - 1) * hold.unit if depth > 0 else 0",
          "return hold.first + depth * hold.unit if depth > 0 else 0"),
    _core("depth 0 pays the prompt", "rules",
          "(depth - 1) * hold.unit if depth > 0 else 0", "max(depth - 1, 0) * hold.unit"),
    _core("a hold locks a unit too few", "rules",
          "return hold.first + (hold.units_max - 1) * hold.unit",
          "return hold.first + (hold.units_max - 2) * hold.unit"),
    _core("a hold ends one instant late", "holds",
          "if hold is None or compute_due_ms(hold) > state.log.time_ms:",
          "if hold is None or compute_due_ms(hold) >= state.log.time_ms:"),
    _core("a hold lives one window", "holds",
          "+ op.deadline_ms + 2 * state.parameters", "+ op.deadline_ms + state.parameters"),
    _core("an expired hold pays its close at depth 0", "holds",
          "_settle(state, hold_id, hold.close_depth, Ending.CLOSED)",
          "_settle(state, hold_id, 0, Ending.CLOSED)"),
    _core("a hold may take the minimum too", "rules",
          "return max(account.avail - parameters.balance_min, 0)", "return account.avail"),
    _core("a tab may cost anything first", "holds",
          "if op.flags != HoldFlag.TAB or not is_open or op.first != op.unit:",
          "if op.flags != HoldFlag.TAB or not is_open:"),
    _core("a hold to oneself", "holds",
          "if op.payee == payer or NodeId(op.payee) not in state.accounts:",
          "if NodeId(op.payee) not in state.accounts:"),
    _core("a seed of any epoch", "holds",
          "if not state.log.epoch - 1 <= op.seed_epoch <= state.log.epoch:",
          "if op.seed_epoch > state.log.epoch:"),
    # -- feed blocks and fees
    _core("a fee only where ops succeed", "feeds",
          "    _charge(state, account, fee)\n    return fee", "    return fee"),
    _core("a number is used again", "feeds",
          "account.seq, account.head = opened.header.seq, opened.feed_id",
          "account.head = opened.feed_id"),
    _core("numbers may be skipped", "feeds",
          "if header.seq != account.seq + 1:", "if header.seq <= account.seq:"),
    _core("the predecessor is not looked at", "feeds",
          "if header.previous != account.head:", "if False:"),
    _core("a feed block lives one instant less", "feeds",
          "if until_ms < now_ms:", "if until_ms <= now_ms:"),
    _core("a feed block can be kept for later", "feeds",
          "if until_ms > now_ms + 2 * state.parameters.epoch_ms:", "if False:"),
    _core("a fee is not split", "money", "share = amount // 2 if", "share = amount if"),
    _core("the odd micro-credit of a fee is lost", "money",
          "state.edit_log().pool += amount - share", "state.edit_log().pool += amount // 2"),
    _core("ops cost the same however many", "feeds",
          "factor = 1 + _get_ops_used(state, account) // allowance", "factor = 1"),
    _core("ops are never forgotten", "feeds",
          "return account.ops_used if account.ops_epoch == state.log.epoch else 0",
          "return account.ops_used"),
    _core("a returning account begins at 0", "rules",
          "return height * SEQ_LIVES", "return 0"),
    # -- stake
    _core("unbonding stake is not fined", "money",
          "    left -= _take_unbonding(state, account, left)\n", ""),
    _core("unbonding comes free at once", "money",
          "due_ms = state.log.time_ms + state.parameters.unbonding_ms",
          "due_ms = state.log.time_ms"),
    _core("stake weighs in the same epoch", "money",
          "if held.seats_epoch == state.log.epoch:", "if False:"),
    _core("a second change forgets the epoch's beginning", "money",
          "if edited.seats_epoch != state.log.epoch:", "if True:"),
    _core("lent stake weighs twice", "sponsoring",
          "set_stake(state, member, bond=state.accounts[member].bond - amount)",
          "set_stake(state, member, bond=state.accounts[member].bond)"),
    _core("a sponsor takes back more than it lent", "sponsoring",
          "end_sponsorship(state, key, min(wanted, sponsorship.amount))",
          "end_sponsorship(state, key, wanted)"),
    _core("the sponsor is not locked while it sponsors", "standing", "if held.lent:", "if False:"),
    _core("the fine does not reach the sponsor", "money",
          "    left -= _take_lent(state, account, left)\n", ""),
    # -- doors
    _core("the faucet's cap is ignored", "doors",
          "if get_faucet_granted(state) + parameters.faucet_grant > parameters.faucet_epoch_max:",
          "if False:"),
    _core("the cap is for ever", "doors",
          "return state.log.faucet_granted if state.log.faucet_epoch == state.log.epoch else 0",
          "return state.log.faucet_granted"),
    _core("the pool pays what it has not", "doors",
          "if parameters.faucet_grant > state.log.pool:", "if False:"),
    _core("any puzzle will do", "doors",
          "if proof.count < state.parameters.puzzle_bits:", "if False:"),
    _core("any beacon will do", "doors",
          "if op.proof.beacon not in {state.log.epoch_beacon, state.log.epoch_beacon_before}:",
          "if False:"),
    _core("a first word can be said again", "doors",
          "    account.keep_until_ms = header.valid_until_ms\n", ""),
    _core("slots are endless", "doors",
          "state.log.newcomers >= state.parameters.newcomer_slots", "False"),
    _core("a newcomer's debt is forgiven", "money",
          "repaid = min(newcomer.debt, amount)", "repaid = 0"),
    _core("one payer alone costs a slot", "holds",
          "if newcomer is None or payer in newcomer.failed_by:", "if newcomer is None:"),
    _core("a payer without a seat accuses", "holds",
          "is_payer_seated=get_seats(state, payer) > 0", "is_payer_seated=True"),
    # -- evidence
    _core("a fork is fined each time it is shown", "evidence",
          "    state.edit_account(account).fined_seq = seq\n", ""),
    _core("forks to come are fined in advance", "evidence",
          "<= held.seq + 1:", "<= 2**62:"),
    _core("a replaced feed block is a fork", "evidence",
          "if apart_ms > state.parameters.feed_life_ms:", "if False:"),
    _core("the cheated get all of the fine", "evidence",
          "_compensate(state, fork.second, taken // 2)", "_compensate(state, fork.second, taken)"),
    _core("anybody's two blocks halt the ledger", "evidence",
          "if fork.first.leader != state.constitution.sequencer:", "if False:"),
    # -- time and circulation
    _core("an epoch begins one instant late", "clock",
          "return time_ms // epoch_ms", "return max(time_ms - 1, 0) // epoch_ms"),
    _core("the old beacon is forgotten", "clock",
          "log.epoch_beacon_before, log.epoch_beacon = log.epoch_beacon, log.beacon",
          "log.epoch_beacon_before, log.epoch_beacon = log.beacon, log.beacon"),
    _core("things due at one instant in any order", "state",
          "heapq.heappush(self.dues, (due_ms, due, subject))",
          "heapq.heappush(self.dues, (due_ms + 1, due, subject))"),
    _core("the treasury taxes below the mean", "circulation",
          "above = max(state.accounts[account].avail - mean, 0)",
          "above = state.accounts[account].avail"),
    _core("the rest of the shares is lost", "circulation",
          "    state.edit_log().pool += rest - share * len(members)\n", ""),
    _core("whoever has a sponsor gets a share", "circulation",
          "account.door == Door.SPONSOR and account.sponsorship is not None",
          "account.sponsorship is not None"),
    _core("anybody allows", "circulation",
          "if not state.accounts[account].flags & AccountFlag.TREASURY:", "if False:"),
    # -- blocks, state, encoding
    _core("the root is not compared", "machine",
          "for name in BlockHeader.__struct_fields__:",
          "for name in BlockHeader.__struct_fields__[:-2]:"),
    _core("a changed account is not marked", "state",
          "        self.changed[account_key(account)] = None\n        self.touched",
          "        self.touched"),
    _core("a leaf depends on the order of arrival", "tree",
          "b\"\".join(leaf[key] for key in sorted(leaf))", "b\"\".join(leaf.values())"),
    _core("a restart forgets what falls due", "snapshot", "    state.rebuild_dues()\n", ""),
    _wire("a hash chain without its context", "payword", "_CONTEXT + following", "following"),
    _wire("holds of one feed block share a name", "payword",
          " + n.to_bytes(8, \"big\")).digest()", ").digest()"),
    _wire("an op has another number", "ops",
          "class Transfer(msgspec.Struct, array_like=True, frozen=True, tag=4)",
          "class Transfer(msgspec.Struct, array_like=True, frozen=True, tag=14)"),
    _wire("two fields change places", "feeds",
          "account: Key\n    seq: Number\n", "seq: Number\n    account: Key\n"),
)  # fmt: skip
