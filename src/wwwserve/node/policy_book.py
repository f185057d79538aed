"""A node's policy from outside: whether a file is one, why it said so, and a day once more."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from wwwserve.core.deciding import Case, Said
from wwwserve.core.placing import Verdict
from wwwserve.core.policy import (
    Carried,
    Decided,
    InForce,
    Life,
    Record,
    Replayed,
    Staked,
    describe_stake,
    explain,
    read_answer,
    replay,
)
from wwwserve.core.policy_settings import PolicySettings
from wwwserve.node.config import Config, LoadedConfig
from wwwserve.node.config.faults import list_policy_faults
from wwwserve.node.guests import load_guest
from wwwserve.node.policy_diary import read_diary
from wwwserve.node.setup_parts import make_policy, make_prices
from wwwserve.node.state_folder import StateFolder
from wwwserve.values.ids import parse_request_prefix
from wwwserve.values.moments import SECOND, Moment
from wwwserve.values.refusals import BadInput

ANSWERS_MAX: Final = 20
"""Answers about one request that are explained: the last of them."""


@dataclass(frozen=True, slots=True)
class Explained:
    """One answer about a request, and what each rule said to it."""

    at: datetime
    case: Case
    verdict: Verdict
    rule: str
    guest_fault: str
    said: tuple[Said, ...]


@dataclass(frozen=True, slots=True)
class StakeExplained:
    """One answer about the node's own stake."""

    at: datetime
    seats: int
    """To stake; to take out, if below nothing."""
    rule: str
    detail: str
    """What the rule compared, for a person."""


def check_policy(path: Path) -> tuple[LoadedConfig | None, list[BadInput]]:
    """The policy in a configuration file, or else everything that is wrong with it."""
    loaded, faults = list_policy_faults(path)
    if loaded is not None:
        try:
            if loaded.config.policy.guest:
                load_guest(loaded.config.policy.guest)
        except BadInput as error:
            return None, [error]
    return loaded, faults


def explain_request(folder: StateFolder, name: str) -> tuple[Explained, ...]:
    """What was decided about a request in the last day, oldest first. Raises `BadInput`.

    `name` is its id as in the `x-wwwserve-request-id` header, or the beginning of it.
    """
    prefix = parse_request_prefix(name)
    answers = (
        _explain(record, settings, life)
        for record, settings, life in _read_answers(folder)
        if isinstance(record, Decided) and record.case.summary.request.hex().startswith(prefix)
    )
    found = deque(answers, maxlen=ANSWERS_MAX)
    if not found:
        raise BadInput(
            field="request",
            found=name[:80],
            expected="one that this node decided about within the last day",
            fix="ask the node where it entered, or the one that ran it (wwwserve peers)",
        )
    return tuple(found)


def explain_stake(folder: StateFolder) -> tuple[StakeExplained, ...]:
    """The last answers about the node's own stake, oldest first. Raises `BadInput`."""
    answers = (
        StakeExplained(
            _read_time(record.case.at, life),
            record.seats,
            record.rule,
            describe_stake(settings, record.case, record.rule),
        )
        for record, settings, life in _read_answers(folder)
        if isinstance(record, Staked)
    )
    found = deque(answers, maxlen=ANSWERS_MAX)
    if not found:
        raise BadInput(
            field="stake",
            found="no answer about it within the last day",
            expected="a policy that keeps stake, in a network with a ledger",
            fix="set policy.stake.target_seats or policy.stake.income_share",
        )
    return tuple(found)


def _read_answers(
    folder: StateFolder,
) -> Iterator[tuple[Decided | Staked, PolicySettings, Life]]:
    """The answers in a node's diary, each with the policy and the life of the node it fell in."""
    life, settings = Life(Moment(0), wall_us=0), PolicySettings()
    for record in read_diary(folder):
        match record:
            case Life():
                life = record
            case Carried():
                life = record.life
            case InForce():
                settings = record.settings
            case Decided() | Staked():
                yield record, settings, life
            case _:
                pass


def replay_day(folder: StateFolder, path: Path | None) -> Replayed:
    """The day in a node's diary once more: by the policy in a file, or by those of the time.

    Raises `BadInput` if there is no whole diary, or the file is none; earnings are at the file's
    prices, or else at the node's own.
    """
    settings = None
    if path is None:
        config = _read_own(folder)
    else:
        loaded, faults = check_policy(path)
        if loaded is None:
            raise faults[0]
        config = loaded.config
        settings = make_policy(config)
    unread = 0

    def count_unread(_line: bytes) -> None:
        nonlocal unread
        unread += 1

    records = read_diary(folder, count_unread)
    prices = make_prices(config.price, config.ledger)
    replayed = replay(_refuse_parts(folder, records), settings, prices)
    replayed.unread = unread
    return replayed


def _refuse_parts(folder: StateFolder, records: Iterator[Record]) -> Iterator[Record]:
    """The records of a diary. Raises `BadInput` if they have no beginning, or there are none."""
    first = next(records, None)
    if not isinstance(first, Life | Carried):
        raise BadInput(
            field=str(folder.policy_diary_file),
            found="no records of a diary" if first is None else "a diary without its beginning",
            expected="a whole one, as a node or `wwwserve sim run --diaries` wrote it",
            fix="name its folder with --home, and leave what is in it as it was written",
        )
    yield first
    yield from records


def _read_own(folder: StateFolder) -> Config:
    """The node's own policy as far as its file is one, for its prices."""
    if not folder.config_file.exists():
        return Config()
    loaded, _ = list_policy_faults(folder.config_file)
    return Config() if loaded is None else loaded.config


def _explain(record: Decided, settings: PolicySettings, life: Life) -> Explained:
    return Explained(
        at=_read_time(record.case.at, life),
        case=record.case,
        verdict=read_answer(record.answer),
        rule=record.rule,
        guest_fault=record.guest_fault,
        said=explain(settings, record.case),
    )


def _read_time(at: Moment, life: Life) -> datetime:
    """A moment of a process as its calendar had it."""
    wall_us = at - life.at + life.wall_us
    return datetime.fromtimestamp(wall_us / SECOND, UTC).astimezone()
