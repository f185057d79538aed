"""The bounds of the requests machine and its pure questions."""

from typing import assert_never

from wwwserve.core.effects import RequestError, RequestErrorCode
from wwwserve.values.credits import MICROCREDITS_MAX
from wwwserve.values.limits import QUEUE_LENGTH_MAX
from wwwserve.values.moments import MILLISECOND, NEVER, SECOND, Moment, after
from wwwserve.values.refusals import DeclineReason, FailureKind, Refusal
from wwwserve.wire import Quote, RequestSummary
from wwwserve.wire.paying import read_quote

CANDIDATES_USUAL = 2
"""Nodes probed for a request at first: two fresh ones do nearly as well as knowing all."""
CANDIDATES_PRESSED = 3
"""The same for one that waits, as those asked before had no place for it; and for one that its own
node's engine would be late with."""
ROUNDS_MAX = 3
"""Rounds of probes in a row that find nothing before a request waits in the queue."""
ROUNDS_OPEN_MAX = 1_024
"""Requests being probed for at once; one more is decided without asking anybody."""
OFFERS_MAX = 256
"""Executions started for one request, declined offers included; then it ends with NO_CAPACITY. Who
waits half an hour beside others is declined often: what was free is taken by who came first."""
STEPS_MAX = 8
"""Requests moved on by one call of `handle`; the others by the next, which is asked for at once."""

PLACINGS_MAX = 128
"""Queued requests looked at anew by one call after the models served have changed."""

REPROBE_PERIOD_US = 250 * MILLISECOND
"""How often the first in the queue are probed for, give or take `REPROBE_JITTER_PERMILLE`."""
REPROBE_JITTER_PERMILLE = 200
REPROBE_AGAIN_US = 1 * SECOND
"""One queued request is probed for at most so often, so that those behind it have their turn."""
REPROBE_LATE_US = 5 * SECOND
"""The same for one that will be late wherever it runs: others are looked for first."""
REPROBE_SHARE = 8
"""Who has waited long is probed for seldom: once in this part of its wait, as others say when they
have room."""
REPROBE_MAX_US = 15 * SECOND
"""Though not more seldom than this, for words that are lost."""
REPROBES_MAX = 4
"""Queued requests probed for in one period; one that finds a place lets the next go at once."""

RETRY_MIN_US = 250 * MILLISECOND
"""A node that declined a request is not asked again sooner, whatever it says."""
RETRY_MAX_US = 60 * SECOND
"""Nor does a node that declined stay away longer, whatever it says."""
DECLINES_TRUSTED = 8
"""Offers of one request that a node may decline though it had quoted; after that it is asked about
it once in `RETRY_MAX_US`, whatever it says of its room. Else one that always does would use up
`OFFERS_MAX`, and end a request for which others have room a little later."""
RETRY_HERE_US = 1 * SECOND
"""A request is not run again sooner on an own engine that failed it: by then that was read anew."""
RETRY_LINKED_US = 1 * SECOND
"""Nor sooner by a node whose link was lost under it: first it must be linked again, then rested."""
USER_RETRY_US = 2 * SECOND
"""What a user is told to wait who found no capacity."""
USER_DEADLINE_MAX_US = 24 * 3600 * SECOND
"""A user's deadline further away counts as this: no answer takes longer."""

LOOKED_AT_MAX = 8
"""Requests with an objective weighed by one call for an own engine that may have room; those behind
them have their turn when these are placed."""
DEFERRED_US = 900 * SECOND
"""Who has waited so long for a place in time is served as it can be, whomever that makes late."""

INVITED_MAX = 256
"""Nodes turned away that are remembered; of more, the one that waits longest is not told."""
INVITED_AT_ONCE_MAX = 2
"""Nodes told of room at once: what became free seldom is enough for more."""
TURNED_AWAY_US = 120 * SECOND
"""Who has not asked again for so long waits no more."""
ROOM_MODELS_MAX = 16
"""Models named as having room, as many as the message holds."""
ROOM_SPACING_US = 50 * MILLISECOND
"""Of what one node tells of its room, no more than this is heard."""
ROOM_PROBES_MAX = 2
"""Requests for which a node is asked that says it has room; a place found lets the next go."""

PROBES_PER_SECOND_MAX = 500
"""Probes answered for one peer; more are declined with RATE."""
PROBES_BURST_MAX = 500
"""Probes of one peer answered in one go after a silence."""

_RETRY_US = {
    DeclineReason.BUSY: 500 * MILLISECOND,
    DeclineReason.ENGINE_DOWN: 2 * SECOND,
    DeclineReason.RATE: 1 * SECOND,
}
_RETRY_LASTING_US = RETRY_MAX_US
"""For reasons that do not pass by waiting a little."""

_BY_HOPE = (
    DeclineReason.BUSY,
    DeclineReason.ENGINE_DOWN,
    DeclineReason.RATE,
    DeclineReason.DRAINING,
    DeclineReason.CLOSED,
    DeclineReason.UNPAID,
    DeclineReason.POLICY,
    DeclineReason.NOT_ALLOWED,
    DeclineReason.TOO_LARGE,
    DeclineReason.UNSUPPORTED,
    DeclineReason.MODEL_ABSENT,
)
"""Reasons to decline, the one that passes soonest first."""


def compute_retry_us(reason: DeclineReason) -> int:
    """When asking again may help, after a decline of ours."""
    return _RETRY_US.get(reason, _RETRY_LASTING_US)


def compute_pause_us(waited_us: int, *, is_late: bool) -> int:
    """After which a queued request that has waited so long is probed for again."""
    least_us = REPROBE_LATE_US if is_late else REPROBE_AGAIN_US
    return max(least_us, min(waited_us // REPROBE_SHARE, REPROBE_MAX_US))


def compute_excluded_until(now: Moment, retry_after_us: int) -> Moment:
    """Until when a node that declined is not asked about the same request again."""
    return after(now, max(RETRY_MIN_US, min(retry_after_us, RETRY_MAX_US)))


def compute_failed_until(now: Moment, kind: FailureKind) -> Moment:
    """Until when a node that failed a request does not get it again.

    A lost link is no word about the node's engine: a node that was restarted, or that a cable was
    pulled from, may be the only one with the model. Any other failure may come of the request.
    """
    return after(now, RETRY_LINKED_US) if kind is FailureKind.LINK_LOST else NEVER


def compute_user_deadline(summary: RequestSummary, now: Moment) -> Moment:
    """The moment from which an answer is worth nothing to its user."""
    if summary.deadline_us == 0:
        return NEVER
    return after(now, min(summary.deadline_us, USER_DEADLINE_MAX_US))


def choose_reason(reasons: list[DeclineReason]) -> DeclineReason:
    """Of several models' reasons to decline, the one that passes soonest."""
    return min(reasons, key=_BY_HOPE.index, default=DeclineReason.MODEL_ABSENT)


def is_willing(quote: Quote, summary: RequestSummary) -> bool:
    """Whether a quote says yes, to a model that was asked for."""
    return quote.decline is None and quote.model in summary.models


def is_too_dear(quote: Quote, price_max: int) -> bool:
    """Whether a quote asks for a million tokens more than a user allows."""
    if price_max == MICROCREDITS_MAX or not quote.payment:
        return False
    try:
        firm = read_quote(quote.payment)
    except Refusal:
        return False  # What is no price cannot be paid, which payments say.
    return max(firm.prompt_price, firm.completion_price) > price_max


def is_retried(kind: FailureKind) -> bool:
    """Whether another execution may do better; what the engine rejects, every engine will."""
    match kind:
        case FailureKind.REJECTED:
            return False
        case (
            FailureKind.UNAVAILABLE
            | FailureKind.BROKEN
            | FailureKind.TIMEOUT
            | FailureKind.LINK_LOST
            | FailureKind.DECLINED
            | FailureKind.CANCELLED
            | FailureKind.INTERNAL
            | FailureKind.UNPAID
        ):
            return True
        case _:
            assert_never(kind)


def is_node_fault(kind: FailureKind) -> bool:
    """Whether a run elsewhere failed by its node; that it was not paid says nothing against it."""
    return is_retried(kind) and kind is not FailureKind.UNPAID


def is_engine_fault(kind: FailureKind) -> bool:
    """Whether a run here failed by its engine, so that another own engine may do better."""
    match kind:
        case FailureKind.UNAVAILABLE | FailureKind.BROKEN | FailureKind.TIMEOUT:
            return True
        case (
            FailureKind.REJECTED
            | FailureKind.LINK_LOST
            | FailureKind.DECLINED
            | FailureKind.CANCELLED
            | FailureKind.INTERNAL
            | FailureKind.UNPAID
        ):
            return False
        case _:
            assert_never(kind)


def describe_full() -> RequestError:
    """The error of the one that is too many in a full queue."""
    detail = f"{QUEUE_LENGTH_MAX} requests wait here already; try again later"
    return RequestError(RequestErrorCode.QUEUE_FULL, detail, USER_RETRY_US)


def describe_no_place(summary: RequestSummary) -> RequestError:
    """The error of a request for which there is no place, and what its user may try."""
    needs = f" with {', '.join(summary.needs)}" if summary.needs else ""
    return RequestError(
        RequestErrorCode.NO_CAPACITY,
        f"no node in reach takes {summary.models[0]}{needs} for a prompt of about"
        f" {summary.prompt_tokens} tokens now; try again, or ask for less",
        retry_after_us=USER_RETRY_US,
    )


def describe_miss(summary: RequestSummary) -> RequestError:
    """The error of a request whose class would rather be refused than be late."""
    return RequestError(
        RequestErrorCode.NO_CAPACITY,
        f"{summary.models[0]} would miss this class's objective wherever it ran now; try again"
        " later, or in a class that may be late",
        retry_after_us=USER_RETRY_US,
    )


def describe_hopeless(summary: RequestSummary, last_failure: str | None) -> RequestError:
    """The error of a request that no place can come for, as far as is known."""
    if last_failure is not None:
        detail = f"every node that serves it failed; the last one: {last_failure}"
        return RequestError(RequestErrorCode.FAILED, detail)
    if summary.needs:
        # Trying again later would not help: what is missing is an ability, not room.
        detail = f"no node in reach serves {summary.models[0]} with {', '.join(summary.needs)}"
        return RequestError(RequestErrorCode.MODEL_UNKNOWN, detail)
    return describe_no_place(summary)


def describe_unplaced(summary: RequestSummary, shortage: str) -> RequestError:
    """The error of a request that found no place, or none it could pay."""
    return describe_shortage(shortage) if shortage else describe_no_place(summary)


def describe_shortage(shortage: str) -> RequestError:
    """The error of a request that other nodes would run, were they paid."""
    detail = f"other nodes would run it, but {shortage}"
    return RequestError(RequestErrorCode.OUT_OF_CREDITS, detail, retry_after_us=USER_RETRY_US)
