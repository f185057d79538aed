"""What a node should read from each dress, and how to read a dress that was changed."""

import msgspec

from tests.fakes.engines.dresses import DressedServer, Page, load_dress, serve_dress
from wwwserve.adapters.engines import EngineSettings, open_http_engine
from wwwserve.core.engines import EngineHealth, EngineModel, EngineReading
from wwwserve.values.moments import SECOND

TEXT = ("chat", "completions")
PAGE_US = SECOND

READINGS = {
    "vllm-0.6.3": EngineReading(
        EngineHealth.READY,
        models=(EngineModel("Qwen/Qwen2.5-7B-Instruct", 32_768),),
        running=12,
        waiting=3,
        kv_used_permille=438,
        kv_tokens=128_000,
        software="vLLM 0.6.3",
    ),
    "vllm-0.32.0": EngineReading(
        EngineHealth.READY,
        models=(EngineModel("Qwen/Qwen3-8B", 40_960), EngineModel("polite")),
        running=9,
        waiting=1,
        kv_used_permille=625,
        kv_tokens=512_000,
        software="vLLM 0.32.0",
    ),
    "sglang-0.4.1": EngineReading(
        EngineHealth.READY,
        models=(EngineModel("meta-llama/Llama-3.1-8B-Instruct", 16_384),),
        running=162,
        waiting=2826,
        kv_used_permille=280,
        kv_tokens=440_000,
        slots=48,
        software="SGLang 0.4.1",
    ),
    "sglang-0.5.9": EngineReading(
        EngineHealth.READY,
        models=(EngineModel("Qwen/Qwen3-VL-8B-Instruct", 98_304),),
        running=12,
        waiting=2,
        kv_used_permille=520,
        kv_tokens=196_608,
        slots=64,
        capabilities=(*TEXT, "logprobs", "tools", "vision"),
        software="SGLang 0.5.9",
    ),
    "ollama-0.6.5": EngineReading(
        EngineHealth.READY,
        models=(
            EngineModel("llama3.2-vision:11b", None, (*TEXT, "vision")),
            EngineModel("nomic-embed-text:latest", None, ("embeddings",)),
        ),
        software="Ollama 0.6.5",
    ),
    "ollama-0.20.0": EngineReading(
        EngineHealth.READY,
        models=(
            EngineModel("qwen3:8b", 16_384, (*TEXT, "tools")),
            EngineModel("gpt-oss:120b-cloud", None, (*TEXT, "tools"), is_on_demand=True),
            EngineModel("embeddinggemma:latest", None, ("embeddings",)),
        ),
        software="Ollama 0.20.0",
    ),
    "lm-studio-0.3.9": EngineReading(
        EngineHealth.READY,
        models=(
            EngineModel("qwen2-vl-7b-instruct", 8_192, (*TEXT, "tools", "vision")),
            EngineModel("llama-3.2-3b-instruct"),
            EngineModel("text-embedding-nomic-embed-text-v1.5", None, ("embeddings",)),
        ),
        software="LM Studio",
    ),
    "lm-studio-0.4.6": EngineReading(
        EngineHealth.READY,
        models=(
            EngineModel("google/gemma-3-12b", 16_384, (*TEXT, "vision")),
            EngineModel("google/gemma-3-12b:2", 4_096, (*TEXT, "vision")),
            EngineModel("qwen/qwen3-8b", None, (*TEXT, "tools")),
            EngineModel("text-embedding-nomic-embed-text-v1.5", None, ("embeddings",)),
        ),
        slots=2,
        software="LM Studio",
    ),
    "tgi-2.0.4": EngineReading(
        EngineHealth.READY,
        models=(EngineModel("mistralai/Mistral-7B-Instruct-v0.2", 4_096),),
        running=6,
        waiting=2,
        kv_used_permille=250,
        kv_tokens=65_536,
        slots=16,
        software="TGI 2.0.4",
    ),
    "tgi-3.3.4": EngineReading(
        EngineHealth.READY,
        models=(EngineModel("Qwen/Qwen2.5-7B-Instruct", 32_768),),
        running=9,
        waiting=0,
        software="TGI 3.3.4",
    ),
    "llama-server-b6200": EngineReading(
        EngineHealth.READY,
        models=(EngineModel("qwen3-8b-q4.gguf", 8_192),),
        running=2,
        waiting=0,
        slots=4,
        capabilities=(*TEXT, "logprobs", "tools"),
        software="llama-server b6200-abcdef0",
    ),
    "openai-plain": EngineReading(
        EngineHealth.READY,
        models=(EngineModel("some-model"),),
        software="OpenAI-compatible server",
    ),
}


async def read(server: DressedServer, kind: str = "auto", api_key: str = "") -> EngineReading:
    engine = open_http_engine(
        EngineSettings("m", server.url, kind, api_key=api_key, state_page_us=PAGE_US)
    )
    try:
        return await engine.read_state()
    finally:
        await engine.close()


async def read_changed(
    engine: str, version: str, pages: dict[str, Page | None], kind: str = "auto"
) -> EngineReading:
    """Read a dress of which some pages are others, or (None) not there."""
    async with serve_dress(load_dress(engine, version)) as server:
        for path, page in pages.items():
            if page is None:
                server.pages.pop(path, None)
            else:
                server.pages[path] = page
        return await read(server, kind)


def as_json(value: object) -> Page:
    return Page(msgspec.json.encode(value))


def as_metrics(*lines: str) -> Page:
    return Page("\n".join(lines).encode(), content_type="text/plain")


def get_load(reading: EngineReading) -> tuple[int | None, int | None, int | None]:
    return (reading.running, reading.waiting, reading.kv_used_permille)
