"""One operator's choices: every setting of a node, with its unit, bound, default and reason.

Values of these classes have been checked: whatever makes one, from a file or in a test, raises
`BadInput` naming the field if a node could not run with it. `node.config_file` reads them from
files, the environment and flags.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated

from msgspec import Meta

from wwwserve.node.config_checks import (
    is_loopback,
    is_wildcard,
    validate_address,
    validate_dialable,
    validate_host,
    validate_model_id,
    validate_node,
    validate_url,
)
from wwwserve.values.limits import BODY_BYTES_MAX, RECORD_ADDRESSES_MAX, RECORD_MODELS_MAX
from wwwserve.values.model_names import AUTO
from wwwserve.values.parameters import MAIN
from wwwserve.values.refusals import BadInput
from wwwserve.wire import parse_ticket

Port = Annotated[int, Meta(ge=0, le=65_535)]
Share = Annotated[float, Meta(ge=0, le=1)]
Slots = Annotated[int, Meta(ge=1, le=4_096)]
Tokens = Annotated[int, Meta(ge=0, le=100_000_000)]
ShortText = Annotated[str, Meta(max_length=200)]

GATEWAY_PORT = 8777
LINKS_PORT = 8778
ADMIN_PORT = 8779
BOOTSTRAP_MAX = 64
"""Addresses and tickets to try at the start; gossip finds everybody else."""
POLICY_LIST_MAX = 4_096
"""Entries of one allow or deny list: no more nodes than a table of members holds."""


class EngineKind(Enum):
    """How the node gets at its engine."""

    AUTO = "auto"
    """With a `url`: ask it what it is. Without: the local engine."""
    LOCAL = "local"
    """The node runs one itself, from a GGUF file."""
    OPENAI = "openai"
    """Any OpenAI-compatible URL."""
    LLAMA_SERVER = "llama-server"
    """llama.cpp's server, whose load and slots can be read."""
    VLLM = "vllm"
    """vLLM, whose load and cache use can be read."""
    SGLANG = "sglang"
    """SGLang: as vLLM if started with `--enable-metrics`; its slots and abilities in any case."""
    OLLAMA = "ollama"
    """Ollama, which tells what its models can do and nothing of its load."""
    LM_STUDIO = "lm-studio"
    """LM Studio, which tells what its models can do and nothing of its load."""
    TGI = "tgi"
    """Hugging Face's Text Generation Inference, whose load can be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """Which network this node belongs to, and whom it meets first."""

    name: Annotated[str, Meta(min_length=1, max_length=100)] = MAIN.network
    """Name of the network; nodes of another name are refused at the handshake."""
    bootstrap: Annotated[tuple[str, ...], Meta(max_length=BOOTSTRAP_MAX)] = ()
    """Link addresses (`host:port`) to try at the start; whoever answers there is believed."""
    tickets: Annotated[tuple[str, ...], Meta(max_length=BOOTSTRAP_MAX)] = ()
    """Invite tickets: like an address, but only the node that wrote the ticket is believed."""
    region: ShortText = ""
    """A hint for others where this node is; shown, never trusted. Empty = not said."""

    def __post_init__(self) -> None:
        """Refuse addresses and tickets that cannot be used."""
        for address in self.bootstrap:
            validate_address("network.bootstrap", address)
        for ticket in self.tickets:
            self._validate_ticket(ticket)

    def _validate_ticket(self, text: str) -> None:
        try:
            network = parse_ticket(text).network
        except BadInput as error:
            error.field = "network.tickets"
            raise
        if network != self.name:
            raise BadInput(
                field="network.tickets",
                found=f"a ticket of the network {network!r}",
                expected=f"one of the network {self.name!r}, this node's",
                fix=f"set network.name = {network!r} to go there, or ask for another ticket",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class LinksConfig:
    """Where other nodes reach this one."""

    listen: str = f"127.0.0.1:{LINKS_PORT}"
    """`host:port` for links, port 0 = any free one. Empty: accept none, only dial out."""
    advertise: Annotated[tuple[str, ...], Meta(max_length=RECORD_ADDRESSES_MAX)] = ()
    """`host:port` as others should dial it; empty = `listen`. Needed when `listen` is a wildcard
    or the node is behind a router that forwards a port."""

    def __post_init__(self) -> None:
        """Refuse addresses nobody could dial."""
        for address in self.advertise:
            validate_address("links.advertise", address)
            validate_dialable(address)
        if not self.listen:
            return
        host = validate_address("links.listen", self.listen, is_zero_allowed=True)
        if is_wildcard(host) and not self.advertise:
            raise BadInput(
                field="links.advertise",
                found=f"nothing, while links.listen is {self.listen!r} (every address)",
                expected="the host:port others dial to reach this node",
                fix='for example links.advertise = ["node.example.org:8778"]',
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayConfig:
    """The OpenAI-compatible API for this node's own users."""

    host: str = "127.0.0.1"
    """Address to serve on. Anything but loopback needs at least one API key."""
    port: Port = GATEWAY_PORT
    """0 = any free one."""
    open: bool = False
    """Serve without any key; only ever on loopback, where whoever is on the machine may call."""

    def __post_init__(self) -> None:
        """Refuse a gateway that serves strangers without a key."""
        validate_host("gateway.host", self.host)
        if self.open and not is_loopback(self.host):
            raise BadInput(
                field="gateway.open",
                found=f"true, while gateway.host is {self.host!r}",
                expected="false: only a loopback address may be served without a key",
                fix="set gateway.open = false and make a key with `wwwserve keys add NAME`",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminConfig:
    """The operator's API, which the commands talk to; never reachable from another machine."""

    host: str = "127.0.0.1"
    """A loopback address."""
    port: Port = ADMIN_PORT
    """0 = any free one; commands find it by the state folder."""

    def __post_init__(self) -> None:
        """Refuse to open the operator's API to the network."""
        if not is_loopback(self.host):
            raise BadInput(
                field="admin.host",
                found=self.host,
                expected="a loopback address: whoever reaches this API runs the node",
                fix='set admin.host = "127.0.0.1"; from elsewhere, come through ssh',
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """The LLM server behind this node."""

    name: Annotated[str, Meta(min_length=1, max_length=64)] = "engine"
    """What commands and facts call it."""
    kind: EngineKind = EngineKind.AUTO
    """How the node gets at it."""
    url: str = ""
    """Base URL of an OpenAI-compatible server, with or without `/v1`; empty = the local engine."""
    api_key: str = field(default="", repr=False)
    """This node's own key for the engine, if it wants one; no user's key is ever passed on."""
    api_key_env: str = ""
    """Name of the environment variable that holds the key, so that no file has to."""
    model: str = ""
    """Path of a GGUF file for the local engine; empty = the small model `engine fetch` brings."""
    slots: Annotated[int, Meta(ge=0, le=4_096)] = 0
    """Requests it runs well at once; more wait at the node. 0 = what it says, else 4."""
    context_tokens: Tokens = 0
    """Longest prompt plus answer of one request; 0 = what it says (local: 2048)."""
    threads: Annotated[int, Meta(ge=0, le=1_024)] = 0
    """Processor threads of the local engine; 0 = half of the cores."""

    def __post_init__(self) -> None:
        """Refuse an engine that could not be found, or is described twice."""
        if self.url:
            validate_url("engine.url", self.url)
        if self.is_local and self.url:
            raise _contradiction("engine.url", "the local engine has none", 'kind = "auto"')
        if not self.is_local and not self.url:
            raise BadInput(
                field="engine.url",
                found="nothing",
                expected=f"the base URL of the engine, as kind is {self.kind.value!r}",
                fix='for example engine.url = "http://127.0.0.1:8000/v1"',
            )
        if self.api_key and self.api_key_env:
            raise _contradiction("engine.api_key", "engine.api_key_env is set too", "one of them")
        if self.model and not self.is_local:
            raise _contradiction(
                "engine.model",
                "only the local engine loads a file",
                "[[models]] to name what the engine at engine.url serves",
            )

    @property
    def is_local(self) -> bool:
        """Whether the node runs the engine itself."""
        return self.kind is EngineKind.LOCAL or (self.kind is EngineKind.AUTO and not self.url)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """One model the engine serves, as this provider offers it. None at all = what it says."""

    id: str
    """Canonical id, `org/name`: equal on every node that serves the same weights."""
    engine_model: ShortText = ""
    """What the engine calls it; empty = its only model, or the one that reads like `id`."""
    aliases: Annotated[tuple[ShortText, ...], Meta(max_length=16)] = ()
    """Other names it answers to."""
    context_tokens: Tokens = 0
    """Longest prompt plus answer; 0 = what the engine says."""
    quantisation: ShortText = ""
    """For people, for example `Q4_1`; empty = unknown."""
    capabilities: Annotated[tuple[ShortText, ...], Meta(max_length=16)] = ()
    """Of: chat, completions, embeddings, tools, vision, logprobs, continuation. Empty = what the
    engine is known to do."""
    slots: Annotated[int, Meta(ge=0, le=4_096)] = 0
    """Requests of this model run at once; 0 = the engine's slots."""

    def __post_init__(self) -> None:
        """Refuse an id that is not `org/name`."""
        validate_model_id("models.id", self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyConfig:
    """When and for whom this node works. The knobs of the paper keep their names."""

    accept_frequency: Share = 1.0
    """Share of other nodes' admissible requests that is accepted."""
    offload_frequency: Share = 1.0
    """Share of own requests that may go to other nodes when this one is busy."""
    queue_frequency: Share = 1.0
    """Share of own requests that wait here when no place is found at once; the rest get a 503."""
    target_utilisation: Share = 0.7
    """Above this share of its slots the node counts as busy."""
    own_first: bool = True
    """Take others' requests only below the target and while no own request waits."""
    concurrent_max: Slots = 64
    """Other nodes' requests run here at once."""
    concurrent_per_peer_max: Slots = 32
    """Of these, for any one node."""
    prompt_tokens_max: Tokens = 1_000_000
    """Longest prompt taken from others."""
    completion_tokens_max: Tokens = 1_000_000
    """Longest answer taken from others."""
    body_bytes_max: Annotated[int, Meta(ge=1, le=BODY_BYTES_MAX)] = BODY_BYTES_MAX
    """Largest request body taken from others, in bytes."""
    allow_nodes: Annotated[tuple[str, ...], Meta(max_length=POLICY_LIST_MAX)] = ()
    """If any: only these nodes' requests are taken. Whole names, as `wwwserve peers` prints."""
    deny_nodes: Annotated[tuple[str, ...], Meta(max_length=POLICY_LIST_MAX)] = ()
    """These nodes' requests are never taken, and nothing is sent to them."""
    allow_models: Annotated[tuple[str, ...], Meta(max_length=POLICY_LIST_MAX)] = ()
    """If any: only these models are shared with others."""
    deny_models: Annotated[tuple[str, ...], Meta(max_length=POLICY_LIST_MAX)] = ()
    """These models are never shared with others."""
    offload_nodes: Annotated[tuple[str, ...], Meta(max_length=POLICY_LIST_MAX)] = ()
    """If any: own requests are sent to these nodes only."""

    def __post_init__(self) -> None:
        """Refuse names of nodes and models that are none."""
        for name in ("allow_nodes", "deny_nodes", "offload_nodes"):
            for text in getattr(self, name):
                validate_node(f"policy.{name}", text)
        for name in ("allow_models", "deny_models"):
            for text in getattr(self, name):
                validate_model_id(f"policy.{name}", text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything an operator decides about one node."""

    network: NetworkConfig = field(default_factory=NetworkConfig)
    links: LinksConfig = field(default_factory=LinksConfig)
    gateway: GatewayConfig = field(default_factory=GatewayConfig)
    admin: AdminConfig = field(default_factory=AdminConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    models: tuple[ModelConfig, ...] = ()
    """What the engine serves; empty = whatever it says it serves."""
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Names users may ask for, each standing for several models, the best first."""

    def __post_init__(self) -> None:
        """Refuse what only shows when sections are seen together."""
        if len(self.models) > RECORD_MODELS_MAX:
            raise _too_long("models", len(self.models), RECORD_MODELS_MAX)
        ids = [model.id for model in self.models]
        for repeated in {model_id for model_id in ids if ids.count(model_id) > 1}:
            raise BadInput("models.id", repeated, "each model once", "remove one of them")
        for name, members in self.groups.items():
            _validate_group(name, members)


def validate_exposure(gateway: GatewayConfig, key_count: int) -> None:
    """Refuse to serve other machines while there is no API key; raises `BadInput`."""
    if not is_loopback(gateway.host) and key_count == 0:
        raise BadInput(
            field="gateway.host",
            found=f"{gateway.host!r}, and no API key",
            expected="at least one key before other machines are served",
            fix="make one with `wwwserve keys add NAME`",
        )


def _validate_group(name: str, members: tuple[str, ...]) -> None:
    if name == AUTO or "/" in name or not name.strip():
        raise BadInput(
            "groups", name, f"a name without '/' other than {AUTO!r}", 'for example "small"'
        )
    if not 1 <= len(members) <= RECORD_MODELS_MAX:
        raise _too_long(f"groups.{name}", len(members), RECORD_MODELS_MAX)
    for member in members:
        validate_model_id(f"groups.{name}", member)


def _contradiction(name: str, why: str, instead: str) -> BadInput:
    return BadInput(name, "a value", f"nothing, because {why}", f"remove {name}, or use {instead}")


def _too_long(name: str, found: int, most: int) -> BadInput:
    return BadInput(name, f"{found} entries", f"1 to {most}", "leave some out")
