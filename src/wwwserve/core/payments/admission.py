"""What a hold must be for anybody to work for it: rules that look at nothing but what they get.

Each raises `Refusal`, whose words reach the operator; the payer hears `UNPAID`.
"""

from typing import Final

from wwwserve.core.ledger_view import AccountView, AsksLedger
from wwwserve.core.payments.counts import BYTES_PER_TOKEN_MAX
from wwwserve.core.payments.prices import (
    UNIT_TOKENS_MAX,
    UNIT_TOKENS_MIN,
    compute_first,
    compute_prompt_step,
    compute_unit,
)
from wwwserve.values.refusals import Refusal, Severity
from wwwserve.wire import Endpoint, RequestSummary
from wwwserve.wire.ledger import FirmQuote, Hold, HoldFlag
from wwwserve.wire.paying import OpenedHold

PROMPT_TOLERANCE_STEPS: Final = 1
"""How far two counts of one prompt may be apart: a step, a factor of 1.4."""
PROMPT_SLACK_TOKENS: Final = 32
"""What a count may be off beside that: templates and JSON weigh much in short prompts."""
SEQ_AHEAD_MAX: Final = 64
"""Feed blocks of one account that the log lets wait: a hold in a later one is not near it."""


def refuse(rule: str, detail: str) -> Refusal:
    """A hold is not worked for; nobody's link is closed for it."""
    return Refusal(rule, detail, Severity.IGNORE)


def validate_hold(
    offered: OpenedHold, account: AccountView, ledger: AsksLedger, *, is_final: bool
) -> None:
    """Refuse a hold that the ledger would not open, or that it knows already.

    One that `is_final` is in the log, and nobody has worked for it.
    """
    header, op = offered.opened.header, offered.hold
    if not is_final and not account.seq < header.seq <= account.seq + SEQ_AHEAD_MAX:
        raise refuse("hold-seq", f"number {header.seq} where the log is at {account.seq}")
    if not is_final and header.valid_until_ms < ledger.time_ms:
        raise refuse("hold-late", "its feed block can enter the log no more")
    if sum(isinstance(other, Hold) and other.n == op.n for other in offered.opened.ops) > 1:
        raise refuse("hold-number", "another hold beside it has its number")
    _validate_form(op, ledger)


def _validate_form(op: Hold, ledger: AsksLedger) -> None:
    parameters = ledger.parameters
    if op.units_max > parameters.units_max or not _is_power_of_two(op.units_max):
        raise refuse("hold-units", f"{op.units_max} units")
    is_unit = UNIT_TOKENS_MIN <= op.unit_tokens <= UNIT_TOKENS_MAX
    if not is_unit or not _is_power_of_two(op.unit_tokens):
        raise refuse("hold-units", f"{op.unit_tokens} tokens a unit")
    if not 0 < op.deadline_ms <= parameters.deadline_ms_max:
        raise refuse("hold-deadline", f"{op.deadline_ms} ms")
    if abs(op.seed_epoch - ledger.epoch) > 1:
        raise refuse("hold-seed", f"epoch {op.seed_epoch} in epoch {ledger.epoch}")
    if op.flags & HoldFlag.TAB:
        raise refuse("hold-tab", "a tab pays for no single request")


def validate_amounts(
    op: Hold, quote: FirmQuote, summary: RequestSummary, counted_tokens: int | None
) -> None:
    """Refuse a first hold that pays less than was quoted, by this node's own count of the prompt.

    None: this node has no count of its own.
    """
    if op.flags & HoldFlag.EXTENDS:
        raise refuse("hold-extends", "there is nothing that it extends")
    if op.units_max == 1 and summary.endpoint is not Endpoint.EMBEDDINGS:
        raise refuse("hold-units", "a single unit for more than a prompt")
    if counted_tokens is None:
        has_media = "vision" in summary.needs
        least = 0 if has_media else summary.body_bytes // BYTES_PER_TOKEN_MAX
        counted_tokens = max(summary.prompt_tokens, least)
    step = compute_prompt_step(counted_tokens - PROMPT_SLACK_TOKENS) - PROMPT_TOLERANCE_STEPS
    first = compute_first(quote.prompt_price, max(step, 0))
    if op.first < first:
        raise refuse("hold-first", f"{op.first} for a prompt worth {first} at least")
    unit = compute_unit(quote.completion_price, op.unit_tokens)
    if op.unit < unit:
        raise refuse("hold-unit", f"{op.unit} for units worth {unit}")


def validate_extension(op: Hold, before: Hold) -> None:
    """Refuse a further hold that is for something else, or pays less, than the one before."""
    if not op.flags & HoldFlag.EXTENDS:
        raise refuse("hold-extends", "it does not say that it extends another")
    same = (op.req_commit, op.quote_hash, op.unit, op.unit_tokens)
    if same != (before.req_commit, before.quote_hash, before.unit, before.unit_tokens):
        raise refuse("hold-extends", "it extends another request's, or pays another price")
    if op.first < op.unit:
        raise refuse("hold-first", "its first preimage is worth less than a unit")


def _is_power_of_two(number: int) -> bool:
    return number > 0 and number & (number - 1) == 0
