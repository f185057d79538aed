"""The table of engine kinds this node knows. A new kind is one small file and one row here."""

from wwwserve.adapters.engines.llama_server import is_llama_server, read_llama_state
from wwwserve.adapters.engines.lm_studio import is_lm_studio, read_lm_studio_state
from wwwserve.adapters.engines.ollama import is_ollama, read_ollama_state
from wwwserve.adapters.engines.openai_http import Dialect, HttpEngine
from wwwserve.adapters.engines.openai_state import is_openai, read_openai_state
from wwwserve.adapters.engines.settings import AUTO_KIND, EngineSettings
from wwwserve.adapters.engines.sglang import is_sglang, read_sglang_state
from wwwserve.adapters.engines.tgi import is_tgi, read_tgi_state
from wwwserve.adapters.engines.vllm import is_vllm, read_vllm_state
from wwwserve.values.refusals import BadInput

DIALECTS = (
    Dialect("llama-server", is_llama_server, read_llama_state),
    Dialect("vllm", is_vllm, read_vllm_state),
    Dialect("sglang", is_sglang, read_sglang_state),
    Dialect("ollama", is_ollama, read_ollama_state),
    Dialect("lm-studio", is_lm_studio, read_lm_studio_state),
    Dialect("tgi", is_tgi, read_tgi_state),
    Dialect("openai", is_openai, read_openai_state),
)
"""Tried in this order; the last is taken for whatever is nothing else.

No engine has the pages another is known by, so the order decides only how much has to be asked.
"""


def open_http_engine(settings: EngineSettings) -> HttpEngine:
    """An engine that runs somewhere already; raises `BadInput` for a wrong URL or kind."""
    if settings.kind == AUTO_KIND:
        return HttpEngine(settings, DIALECTS)
    chosen = [dialect for dialect in DIALECTS if dialect.name == settings.kind]
    if not chosen:
        names = ", ".join([AUTO_KIND, *(dialect.name for dialect in DIALECTS)])
        raise BadInput(
            field="engine kind",
            found=settings.kind,
            expected=f"one of {names}",
            fix=f"leave it out, or write {AUTO_KIND}",
        )
    return HttpEngine(settings, chosen)
