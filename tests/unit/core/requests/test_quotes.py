"""A quote that came a moment ago is used without asking again, and only where it still holds.

The desk of `tests.unit.core.desk` drives the requests machine; time stands still unless passed.
"""

import pytest
from msgspec.structs import replace

from tests.unit.core.desk import Desk, failed, member, node, pick, probes, summary
from wwwserve.core.effects import Effect, StartRemote
from wwwserve.core.events import SubmitRequest
from wwwserve.core.requests.quotes import POOLED_US, RENEWED_US, QuotePool
from wwwserve.core.requests.state import Answer
from wwwserve.core.sessions import Route
from wwwserve.values.moments import Moment
from wwwserve.values.refusals import DeclineReason, FailureKind
from wwwserve.wire import Quote


def submit(desk: Desk, number: int, **more: object) -> list[Effect]:
    return desk.tell(SubmitRequest(summary(number, **more), Route.NETWORK))


def meet_and_quote(finish_us: int = 1_000) -> Desk:
    """A node that has just had a quote for its first request from the one other member."""
    desk = Desk()
    desk.meet(member(1))
    asked = probes(submit(desk, 1))
    assert pick(desk.quote(asked[1], 1, finish_us=finish_us), StartRemote).peer == node(1)
    return desk


def test_the_next_request_is_offered_at_once() -> None:
    # [REQUESTS-SOONEST.4]
    desk = meet_and_quote()
    effects = submit(desk, 2)
    assert pick(effects, StartRemote).peer == node(1)
    assert not probes(effects), "the quote is still new"


def test_a_quote_in_use_is_renewed_before_it_is_too_old_and_nobody_waits_for_that() -> None:
    desk = meet_and_quote()
    desk.pass_time(RENEWED_US + 1)
    effects = submit(desk, 2)
    assert pick(effects, StartRemote).peer == node(1)
    renewal = probes(effects)[1]
    assert not probes(submit(desk, 3)), "it is asked for once"
    desk.pass_time(POOLED_US - RENEWED_US - 1)
    desk.quote(renewal, 1, finish_us=1_000)
    desk.pass_time(RENEWED_US)
    assert pick(submit(desk, 4), StartRemote).peer == node(1)


def test_an_old_quote_is_not_relied_on() -> None:
    desk = meet_and_quote()
    desk.pass_time(POOLED_US + 1)
    effects = submit(desk, 2)
    assert probes(effects).keys() == {1}
    assert not any(isinstance(effect, StartRemote) for effect in effects)


@pytest.mark.parametrize(
    "more",
    [
        {"prompt_tokens": 101},
        {"completion_tokens_max": 101},
        {"completion_tokens_max": 0},
        {"body_bytes": 1001},
        {"needs": ("vision",)},
    ],
)
def test_a_quote_holds_for_no_larger_request(more: dict[str, object]) -> None:
    desk = meet_and_quote()
    assert probes(submit(desk, 2, **more)).keys() == {1}


@pytest.mark.parametrize("kind", [FailureKind.BROKEN, FailureKind.DECLINED])
def test_who_failed_or_declined_is_asked_anew(kind: FailureKind) -> None:
    desk = Desk()
    desk.meet(member(1), member(2))
    asked = probes(submit(desk, 1))
    desk.quote(asked[1], 1, finish_us=1)
    start = pick(desk.quote(asked[2], 2, finish_us=2), StartRemote)
    assert start.peer == node(1)
    again = desk.tell(failed(start.session, kind))
    assert pick(again, StartRemote).peer == node(2), "the other one's quote holds still"
    assert 1 not in probes(again)


def test_a_renewal_that_declines_ends_the_quote() -> None:
    desk = meet_and_quote()
    desk.pass_time(RENEWED_US + 1)
    renewal = probes(submit(desk, 2))[1]
    desk.quote(renewal, 1, decline=DeclineReason.BUSY)
    assert probes(submit(desk, 3)).keys() == {1}


def test_a_quote_that_counts_on_a_prefix_holds_only_for_prompts_that_have_it() -> None:
    # [REQUESTS-SOONEST.4]
    pool = QuotePool()
    now = Moment(0)
    begin, turn, other = b"b" * 16, b"t" * 16, b"o" * 16
    asked = summary(1, prefixes=(begin, turn))
    quote = Quote(1, None, asked.models[0], saved_prompt_tokens=300)
    pool.keep(node(1), asked, Answer(quote, now, 1_000))
    assert pool.find(node(1), summary(2, prefixes=(begin, turn, other)), now) is not None
    assert pool.find(node(1), summary(3, prefixes=(begin, other)), now) is None
    assert pool.find(node(1), summary(4), now) is None
    pool.keep(node(1), asked, Answer(replace(quote, saved_prompt_tokens=200), now, 1_000))
    assert pool.find(node(1), summary(3, prefixes=(begin, other)), now) is not None
