"""What an engine serves follows from what its operator wrote and what it says, contradictions too.

Pure: configurations as a person writes them, and readings as engines give them.
"""

import pytest

from wwwserve.core.engines import EngineHealth, EngineModel, EngineReading
from wwwserve.core.sessions import ServedModel
from wwwserve.node import Config, Layer, parse_config
from wwwserve.node.serving import Service, compute_model_id, describe_service, explain_absent


def parse(**sections: object) -> Config:
    return parse_config([Layer("config.toml", sections)]).config


def read(*models: str) -> EngineReading:
    return EngineReading(EngineHealth.READY, models=tuple(EngineModel(name) for name in models))


def describe(config: Config, reading: EngineReading, engine: int = 0) -> Service:
    return describe_service(config, config.engines[engine], reading)


def serve(config: Config, reading: EngineReading, engine: int = 0) -> tuple[ServedModel, ...]:
    service = describe(config, reading, engine)
    assert not service.detail
    return service.models


TWO = [{"name": "a", "weight": 3}, {"name": "b"}]


def test_models_nobody_configured_are_what_the_engine_says() -> None:
    reading = EngineReading(
        EngineHealth.READY,
        models=(EngineModel("Qwen/Qwen3-8B", 4096), EngineModel("qwen3:8b"), EngineModel("a b")),
        slots=3,
        capabilities=("chat",),
    )
    served = serve(Config(), reading)
    assert [model.offer.model for model in served] == [
        "Qwen/Qwen3-8B",
        "local/qwen3-8b",
        "local/a-b",
    ]
    assert [model.engine_model for model in served] == ["Qwen/Qwen3-8B", "qwen3:8b", "a b"]
    assert served[0].offer.context_tokens == 4096
    assert served[1].offer.aliases == ("qwen3:8b",)
    assert {model.slots for model in served} == {3}


def test_what_an_engine_says_of_one_model_goes_before_what_it_says_of_all() -> None:
    reading = EngineReading(
        EngineHealth.READY,
        models=(EngineModel("org/embeds", None, ("embeddings",)), EngineModel("org/talks")),
        capabilities=("chat",),
    )
    served = serve(Config(), reading)
    assert [model.offer.capabilities for model in served] == [("embeddings",), ("chat",)]


def test_configured_models_come_first_and_are_completed_by_the_engine() -> None:
    reading = EngineReading(
        EngineHealth.READY,
        models=(EngineModel("qwen3:8b", 4096), EngineModel("other", 100)),
        capabilities=("chat", "tools"),
    )
    config = parse(
        models=[
            {"id": "Qwen/Qwen3-8B"},
            {"id": "me/mine", "engine_model": "other", "context_tokens": 50, "slots": 2},
            {"id": "me/absent"},
        ]
    )
    folded, named = describe(config, reading).models
    assert (folded.engine_model, folded.offer.context_tokens) == ("qwen3:8b", 4096)
    assert folded.offer.capabilities == ("chat", "tools")
    assert folded.slots == 4
    assert (named.engine_model, named.offer.context_tokens, named.slots) == ("other", 50, 2)


def test_a_model_the_engine_does_not_have_is_not_offered_and_named_to_the_operator() -> None:
    config = parse(models=[{"id": "a/b", "engine_model": "mispelled"}, {"id": "c/d"}])
    service = describe(config, read("misspelled", "d"))
    assert [model.offer.model for model in service.models] == ["c/d"]
    assert "no model mispelled" in service.detail
    assert "it has misspelled, d" in service.detail
    # An engine with one model has that one, whatever its operator calls it.
    only = parse(models=[{"id": "a/b"}])
    assert [model.engine_model for model in serve(only, read("anything"))] == ["anything"]
    # An engine that lists nothing is believed to have what its operator says.
    assert [model.engine_model for model in serve(config, read())] == ["mispelled", "c/d"]
    assert "..." in describe(config, read(*(f"m{number}" for number in range(9)))).detail


def test_the_latest_of_a_tag_needs_no_tag() -> None:
    config = parse(models=[{"id": "a/b", "engine_model": "qwen3"}])
    assert [model.engine_model for model in serve(config, read("x", "qwen3:latest"))] == [
        "qwen3:latest"
    ]


def test_models_that_run_elsewhere_are_served_only_if_they_are_named() -> None:
    reading = EngineReading(
        EngineHealth.READY,
        models=(EngineModel("big:cloud", is_on_demand=True), EngineModel("small")),
    )
    assert [model.engine_model for model in serve(Config(), reading)] == ["small"]
    named = parse(models=[{"id": "a/big", "engine_model": "big:cloud"}])
    assert [model.engine_model for model in serve(named, reading)] == ["big:cloud"]


def test_each_engine_serves_the_models_it_is_meant_for_or_has() -> None:
    config = parse(
        engines=TWO,
        models=[
            {"id": "org/here", "engine": "a", "slots": 2},
            {"id": "org/both"},
            {"id": "org/both", "engine": "b", "engine_model": "both-fp8"},
        ],
    )
    here, both = serve(config, read("here", "both", "more"))
    assert (here.engine, here.engine_model, here.slots, here.weight) == ("a", "here", 2, 3)
    assert (both.engine, both.engine_model, both.weight) == ("a", "both", 3)
    assert [(one.engine, one.engine_model) for one in serve(config, read("both-fp8"), 1)] == [
        ("b", "both-fp8")
    ]


def test_an_engine_no_table_is_about_serves_whatever_it_says() -> None:
    config = parse(engines=TWO, models=[{"id": "org/here", "engine": "a"}])
    assert [model.offer.model for model in serve(config, read("x"), 1)] == ["local/x"]


def test_an_engine_with_one_model_is_not_thought_to_have_another() -> None:
    config = parse(engines=TWO, models=[{"id": "org/one"}, {"id": "org/two"}])
    assert [model.offer.model for model in serve(config, read("one"))] == ["org/one"]
    assert [model.offer.model for model in serve(config, read("two"), 1)] == ["org/two"]
    assert "it has three" in describe(config, read("three")).detail


def test_a_model_on_no_engine_at_all_is_told_once() -> None:
    config = parse(engines=TWO, models=[{"id": "org/one"}, {"id": "org/tow"}])
    services = [describe(config, read("one")), describe(config, read("one", "two"), 1)]
    assert "no engine has a model like org/tow" in explain_absent(services)
    found = [describe(config, read("one")), describe(config, read("tow"), 1)]
    assert explain_absent(found) == ""


def test_slots_nobody_knows_are_a_guess() -> None:
    (guessed,) = serve(Config(), read("x"))
    (stated,) = serve(parse(engine={"slots": 8}), read("x"))
    assert (guessed.slots, guessed.is_slots_known) == (4, False)
    assert (stated.slots, stated.is_slots_known) == (8, True)


@pytest.mark.parametrize(
    ("engine_name", "model"),
    [
        ("org/name", "org/name"),
        ("models/deep/Some Model-Q4_K_M.gguf", "local/some-model"),
        ("C:\\models\\x.gguf", "local/x"),
        ("???", "local/model"),
    ],
)
def test_an_engines_name_becomes_a_canonical_id(engine_name: str, model: str) -> None:
    assert compute_model_id(engine_name) == model
