"""The built-in scenarios, reading one from TOML, and changing one field of it from a command line.

A scenario is plain data (`sim.plans`), so whatever can be written in a file can also be set by its
path: `nodes.node-1.engine.slots=8`.
"""

import tomllib
from collections.abc import Sequence
from difflib import get_close_matches

import msgspec

from wwwserve.sim.plans import (
    EnginePlan,
    Fault,
    LengthPlan,
    NetworkPlan,
    NodePlan,
    Piece,
    Scenario,
    WorkloadPlan,
)
from wwwserve.values.moments import MILLISECOND, SECOND
from wwwserve.values.refusals import BadInput

_FAST = EnginePlan(slots=8, prefill_tokens_per_s=8_000, decode_tokens_per_s=60)
_SLOW = EnginePlan(slots=2, prefill_tokens_per_s=1_500, decode_tokens_per_s=20)

_HELLO = Scenario(
    name="hello",
    about="4 equal nodes, all users on one of them",
    nodes={
        "node-1": NodePlan(share=1),
        "node-2": NodePlan(),
        "node-3": NodePlan(),
        "node-4": NodePlan(),
    },
)

_MIXED = Scenario(
    name="mixed",
    about="4 unequal nodes; most users live at the weak ones, and the crowd moves",
    nodes={
        "large": NodePlan(share=15, engine=_FAST),
        "medium": NodePlan(share=20),
        "small-1": NodePlan(share=30, engine=_SLOW),
        "small-2": NodePlan(share=35, engine=_SLOW),
    },
    workload=WorkloadPlan(
        load_permille=600,
        pieces=(
            Piece(until_us=60 * SECOND),
            Piece(until_us=120 * SECOND, rate_permille=1_300, shares=(5, 10, 70, 15)),
            Piece(until_us=180 * SECOND, rate_permille=700),
        ),
    ),
    duration_us=180 * SECOND,
)

_CHURN = Scenario(
    name="churn",
    about="nodes are killed, restarted, leave and join while requests come in",
    nodes={
        "node-1": NodePlan(share=4),
        "node-2": NodePlan(share=1),
        "node-3": NodePlan(),
        "node-4": NodePlan(),
        "node-5": NodePlan(),
        "late": NodePlan(start_us=60 * SECOND),
    },
    workload=WorkloadPlan(load_permille=450),
    faults=(
        Fault(at_us=20 * SECOND, kind="kill", node="node-4", for_us=15 * SECOND),
        Fault(at_us=30 * SECOND, kind="power-cut", node="node-5", for_us=25 * SECOND),
        Fault(at_us=45 * SECOND, kind="engine-down", node="node-2", for_us=10 * SECOND),
        Fault(at_us=70 * SECOND, kind="leave", node="node-3"),
        Fault(at_us=80 * SECOND, kind="break-links", node="node-1"),
        Fault(at_us=90 * SECOND, kind="kill", node="late", for_us=5 * SECOND),
        Fault(at_us=100 * SECOND, kind="drain", node="node-4"),
    ),
)

_PARTITION = Scenario(
    name="partition",
    about="the network clogs, splits in two, loses one direction, and heals",
    nodes={
        "node-1": NodePlan(share=3),
        "node-2": NodePlan(share=1),
        "node-3": NodePlan(share=1),
        "node-4": NodePlan(share=3),
    },
    network=NetworkPlan(latency_us=40 * MILLISECOND, loss_permille=10),
    faults=(
        Fault(at_us=20 * SECOND, kind="clog", node="node-2", for_us=4 * SECOND),
        Fault(at_us=40 * SECOND, kind="split", node="node-2", for_us=30 * SECOND),
        Fault(at_us=85 * SECOND, kind="one-way", node="node-3", for_us=20 * SECOND),
    ),
)

_HOSTILE = Scenario(
    name="hostile",
    about="half of the nodes lie, decline, flood or accept and never answer",
    nodes={
        "node-1": NodePlan(share=2),
        "node-2": NodePlan(share=1),
        "node-3": NodePlan(),
        "node-4": NodePlan(),
        "silent": NodePlan(person="silent"),
        "decliner": NodePlan(person="decliner"),
        "flooder": NodePlan(person="flooder"),
        "liar": NodePlan(person="liar", engine=_SLOW),
    },
    workload=WorkloadPlan(load_permille=250),
    drain_us=1_200 * SECOND,
)

_SHARED_MODEL = "Qwen/Qwen3-8B"


def _create_gpu(gpu: str, share: int = 0) -> NodePlan:
    return NodePlan(
        share=share,
        engine=EnginePlan(profile=f"{gpu}:Qwen3-8B"),
        models=(_SHARED_MODEL,),
    )


_OVERLOADED_ORIGIN = Scenario(
    name="overloaded-origin",
    about="4 unlike GPUs with one model; all users at one of them, far beyond what it can do",
    nodes={
        "rtx-4090": _create_gpu("RTX-4090", share=1),
        "a100": _create_gpu("A100-80GB-SXM"),
        "l40s": _create_gpu("L40S"),
        "rtx-3090": _create_gpu("RTX-3090"),
    },
    workload=WorkloadPlan(
        load_permille=900,
        # Medians, means and tails as in a public trace of conversations (Azure, 2023).
        prompt_tokens=LengthPlan(low=20, median=1_016, p90=2_300, high=4_100),
        completion_tokens=LengthPlan(low=5, median=115, p90=400, high=900),
    ),
    duration_us=180 * SECOND,
)

SCENARIOS = {
    scenario.name: scenario
    for scenario in (_HELLO, _MIXED, _CHURN, _PARTITION, _HOSTILE, _OVERLOADED_ORIGIN)
}
"""Everything `wwwserve sim list` shows."""


def parse_scenario(text: str) -> Scenario:
    """Read a scenario from TOML. Raises `BadInput` naming the field."""
    try:
        return msgspec.convert(tomllib.loads(text), Scenario)
    except tomllib.TOMLDecodeError as error:
        raise BadInput("scenario", str(error), "TOML", "correct the file") from error
    except msgspec.ValidationError as error:
        raise BadInput(
            "scenario", str(error), "the fields of a scenario", "correct the field"
        ) from error


def apply_settings(scenario: Scenario, settings: Sequence[str]) -> Scenario:
    """The scenario with `key=value`s applied. Raises `BadInput` for an unknown key or bad value."""
    for setting in settings:
        key, separator, value = setting.partition("=")
        if not separator:
            raise BadInput("--set", setting, "key=value", "for example duration_us=60000000")
        scenario = _apply(scenario, key.strip(), value.strip())
    return scenario


def list_keys(scenario: Scenario) -> list[str]:
    """Every key `apply_settings` knows, in the scenario's order."""
    return _list_paths(_as_tree(scenario), "")


def _apply(scenario: Scenario, key: str, value: str) -> Scenario:
    tree = _as_tree(scenario)
    *folders, name = key.split(".")
    place: object = tree
    for folder in folders:
        place = place.get(folder) if isinstance(place, dict) else None
    if not isinstance(place, dict) or (name not in place and folders[-1:] != ["policy"]):
        raise _create_key_fault(key, tree)
    place[name] = _parse_value(value)
    try:
        return msgspec.convert(tree, Scenario)
    except msgspec.ValidationError as error:
        raise BadInput("--set", f"{key}={value}", str(error), "correct the value") from error


def _create_key_fault(key: str, tree: dict[str, object]) -> BadInput:
    known = _list_paths(tree, "")
    close = get_close_matches(key, known, n=3, cutoff=0.4)
    close += [path for path in known if path.endswith("." + key) and path not in close][:3]
    return BadInput(
        "--set",
        key,
        "a field of the scenario by its path, for example " + ", ".join(close or known[:3]),
        "wwwserve sim replay 1 shows such paths",
    )


def _as_tree(scenario: Scenario) -> dict[str, object]:
    """The scenario as nested tables with every field present, defaults included."""
    tree = _expand(scenario)
    assert isinstance(tree, dict), "a scenario is a table"
    return tree


def _expand(value: object) -> object:
    if isinstance(value, msgspec.Struct):
        return {name: _expand(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {key: _expand(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_expand(item) for item in value]
    return value


def _list_paths(tree: dict[str, object], before: str) -> list[str]:
    paths: list[str] = []
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            paths += _list_paths(value, f"{before}{key}.")
        else:
            paths.append(before + key)
    return paths


def _parse_value(text: str) -> object:
    """A TOML value, or a bare word as a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
