"""The language of the conversations: what is said to one node, and what it answers.

A conversation is a text. A line led by `>` is said to the node, the lines after it are its answers;
`#` explains, and an empty line separates. Nodes, requests and sessions are small numbers, the node
itself is 0. `README.md` beside this file lists the sayings.
"""

from collections.abc import Callable
from dataclasses import replace
from enum import Enum

import msgspec

from tests.unit.core.desk import (
    Desk,
    ended,
    failed,
    member,
    node,
    offer,
    probe,
    reading,
    request_id,
    served,
    summary,
)
from wwwserve.core.effects import (
    AcceptOffer,
    DeclineOffer,
    Effect,
    EndRequest,
    RecallSession,
    Report,
    SendMessage,
    StartLocal,
    StartRemote,
    StopSession,
)
from wwwserve.core.engines import EngineHealth
from wwwserve.core.events import (
    CancelRequest,
    Depart,
    Departure,
    EngineRead,
    FirstOutput,
    OfferCancelled,
    RecallAnswered,
    StreamOpened,
    SubmitRequest,
)
from wwwserve.core.facts import Alternative, Fact, MemberStatus
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.core.requests import PeersLost, ProbeFailed, RequestsEvent
from wwwserve.core.sessions import Role, Route, ServedModel, SessionId
from wwwserve.values.ids import NODE_ID_BYTES, REQUEST_ID_BYTES
from wwwserve.values.moments import MILLISECOND, SECOND
from wwwserve.values.refusals import DeclineReason, FailureKind
from wwwserve.wire import Message, Probe, Quote

PROMPT = ">"
Words = list[str]
Options = dict[str, str]
Saying = Callable[[Words, Options], None]
Maker = Callable[[], RequestsEvent]


class Conversation:
    """One node, spoken to line by line."""

    def __init__(self) -> None:
        self._desk = Desk()
        self._sayings: dict[str, Saying] = {
            "desk": self._open_desk,
            "member": self._meet,
            "wait": self._wait,
            "quote": self._quote,
            "unsent": self._fail_probe,
        }
        self._probes: dict[tuple[int, int], Probe] = {}

    def say(self, line: str) -> list[str]:
        """Say one line; the answers are given as text."""
        verb, *words = line.split()
        options = dict(word.split("=", 1) for word in words if "=" in word)
        plain = [word for word in words if "=" not in word]
        began, said = self._desk.now, len(self._desk.log)
        if verb in self._sayings:
            self._sayings[verb](plain, options)
        else:
            self._desk.tell(make_event(verb, plain, options))
        if verb == "desk":
            return []
        answers = list(zip(self._desk.moments, self._desk.log, strict=True))[said:]
        for _, effect in answers:
            self._remember(effect)
        return [tell_when(moment - began) + tell(effect) for moment, effect in answers]

    def _open_desk(self, _: Words, options: Options) -> None:
        models = make_models(options)
        policy = PolicySettings(
            target_utilisation_permille=int(options.get("target", "700")),
            offload_permille=int(options.get("offload", "1000")),
            queue_permille=int(options.get("queue", "1000")),
            accept_permille=int(options.get("accept", "1000")),
            own_first=options.get("own_first", "yes") == "yes",
        )
        self._desk = Desk(*models, policy=policy, is_read=options.get("ready", "yes") == "yes")

    def _meet(self, words: Words, options: Options) -> None:
        number, *states = words
        known = {status.value: status for status in MemberStatus}
        statuses = [known[state] for state in states if state in known]
        view = member(
            int(number),
            status=statuses[0] if statuses else MemberStatus.ALIVE,
            is_linked="unlinked" not in states,
            is_draining="draining" in states,
            slots=int(options.get("slots", "4")),
        )
        self._desk.meet(view)

    def _wait(self, words: Words, _: Options) -> None:
        self._desk.wait(parse_span(words[0]))

    def _quote(self, words: Words, options: Options) -> None:
        """`quote PEER for=REQUEST first=SPAN finish=SPAN`, or a reason and `retry=SPAN`."""
        peer = int(words[0])
        self._desk.quote(
            self._probes[peer, int(options["for"])],
            peer,
            first_token_us=parse_span(options.get("first", "0ms")),
            finish_us=parse_span(options.get("finish", "0ms")),
            decline=DeclineReason[words[1].upper()] if len(words) > 1 else None,
            retry_after_us=parse_span(options.get("retry", "0ms")),
        )

    def _fail_probe(self, words: Words, options: Options) -> None:
        peer = int(words[0])
        self._desk.tell(ProbeFailed(node(peer), self._probes[peer, int(options["for"])]))

    def _remember(self, effect: Effect) -> None:
        if isinstance(effect, SendMessage) and isinstance(effect.message, Probe):
            asked = effect.message
            self._probes[effect.peer[0], asked.summary.request[-1]] = asked


def make_event(verb: str, words: Words, options: Options) -> RequestsEvent:
    """The event a line stands for."""
    makers: dict[str, Maker] = {
        "submit": lambda: make_submission(words, options),
        "cancel": lambda: CancelRequest(request_id(int(words[0]))),
        "lost": lambda: PeersLost(tuple(node(int(word)) for word in words)),
        "probe": lambda: probe(int(words[0]), peer=int(options["from"])),
        "offer": lambda: offer(int(words[0]), peer=int(options["from"])),
        "withdraw": lambda: OfferCancelled(parse_session(words[0])),
        "engine": lambda: EngineRead(
            options.get("on", "gpu"),
            reading(
                EngineHealth(words[0]),
                **{key: int(value) for key, value in options.items() if key != "on"},
            ),
        ),
        "open": lambda: StreamOpened(parse_session(words[0])),
        "first": lambda: FirstOutput(parse_session(words[0])),
        "recalled": lambda: RecallAnswered(
            parse_session(words[0]), is_stopped="begun" not in words
        ),
        "end": lambda: ended(parse_session(words[0])),
        "fail": lambda: failed(
            parse_session(words[0]),
            FailureKind[words[1].upper()],
            is_delivered="delivered" in words,
        ),
        "decline": lambda: failed(
            parse_session(words[0]),
            FailureKind.DECLINED,
            decline=DeclineReason[words[1].upper()],
            retry_after_us=parse_span(options.get("retry", "0ms")),
        ),
        "depart": lambda: Depart(Departure(words[0])),
    }
    return makers[verb]()


def make_models(options: Options) -> tuple[ServedModel, ...]:
    """`slots=2`, `untold=4`, or for several engines `engines=a:2,b:1`."""
    if "engines" in options:
        pairs = (pair.split(":") for pair in options["engines"].split(","))
        return tuple(served(int(slots), engine=name) for name, slots in pairs)
    if "untold" in options:
        return (replace(served(int(options["untold"])), is_slots_known=False),)
    return (served(int(options["slots"])),) if "slots" in options else ()


def make_submission(words: Words, options: Options) -> SubmitRequest:
    asked = summary(
        int(words[0]),
        deadline_us=parse_span(options.get("deadline", "0ms")),
        priority=int(options.get("priority", "0")),
    )
    allowed = tuple(node(int(word)) for word in options.get("allowed", "").split(",") if word)
    return SubmitRequest(asked, Route(options.get("route", "auto")), allowed)


def parse_span(text: str) -> int:
    if text.endswith("ms"):
        return int(text.removesuffix("ms")) * MILLISECOND
    return int(text.removesuffix("s")) * SECOND


def parse_session(text: str) -> SessionId:
    role, number = text.split("-")
    return SessionId(Role(role), int(number))


# -- what is answered ----------------------------------------------------------------------------


def tell_when(span_us: int) -> str:
    return f"+{tell_span(span_us)}: " if span_us else ""


def tell_span(span_us: int) -> str:
    return f"{span_us / SECOND:.3f}s"


def tell(effect: Effect) -> str:
    match effect:
        case Report(fact):
            return f"  {tell_fact(fact)}"
        case SendMessage(peer, message):
            return f"to {peer[0]}: {tell_message(message)}"
        case StartLocal(session, request, model):
            return f"start {session} here{tell_engine(model)} for {request[-1]}"
        case StartRemote(session, request, peer, sent):
            return f"start {session} at {peer[0]} for {request[-1]}, attempt {sent.attempt}"
        case StopSession(session):
            return f"stop {session}"
        case RecallSession(session):
            return f"recall {session}"
        case EndRequest(request, error):
            return f"end {request[-1]}: {error.code.value if error else 'answered'}"
        case _:
            return tell_answer(effect)


def tell_answer(effect: Effect) -> str:
    match effect:
        case AcceptOffer(session, _, model):
            return f"accept {session}{tell_engine(model)}"
        case DeclineOffer(session, decline):
            retry = tell_span(decline.retry_after_us)
            return f"decline {session}: {decline.reason.name.lower()}, retry after {retry}"
        case _:
            return str(effect)


def tell_engine(model: ServedModel) -> str:
    return "" if model.engine == "gpu" else f" on {model.engine}"


def tell_message(message: Message) -> str:
    match message:
        case Probe():
            return f"would you run {message.summary.request[-1]}?"
        case Quote(_, None):
            first, finish = tell_span(message.first_token_us), tell_span(message.finish_us)
            return f"first token in {first}, done in {finish}"
        case Quote(_, reason):
            return f"no, {DeclineReason(reason or 0).name.lower()}"
        case _:
            return type(message).__name__


def tell_fact(fact: Fact) -> str:
    told = (
        f"{field.name}={tell_value(getattr(fact, field.name))}"
        for field in msgspec.structs.fields(fact)
    )
    return f"{type(fact).__name__} {' '.join(told)}"


def tell_value(value: object) -> str:
    match value:
        case bytes() if len(value) == NODE_ID_BYTES:
            return str(value[0])
        case bytes() if len(value) == REQUEST_ID_BYTES:
            return str(value[-1])
        case Enum():
            return value.name.lower()
        case Alternative():
            finish = "-" if value.finish_us is None else tell_span(value.finish_us)
            return f"{value.node[0]}:{value.decline.name.lower() if value.decline else finish}"
        case tuple():
            return "[" + " ".join(tell_value(one) for one in value) + "]"
        case "" | None:
            return "-"
        case _:
            return str(value)


def replay(text: str) -> str:
    """The whole conversation again, with the answers given now."""
    conversation = Conversation()
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith(PROMPT):
            lines.append(line)
            lines.extend(conversation.say(line.removeprefix(PROMPT)))
        elif not line or line.startswith("#"):
            lines.append(line)
    return "\n".join(lines) + "\n"
