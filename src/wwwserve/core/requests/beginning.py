"""What routing is told of a request when an own engine begins to run it."""

from wwwserve.core.placing import RunBegun
from wwwserve.core.requests.state import Work
from wwwserve.core.sessions import ServedModel, SessionId
from wwwserve.values.model_names import ModelId
from wwwserve.values.moments import NEVER, Moment, after
from wwwserve.wire import RequestSummary


def describe_own(
    session: SessionId, served: ServedModel, summary: RequestSummary, client: str, now: Moment
) -> RunBegun:
    """An own user's request; its summary says what time is left now."""
    return RunBegun(
        session=session,
        engine=served.engine,
        model=ModelId(served.offer.model),
        slots=served.slots,
        summary=summary,
        due_at=_compute_due(summary, now),
        client=client,
    )


def describe_work(work: Work) -> RunBegun:
    """Another node's request; its summary says what time was left when it was taken on."""
    return RunBegun(
        session=work.session,
        engine=work.served.engine,
        model=ModelId(work.served.offer.model),
        slots=work.served.slots,
        summary=work.summary,
        due_at=_compute_due(work.summary, work.started_at),
        asker=work.origin,
        stated_tokens=work.stated_tokens,
    )


def _compute_due(summary: RequestSummary, told_at: Moment) -> Moment:
    return after(told_at, summary.due_us) if summary.due_us else NEVER
