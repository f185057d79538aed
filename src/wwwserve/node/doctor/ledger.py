"""The ledger of a node's network: whether it is here, goes on, and the node can pay and be paid."""

from collections.abc import Iterator

from wwwserve.node.doctor.subject import LedgerSeen, Subject, WalletSeen
from wwwserve.node.findings import Finding, Level
from wwwserve.node.genesis import find_genesis
from wwwserve.values.credits import credits_text
from wwwserve.values.refusals import BadInput

CHECK = "ledger"
WALLET = "wallet"
BEHIND_BLOCKS_MAX = 64
"""Blocks a node may be behind without anything being wrong: a quarter of a minute at full pace."""
LOW_MS = 24 * 3_600_000
"""Credits that last for less are worth a word."""


def check_ledger(subject: Subject) -> Iterator[Finding]:
    """Where the ledger stands, and whether this node has an account that can pay."""
    try:
        known = find_genesis(subject.folder, subject.config)
    except BadInput as error:
        why = "without its first record the node does not start"
        found = f"{error.field}: found {error.found}, expected {error.expected}"
        yield Finding(CHECK, Level.ERROR, found, why, error.fix)
        return
    if subject.status is None:
        if known is not None:
            found = f"{known.genesis_id.hex()[:16]}; how it stands is not known: no node runs"
            yield Finding(CHECK, Level.NOTE, found, fix=f"wwwserve up {subject.command_end}")
        return
    ledger = subject.status.ledger
    if ledger is not None:
        yield _judge_ledger(ledger, subject)
    elif known is not None:
        yield Finding(
            CHECK,
            Level.WARNING,
            "its first record is not here yet",
            "until a neighbour tells it, nothing is paid and no work is exchanged",
            "wwwserve peers shows whether anybody is linked",
        )
    if subject.status.entry:
        # What a wallet without an account waits for is the same, said less well.
        yield _judge_entry(subject.status.entry, subject)
    elif subject.status.wallet is not None:
        yield _judge_wallet(subject.status.wallet, subject)


def _judge_ledger(ledger: LedgerSeen, subject: Subject) -> Finding:
    behind = ledger.told_height - ledger.height
    if ledger.fork:
        return Finding(
            CHECK,
            Level.ERROR,
            f"its sequencer signed two histories: {' and '.join(ledger.fork)}",
            "nobody can know which one holds, so everything has stopped",
            f"wwwserve ledger export FILE {subject.command_end} keeps the proof; agree with the "
            "other members on a new network",
        )
    if ledger.is_stalled:
        return Finding(
            CHECK,
            Level.WARNING,
            f"no block comes after {ledger.height}",
            "what is signed waits, and others are served within credit lines only",
            "see whether the sequencer runs and is linked: wwwserve ledger status, wwwserve peers",
        )
    if behind > BEHIND_BLOCKS_MAX:
        return Finding(
            CHECK,
            Level.WARNING,
            f"block {ledger.height}, {behind} behind what others tell",
            "balances here are old until it has caught up",
            "look again in a minute: it should be less",
        )
    return Finding(CHECK, Level.OK, f"block {ledger.height}; one sequencer orders it")


def _judge_entry(entry: str, subject: Subject) -> Finding:
    return Finding(
        WALLET,
        Level.WARNING,
        f"the door is not passed: {entry}",
        "without an account nothing can be paid or earned",
        "do what it waits for, or take another door the ledger has: ledger.door, then "
        f"wwwserve config reload {subject.command_end}",
    )


def _judge_wallet(wallet: WalletSeen, subject: Subject) -> Finding:
    has = f"{credits_text(wallet.spendable)} to spend"
    if not wallet.is_ready:
        why = "until it can, requests stay on this node and nothing earned is claimed"
        found = f"cannot sign: {wallet.waits_for or 'not yet'}"
        fix = f"wwwserve wallet {subject.command_end} shows when that is over"
        return Finding(WALLET, Level.WARNING, found, why, fix)
    if wallet.spendable == 0:
        why = "requests run on this node's own engine, wait, or get a 503"
        fix = "serve others, have somebody send some, or lower wallet.reserve"
        return Finding(WALLET, Level.WARNING, "nothing to spend", why, fix)
    if wallet.forecast_ms is not None and wallet.forecast_ms < LOW_MS:
        hours = wallet.forecast_ms // 3_600_000
        found = f"{has}, gone in {hours} hours at this pace"
        why = "then requests run here, wait, or get a 503"
        return Finding(WALLET, Level.NOTE, found, why, "serve others, or have some sent")
    return Finding(WALLET, Level.OK, has)
