"""What a round of probes came to: bids, who cannot be paid, and who said no."""

from dataclasses import dataclass, field

from wwwserve.core.facts import Alternative
from wwwserve.core.paying import Payable, Unpayable
from wwwserve.core.placing import Bid
from wwwserve.core.requests.questions import Strangers
from wwwserve.core.requests.rules import compute_excluded_until, is_too_dear, is_willing
from wwwserve.core.requests.state import Answer, OpenRequest, Round
from wwwserve.values.ids import NodeId
from wwwserve.values.model_names import ModelId
from wwwserve.values.moments import Moment
from wwwserve.values.refusals import DeclineReason
from wwwserve.wire import Quote

_TOO_DEAR = Unpayable(
    "they ask more for a million tokens than its user or this node allows", is_out_of_credits=False
)


@dataclass(slots=True)
class Heard:
    """What a round of probes came to."""

    bids: list[Bid] = field(default_factory=list)
    quotes: dict[NodeId, Quote] = field(default_factory=dict)
    """Of the bids."""
    unpayable: list[NodeId] = field(default_factory=list)
    """Who would run it, if it could be paid."""
    others: list[Alternative] = field(default_factory=list)
    """Who made no bid, and why."""
    is_busy: bool = False
    """Whether somebody said no for want of room alone."""
    shortage: str = ""
    """Why the last of the unpayable ones is that."""
    is_out_of_credits: bool = False
    """Whether nobody else could be paid either."""
    is_passing: bool = False
    """Whether that will be otherwise in a moment."""


def read_round(strangers: Strangers, request: OpenRequest, ended: Round, now: Moment) -> Heard:
    """What a round's answers come to; who declined or kept silent is left alone a while."""
    heard = Heard()
    partners = strangers.policy.get_partners(request.summary, request.allowed)
    for node, answer in ended.answers.items():
        quote = answer.quote
        if is_willing(quote, request.summary) and partners.admits(node):
            _weigh(strangers, request, node, answer, heard, now)
        else:
            heard.others.append(Alternative(node, None, quote.decline, reason="it declined"))
            request.excluded[node] = compute_excluded_until(now, quote.retry_after_us)
            heard.is_busy |= quote.decline is DeclineReason.BUSY
    for node in (*heard.unpayable, *ended.waiting.values()):
        request.excluded[node] = compute_excluded_until(now, 0)
    heard.others.extend(
        Alternative(node, None, reason="it did not answer in time")
        for node in ended.waiting.values()
    )
    request.shortage = "" if heard.bids or heard.is_passing else heard.shortage
    return heard


def _weigh(
    strangers: Strangers,
    request: OpenRequest,
    node: NodeId,
    answer: Answer,
    heard: Heard,
    now: Moment,
) -> None:
    """A willing node's quote is a bid if it can be paid."""
    quote = answer.quote
    policy = strangers.policy
    if is_too_dear(quote, min(request.price_max, policy.get_price_max())):
        weighed: Payable | Unpayable = _TOO_DEAR
    else:
        weighed = strangers.payments.weigh(node, quote, request.summary, request.cost_max)
    excess = policy.refuse_cost(weighed.most, now) if isinstance(weighed, Payable) else ""
    if excess:
        weighed = Unpayable(excess, is_out_of_credits=True)
    match weighed:
        case Payable(expected):
            heard.bids.append(_make_bid(node, answer, expected))
            heard.quotes[node] = quote
        case Unpayable(detail, is_out_of_credits, is_passing):
            if not is_passing:
                heard.unpayable.append(node)
            heard.others.append(Alternative(node, None, DeclineReason.UNPAID, reason=detail))
            heard.shortage = detail
            heard.is_out_of_credits |= is_out_of_credits
            heard.is_passing |= is_passing


def _make_bid(node: NodeId, answer: Answer, cost: int) -> Bid:
    quote = answer.quote
    return Bid(
        node,
        ModelId(quote.model),
        quote.finish_us,
        answer.asked_at,
        answer.round_trip_us,
        first_token_us=quote.first_token_us,
        burden_us=quote.burden_us,
        harmed=quote.harmed,
        cost=cost,
    )
