"""The command as a person types it: real processes, real files, exit codes and what is printed.

Each test has a state folder of its own. No node runs here; what a running one answers is in
test_demo.py.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

WAIT_SECONDS = 60

Finished = subprocess.CompletedProcess[str]
Wwwserve = Callable[..., Finished]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def wwwserve(home: Path) -> Wwwserve:
    """Run one command on a state folder of this test's own."""

    def run(*arguments: str, **environment: str) -> Finished:
        return subprocess.run(
            [sys.executable, "-m", "wwwserve.cli", *arguments],
            env={**os.environ, "WWWSERVE_HOME": str(home), "COLUMNS": "200", **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=WAIT_SECONDS,
            check=False,
        )

    return run


def test_help_names_every_command(wwwserve: Wwwserve) -> None:
    done = wwwserve("--help")
    assert done.returncode == 0
    verbs = (
        *("demo", "init", "up", "engine", "config", "keys", "doctor", "status", "peers", "models"),
        *("ask", "invite", "join", "pause", "resume", "drain", "wallet", "ledger", "sim", "bench"),
        "version",
    )
    assert [verb for verb in verbs if f" {verb} " not in done.stdout] == []


def test_a_new_node_is_made_once_and_never_overwritten(wwwserve: Wwwserve, home: Path) -> None:
    first = json.loads(wwwserve("init", "--json").stdout)
    assert first["home"] == str(home)
    assert sorted(first["made"]) == ["api_keys.json", "config.toml", "node.key"]
    assert first["api_key"].startswith("sk-")
    assert home.stat().st_mode & 0o777 == 0o700
    assert (home / "node.key").stat().st_mode & 0o777 == 0o600
    assert first["api_key"] not in (home / "api_keys.json").read_text()
    files = {file: file.read_bytes() for file in home.iterdir()}
    second = json.loads(wwwserve("init", "--json", "--engine-url", "http://127.0.0.1:1").stdout)
    assert second == {**first, "api_key": None, "made": []}
    assert {file: file.read_bytes() for file in home.iterdir()} == files
    told = wwwserve("init", "--engine-url", "http://127.0.0.1:1").stderr
    assert "stays as it is" in told
    assert "[engine]" in told


def test_init_tells_a_person_what_to_do_next(wwwserve: Wwwserve, home: Path) -> None:
    done = wwwserve("init", "--home", str(home / "deep"))
    assert done.returncode == 0
    assert "sk-" in done.stdout
    assert "wwwserve up --home" in done.stdout


def test_a_wrong_engine_url_makes_nothing(wwwserve: Wwwserve, home: Path) -> None:
    done = wwwserve("init", "--engine-url", "127.0.0.1:8000")
    assert done.returncode == 2
    assert "engine.url" in done.stderr
    assert not home.exists()


def test_keys_are_made_listed_and_revoked(wwwserve: Wwwserve) -> None:
    made = json.loads(
        wwwserve("keys", "add", "laptop", "--concurrent", "2", "--models", "a/b", "--json").stdout
    )
    assert made["name"] == "laptop"
    assert made["key"].startswith("sk-")
    again = wwwserve("keys", "add", "laptop")
    assert again.returncode == 2
    assert "revoke" in again.stderr
    (listed,) = json.loads(wwwserve("keys", "list", "--json").stdout)["keys"]
    assert (listed["name"], listed["concurrent_max"], listed["models"]) == ("laptop", 2, ["a/b"])
    assert made["key"] not in wwwserve("keys", "list").stdout
    assert wwwserve("keys", "revoke", "laptop").returncode == 0
    assert json.loads(wwwserve("keys", "list", "--json").stdout) == {"keys": []}
    assert wwwserve("keys", "revoke", "laptop").returncode == 2


def test_the_configuration_shows_where_values_come_from(wwwserve: Wwwserve, home: Path) -> None:
    home.mkdir()
    (home / "config.toml").write_text(
        '[gateway]\nport = 1234\n[engine]\nurl = "http://127.0.0.1:1"\napi_key = "sk-secret"\n'
    )
    done = wwwserve("config", "show", "--json", WWWSERVE_POLICY__OWN_FIRST="false")
    settings = {setting["key"]: setting for setting in json.loads(done.stdout)["settings"]}
    assert settings["gateway.port"]["value"] == 1234
    assert settings["gateway.port"]["origin"].endswith("config.toml")
    assert settings["policy.own_first"] == {
        "key": "policy.own_first",
        "value": False,
        "origin": "environment",
    }
    assert settings["admin.port"]["origin"] == "default"
    shown = wwwserve("config", "show").stdout
    assert "1234" in shown
    assert "sk-secret" not in done.stdout + shown


def test_a_wrong_configuration_is_one_clear_line(wwwserve: Wwwserve, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[gateway]\nprot = 1\n")
    done = wwwserve("config", "check", str(file))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "gateway.prot" in done.stderr
    assert "gateway.port" in done.stderr
    file.write_text("[gateway]\nport = 1\n")
    assert wwwserve("config", "check", str(file)).returncode == 0


@pytest.mark.parametrize(
    "verb", ["status", "peers", "models", "invite", "ask", "join", "pause", "drain"]
)
def test_without_a_node_commands_say_what_to_type(wwwserve: Wwwserve, verb: str) -> None:
    arguments = (verb, "x") if verb in ("ask", "join") else (verb,)
    never_made = wwwserve(*arguments)
    assert never_made.returncode == 1
    assert "no node runs" in never_made.stderr
    assert "wwwserve init" in never_made.stderr
    wwwserve("init")
    made = wwwserve(*arguments)
    assert made.returncode == 1
    assert "wwwserve up" in made.stderr
    assert "wwwserve init" not in made.stderr


def test_up_without_a_node_says_what_to_type(wwwserve: Wwwserve) -> None:
    done = wwwserve("up")
    assert done.returncode == 2
    assert "wwwserve init" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("stats",), "wwwserve status"),
        (("up", "--bogus"), "--bogus"),
        (("demo", "--nodes", "0"), "--nodes"),
        (("demo", "--nodes", "many"), "--nodes"),
        (("up", "--set", "gateway.port=many"), "gateway.port"),
        (("keys", "add"), "NAME"),
        (("pause", "--for", "ever"), "--for"),
        (("bench", "core", "--repeats", "0"), "--repeats"),
    ],
)
def test_a_mistyped_command_is_one_clear_line(
    wwwserve: Wwwserve, arguments: tuple[str, ...], said: str
) -> None:
    done = wwwserve(*arguments)
    assert done.returncode == 2
    assert said.lower() in done.stderr.lower()
    assert "Traceback" not in done.stderr


def test_the_version_is_for_programs_too(wwwserve: Wwwserve) -> None:
    version = json.loads(wwwserve("version", "--json").stdout)
    assert version.keys() == {"version", "protocol", "python"}
    assert version["version"] in wwwserve("version").stdout
    assert version["version"] in wwwserve("--version").stdout
