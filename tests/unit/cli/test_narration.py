"""Facts become lines a person understands, and not one more than is worth reading.

A narrator is given facts in the form the operator's API sends them; the text of its lines is
compared.
"""

from wwwserve.cli.narration import Narrator

HERE = "aaaaaaaabbbb"
THERE = "ccccccccdddd"
REQUEST = "req-12345678"


def tell(narrator: Narrator, **fact: object) -> str | None:
    line = narrator.tell(HERE, fact)
    return None if line is None else line.plain


def test_an_offload_reads_as_one_story() -> None:
    narrator = Narrator()
    started = tell(
        narrator,
        event="AttemptStarted",
        request=REQUEST,
        executor=THERE,
        alternatives=[{"node": HERE, "finish_us": 9}, {"node": THERE, "finish_us": 800_000}],
    )
    assert started == "aaaaa is busy: request 1234 offered to ccccc (quote 0.8 s)"
    finished = tell(
        narrator,
        event="RequestFinished",
        request=REQUEST,
        executor=THERE,
        error="",
        first_output_us=400_000,
        total_us=1_900_000,
        completion_tokens=38,
    )
    assert finished == (
        "aaaaa request 1234 answered by ccccc: first token after 0.4 s, 38 tokens in 1.9 s"
    )


def test_a_request_for_what_others_serve_is_not_called_a_sign_of_load() -> None:
    narrator = Narrator()
    narrator.introduce(HERE, ("org/small",))
    fact = {"event": "AttemptStarted", "request": REQUEST, "executor": THERE}
    started = tell(narrator, model="org/large", **fact)
    assert started == "aaaaa has no large: request 1234 offered to ccccc"
    assert tell(narrator, model="org/small", **fact) == (
        "aaaaa is busy: request 1234 offered to ccccc"
    )


def test_what_runs_here_says_so() -> None:
    narrator = Narrator()
    fact = {"request": REQUEST, "executor": HERE}
    assert tell(narrator, event="AttemptStarted", **fact) == "aaaaa request 1234 runs here"
    assert "answered here" in (tell(narrator, event="RequestFinished", **fact) or "")


def test_failures_are_told() -> None:
    narrator = Narrator()
    failed = tell(
        narrator, event="AttemptFailed", request=REQUEST, executor=THERE, kind="LINK_LOST"
    )
    assert failed == "aaaaa request 1234 failed at ccccc (link_lost): looking for another place"
    ended = tell(narrator, event="RequestFinished", request=REQUEST, error="no_capacity")
    assert ended == "aaaaa request 1234 ended without an answer: no_capacity"


def test_what_every_node_reports_is_told_once() -> None:
    narrator = Narrator()
    fact = {"event": "MemberChanged", "node": THERE, "status": "dead", "version": 3}
    first = narrator.tell(HERE, fact)
    assert first is not None
    assert first.plain == "aaaaa sees that ccccc is gone"
    assert narrator.tell("eeee", fact) is None
    assert narrator.tell("eeee", {**fact, "status": "alive", "version": 4}) is not None


def test_what_is_not_worth_a_line_gets_none_and_strange_facts_do_no_harm() -> None:
    narrator = Narrator()
    assert tell(narrator, event="WorkStarted", request=REQUEST) is None
    assert tell(narrator, event="of a newer version") is None
    assert tell(narrator) is None
    assert tell(narrator, event="RequestFinished", total_us="soon", executor=None) is not None
    assert tell(narrator, event="AttemptStarted", executor=THERE, alternatives="none") is not None


def test_a_payment_is_told_once_by_who_paid() -> None:
    fact: dict[str, object] = {
        "event": "HoldSettled",
        "payer": "aaaaaaaa",
        "payee": "bbbbbbbb",
        "paid": 71_555,
        "returned": 85_344,
    }
    narrator = Narrator()
    told = narrator.tell("aaaaaaaa", fact)
    assert told is not None
    assert told.plain.startswith("aaaaa paid 0.071555 cr to bbbbb for an answer")
    assert narrator.tell("bbbbbbbb", fact) is None
    back = narrator.tell("aaaaaaaa", {**fact, "paid": 0})
    assert back is not None
    assert "has back what it set aside" in back.plain
