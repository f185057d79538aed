"""What is examined: one node's state folder, its configuration, and the node itself if it runs."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from wwwserve.adapters.host import NodeKey
from wwwserve.node.config import Config
from wwwserve.node.genesis import find_genesis
from wwwserve.node.setup_parts import make_parameters
from wwwserve.node.state_folder import RunInfo, StateFolder
from wwwserve.values.parameters import compute_network_id
from wwwserve.values.refusals import BadInput


class ReadingSeen(msgspec.Struct, frozen=True):
    """An engine as the running node sees it."""

    health: str = "unavailable"
    detail: str = ""
    software: str = ""


class EngineSeen(msgspec.Struct, frozen=True):
    """One engine of the running node."""

    name: str
    reading: ReadingSeen | None = None


class MemberSeen(msgspec.Struct, frozen=True):
    """One other node the running one knows."""

    node: str
    status: str = ""
    is_linked: bool = False
    software: str = ""
    protocol_min: int = 0
    protocol_max: int = 0


class RestSeen(msgspec.Struct, frozen=True):
    """An operator's word to serve nobody else."""

    kind: str
    is_by_policy: bool = False


class OpeningSeen(msgspec.Struct, frozen=True):
    """Whether others are served."""

    is_open: bool = True
    rest: RestSeen | None = None


class LedgerSeen(msgspec.Struct, frozen=True):
    """The ledger as the running node has it."""

    height: int
    told_height: int = 0
    is_stalled: bool = False
    fork: tuple[str, ...] | None = None


class WalletSeen(msgspec.Struct, frozen=True):
    """The running node's account; amounts are micro-credits."""

    is_ready: bool = False
    waits_for: str = ""
    spendable: int = 0
    forecast_ms: int | None = None


class StatusSeen(msgspec.Struct, frozen=True):
    """What is read of a running node's status; the rest is left unread."""

    engines: tuple[EngineSeen, ...] = ()
    members: tuple[MemberSeen, ...] = ()
    opening: OpeningSeen = OpeningSeen()
    ledger: LedgerSeen | None = None
    wallet: WalletSeen | None = None
    entry: str = ""
    """How it comes into the ledger; empty once it is in."""


@dataclass(frozen=True, slots=True)
class Subject:
    """One node, running or not."""

    folder: StateFolder
    config: Config
    environ: Mapping[str, str]
    info: RunInfo | None = None
    """How to reach it while it runs."""
    status: StatusSeen | None = None
    """What it says of itself; None when it does not run or does not answer."""

    @property
    def command_end(self) -> str:
        """What a command about this very node ends with."""
        return make_command_end(self.folder)

    @property
    def network_id(self) -> bytes:
        """By what nodes know that they are of one network."""
        try:
            known = find_genesis(self.folder, self.config)
        except BadInput:
            # The ledger's own check says so.
            known = None
        return known.genesis_id if known else compute_network_id(make_parameters(self.config))

    def load_key(self) -> NodeKey | None:
        """The node's key; None if it cannot be used, which `check_folder` has found already."""
        try:
            return NodeKey.load(self.folder.node_key_file)
        except BadInput:
            return None


def make_command_end(folder: StateFolder) -> str:
    """What a command about the node of a folder ends with."""
    return f"--home {shlex.quote(str(folder.path))}"
