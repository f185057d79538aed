"""Whether this account may say anything now, and what it can still pay for."""

from typing import Final

from wwwserve.core.ledger_view import AccountView, AsksLedger
from wwwserve.core.wallet.budget import Budget, compute_budget
from wwwserve.core.wallet.line import LINE_LENGTH_MAX, LedgerMoment, Line
from wwwserve.values.ids import NodeId
from wwwserve.wire.ledger import NO_DIGEST

HOLDS_OPEN_MAX: Final = 4_096
"""Open holds that the ledger lets one payer have."""
HEIGHTS_BEHIND_MAX: Final = 16
"""Blocks that the log here may be behind before the wallet waits for it: 4 s at full pace."""
_NOTHING: Final = AccountView(
    seq=-1, head=NO_DIGEST, avail=0, spendable=0, bond=0, stake=0, unbonding=0, seats=0,
    holds_out=0, debt=0, ops_used=0, fees_max=0,
)  # fmt: skip
"""What a key without an account has."""


class Standing:
    """Where the account and the log stood after the last whole block."""

    __slots__ = (
        "_budget",
        "_budget_version",
        "_is_caught_up",
        "_is_sequencer",
        "_ledger",
        "_line",
        "_own",
        "_told_height",
        "view",
    )

    def __init__(self, own: NodeId, ledger: AsksLedger, line: Line, *, is_sequencer: bool) -> None:
        """`is_sequencer`: nobody knows more of the log than this node."""
        self._own = own
        self._ledger = ledger
        self._line = line
        self._is_sequencer = is_sequencer
        self._told_height: int | None = None
        """The highest that a neighbour has told of; None before the first."""
        self._is_caught_up = False
        self._budget: Budget | None = None
        """What was computed last; it holds until the line or the log goes on."""
        self._budget_version = 0
        self.view = self._look()
        self._note_heights()

    @property
    def is_caught_up(self) -> bool:
        """Whether the log here is as long as anybody's."""
        return self._is_caught_up

    @property
    def waits_for(self) -> str:
        """What keeps the account from opening a hold; empty if nothing does."""
        account = self.view.account
        if obstacle := self.find_obstacle():
            return obstacle
        if account is None:
            return "an account: join by a door, or be given credits"
        if account.holds_out + len(self._line.blocks) >= HOLDS_OPEN_MAX:
            return f"payees: {HOLDS_OPEN_MAX} holds are open"
        return ""

    @property
    def is_busy(self) -> bool:
        """Whether nothing but the next block is waited for."""
        return self._is_line_full and not self._find_lasting()

    def find_obstacle(self) -> str:
        """What keeps this key from saying anything at all; empty if nothing does."""
        if lasting := self._find_lasting():
            return lasting
        if self._is_line_full:
            return f"the sequencer: {LINE_LENGTH_MAX} feed blocks are not in the log yet"
        if self.compute_budget().is_rated:
            return "the next epoch: the account has said all it may in this one"
        return ""

    @property
    def _is_line_full(self) -> bool:
        return len(self._line.blocks) >= LINE_LENGTH_MAX

    def _find_lasting(self) -> str:
        """What keeps it from that for longer than a block."""
        if self._ledger.is_halted:
            return "nobody: the sequencer signed two histories, and all has stopped"
        if not self._is_caught_up:
            told = "nothing" if self._told_height is None else f"of {self._told_height}"
            return f"the log: it ends at height {self.view.height} here, neighbours told {told}"
        if self._line.silence:
            return self._line.silence
        if self._line.is_dead:
            return "credits for the fees of what has to be signed again"
        return ""

    def compute_budget(self) -> Budget:
        """What is left for the next feed block."""
        if self._budget is None or self._budget_version != self._line.version:
            waiting = [] if self._line.is_dead else [block.expense for block in self._line.blocks]
            account = self.view.account or _NOTHING
            self._budget = compute_budget(account, self._ledger.parameters, waiting)
            self._budget_version = self._line.version
        return self._budget

    @property
    def can_flush(self) -> bool:
        """Whether an op that sets nothing aside can be signed now."""
        if self.view.account is None or self.find_obstacle():
            return False
        return self.compute_budget().count_ops(1) > 0

    @property
    def can_renew(self) -> bool:
        """Whether what can never enter the log may be signed again, and is paid for."""
        if self._ledger.is_halted or not self._is_caught_up or self._line.silence:
            return False
        ops = sum(block.expense.ops for block in self._line.blocks)
        # The first word of a key pays its fee with what it is given.
        return self.view.account is None or self.compute_budget().count_ops(ops) == ops

    def on_block(self) -> None:
        """A whole block was applied."""
        self.view = self._look()
        self._budget = None
        self._note_heights()

    def on_head(self, height: int) -> None:
        """A neighbour told how long its log is."""
        self._told_height = max(self._told_height or 0, height)
        self._note_heights()

    def _look(self) -> LedgerMoment:
        ledger = self._ledger
        return LedgerMoment(ledger.height, ledger.time_ms, ledger.find_account(self._own))

    def _note_heights(self) -> None:
        behind = (self._told_height or 0) - self.view.height
        if self._is_caught_up:
            # A block that was told is not applied at once, which is no reason to wait.
            self._is_caught_up = behind <= HEIGHTS_BEHIND_MAX
        else:
            is_told = self._is_sequencer or self._told_height is not None
            self._is_caught_up = is_told and behind <= 0
