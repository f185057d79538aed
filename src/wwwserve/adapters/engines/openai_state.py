"""Read the state of an engine of which only the OpenAI API is known.

It tells its models, and nothing of its load or of what it can do: the node's own count of requests
is all there is, and its operator may say what it can do.
"""

from wwwserve.adapters.engines.pages import (
    Page,
    Pages,
    explain_absence,
    get_count,
    get_field,
    get_items,
    get_text,
)
from wwwserve.core.engines import EngineHealth, EngineModel, EngineReading

MODELS_MAX = 1_024
"""Models read of one engine; the rest is ignored."""

# Where servers write the longest request they serve. Fields that tell what the model was trained
# for (llama-server's n_ctx_train, LM Studio's max_context_length) are not it.
_CONTEXT_FIELDS: tuple[tuple[str, ...], ...] = (
    ("max_model_len",),  # vLLM, SGLang
    ("meta", "n_ctx"),  # llama-server: one slot's share
    ("loaded_context_length",),  # LM Studio
    ("context_length",),  # OpenRouter, Together and other hosts
    ("context_window",),  # Groq
)


async def is_openai(_pages: Pages) -> bool:
    """Whatever is nothing else is taken for a plain OpenAI-compatible server."""
    return True


async def read_openai_state(pages: Pages) -> EngineReading:
    """Health and models from `/v1/models`."""
    page = await pages.get("/v1/models")
    return find_fault(page, pages.root) or EngineReading(
        EngineHealth.READY,
        models=read_models(page.get_json()),
        software="OpenAI-compatible server",
    )


def find_fault(models: Page, root: str) -> EngineReading | None:
    """The reading of an engine whose `/v1/models` is absent or no list; None if it is one."""
    if not models.is_ok:
        return explain_absence(models, root)
    if isinstance(get_field(models.get_json(), "data"), list):
        return None
    detail = f"{root}/v1/models is no list of models: is it the engine's base URL?"
    return EngineReading(EngineHealth.UNAVAILABLE, detail)


def is_owned_by(models: Page, owner: str) -> bool:
    """Whether an engine's name stands in its `/v1/models` as the owner of a model."""
    return any(get_text(item, "owned_by") == owner for item in get_items(models.get_json(), "data"))


def read_models(value: object) -> tuple[EngineModel, ...]:
    """The models of a decoded `/v1/models` page."""
    items = get_items(value, "data")[:MODELS_MAX]
    return tuple(
        EngineModel(name, _read_context(item)) for item in items if (name := get_text(item, "id"))
    )


def _read_context(model: object) -> int | None:
    for path in _CONTEXT_FIELDS:
        tokens = get_count(model, *path)
        if tokens:
            return tokens
    return None
