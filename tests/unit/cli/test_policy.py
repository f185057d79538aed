"""`wwwserve policy` as it is typed: all faults at once, why it answered so, a day once more."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.unit.core.desk import node, summary
from tests.unit.core.policy.test_replaying import DAY
from wwwserve.cli.app import run
from wwwserve.core.deciding import Case, Holdings, PolicyInForce, Question, RequestDecided
from wwwserve.core.entropy import Entropy
from wwwserve.core.placing import Accepted, LoadView, Queued
from wwwserve.core.policy import Decided, InForce, Policy, Used, read_answer
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.node import StateFolder
from wwwserve.node.policy_diary import PolicyDiary
from wwwserve.values.ids import node_prefix
from wwwserve.values.moments import Moment

BAD = """
[policy]
hours = ["Mon-Fri 18:00-20:00", "Fri 19:00-21:00"]
time_zone = "Europe/Zuerich"
tokens_per_day_max = -1
acept_frequency = 0.5
[policy.price]
prompt = 0.1
load_curve = ["0.5:1", "0.4:2"]
[policy.stake]
reserve = -1
"""
FIELDS = [
    "policy.hours",
    "policy.time_zone",
    "policy.tokens_per_day_max",
    "policy.acept_frequency",
    "policy.price.prompt",
    "policy.price.load_curve",
    "policy.stake.reserve",
]


class Clock:
    def now(self) -> Moment:
        return Moment(0)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A state folder with the hand-written day in its diary."""

    async def write() -> None:
        diary = PolicyDiary(StateFolder(tmp_path), Clock(), lambda: 10**15)
        diary.begin(PolicySettings())
        for record in DAY:
            match record:
                case Decided(case, answer, rule):
                    diary.on_fact(RequestDecided(case, read_answer(answer), rule))
                case Used(counted):
                    diary.on_fact(counted)
                case InForce(at, settings):
                    diary.on_fact(PolicyInForce(at, settings))
                case _:
                    pass
        diary.on_fact(PolicyInForce(Moment(0), PolicySettings(guest="mine")))
        own = Case(Question.OWN, summary(7), Moment(0), LoadView(slots=4, used=0))
        fault = "it raised ValueError"
        diary.on_fact(RequestDecided(own, Accepted(), "target_utilisation", fault))
        diary.on_fact(RequestDecided(own, Queued(), "guest mine"))
        diary.close()

    asyncio.run(write())
    return tmp_path


def call(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = run(["policy", *map(str, words)])
    said = capsys.readouterr()
    # A terminal breaks lines where it likes.
    return code, " ".join(said.out.split()), said.err


def test_all_that_is_wrong_is_told_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(BAD)
    code, out, err = call(capsys, "check", file)
    assert (code, out) == (2, "")
    assert all(f"error: {field}: " in err for field in FIELDS)
    assert "Europe/Zurich" in err
    assert "accept_frequency" in err
    code, out, _ = call(capsys, "check", file, "--json")
    told = json.loads(out)
    assert (code, told["ok"]) == (2, False)
    assert [fault["field"] for fault in told["faults"]] == FIELDS


@pytest.mark.parametrize(
    ("stake", "words"),
    [
        ("", "Stake: as the wallet is ordered."),
        ("target_seats = 5", "Stake: 5 seats are kept staked; 100 credits stay free."),
        ("income_share = 0.25\nreserve = 7", "25 % of what others pay is staked; 7 credits"),
    ],
)
def test_check_says_what_is_staked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], stake: str, words: str
) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(f"[policy.stake]\n{stake}\n")
    code, out, _ = call(capsys, "check", file)
    assert code == 0
    assert words in out


def test_what_was_staked_is_explained(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = call(capsys, "explain", "stake", "--home", home)
    assert code != 0
    assert "policy.stake.target_seats" in err

    async def live() -> None:
        diary = PolicyDiary(StateFolder(home), Clock(), lambda: 10**15)
        settings = PolicySettings(stake_seats=6, stake_reserve=20)
        policy = Policy(settings, Entropy(b"policy"), diary.begin(settings))
        for epoch, free in ((0, 500), (6, 30), (7, 500)):
            policy.decide_stake(Holdings(epoch, free, bond=100, seat_price=50), Moment(0))
        for fact in policy.take_facts():
            diary.on_fact(fact)
        diary.close()

    asyncio.run(live())
    code, out, _ = call(capsys, "explain", "stake", "--home", home, "--json")
    answers = json.loads(out)["answers"]
    assert [(one["rule"], one["seats"]) for one in answers] == [
        ("pace", 0),
        ("reserve", 0),
        ("missing", 1),
    ]
    assert "2 seats are staked, 6 wanted" in answers[0]["detail"]
    code, out, _ = call(capsys, "explain", "stake", "--home", home)
    assert code == 0
    assert "stakes 1 seat" in out


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("policy = 7", "policy"),
        ('[policy]\nguest = "nobody"', "policy.guest"),
        ("[policy]\nprice = 3", "policy.price"),
    ],
)
def test_what_is_no_policy_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, field: str
) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(text)
    code, _, err = call(capsys, "check", file)
    assert code == 2
    assert f"error: {field}" in err


def test_a_good_one_is_good_and_a_missing_one_is_missed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.toml"
    assert call(capsys, "check", file)[0] == 2
    file.write_text("[policy]\nown_first = false\n[gateway]\nport = 99999999\n")
    code, out, _ = call(capsys, "check", "--home", tmp_path)
    # The rest of the file is `config check`'s.
    assert (code, "is a policy. Settings in it: 1" in out) == (0, True)


def test_an_answer_is_explained_rule_by_rule(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = f"req-{4:032x}"
    code, out, _ = call(capsys, "explain", request, "--home", home, "--json")
    assert code == 0
    (answer,) = json.loads(out)["answers"]
    assert (answer["answer"], answer["rule"]) == ("busy", "own_first")
    assert (answer["asker"], answer["question"]) == (node_prefix(node(1)), "offer")
    said = {one["rule"]: one for one in answer["said"]}
    assert said["own_first"]["answer"] == "busy"
    assert said["own_first"]["detail"].startswith("3 of 4 slots used, 75 % busy")
    assert said["room"]["answer"] is None
    code, out, _ = call(capsys, "explain", request, "--home", home)
    assert (code, "own_first" in out, "75 %" in out) == (0, True, True)


def test_own_requests_and_guests_are_explained_too(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = call(capsys, "explain", f"{7:032x}", "--home", home)
    assert code == 0
    assert "an own user's" in out
    assert "accepted, by target_utilisation; the guest was not heard: it raised ValueError" in out
    assert "queued, by guest mine" in out
    assert "your own Python policy" in out


@pytest.mark.parametrize("request_id", ["req-12", "req-zzzzzzzz", "f" * 32])
def test_an_unknown_request_is_refused_with_a_hint(
    home: Path, capsys: pytest.CaptureFixture[str], request_id: str
) -> None:
    code, _, err = call(capsys, "explain", request_id, "--home", home)
    assert (code, "error: request" in err) == (2, True)


def test_the_day_once_more_is_the_same_day(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # [POLICY-REPLAY.1]
    code, out, _ = call(capsys, "replay", "--home", home, "--json")
    told = json.loads(out)
    assert (code, told["decisions"], told["changed"]) == (0, 8, 0)
    assert told["then"] == told["now"]
    assert told["then"]["refused"] == {"own_first": 1, "room": 1}


def test_it_says_how_many_came_out_alike_and_what_it_could_not_read(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.toml"
    # Four answers come of the cap, one of the guest that it does not name.
    other.write_text("[policy]\ntokens_per_day_max = 300\n")
    assert "decided alike 8 of 8" in call(capsys, "replay", "--home", home)[1]
    diary = StateFolder(home).policy_diary_file
    content = diary.read_bytes()
    diary.write_bytes(content + b'\n{"type":"decid')
    code, out, _ = call(capsys, "replay", other, "--home", home)
    assert (code, "decided alike 3 of 8" in out) == (0, True)
    assert "lines that are no records 1" in out
    told = json.loads(call(capsys, "replay", other, "--home", home, "--json")[1])
    assert (told["alike"], told["changed"], told["unread_lines"]) == (3, 5, 1)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (None, "no diary"),
        ("once upon a time\n", "no records of a diary"),
        ('{"type":"set-aside","at":0,"microcredits":1}\n', "a diary without its beginning"),
    ],
)
def test_what_is_no_whole_diary_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, found: str
) -> None:
    diary = StateFolder(tmp_path).policy_diary_file
    if content is not None:
        diary.write_text(content)
    code, out, err = call(capsys, "replay", "--home", tmp_path)
    assert (code, out) == (2, "")
    assert f"error: {diary}: found {found}, expected" in err
    assert "Try: " in err


def test_a_changed_policy_shows_what_it_would_have_done(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.toml"
    other.write_text(
        "[policy]\nown_first = false\ntokens_per_day_max = 300\n"
        "[policy.price]\nprompt = 1000\ncompletion = 2000\n"
    )
    code, out, _ = call(capsys, "replay", other, "--home", home, "--json")
    told = json.loads(out)
    assert (code, told["then"]["taken"], told["now"]["taken"]) == (0, 2, 1)
    assert told["then"]["microcredits"] == 2 * told["now"]["microcredits"] == 400_000
    assert told["changes"][0]["is"] == "policy by tokens_per_day_max"
    code, out, _ = call(capsys, "replay", other, "--home", home)
    assert (code, "2 then, 1 now" in out, "0.4 cr then, 0.2 cr now" in out) == (0, True, True)


def test_a_bad_policy_is_not_tried(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(BAD)
    code, _, err = call(capsys, "replay", file, "--home", home)
    assert (code, "policy.hours" in err) == (2, True)
