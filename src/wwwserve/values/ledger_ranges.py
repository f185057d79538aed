"""How far each of the ledger's numbers may ever be moved, and whether a set of them fits together.

The ranges are code, not a vote: a majority could otherwise vote away the windows that protect a
minority (`SetParams`, ledger op 22).
"""

from typing import Final

from wwwserve.values.credits import CREDIT
from wwwserve.values.ledger_parameters import DAY, HOUR, MINUTE, SECOND, LedgerParameters

RANGES: Final[dict[str, tuple[int, int]]] = {
    "stage": (1, 1),
    "seat_price": (CREDIT // 100, 10_000 * CREDIT),
    "balance_min": (0, 10 * CREDIT),
    "op_fee": (0, CREDIT),
    "fork_fine": (0, 1_000 * CREDIT),
    "stall_line_max": (0, 1_000 * CREDIT),
    "supply_float_days": (1, 3_650),
    "circulation_permille": (0, 1_000),
    "circulation_period_ms": (SECOND, 365 * DAY),
    "pool_share_permille_max": (0, 1_000),
    "unit_tokens": (4, 256),
    "lead_units": (1, 64),
    "units_max": (1, 1_024),
    "claim_window_ms": (SECOND, DAY),
    "deadline_ms_max": (SECOND, DAY),
    "tab_ms_max": (SECOND, DAY),
    "hold_wait_ms": (SECOND // 10, MINUTE),
    "feed_life_ms": (SECOND, DAY),
    "epoch_ms": (SECOND, DAY),
    "height_ms_min": (10, MINUTE),
    "height_ms_idle": (SECOND, HOUR),
    "height_ms_max": (SECOND, HOUR),
    "leader_timeout_ms": (100, MINUTE),
    "unbonding_ms": (SECOND, 365 * DAY),
    "unbonding_voted_ms": (SECOND, 365 * DAY),
    "rate_ops": (1, 10**9),
    "rate_ops_per_seat": (0, 10**9),
    "rate_fee_factor_max": (1, 1_000),
    "newcomer_slots": (0, 4_096),
    "newcomer_failures_max": (1, 16),
    "newcomer_slot_ms": (SECOND, 365 * DAY),
    "newcomer_debt_max": (0, 100 * CREDIT),
    "faucet_grant": (0, 10_000 * CREDIT),
    "faucet_epoch_max": (0, 1_000_000 * CREDIT),
    "puzzle_bits": (0, 64),
    "puzzle_memory_log2": (1, 20),
    "exploration_permille": (0, 1_000),
    "validators_max": (4, 64),
    "handover_keys_min": (4, 64),
    "handover_share_permille_max": (1, 333),
    "validators_seats_permille_min": (1, 1_000),
    "candidate_seats_min": (1, 10_000),
    "candidate_held_ms": (SECOND, 365 * DAY),
    "entry_delay_ms": (SECOND, 365 * DAY),
    "entry_permille_per_day": (1, 1_000),
    "signed_heights_permille_min": (0, 1_000),
    "evidence_per_seat": (1, 1_000),
    "audit_permille_min": (0, 1_000),
    "audit_permille_new": (0, 1_000),
    "audit_evidence_half": (1, 1_000),
    "beacon_delay": (1, 1_000),
    "challenge_ms_min": (SECOND, HOUR),
    "challenge_ms_max": (SECOND, DAY),
    "filing_epochs_first": (1, 1_000),
    "filing_epochs_last": (1, 1_000),
    "challenger_skips_max": (0, 16),
    "panel_permille": (0, 1_000),
    "judge_fee_permille": (0, 100_000),
    "judge_penalty": (0, 1_000),
    "gold_penalty": (0, 1_000),
    "gold_reward": (0, 1_000),
    "audit_price_max": (0, 1_000 * CREDIT),
    "fault_score_max": (1, 10_000),
    "fault_score_up": (0, 1_000),
    "fault_score_down": (0, 1_000),
    "fault_seats": (0, 100),
    "suspension_ms": (SECOND, 365 * DAY),
    "gold_permille": (0, 1_000),
    "audit_share_out_permille": (0, 1_000),
    "state_tree_depth": (1, 20),
}
"""The least and the largest of each number."""


def find_parameter_fault(parameters: LedgerParameters) -> str:
    """The first thing wrong with a set of numbers, for a person; empty if nothing is."""
    for name, (low, high) in RANGES.items():
        value: int = getattr(parameters, name)
        if not low <= value <= high:
            return f"{name} is {value}, and must be from {low} to {high}"
    if parameters.height_ms_max > parameters.epoch_ms:
        return "height_ms_max is longer than an epoch, so a block could skip one"
    if parameters.units_max & (parameters.units_max - 1):
        return "units_max is not a power of two"
    if parameters.deadline_ms_max < parameters.tab_ms_max:
        return "tab_ms_max is longer than deadline_ms_max"
    return ""
