"""The ledger's numbers: equal for all nodes of a network, fixed at genesis, in three sizes.

Money is in micro-credits; times are milliseconds of the ledger clock (`_ms`), which only blocks
move. `MAIN_LEDGER` is for use, `DEV_LEDGER` for one laptop; `TINY_LEDGER` makes rules about days
and hundreds testable in seconds and handfuls. Later, `SetParams` may change a number within its
range, never beyond it.
The reasons for the numbers are in `spec/ledger.md`.
"""

from typing import Final

import msgspec

from wwwserve.values.credits import CREDIT

SECOND: Final = 1_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR


class LedgerParameters(msgspec.Struct, array_like=True, frozen=True):
    """What every node must agree on to keep the same ledger. Fields are only ever appended."""

    stage: int
    """Which ops are switched on: 1 payments, 2 validators, 3 audits. An op of a later stage is
    refused."""
    # -- money: amounts in micro-credits
    seat_price: int
    """One seat, the unit of stake."""
    balance_min: int
    """What opens an account, and what it keeps while it is open: state is not free."""
    op_fee: int
    """For each op in the log: 0.1 % of a reference request for its Hold and Claim together."""
    fork_fine: int
    """For signing two feed blocks with one sequence number."""
    stall_line_max: int
    """The most an executor lends one payer while the ledger stands still."""
    supply_float_days: int
    """Days of expected gross trade that genesis issues by default."""
    circulation_permille: int
    """Private networks: the part of each balance above the mean that moves on each period."""
    circulation_period_ms: int
    """How often it moves; allowances are paid for as long."""
    pool_share_permille_max: int
    """Of the supply; while the pool holds more, the audit share of private requests is waived."""
    # -- payment: times in ms of the ledger clock
    unit_tokens: int
    """Completion tokens one preimage pays by default."""
    lead_units: int
    """Units an executor delivers ahead of a seated payer's payment."""
    units_max: int
    """The longest hash chain of a hold; a power of two."""
    claim_window_ms: int
    """W: how long a payee may answer a payer's Close with a deeper Claim."""
    deadline_ms_max: int
    """The longest time a hold may give its request."""
    tab_ms_max: int
    """The longest time a tab of small requests may run."""
    hold_wait_ms: int
    """How long an executor works for an unbonded payer before its hold is final."""
    feed_life_ms: int
    """For how long a wallet signs a feed block: within it, two at one number are a fork."""
    # -- time
    epoch_ms: int
    """An epoch."""
    height_ms_min: int
    """Validators refuse to vote sooner after entering a height; the pace while anything waits."""
    height_ms_idle: int
    """One empty block in this time while nothing waits."""
    height_ms_max: int
    """The ledger clock moves at most this far in one block, and never over a whole epoch."""
    leader_timeout_ms: int
    """Wait for a leader's block before voting for none; doubles with each failure."""
    unbonding_ms: int
    """U_b: unbonding stake stays slashable for so long."""
    unbonding_voted_ms: int
    """The same for seats that voted: longer than evidence against them is taken."""
    # -- rates
    rate_ops: int
    """Ops an account without seats may put in an epoch at the plain fee."""
    rate_ops_per_seat: int
    """The same for each seat; the larger of the two counts."""
    rate_fee_factor_max: int
    """Beyond them the fee is twice, three times ... the plain one, up to this; then no more."""
    # -- doors
    newcomer_slots: int
    """Newcomers who may earn their way in at once."""
    newcomer_failures_max: int
    """Failed holds of different seated payers that cost a newcomer its slot."""
    newcomer_slot_ms: int
    """How long a newcomer may take to earn its first seat."""
    newcomer_debt_max: int
    """Fees a newcomer may owe until it has earned something."""
    faucet_grant: int
    """What the pool gives a key that comes in by a faucet."""
    faucet_epoch_max: int
    """What all faucets together give in an epoch."""
    puzzle_bits: int
    """Zero bits the scrypt value of an entry puzzle must begin with."""
    puzzle_memory_log2: int
    """The N of scrypt, as a power of two, with r = 8: 14 takes 16 MiB."""
    exploration_permille: int
    """The part of offloads given to newcomers."""
    # -- validators (stage 2)
    validators_max: int
    """The heaviest so many vote."""
    handover_keys_min: int
    """Keys the sequencer must hand over to, or more."""
    handover_share_permille_max: int
    """The largest share of weight of one of them."""
    validators_seats_permille_min: int
    """Of the supply: total stake below which no set is valid."""
    candidate_seats_min: int
    """Seats of a candidate."""
    candidate_held_ms: int
    """How long a candidate must have held them."""
    entry_delay_ms: int
    """How long an entry waits for a veto."""
    entry_permille_per_day: int
    """Of the weight: all entries and increases of a day."""
    signed_heights_permille_min: int
    """Of an epoch's heights: who signs fewer has no weight until it rejoins."""
    # -- audits (stage 3): multiples are of the audited request's price
    evidence_per_seat: int
    """Pieces of evidence that let one more seat weigh in the draw of executors."""
    audit_permille_min: int
    """The least share of a settled node's requests that is audited."""
    audit_permille_new: int
    """The share of a node without evidence, or with a fault score."""
    audit_evidence_half: int
    """Evidence at which the share has halved."""
    beacon_delay: int
    """Heights between a hold and the beacon that decides on its audit."""
    challenge_ms_min: int
    """The soonest a challenger is asked after the claim."""
    challenge_ms_max: int
    """The latest."""
    filing_epochs_first: int
    """Epochs after a hold from which its duel may be filed."""
    filing_epochs_last: int
    """The last."""
    challenger_skips_max: int
    """Challengers that may be skipped."""
    panel_permille: int
    """Duels that get two more judges by chance."""
    judge_fee_permille: int
    """A judge's fee, in thousandths of the price."""
    judge_penalty: int
    """A judge alone against the majority, in prices."""
    gold_penalty: int
    """A judge wrong about gold, in prices."""
    gold_reward: int
    """A judge right about gold, in prices."""
    audit_price_max: int
    """The most a price counts for in all of these."""
    fault_score_max: int
    """The fault score at which a seat is lost."""
    fault_score_up: int
    """Added by a panel that flags one answer unanimously."""
    fault_score_down: int
    """Taken off by any other resolved duel."""
    fault_seats: int
    """Seats lost then."""
    suspension_ms: int
    """Time without selection then."""
    gold_permille: int
    """Gold's intended part of traffic."""
    audit_share_out_permille: int
    """What a request that may not be audited adds for gold."""
    # -- storage
    state_tree_depth: int
    """Levels of the tree over the state; 2 to this power leaves."""


MAIN_LEDGER: Final = LedgerParameters(
    stage=1,
    seat_price=50 * CREDIT,
    balance_min=CREDIT // 10,
    op_fee=CREDIT // 2_000,
    fork_fine=5 * CREDIT,
    stall_line_max=10 * CREDIT,
    supply_float_days=30,
    circulation_permille=100,
    circulation_period_ms=DAY,
    pool_share_permille_max=50,
    unit_tokens=32,
    lead_units=2,
    units_max=1_024,
    claim_window_ms=30 * MINUTE,
    deadline_ms_max=30 * MINUTE,
    tab_ms_max=10 * MINUTE,
    hold_wait_ms=5 * SECOND,
    feed_life_ms=2 * MINUTE,
    epoch_ms=10 * MINUTE,
    height_ms_min=250,
    height_ms_idle=30 * SECOND,
    height_ms_max=MINUTE,
    leader_timeout_ms=1_200,
    unbonding_ms=DAY,
    unbonding_voted_ms=14 * DAY,
    rate_ops=1_200,
    rate_ops_per_seat=6_000,
    rate_fee_factor_max=16,
    newcomer_slots=16,
    newcomer_failures_max=3,
    newcomer_slot_ms=7 * DAY,
    newcomer_debt_max=CREDIT // 10,
    faucet_grant=10 * CREDIT,
    faucet_epoch_max=50 * CREDIT,
    puzzle_bits=12,
    puzzle_memory_log2=14,
    exploration_permille=30,
    validators_max=64,
    handover_keys_min=4,
    handover_share_permille_max=250,
    validators_seats_permille_min=10,
    candidate_seats_min=4,
    candidate_held_ms=7 * DAY,
    entry_delay_ms=DAY,
    entry_permille_per_day=50,
    signed_heights_permille_min=500,
    evidence_per_seat=5,
    audit_permille_min=10,
    audit_permille_new=300,
    audit_evidence_half=10,
    beacon_delay=8,
    challenge_ms_min=MINUTE,
    challenge_ms_max=20 * MINUTE,
    filing_epochs_first=6,
    filing_epochs_last=9,
    challenger_skips_max=2,
    panel_permille=250,
    judge_fee_permille=3_600,
    judge_penalty=40,
    gold_penalty=80,
    gold_reward=9,
    audit_price_max=4 * CREDIT,
    fault_score_max=115,
    fault_score_up=27,
    fault_score_down=3,
    fault_seats=1,
    suspension_ms=7 * DAY,
    gold_permille=50,
    audit_share_out_permille=65,
    state_tree_depth=16,
)
"""The numbers of a real network."""

DEV_LEDGER: Final = msgspec.structs.replace(
    MAIN_LEDGER,
    circulation_period_ms=10 * MINUTE,
    claim_window_ms=30 * SECOND,
    deadline_ms_max=10 * MINUTE,
    tab_ms_max=5 * MINUTE,
    feed_life_ms=30 * SECOND,
    epoch_ms=30 * SECOND,
    height_ms_idle=5 * SECOND,
    height_ms_max=15 * SECOND,
    unbonding_ms=2 * MINUTE,
    unbonding_voted_ms=5 * MINUTE,
    faucet_grant=200 * CREDIT,
    faucet_epoch_max=20_000 * CREDIT,
)
"""The numbers of a network on one laptop: epochs of 30 s, so that a person sees stake weigh and
come free, and a faucet that opens an account, stakes a seat and pays for an hour of trying."""

TINY_LEDGER: Final = LedgerParameters(
    stage=1,
    seat_price=5 * CREDIT,
    balance_min=CREDIT // 10,
    op_fee=CREDIT // 2_000 + 1,
    fork_fine=2 * CREDIT,
    stall_line_max=2 * CREDIT,
    supply_float_days=30,
    circulation_permille=100,
    circulation_period_ms=20 * SECOND,
    pool_share_permille_max=50,
    unit_tokens=4,
    lead_units=2,
    units_max=16,
    claim_window_ms=4 * SECOND,
    deadline_ms_max=4 * SECOND,
    tab_ms_max=2 * SECOND,
    hold_wait_ms=SECOND,
    feed_life_ms=2 * SECOND,
    epoch_ms=5 * SECOND,
    height_ms_min=20,
    height_ms_idle=SECOND,
    height_ms_max=5 * SECOND,
    leader_timeout_ms=200,
    unbonding_ms=10 * SECOND,
    unbonding_voted_ms=20 * SECOND,
    rate_ops=8,
    rate_ops_per_seat=24,
    rate_fee_factor_max=3,
    newcomer_slots=2,
    newcomer_failures_max=2,
    newcomer_slot_ms=15 * SECOND,
    newcomer_debt_max=CREDIT // 100,
    faucet_grant=CREDIT,
    faucet_epoch_max=2 * CREDIT,
    puzzle_bits=1,
    puzzle_memory_log2=1,
    exploration_permille=30,
    validators_max=4,
    handover_keys_min=4,
    handover_share_permille_max=250,
    validators_seats_permille_min=10,
    candidate_seats_min=1,
    candidate_held_ms=10 * SECOND,
    entry_delay_ms=5 * SECOND,
    entry_permille_per_day=500,
    signed_heights_permille_min=500,
    evidence_per_seat=1,
    audit_permille_min=100,
    audit_permille_new=500,
    audit_evidence_half=2,
    beacon_delay=2,
    challenge_ms_min=SECOND,
    challenge_ms_max=2 * SECOND,
    filing_epochs_first=2,
    filing_epochs_last=4,
    challenger_skips_max=1,
    panel_permille=500,
    judge_fee_permille=3_600,
    judge_penalty=40,
    gold_penalty=80,
    gold_reward=9,
    audit_price_max=CREDIT,
    fault_score_max=60,
    fault_score_up=27,
    fault_score_down=3,
    fault_seats=1,
    suspension_ms=10 * SECOND,
    gold_permille=50,
    audit_share_out_permille=65,
    state_tree_depth=4,
)
"""The same rules, small enough to see each bound reached in a test."""
