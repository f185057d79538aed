"""A comparison tells why a peer is missing, and never installs what is known to be malicious.

Peers here are small scripts in environments made by hand: nothing is downloaded.
"""

import os
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tools.compare_gateways import choose_peers, find_environments, show_table
from tools.gateway_measures import Comparison, Way
from tools.gateway_peers import (
    PEERS,
    ROOT,
    Launch,
    Peer,
    PeerAbsent,
    PeerProcess,
    install,
    list_tree,
    make_launch,
    read_cpu_s,
    read_memory_mib,
)

needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def make_peer(script: str) -> Peer:
    """A peer that is one line of Python."""
    return Peer("small", "small", "1.0", lambda _: [sys.executable, "-c", script])


def make_environment(folder: Path) -> Path:
    """An environment in which `small` 1.0 is installed already."""
    programs = folder / "small-1.0" / "bin"
    programs.mkdir(parents=True)
    (programs.parent / "installed").write_text("small==1.0", encoding="utf-8")
    return programs


@pytest.mark.parametrize("version", ["1.82.7", "1.82.8", "1.107.0"])
async def test_a_malicious_release_is_never_installed(tmp_path: Path, version: str) -> None:
    with pytest.raises(SystemExit, match="malicious"):
        choose_peers(None, [f"litellm={version}"])
    (litellm,) = (peer for peer in PEERS if peer.name == "litellm")
    changed = Peer(
        litellm.name, litellm.package, version, litellm.command, malicious=litellm.malicious
    )
    with pytest.raises(PeerAbsent, match="malicious"):
        await install(changed, tmp_path)


def test_the_pins_are_none_of_the_malicious_ones() -> None:
    assert [peer.name for peer in choose_peers(None, [])] == [peer.name for peer in PEERS]
    assert choose_peers("none", []) == ()


@pytest.mark.parametrize(("peers", "versions"), [("litelm", []), (None, ["vllm=1.0"])])
def test_a_mistyped_peer_is_told(peers: str | None, versions: list[str]) -> None:
    with pytest.raises(SystemExit, match="no such peer"):
        choose_peers(peers, versions)


def test_peers_never_live_inside_this_project(tmp_path: Path) -> None:
    with ExitStack() as stack:
        with pytest.raises(SystemExit, match="inside this project"):
            find_environments(stack, ROOT / "build")
        assert find_environments(stack, tmp_path / "peers").is_dir()


async def test_an_environment_that_is_there_is_taken(tmp_path: Path) -> None:
    programs = make_environment(tmp_path)
    assert await install(make_peer(""), tmp_path) == programs


async def test_a_peer_that_ends_at_once_is_absent_with_its_last_words(tmp_path: Path) -> None:
    peer = make_peer("raise SystemExit('no master key is set')")
    launch = make_launch(tmp_path, tmp_path / "home", "http://127.0.0.1:1")
    with pytest.raises(PeerAbsent, match="no master key is set"):
        async with PeerProcess(peer, launch):
            pass


async def test_a_peer_sees_nothing_of_its_users_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "a-secret")
    peer = make_peer("import os; raise SystemExit(sorted(os.environ))")
    launch = make_launch(tmp_path, tmp_path / "home", "http://127.0.0.1:1")
    with pytest.raises(PeerAbsent) as caught:
        async with PeerProcess(peer, launch):
            pass
    assert "HOME" in str(caught.value)
    assert "SOME_API_KEY" not in str(caught.value)


def test_each_peer_is_started_on_its_own_port_for_one_engine(tmp_path: Path) -> None:
    for peer in PEERS:
        launch = Launch(tmp_path, tmp_path, "http://127.0.0.1:1", 8001, 8002, "sk-key")
        words = peer.command(launch)
        assert words[words.index("--port") + 1] == "8001"
        assert words[words.index("--host") + 1] == "127.0.0.1"
        config = tmp_path / "config.yaml"
        told = " ".join(words) + (config.read_text(encoding="utf-8") if config.exists() else "")
        assert "http://127.0.0.1:1" in told
        config.unlink(missing_ok=True)


def test_the_table_names_who_is_missing_and_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    peer = make_peer("")
    comparison = Comparison(peers=(peer,), environments=tmp_path, wrk="")
    ours = Way("wwwserve", "", "", {}, 0)
    plain = Way("pass_through", "", "", {}, 0)
    small = Way("small", "", "", {}, 0)
    for way in (plain, ours, small):
        comparison.add("added_p50", way, 1.0)
    comparison.drop(small, ConnectionError("gone"))
    show_table(comparison)
    shown = capsys.readouterr().out
    assert "small: broke while it was measured: gone" in shown
    assert "1" in shown
    with pytest.raises(ConnectionError):
        comparison.drop(ours, ConnectionError("ours broke"))


@needs_proc
def test_what_a_process_uses_is_read() -> None:
    assert os.getpid() in list_tree(os.getppid())
    assert read_cpu_s(os.getpid()) > 0
    assert read_memory_mib(os.getpid()) > 1
