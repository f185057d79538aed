"""The gateways that `compare_gateways` measures: how each is installed, started and watched.

Peers come from the package index at the versions written here, each into an environment of its own
outside this project, and run as a stranger's program does: without this user's environment, in a
folder of their own. A release known to be malicious is never installed.
"""

import asyncio
import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from wwwserve.bench.http_load import BadAnswer, LoadClient

ROOT = Path(__file__).resolve().parent.parent
MODEL = "mock-model"
INSTALL_WAIT_S = 1_200
START_WAIT_S = 120
START_LOOK_S = 0.5
STOP_WAIT_S = 10
REASON_LINES = 4
"""Last lines of a log or an installer that are repeated as the reason."""
_KEY_BYTES = 24
_INSTALLED = "installed"
"""A file in a finished environment: what was installed into it."""
_OWN_PTH = {"distutils-precedence.pth"}
"""Files by which Python runs code at each start that every fresh environment has."""
_PROC = Path("/proc")
_MIB = 1024 * 1024


class PeerAbsent(Exception):
    """A peer cannot be measured; the text says why, for the report."""


@dataclass(frozen=True, slots=True)
class Launch:
    """Where a peer shall find and offer what."""

    programs: Path
    """The folder of its environment's commands."""
    folder: Path
    """For its files; also its home."""
    engine_url: str
    port: int
    spare_port: int
    """For its metrics, which it would else offer at a fixed one."""
    key: str


@dataclass(frozen=True, slots=True)
class Peer:
    """One gateway of somebody else."""

    name: str
    package: str
    """As the index names it, extras included."""
    version: str
    command: Callable[[Launch], list[str]]
    environment: Mapping[str, str] = field(default_factory=dict)
    malicious: tuple[str, ...] = ()
    """Releases that carried malware; an index took them down, a mirror may still have them."""


def _start_litellm(launch: Launch) -> list[str]:
    config = launch.folder / "config.yaml"
    config.write_text(
        f"model_list:\n- model_name: {MODEL}\n  litellm_params:\n    model: openai/{MODEL}\n"
        f"    api_base: {launch.engine_url}/v1\n    api_key: none\n"
        f"general_settings:\n  master_key: {launch.key}\n",
        encoding="utf-8",
    )
    place = ["--host", "127.0.0.1", "--port", str(launch.port), "--num_workers", "1"]
    return [str(launch.programs / "litellm"), "--config", str(config), *place]


def _start_vllm_router(launch: Launch) -> list[str]:
    return [str(launch.programs / "vllm-router"), *_list_router_flags(launch, "warning")]


def _start_sglang_router(launch: Launch) -> list[str]:
    module = [str(launch.programs / "python"), "-m", "sglang_router.launch_router"]
    return [*module, *_list_router_flags(launch, "warn")]


def _list_router_flags(launch: Launch, log_level: str) -> list[str]:
    """One worker leaves nothing to choose, so the cheapest policy is the fair one."""
    place = ["--host", "127.0.0.1", "--port", str(launch.port), "--worker-urls", launch.engine_url]
    metrics = ["--prometheus-host", "127.0.0.1", "--prometheus-port", str(launch.spare_port)]
    return [*place, *metrics, "--policy", "round_robin", "--log-level", log_level]


PEERS = (
    Peer(
        name="litellm",
        package="litellm[proxy]",
        version="1.106.0",
        command=_start_litellm,
        environment={
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_LOG": "ERROR",
            "LITELLM_MODE": "PRODUCTION",
        },
        malicious=("1.82.7", "1.82.8", "1.107.0"),
    ),
    Peer("vllm-router", "vllm-router", "0.1.17", _start_vllm_router),
    Peer("sglang-router", "sglang-router", "0.3.2", _start_sglang_router),
)


def validate_version(peer: Peer) -> None:
    """Raises `PeerAbsent` for a release that must never be installed."""
    if peer.version in peer.malicious:
        raise PeerAbsent(
            f"{peer.package} {peer.version} is malicious and is never installed (nor are "
            f"{', '.join(peer.malicious)}). Try: another version"
        )


async def install(peer: Peer, environments: Path) -> Path:
    """Make a peer's environment, or take the one that is there; the folder of its commands.

    Only wheels are taken, so that no code of a package runs while it is installed.
    Raises `PeerAbsent`.
    """
    validate_version(peer)
    requirement = f"{peer.package}=={peer.version}"
    folder = environments / f"{peer.name}-{peer.version}"
    mark = folder / _INSTALLED
    if not (mark.exists() and mark.read_text(encoding="utf-8") == requirement):
        shutil.rmtree(folder, ignore_errors=True)
        await _run(sys.executable, "-m", "venv", str(folder))
        python = str(folder / "bin" / "python")
        pip = [python, "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet"]
        await _run(*pip, "install", "--only-binary=:all:", requirement)
        _validate_no_startup_code(folder)
        mark.write_text(requirement, encoding="utf-8")
    return folder / "bin"


def _validate_no_startup_code(folder: Path) -> None:
    """Raises `PeerAbsent` when a package brought code that would run at each start of Python.

    That is how the malware of litellm 1.82.8 was started, without ever being imported.
    """
    found = {path.name for path in folder.glob("lib/python*/site-packages/*.pth")} - _OWN_PTH
    if found:
        raise PeerAbsent(f"not started: {', '.join(sorted(found))} would run at each start")


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        async with asyncio.timeout(INSTALL_WAIT_S):
            _, said = await process.communicate()
    except TimeoutError as error:
        process.kill()
        await process.wait()
        raise PeerAbsent(f"not installed within {INSTALL_WAIT_S} s") from error
    if process.returncode:
        lines = said.decode(errors="replace").strip().splitlines()
        errors = [line for line in lines if line.startswith("ERROR")] or lines
        raise PeerAbsent(f"not installed: {' '.join(errors[-1:])[-300:]}")


class PeerProcess:
    """A running peer, from its first good answer to the end of the block."""

    def __init__(self, peer: Peer, launch: Launch) -> None:
        self._peer = peer
        self._launch = launch
        self._log = launch.folder / "log.txt"
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None, "use it as a context"
        return self._process.pid

    async def __aenter__(self) -> "PeerProcess":
        launch = self._launch
        launch.folder.mkdir(parents=True, exist_ok=True)
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._peer.command(launch),
                cwd=launch.folder,
                env={**kept, "HOME": str(launch.folder), **self._peer.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            await self._wait_answering()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._end()

    async def _wait_answering(self) -> None:
        assert self._process is not None
        last = "it does not listen"
        for _ in range(int(START_WAIT_S / START_LOOK_S)):
            await asyncio.sleep(START_LOOK_S)
            if self._process.returncode is not None:
                raise PeerAbsent(f"ended while starting: {self._read_reason()}")
            try:
                async with make_client(self._launch) as client:
                    await asyncio.wait_for(client.send(), START_LOOK_S * 10)
            except (OSError, BadAnswer, asyncio.IncompleteReadError, TimeoutError) as error:
                last = f"{error}" or type(error).__name__
            else:
                return
        raise PeerAbsent(f"no good answer within {START_WAIT_S} s: {last[:300]}")

    def _read_reason(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return " / ".join(line.strip() for line in lines[-REASON_LINES:])[-400:]

    async def _end(self) -> None:
        assert self._process is not None
        if self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_WAIT_S)
        except TimeoutError:
            # Its whole session: nothing it started may outlive the comparison.
            os.killpg(self._process.pid, 9)
            await self._process.wait()


def make_launch(programs: Path, folder: Path, engine_url: str) -> Launch:
    """Free ports and a fresh key for one peer."""
    port, spare_port = _find_ports()
    key = f"sk-{secrets.token_hex(_KEY_BYTES)}"
    return Launch(programs, folder, engine_url, port, spare_port, key)


def _find_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        for found in (one, other):
            found.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def make_client(launch: Launch) -> LoadClient:
    """A client that asks for one word, to see whether a peer answers."""
    body = f'{{"model":"{MODEL}","max_tokens":1,"messages":[{{"role":"user","content":"Hi"}}]}}'
    headers = {"authorization": f"Bearer {launch.key}"}
    url = f"http://127.0.0.1:{launch.port}"
    return LoadClient(url, "/v1/chat/completions", body.encode(), headers)


# -- what a process and its children use ---------------------------------------------------------


@contextmanager
def started_on(core: int) -> Iterator[None]:
    """Processes started in this block run on one core, with all their threads."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def read_cpu_s(pid: int) -> float:
    """Processor seconds used so far by a process and all that it started."""
    ticks = 0
    for one in list_tree(pid):
        ticks += sum(int(number) for number in _read_stat(one)[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def read_memory_mib(pid: int) -> float:
    """Memory of a process and all that it started; what they share counts once."""
    kib = 0
    for one in list_tree(pid):
        lines = (_PROC / str(one) / "smaps_rollup").read_text(encoding="ascii").splitlines()
        kib += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kib * 1024 / _MIB


def list_tree(pid: int) -> list[int]:
    """A process and its descendants that live now."""
    parents: dict[int, list[int]] = {}
    for folder in _PROC.iterdir():
        if folder.name.isdigit():
            try:
                parents.setdefault(int(_read_stat(int(folder.name))[1]), []).append(
                    int(folder.name)
                )
            except OSError:
                continue  # It ended meanwhile.
    tree = [pid]
    for one in tree:
        tree += parents.get(one, ())
    return tree


def _read_stat(pid: int) -> list[str]:
    """The fields of a process after its name, which may hold anything: state, parent, ..."""
    text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    return text.rpartition(")")[2].split()
