"""From what an operator wrote about an engine to the adapter that reaches it."""

import os
from pathlib import Path

from wwwserve.adapters.engines import EngineSettings, LocalEngine, LocalSettings, open_http_engine
from wwwserve.node.config import EngineConfig
from wwwserve.ports.engine import Engine
from wwwserve.values.refusals import BadInput

_LOCAL_DEFAULTS = LocalSettings()


def open_engine(engine: EngineConfig) -> Engine:
    """Reach the engine, or start it if it is the local one. Raises `BadInput`."""
    settings = make_settings(engine)
    if isinstance(settings, LocalSettings):
        return LocalEngine(settings)
    return open_http_engine(settings)


def make_settings(engine: EngineConfig) -> EngineSettings | LocalSettings:
    """What its adapter wants to know; where this is the same, it need not be opened anew.

    Raises `BadInput`.
    """
    if engine.is_local:
        return LocalSettings(
            name=engine.name,
            model_path=Path(engine.model).expanduser() if engine.model else None,
            slots=engine.slots or _LOCAL_DEFAULTS.slots,
            context_tokens=engine.context_tokens or _LOCAL_DEFAULTS.context_tokens,
            threads=engine.threads,
        )
    return EngineSettings(
        name=engine.name, url=engine.url, kind=engine.kind.value, api_key=_read_key(engine)
    )


def _read_key(engine: EngineConfig) -> str:
    if not engine.api_key_env:
        return engine.api_key
    key = os.environ.get(engine.api_key_env, "")
    if not key:
        raise BadInput(
            field="engine.api_key_env",
            found=f"{engine.api_key_env}, which is not set (for the engine {engine.name!r})",
            expected="the name of an environment variable that holds the engine's key",
            fix=f"export {engine.api_key_env}=... before `wwwserve up`",
        )
    return key
