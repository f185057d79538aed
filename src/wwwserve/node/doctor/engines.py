"""The engines: whether they answer, are what they are said to be, and have the models.

Each is read as the node reads it, a local one by way of the running node alone: a second copy of
its model might not fit into memory.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches

from wwwserve.adapters.engines import LocalSettings, open_http_engine, resolve_local
from wwwserve.core.engines import EngineHealth, EngineReading
from wwwserve.node.config import Config, EngineConfig, EngineKind
from wwwserve.node.doctor.subject import ReadingSeen, Subject
from wwwserve.node.engines import make_settings
from wwwserve.node.findings import Finding, Level
from wwwserve.node.serving import Service, describe_service, explain_absent
from wwwserve.values.refusals import BadInput

_TELLING = ("llama-server", "vllm", "sglang", "tgi")
"""Kinds that tell their load when they are started for it."""
_GENERIC = EngineKind.OPENAI.value
_NO_ENGINE = "this node runs nothing on it: its users depend on other engines, or on other nodes"


@dataclass(frozen=True, slots=True)
class _Look:
    """One engine, read."""

    engine: EngineConfig
    reading: EngineReading
    kind: str
    """Which kind it is by its own pages; empty = unknown."""
    service: Service

    @property
    def check(self) -> str:
        """What its findings are called."""
        return _name(self.engine)


async def check_engines(subject: Subject) -> list[Finding]:
    """All engines, in the configuration's order, and then what only all of them together show."""
    engines = subject.config.engines
    results = await asyncio.gather(*(_check_engine(subject, engine) for engine in engines))
    findings = [finding for _, found in results for finding in found]
    services = [look.service for look, _ in results if look is not None]
    if len(services) == len(engines) and (detail := explain_absent(services)):
        fix = "models.engine and models.engine_model in config.toml"
        findings.append(Finding("models", Level.ERROR, detail, "it is not offered", fix))
    return findings


async def _check_engine(
    subject: Subject, engine: EngineConfig
) -> tuple[_Look | None, list[Finding]]:
    try:
        settings = make_settings(engine)
        if isinstance(settings, LocalSettings):
            return None, list(_check_local(subject, engine, settings))
        reader = open_http_engine(settings)
        finder = open_http_engine(replace(settings, kind=EngineKind.AUTO.value))
    except BadInput as error:
        return None, list(_explain_unreadable(subject, engine, error))
    try:
        found = await finder.read_state()
        is_auto = engine.kind is EngineKind.AUTO
        reading = found if is_auto else await reader.read_state()
        look = _Look(
            engine, reading, finder.kind, describe_service(subject.config, engine, reading)
        )
    finally:
        await reader.close()
        await finder.close()
    if reading.health is not EngineHealth.READY:
        # Ready by its own kind's pages and not by those declared: then the declaration is it.
        is_misread = found.health is EngineHealth.READY
        return None, list(_judge_kind(look)) if is_misread else [_explain_health(look)]
    return look, list(_judge(subject.config, look))


def _judge(config: Config, look: _Look) -> Iterator[Finding]:
    """Everything about an engine that is ready."""
    yield Finding(look.check, Level.OK, f"{look.reading.software} at {look.engine.url}")
    yield from _judge_kind(look)
    yield from _judge_models(config, look)
    yield from _judge_room(look)
    yield from _judge_load(look)


def _judge_kind(look: _Look) -> Iterator[Finding]:
    declared = look.engine.kind.value
    is_ready = look.reading.health is EngineHealth.READY
    level = Level.WARNING if is_ready else Level.ERROR
    if look.engine.kind is EngineKind.AUTO or look.kind in ("", declared):
        return
    if declared == _GENERIC:
        yield Finding(
            look.check,
            Level.NOTE,
            f"it is {look.kind}, and is treated as any OpenAI-compatible server",
            "its load, which it may tell, is not read",
            f'kind = "auto" or "{look.kind}" for this engine',
        )
    elif look.kind == _GENERIC:
        yield Finding(
            look.check,
            level,
            f"declared as {declared}, and none of its own pages can be seen",
            "its load, slots and abilities stay unknown" if is_ready else _NO_ENGINE,
            f'let whatever stands between pass them, or kind = "{_GENERIC}" for this engine',
        )
    else:
        yield Finding(
            look.check,
            level,
            f"declared as {declared}, and it is {look.kind}",
            "its load, slots and abilities are looked for where they are not"
            if is_ready
            else _NO_ENGINE,
            f'kind = "auto" or "{look.kind}" for this engine',
        )


def _judge_models(config: Config, look: _Look) -> Iterator[Finding]:
    served = look.service.models
    if look.service.detail:
        wanted = [
            model.engine_model or model.id
            for model in config.models
            if model.engine in ("", look.engine.name)
        ]
        yield Finding(
            look.check,
            Level.ERROR,
            look.service.detail,
            "requests for it can only go to other nodes",
            _suggest(wanted, [model.name for model in look.reading.models]),
        )
    elif not served and not look.service.absent:
        fix = look.reading.detail or "load a model in it"
        yield Finding(look.check, Level.ERROR, "it serves no model", _NO_ENGINE, fix)
    if served:
        names = ", ".join(model.offer.model for model in served)
        yield Finding(look.check, Level.OK, f"serves {names}")


def _suggest(wanted: Sequence[str], has: Sequence[str]) -> str:
    """For each name the engine does not have, the nearest one it has."""
    near = [
        f'engine_model = "{close[0]}" instead of {name!r}'
        for name in wanted
        if name not in has and (close := get_close_matches(name, has, n=1, cutoff=0.4))
    ]
    return "; ".join(near) or "engine_model under [[models]], one of the names above"


def _judge_room(look: _Look) -> Iterator[Finding]:
    """Slots and context, where they are only assumed."""
    guessed = [model for model in look.service.models if not model.is_slots_known]
    if guessed:
        yield Finding(
            look.check,
            Level.NOTE,
            f"it tells no slots: {guessed[0].slots} requests at once are assumed at first",
            "too few leave it idle, too many make everybody wait",
            "slots = N for this engine, what it runs well at once",
        )
    unknown = [model.offer.model for model in look.service.models if not model.offer.context_tokens]
    if unknown:
        yield Finding(
            look.check,
            Level.NOTE,
            f"it does not tell the longest request it takes ({', '.join(unknown)})",
            "one that is too long is refused by the engine, instead of going elsewhere",
            "context_tokens = N for this engine",
        )


def _judge_load(look: _Look) -> Iterator[Finding]:
    if look.reading.running is not None:
        return
    kind = look.kind or look.engine.kind.value
    unseen = "what others than this node ask of it is not seen"
    if kind in _TELLING:
        found, fix = "its load cannot be read", look.reading.detail
        yield Finding(look.check, Level.WARNING, found, unseen, fix)
    else:
        found = f"an engine of the kind {kind} tells nothing of its load"
        why = f"{unseen}, which matters only if others do"
        yield Finding(look.check, Level.NOTE, found, why)


def _explain_health(look: _Look) -> Finding:
    detail = look.reading.detail
    if look.reading.health is EngineHealth.LOADING:
        why = "requests go to other nodes until it is ready; it is read again every second"
        return Finding(look.check, Level.WARNING, detail, why, "wait, and look at its log")
    page = f"{look.engine.url.rstrip('/').removesuffix('/v1')}/v1/models"
    fix = f"curl -i {page} shows what answers; url is set for this engine in config.toml"
    return Finding(look.check, Level.ERROR, detail, _NO_ENGINE, fix)


def _explain_unreadable(
    subject: Subject, engine: EngineConfig, error: BadInput
) -> Iterator[Finding]:
    """Its key is not to be had here; the running node may have been started with it."""
    seen = _find_seen(subject, engine)
    if seen is None:
        yield Finding(_name(engine), Level.ERROR, error.found, _NO_ENGINE, error.fix)
        return
    found = f"not read from here, for want of {engine.api_key_env}; by the running node: "
    yield _describe_seen(engine, seen, found)


def _check_local(
    subject: Subject, engine: EngineConfig, settings: LocalSettings
) -> Iterator[Finding]:
    try:
        settings = resolve_local(settings)
    except BadInput as error:
        yield Finding(_name(engine), Level.ERROR, error.found, _NO_ENGINE, error.fix)
        return
    yield Finding(_name(engine), Level.OK, f"local, with {settings.model_path}")
    if (seen := _find_seen(subject, engine)) is not None:
        yield _describe_seen(engine, seen, "by the running node: ")


def _find_seen(subject: Subject, engine: EngineConfig) -> ReadingSeen | None:
    engines = subject.status.engines if subject.status else ()
    return next((one.reading for one in engines if one.name == engine.name), None)


def _describe_seen(engine: EngineConfig, seen: ReadingSeen, found: str) -> Finding:
    found += f"{seen.health} {seen.software}".rstrip()
    if seen.health == EngineHealth.READY.value:
        return Finding(_name(engine), Level.OK, found)
    is_loading = seen.health == EngineHealth.LOADING.value
    return Finding(
        _name(engine),
        Level.WARNING if is_loading else Level.ERROR,
        f"{found}: {seen.detail}",
        "requests go to other nodes meanwhile" if is_loading else _NO_ENGINE,
        "wait" if is_loading else "look at the log of the node and of the engine",
    )


def _name(engine: EngineConfig) -> str:
    return f"engine {engine.name}"
