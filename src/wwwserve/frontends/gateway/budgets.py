"""What an API key may still spend on other nodes' work, and what it is told when nothing is left.

A request may cost as much as is left when it comes, and is charged with what it did cost at its
end. So of several at once, each may spend what one could: a budget is passed by the cost of what
runs together at most (`concurrent_max` of the key bounds that).
"""

from wwwserve.core.effects import RequestErrorCode
from wwwserve.frontends.gateway.errors import Refused, format_seconds
from wwwserve.ports.keys import KeyRules
from wwwserve.ports.peer_handle import RequestFailed
from wwwserve.ports.spending import BudgetLeft, Spending
from wwwserve.values.credits import MICROCREDITS_MAX, credits_text
from wwwserve.values.moments import SECOND

RETRY_MAX_US = 3_600 * SECOND
"""The longest wait advised: clients obey the header, and an operator may raise a budget sooner."""


def find_cost_max(spending: Spending, rules: KeyRules) -> int:
    """What the next request of a key may cost, in micro-credits.

    Raises `Refused` (429) when its budget is spent: also requests that might run on this node for
    nothing are refused then, or a key would work on some days and not on others.
    """
    budget = spending.find_left(rules)
    if budget is None:
        return MICROCREDITS_MAX
    if budget.left <= 0:
        raise _refuse(rules, budget, "")
    return budget.left


def explain_short(
    spending: Spending, rules: KeyRules, failed: RequestFailed, spendable: int
) -> Refused | None:
    """What a user is told whose request was too dear for what its key has left.

    `spendable` is what the node itself could spend; None: the budget was not what it failed for.
    """
    budget = spending.find_left(rules)
    is_short = failed.code is RequestErrorCode.OUT_OF_CREDITS
    if budget is None or not is_short or spendable <= budget.left:
        return None
    return _refuse(rules, budget, f"; {failed.detail}")


def _refuse(rules: KeyRules, budget: BudgetLeft, more: str) -> Refused:
    headers = {}
    fix = "have the operator make another key (wwwserve keys add --budget)"
    when = "it is not renewed"
    if budget.renews:
        when, fix = f"a new one begins on {budget.renews}", "again then"
        headers["retry-after"] = format_seconds(min(budget.renews_in_s * SECOND, RETRY_MAX_US))
    spent, whole = credits_text(budget.spent), credits_text(budget.budget)
    told = f"the key {rules.name!r} has spent {spent} of its budget of {whole}{more}; {when}"
    return Refused(
        429,
        f"{told}. Try: {fix}",
        "insufficient_quota",
        type="insufficient_quota",
        headers=headers,
    )
