"""The LLM servers behind a node, and the models they serve."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated

from msgspec import Meta

from wwwserve.node.config.bounds import ShortText, SlotsOrUnset, Tokens
from wwwserve.node.config.checks import validate_model_id, validate_url
from wwwserve.values.limits import ENGINES_MAX, RECORD_MODELS_MAX
from wwwserve.values.refusals import BadInput

WEIGHT_MAX = 1_000


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
class EngineConfig:
    """The LLM server behind this node."""

    name: Annotated[str, Meta(min_length=1, max_length=64)] = "engine"
    """What commands, facts and `models.engine` call it."""
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
    slots: SlotsOrUnset = 0
    """Requests it runs well at once; more wait at the node. 0 = what it says, else
    what its cache and its queue show room for."""
    context_tokens: Tokens = 0
    """Longest prompt plus answer of one request; 0 = what it says (local: 2048)."""
    threads: Annotated[int, Meta(ge=0, le=1_024)] = 0
    """Processor threads of the local engine; 0 = half of the cores."""
    weight: Annotated[int, Meta(ge=1, le=WEIGHT_MAX)] = 1
    """Its share of the work among engines of this node that serve the same model and have room."""

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
                fix='for example url = "http://127.0.0.1:8000/v1"',
            )
        if self.api_key and self.api_key_env:
            raise _contradiction("engine.api_key", "api_key_env is set too", "that one alone")
        if self.model and not self.is_local:
            raise _contradiction(
                "engine.model",
                "only the local engine loads a file",
                "[[models]] to name what the engine at its url serves",
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
    slots: SlotsOrUnset = 0
    """Requests of this model run at once; 0 = the engine's slots."""
    engine: ShortText = ""
    """Name of the engine that serves it; empty = every engine that has it."""

    def __post_init__(self) -> None:
        """Refuse an id that is not `org/name`."""
        validate_model_id("models.id", self.id)


def validate_engines(engines: tuple[EngineConfig, ...]) -> None:
    """Refuse engines that could not be told apart, or too many to read each second."""
    if not 1 <= len(engines) <= ENGINES_MAX:
        found = f"{len(engines)} engines"
        raise BadInput("engines", found, f"1 to {ENGINES_MAX}", "run a second node for the others")
    names = [engine.name for engine in engines]
    for name in names:
        if names.count(name) > 1:
            raise BadInput(
                "engines.name", repr(name), "each name once", "give one of them another name"
            )


def validate_models(models: tuple[ModelConfig, ...], engines: tuple[EngineConfig, ...]) -> None:
    """Refuse models described twice, or said to be on an engine that is not there."""
    if len(models) > RECORD_MODELS_MAX:
        raise BadInput(
            "models", f"{len(models)} entries", f"1 to {RECORD_MODELS_MAX}", "leave some out"
        )
    names = [engine.name for engine in engines]
    places = [(model.id, model.engine) for model in models]
    for model in models:
        if model.engine and model.engine not in names:
            raise BadInput(
                field="models.engine",
                found=repr(model.engine),
                expected=f"an engine's name: {', '.join(names)}",
                fix=f"correct it for {model.id}, or leave it out: any engine that has the model",
            )
        if places.count((model.id, model.engine)) > 1:
            raise BadInput(
                field="models.id",
                found=model.id,
                expected="each model once for an engine",
                fix="remove one of them",
            )


def _contradiction(name: str, why: str, instead: str) -> BadInput:
    return BadInput(name, "a value", f"nothing, because {why}", f"remove it, or use {instead}")
