"""The demo is a real network and leaves nothing behind: its own processes, watched from outside.

`wwwserve demo --json` is started as a stranger would, a chat is sent with nothing but the standard
library, and afterwards every process it named must be gone, with its folder. Most runs use pretend
engines, which need no model; one uses the real model.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

WAIT_SECONDS = 120
GONE_SECONDS = 20

pytestmark = pytest.mark.slow

RunDemo = Callable[..., AbstractContextManager[subprocess.Popen[str]]]


@pytest.fixture
def run_demo(tmp_path: Path) -> RunDemo:
    """Start demos whose folders lie in this test's own; none outlives its `with`."""

    @contextmanager
    def run(*arguments: str) -> Iterator[subprocess.Popen[str]]:
        with subprocess.Popen(
            [sys.executable, "-m", "wwwserve.cli", "demo", *arguments],
            env={**os.environ, "TMPDIR": str(tmp_path), "COLUMNS": "200"},
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    return run


def read_event(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"the demo ended with exit code {process.wait(WAIT_SECONDS)}"
    event: dict[str, Any] = json.loads(line)
    return event


def chat(ready: dict[str, Any], text: str, model: str = "auto") -> tuple[str, str]:
    """Ask the first node something; returns the answer and who gave it."""
    body = {"model": model, "max_tokens": 16, "messages": [{"role": "user", "content": text}]}
    request = urllib.request.Request(  # noqa: S310 - the demo's own URL
        f"{ready['base_url']}/chat/completions",
        data=json.dumps(body).encode(),
        headers={
            "Authorization": f"Bearer {ready['api_key']}",
            "Content-Type": "application/json",
        },
    )
    with urllib.request.urlopen(request, timeout=WAIT_SECONDS) as response:  # noqa: S310 - as above
        answer = json.load(response)
        executor = response.headers["x-wwwserve-executor"]
    return answer["choices"][0]["message"]["content"], executor


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A process nobody has waited for yet is over all the same.
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def list_children(pid: int) -> list[int]:
    """All processes below one, where the system can tell."""
    found = Path(f"/proc/{pid}/task/{pid}/children")
    own = [int(child) for child in found.read_text().split()] if found.exists() else []
    return own + [below for child in own for below in list_children(child)]


def assert_gone(pids: Sequence[int]) -> None:
    """Every process is over, or is about to be."""
    deadline = time.monotonic() + GONE_SECONDS
    while left := [pid for pid in pids if is_running(pid)]:
        assert time.monotonic() < deadline, f"still running: {left}"
        time.sleep(0.05)


def audit(home: str, file: Path) -> dict[str, Any]:
    """What a third party finds in the log of a node of the demo; fails if it breaks a rule."""

    def order(*words: str) -> str:
        command = [sys.executable, "-m", "wwwserve.cli", "ledger", *words, "--json"]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=WAIT_SECONDS, check=True
        ).stdout

    order("export", str(file), "--home", home)
    totals: dict[str, Any] = json.loads(order("audit", str(file)))
    return totals


def list_pids(process: subprocess.Popen[str], ready: dict[str, Any]) -> list[int]:
    nodes = [node["pid"] for node in ready["nodes"]]
    return sorted({*nodes, *list_children(process.pid)})


def test_four_nodes_meet_answer_and_leave_nothing_behind(run_demo: RunDemo, tmp_path: Path) -> None:
    with run_demo("--json", "--nodes", "4", "--exit-after", "8", "--engine", "mock") as process:
        ready = read_event(process)
        pids = list_pids(process, ready)
        assert ready["event"] == "ready"
        assert len(ready["nodes"]) == len({node["id"] for node in ready["nodes"]}) == 4
        assert all(node["models"] and node["gateway"] and node["admin"] for node in ready["nodes"])
        assert len(pids) >= 4
        with ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(lambda number: chat(ready, f"Say {number}."), range(12)))
        assert all(text for text, _ in answers)
        assert len({executor for _, executor in answers}) > 1, "work spreads over the nodes"
        assert process.stdout is not None
        events = [json.loads(line)["event"] for line in process.stdout]
        assert process.wait(WAIT_SECONDS) == 0
    assert "RequestFinished" in events
    assert_gone(pids)
    assert list(tmp_path.iterdir()) == []


def test_emulated_gpus_serve_what_each_has(run_demo: RunDemo, tmp_path: Path) -> None:
    with run_demo("--json", "--exit-after", "2", "--engine", "emulated") as process:
        ready = read_event(process)
        pids = list_pids(process, ready)
        assert len({node["engine"] for node in ready["nodes"]}) == 8
        homes = {node["id"][:8]: node["models"] for node in ready["nodes"]}
        wanted = sorted({model for node in ready["nodes"] for model in node["models"]})
        assert len(wanted) == 3
        for model in wanted:
            _, executor = chat(ready, "Say something.", model=model)
            assert model in homes[executor]
        assert process.wait(WAIT_SECONDS) == 0
    assert_gone(pids)
    assert list(tmp_path.iterdir()) == []


def test_the_real_model_answers(run_demo: RunDemo, tmp_path: Path) -> None:
    with run_demo("--json", "--nodes", "2", "--exit-after", "0.5") as process:
        ready = read_event(process)
        pids = list_pids(process, ready)
        text, _ = chat(ready, "What is the capital of France?")
        assert text.strip()
        assert process.wait(WAIT_SECONDS) == 0
    assert_gone(pids)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_everything(
    run_demo: RunDemo, tmp_path: Path, number: signal.Signals
) -> None:
    with run_demo("--json", "--nodes", "2", "--engine", "mock") as process:
        ready = read_event(process)
        pids = list_pids(process, ready)
        process.send_signal(number)
        assert process.wait(WAIT_SECONDS) == 0
    assert_gone(pids)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_demo_takes_its_nodes_with_it(run_demo: RunDemo) -> None:
    with run_demo("--json", "--nodes", "2", "--engine", "mock") as process:
        ready = read_event(process)
        pids = list_pids(process, ready)
        process.kill()
    assert_gone(pids)


def test_a_killed_node_is_told_and_the_others_go_on(run_demo: RunDemo, tmp_path: Path) -> None:
    with run_demo("--json", "--nodes", "3", "--engine", "mock") as process:
        ready = read_event(process)
        victim = ready["nodes"][2]
        os.kill(victim["pid"], signal.SIGKILL)
        with ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(lambda number: chat(ready, f"Say {number}."), range(12)))
        assert all(text for text, _ in answers)
        while True:
            event = read_event(process)
            if event["event"] == "NodeEnded":
                break
        assert event["reporter"] == victim["id"]
        logs = [
            audit(node["home"], tmp_path / str(number))
            for number, node in enumerate(ready["nodes"])
        ]
        assert {log["supply"] for log in logs} == {logs[0]["supply"]}
        assert logs[0]["ops"] > 0, "somebody was paid"


def test_a_person_sees_offload_and_how_to_go_on(run_demo: RunDemo) -> None:
    with run_demo("--nodes", "3", "--exit-after", "0", "--engine", "mock") as process:
        text, _ = process.communicate(timeout=WAIT_SECONDS)
        assert process.returncode == 0
    assert "each sees all others" in text
    assert "8 of 8 answered" in text
    assert "offered to" in text
    assert "base_url" in text
    assert "api_key" in text


def test_commands_speak_to_a_running_node(run_demo: RunDemo) -> None:
    with run_demo("--json", "--nodes", "2", "--engine", "mock") as process:
        ready = read_event(process)
        home, other = (node["home"] for node in ready["nodes"])

        def wwwserve(*arguments: str, code: int = 0, folder: str = home) -> str:
            command = [sys.executable, "-m", "wwwserve.cli", *arguments, "--home", folder]
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=WAIT_SECONDS, check=False
            )
            assert done.returncode == code, done.stderr
            return done.stdout if code == 0 else done.stderr

        first, second = (node["id"] for node in ready["nodes"])
        status = json.loads(wwwserve("status", "--json"))
        assert status["node"] == first
        (peer,) = json.loads(wwwserve("peers", "--json"))["peers"]
        assert (peer["node"], peer["status"]) == (second, "alive")
        models = json.loads(wwwserve("models", "--json"))["models"]
        assert [model["model"] for model in models] == ready["nodes"][0]["models"]
        ticket = json.loads(wwwserve("invite", "--json"))["ticket"]
        assert ticket.startswith("wwwserve1")
        assert "own" in wwwserve("join", ticket, code=2)
        theirs = json.loads(wwwserve("invite", "--json", folder=other))["ticket"]
        assert json.loads(wwwserve("join", theirs, "--json"))["met"] == second
        assert "nobody has answered" in wwwserve("join", "127.0.0.1:1", code=1)
        answer = json.loads(wwwserve("ask", "Say hello.", "--json"))
        assert answer["content"]
        assert answer["usage"]["completion_tokens"] > 0
        assert "nobody/nothing" in wwwserve("ask", "x", "--model", "nobody/nothing", code=1)
        assert "ticket" in wwwserve("join", "nonsense", code=2)
        for verb in ("status", "peers", "models", "invite"):
            assert wwwserve(verb)
        in_use = subprocess.run(
            [sys.executable, "-m", "wwwserve.cli", "up", "--home", other],
            capture_output=True,
            text=True,
            timeout=WAIT_SECONDS,
            check=False,
        )
        assert in_use.returncode == 2
        assert f"in use by process {ready['nodes'][1]['pid']}" in in_use.stderr
        process.terminate()
        assert process.wait(WAIT_SECONDS) == 0
