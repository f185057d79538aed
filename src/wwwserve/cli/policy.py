"""`wwwserve policy`: is a policy well written, why did it answer so, and what would another do."""

import os
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from wwwserve.cli.terminal import (
    HomeFlag,
    JsonFlag,
    open_console,
    print_facts_of,
    print_json,
    print_table,
    show_bad_input,
)
from wwwserve.core.deciding import Said
from wwwserve.core.placing import Verdict
from wwwserve.core.policy import Change, Outcome, Replayed, make_answer
from wwwserve.node import (
    Explained,
    StakeConfig,
    check_policy,
    explain_request,
    explain_stake,
    find_state_folder,
    replay_day,
)
from wwwserve.values.credits import credits_text
from wwwserve.values.ids import RequestId, node_prefix, request_text
from wwwserve.values.refusals import BadInput

app = App(name="policy", help="What the node allows: check, explain, replay.")

EXIT_BAD_POLICY = 2
STAKE = "stake"
"""What `explain` takes in a request's place; ids are hexadecimal."""
CHANGES_SHOWN = 20
"""Decisions shown one by one that come out otherwise; `--json` has more."""

FileArgument = Annotated[
    Path | None, Parameter(help="A configuration file with [policy]; without one, the node's own.")
]


@app.command
def check(file: FileArgument = None, *, home: HomeFlag = None, as_json: JsonFlag = False) -> int:
    """Say all that is wrong with the policy in a file, each with what to write instead."""
    path = file or find_state_folder(home, os.environ).config_file
    if not path.exists():
        raise BadInput(str(path), "no file", "a configuration file", "wwwserve init")
    loaded, faults = check_policy(path)
    if as_json:
        print_json({"file": str(path), "ok": not faults, "faults": [_shape(one) for one in faults]})
    elif loaded is not None:
        count = len(loaded.origins)
        console = open_console()
        console.print(
            f"{path} is a policy. Settings in it: {count}; defaults hold for the rest.",
            markup=False,
        )
        console.print(_say_stake(loaded.config.stake), markup=False)
    else:
        for fault in faults:
            show_bad_input(fault)
    return EXIT_BAD_POLICY if faults else 0


@app.command
def explain(request: str, *, home: HomeFlag = None, as_json: JsonFlag = False) -> None:
    """Print what the policy answered about a request, and what each rule said to it.

    REQUEST is the id in the x-wwwserve-request-id header, or its first digits. Of own users'
    requests and of others' the node knows those of the last day. The word `stake` in its place
    prints what the policy did about the node's own stake.
    """
    if request == STAKE:
        _explain_stake(home, as_json=as_json)
        return
    answers = explain_request(find_state_folder(home, os.environ), request)
    if as_json:
        print_json({"answers": [_shape_answer(answer) for answer in answers]})
        return
    for answer in answers:
        print_table(_title(answer), ("rule", "says", "because"), _list_rows(answer))


@app.command
def replay(file: FileArgument = None, *, home: HomeFlag = None, as_json: JsonFlag = False) -> None:
    """Decide the requests of the last day once more, by the policy in a file.

    Without a file by the policies that were in force, which changes nothing. Earnings are at list
    prices; requests that were not taken then cannot be known to have come. The day of a simulated
    node is its folder under `wwwserve sim run --diaries`, given as --home.
    """
    replayed = replay_day(find_state_folder(home, os.environ), file)
    if as_json:
        print_json(_shape_replay(replayed))
        return
    _show_replay(replayed)


def _say_stake(stake: StakeConfig) -> str:
    """What a policy does with credits, as it moves them by itself."""
    if stake.target_seats:
        kept = f"{stake.target_seats} seats are kept staked"
    elif stake.income_share:
        kept = f"{stake.income_share * 100:g} % of what others pay is staked"
    else:
        return "Stake: as the wallet is ordered."
    return f"Stake: {kept}; {stake.reserve} credits stay free."


def _explain_stake(home: HomeFlag, *, as_json: bool) -> None:
    answers = explain_stake(find_state_folder(home, os.environ))
    if as_json:
        shapes = [
            {
                "at": answer.at.isoformat(timespec="milliseconds"),
                "seats": answer.seats,
                "rule": answer.rule,
                "detail": answer.detail,
            }
            for answer in answers
        ]
        print_json({"answers": shapes})
        return
    rows = [
        (answer.at.strftime("%H:%M:%S"), _say_seats(answer.seats), answer.rule, answer.detail)
        for answer in answers
    ]
    print_table("The node's own stake", ("at", "does", "rule", "because"), rows)


def _say_seats(seats: int) -> str:
    if seats == 0:
        return "-"
    count = "1 seat" if abs(seats) == 1 else f"{abs(seats)} seats"
    return f"stakes {count}" if seats > 0 else f"takes out {count}"


def _title(answer: Explained) -> str:
    case = answer.case
    name = request_text(RequestId(case.summary.request))
    whose = "an own user's" if case.asker is None else f"of node {node_prefix(case.asker)}"
    when = answer.at.strftime("%H:%M:%S")
    said = f"{make_answer(answer.verdict)}, by {answer.rule}"
    fault = f"; the guest was not heard: {answer.guest_fault}" if answer.guest_fault else ""
    return f"{name}, {whose}, {case.question.value} at {when}: {said}{fault}"


def _list_rows(answer: Explained) -> list[tuple[str, str, str]]:
    rows: list[tuple[str, str, str]] = []
    is_answered = False
    for said in answer.said:
        # What comes after the first answer would have been said, too.
        word = _say(said.verdict)
        rows.append((said.rule, f"({word})" if is_answered and said.verdict else word, said.detail))
        is_answered |= said.verdict is not None
    if answer.rule not in {said.rule for said in answer.said}:
        rows.append((answer.rule, _say(answer.verdict), "your own Python policy"))
    return rows


def _say(verdict: Verdict | None) -> str:
    return "-" if verdict is None else make_answer(verdict)


def _show_replay(replayed: Replayed) -> None:
    was, is_now = replayed.was, replayed.is_now
    rows = [
        ("decided alike", f"{replayed.alike} of {replayed.decisions}"),
        ("taken", _compare(str(was.taken), str(is_now.taken))),
        ("tokens for others", _compare(str(was.tokens), str(is_now.tokens))),
        ("earned", _compare(credits_text(was.microcredits), credits_text(is_now.microcredits))),
    ]
    if replayed.quoted:
        most = credits_text(replayed.quoted_most)
        rows.append(("quoted for as well", f"{replayed.quoted}, worth {most} at the very most"))
    if replayed.unread:
        rows.append(("lines that are no records", str(replayed.unread)))
    print_facts_of("The day once more", rows)
    refused = sorted({*was.refused, *is_now.refused})
    counts = [(rule, was.refused[rule], is_now.refused[rule]) for rule in refused]
    shown = [(rule, str(then), str(now)) for rule, then, now in counts if then or now]
    if shown:
        print_table("Refused, by rule", ("rule", ">then", ">now"), shown)
    if replayed.changes:
        print_table(
            f"The first of those that come out otherwise ({CHANGES_SHOWN} at most)",
            ("request", "was", "is"),
            [_list_change(change) for change in replayed.changes[:CHANGES_SHOWN]],
        )


def _compare(then: str, now: str) -> str:
    return then if then == now else f"{then} then, {now} now"


def _list_change(change: Change) -> tuple[str, str, str]:
    name = request_text(RequestId(change.case.summary.request))
    was = f"{change.was} by {change.was_rule}"
    return name, was, f"{change.is_now} by {change.is_now_rule}"


# -- JSON ----------------------------------------------------------------------------------------


def _shape(fault: BadInput) -> dict[str, str]:
    return {
        "field": fault.field,
        "found": fault.found,
        "expected": fault.expected,
        "fix": fault.fix,
    }


def _shape_answer(answer: Explained) -> dict[str, object]:
    case = answer.case
    return {
        "at": answer.at.isoformat(timespec="milliseconds"),
        "request": request_text(RequestId(case.summary.request)),
        "question": case.question.value,
        "asker": None if case.asker is None else node_prefix(case.asker),
        "answer": make_answer(answer.verdict),
        "rule": answer.rule,
        "guest_fault": answer.guest_fault,
        "said": [_shape_said(said) for said in answer.said],
    }


def _shape_said(said: Said) -> dict[str, object]:
    verdict = said.verdict
    answer = None if verdict is None else make_answer(verdict)
    return {"rule": said.rule, "detail": said.detail, "answer": answer}


def _shape_replay(replayed: Replayed) -> dict[str, object]:
    return {
        "decisions": replayed.decisions,
        "alike": replayed.alike,
        "changed": replayed.changed,
        "then": _shape_outcome(replayed.was),
        "now": _shape_outcome(replayed.is_now),
        "quoted": replayed.quoted,
        "quoted_most_microcredits": replayed.quoted_most,
        "unread_lines": replayed.unread,
        "changes": [
            dict(zip(("request", "was", "is"), _list_change(change), strict=True))
            for change in replayed.changes
        ],
    }


def _shape_outcome(outcome: Outcome) -> dict[str, object]:
    return {
        "taken": outcome.taken,
        "tokens": outcome.tokens,
        "microcredits": outcome.microcredits,
        "refused": {rule: count for rule, count in sorted(outcome.refused.items()) if count},
        "own": dict(sorted(outcome.own.items())),
    }
