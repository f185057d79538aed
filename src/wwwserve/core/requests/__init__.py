"""The life of one request, in both roles: sought for, queued, running, ended.

Rules of the machine:

- Every `SubmitRequest` has exactly one `EndRequest`, whatever comes in which order; news of a
  session that was stopped or is over does not count.
- A request is in one phase at a time: seeking a place, queued, or running in one session.
- A slot in use is a session running; there are never more of them than slots.
- While nothing was delivered, a failed or declined execution is tried again elsewhere. Who failed a
  request does not get it again, unless it was its link that was lost; who declined may be asked
  later.
- A run elsewhere whose first token is late is stopped for a better place, once its door is closed:
  a request never runs twice at once.
- A request waits only while a place may come, and not longer than its bound. While an own engine
  that could run it has room and is ready, it does not wait at all.
- Another node's request never waits here, and is taken only as the policy in force allows.
- One call moves on a bounded number of requests; what is left over asks to be called again at once.
- Where there is a ledger, no offer leaves before its hold is written down, and none is accepted
  that does not pay. Who cannot pay goes back to the own engines; who was not paid goes no further.

`core.policy`, `core.routing` and `core.payments` are asked through `questions`; what was learned
goes to routing as effects (`OfferSent`, `RunMeasured`, `ExecutorFailed`,
`FirstTokenLate`).

Beside the machine, this package holds the pure half of a stream: reading an engine's events
(`sse`), rewriting (`rewriting`) and cutting them (`cutting`), putting a whole answer together
(`assembly`) and reading request bodies (`bodies`).
"""

from wwwserve.core.requests.assembly import TOOL_CALLS_MAX, ReplyAssembler
from wwwserve.core.requests.bodies import (
    OWN_FIELD_PREFIX,
    PREFIX_KEY_BYTES,
    compute_prefixes,
    estimate_prompt_tokens,
    prepare_engine_body,
    rename_reply,
)
from wwwserve.core.requests.chunks import DONE, Chunk
from wwwserve.core.requests.cutting import cut_by_tokens
from wwwserve.core.requests.effects import RequestsEffect
from wwwserve.core.requests.events import (
    PeersLost,
    ProbeFailed,
    ProbeReceived,
    QuoteReceived,
    RequestsEvent,
    RoomHeard,
    hear,
)
from wwwserve.core.requests.machine import Requests
from wwwserve.core.requests.questions import AsksPayments, AsksPolicy, AsksRouting, Payment
from wwwserve.core.requests.rewriting import CHOICES_MAX, StreamRewriter
from wwwserve.core.requests.runs import TextRun
from wwwserve.core.requests.sse import EventSplitter, StreamMeter, read_usage
from wwwserve.core.requests.unpaid import LedgerUnknown, Unpaid

__all__ = [
    "CHOICES_MAX",
    "DONE",
    "OWN_FIELD_PREFIX",
    "PREFIX_KEY_BYTES",
    "TOOL_CALLS_MAX",
    "AsksPayments",
    "AsksPolicy",
    "AsksRouting",
    "Chunk",
    "EventSplitter",
    "LedgerUnknown",
    "Payment",
    "PeersLost",
    "ProbeFailed",
    "ProbeReceived",
    "QuoteReceived",
    "ReplyAssembler",
    "Requests",
    "RequestsEffect",
    "RequestsEvent",
    "RoomHeard",
    "StreamMeter",
    "StreamRewriter",
    "TextRun",
    "Unpaid",
    "compute_prefixes",
    "cut_by_tokens",
    "estimate_prompt_tokens",
    "hear",
    "prepare_engine_body",
    "read_usage",
    "rename_reply",
]
