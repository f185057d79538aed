"""API keys are shown once, kept as hashes, and good or worthless as their file says.

Key rings on a folder of their own; a second ring on the same file is the command run beside a node.
"""

import os
import stat
from pathlib import Path

import pytest

from wwwserve.adapters.host import FileKeyRing, key_ring
from wwwserve.ports.keys import KeyRules
from wwwserve.values.refusals import BadInput

RULES = KeyRules(
    name="laptop",
    requests_per_minute_max=60,
    tokens_per_minute_max=1000,
    concurrent_max=2,
    models=("qwen3:8b",),
    priority=1,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_ring, "CHECK_PERIOD_NS", 0)


def test_a_key_is_found_with_its_rules_by_whoever_reads_the_file(path: Path) -> None:
    key = FileKeyRing(path).add(RULES)
    ring = FileKeyRing(path)
    assert ring.find(key) == RULES
    assert ring.list_rules() == (RULES,)
    assert ring.count == 1


def test_keys_are_long_different_and_not_in_the_file(path: Path) -> None:
    ring = FileKeyRing(path)
    keys = [ring.add(KeyRules(name=f"key {number}")) for number in range(3)]
    assert len(set(keys)) == 3
    assert all(key.startswith("sk-www-") and len(key) == 7 + 43 for key in keys)
    text = path.read_text(encoding="utf-8")
    assert not any(key.removeprefix("sk-www-") in text for key in keys)


def test_only_the_owner_may_read_the_file(path: Path) -> None:
    before = os.umask(0)
    try:
        FileKeyRing(path).add(RULES)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("key", ["", "sk-www-", "wrong", "x" * 10_000, "schlüssel", "\udcff"])
def test_a_strange_key_is_nobodys(path: Path, key: str) -> None:
    ring = FileKeyRing(path)
    ring.add(RULES)
    assert ring.find(key) is None


@pytest.mark.usefixtures("at_once")
def test_a_running_node_notices_new_and_revoked_keys(path: Path) -> None:
    node = FileKeyRing(path)
    command = FileKeyRing(path)
    key = command.add(RULES)
    assert node.find(key) == RULES
    command.revoke("laptop")
    assert node.find(key) is None


def test_the_file_is_not_looked_at_for_every_request(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_ring, "CHECK_PERIOD_NS", 10**18)
    node = FileKeyRing(path)
    key = FileKeyRing(path).add(RULES)
    assert node.find(key) is None, "within the check period the file is not read again"


@pytest.mark.usefixtures("at_once")
def test_good_keys_stay_good_while_the_file_is_broken(path: Path) -> None:
    node = FileKeyRing(path)
    key = node.add(RULES)
    path.write_text("{ half a file", encoding="utf-8")
    assert node.find(key) == RULES


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b'{"format":99,"keys":[]}', b"\xff", b'{"keys":' + b"[" * 5_000]
)
def test_a_file_that_cannot_be_understood_is_not_taken_for_an_empty_one(
    path: Path, content: bytes
) -> None:
    path.write_bytes(content)
    with pytest.raises(BadInput):
        FileKeyRing(path)


@pytest.mark.parametrize("name", ["", "  ", "x" * 100, "line\nbreak"])
def test_an_unfit_name_is_refused(path: Path, name: str) -> None:
    with pytest.raises(BadInput):
        FileKeyRing(path).add(KeyRules(name=name))
    assert not path.exists()


def test_names_are_used_once_and_revoked_by_name(path: Path) -> None:
    ring = FileKeyRing(path)
    key = ring.add(RULES)
    with pytest.raises(BadInput, match="laptop"):
        ring.add(RULES)
    with pytest.raises(BadInput, match="nobody"):
        ring.revoke("nobody")
    ring.revoke("laptop")
    assert ring.find(key) is None
    assert ring.add(RULES) != key


def test_keys_have_a_bound(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_ring, "KEYS_MAX", 1)
    ring = FileKeyRing(path)
    ring.add(RULES)
    with pytest.raises(BadInput, match="at most 1"):
        ring.add(KeyRules(name="another"))


def test_two_commands_at_once_both_keep_their_key(path: Path) -> None:
    one, two = FileKeyRing(path), FileKeyRing(path)
    keys = [one.add(KeyRules(name="one")), two.add(KeyRules(name="two"))]
    keys.append(one.add(KeyRules(name="three")))
    ring = FileKeyRing(path)
    assert [rules.name for rules in ring.list_rules()] == ["one", "two", "three"]
    assert all(ring.find(key) for key in keys)


def test_only_a_node_told_so_is_open(path: Path) -> None:
    assert not FileKeyRing(path).is_open()
    assert FileKeyRing(path, is_open=True).is_open()
