"""An operator's choices are merged, checked and explained: by layers of plain values and files.

Defaults, file, environment and flags are read together; whatever is wrong must come back as a
`BadInput` that names the field and says what to do. Each bad input is one a person might type.
"""

from dataclasses import fields
from pathlib import Path

import pytest

from wwwserve.core.engines import EngineHealth, EngineModel, EngineReading
from wwwserve.node import (
    Config,
    Layer,
    LoadedConfig,
    list_values,
    load_config,
    parse_config,
)
from wwwserve.node.config import EngineKind, GatewayConfig, validate_exposure
from wwwserve.node.setup_parts import (
    compute_model_id,
    make_bootstrap,
    make_groups,
    make_parameters,
    make_policy,
    make_served_models,
)
from wwwserve.values.ids import NodeId, node_text
from wwwserve.values.parameters import MAIN, compute_network_id
from wwwserve.values.refusals import BadInput
from wwwserve.wire import Ticket, ticket_text

NODE = NodeId(bytes(range(32)))
WILDCARD = "0.0.0.0"  # noqa: S104 - only spoken of, never bound
TICKET = Ticket(1, "main", NODE, ("192.0.2.7:8778", "[2001:db8::1]:8778"))


def parse(**sections: object) -> Config:
    return parse_config([Layer("config.toml", sections)]).config


def refuse(**sections: object) -> BadInput:
    with pytest.raises(BadInput) as caught:
        parse(**sections)
    return caught.value


def read(path: Path, text: str, *overrides: str, **environ: str) -> LoadedConfig:
    path.write_text(text, encoding="utf-8")
    return load_config(path, environ, overrides)


def test_no_configuration_is_a_safe_one(tmp_path: Path) -> None:
    config = load_config(tmp_path / "absent.toml", {}).config
    assert config == Config()
    assert config.gateway.host == config.admin.host == "127.0.0.1"
    assert not config.gateway.open
    assert config.engine.is_local


def test_each_layer_replaces_single_settings_of_the_one_before(tmp_path: Path) -> None:
    loaded = read(
        tmp_path / "config.toml",
        "[gateway]\nport = 1001\nopen = true\n[policy]\nown_first = false\naccept_frequency = 1\n",
        "gateway.port=1003",
        WWWSERVE_GATEWAY__PORT="1002",
        WWWSERVE_POLICY__ACCEPT_FREQUENCY="0.25",
        WWWSERVE_HOME="elsewhere",
        PATH="irrelevant",
    )
    assert loaded.config.gateway == GatewayConfig(port=1003, open=True)
    assert loaded.config.policy.accept_frequency == 0.25
    assert not loaded.config.policy.own_first
    assert loaded.origins == {
        "gateway.port": "flag",
        "gateway.open": str(tmp_path / "config.toml"),
        "policy.own_first": str(tmp_path / "config.toml"),
        "policy.accept_frequency": "environment",
    }


def test_lists_and_switches_can_come_as_text(tmp_path: Path) -> None:
    loaded = read(
        tmp_path / "config.toml",
        "",
        "policy.own_first=false",
        "groups.small=a/b,c/d",
        WWWSERVE_POLICY__DENY_MODELS="a/b, c/d",
        WWWSERVE_ENGINE__KIND="openai",
        WWWSERVE_ENGINE__URL="http://127.0.0.1:8000/v1",
    )
    assert not loaded.config.policy.own_first
    assert loaded.config.policy.deny_models == ("a/b", "c/d")
    assert loaded.config.groups == {"small": ("a/b", "c/d")}
    assert loaded.config.engine.kind is EngineKind.OPENAI


@pytest.mark.parametrize(
    ("section", "key", "suggested"),
    [
        ("gateway", "prot", "gateway.port"),
        ("policy", "accept_frequence", "policy.accept_frequency"),
        ("gateway", "listen", "links.listen"),
        ("engine", "model_path", "engine.model"),
    ],
)
def test_an_unknown_key_names_the_nearest_known_one(section: str, key: str, suggested: str) -> None:
    error = refuse(**{section: {key: 1}})
    assert error.field == f"{section}.{key}"
    assert suggested in error.fix
    assert "config.toml" in error.found


def test_an_unknown_section_names_the_nearest_known_one() -> None:
    assert "gateway" in refuse(gatway={"port": 1}).fix
    assert "known are" in refuse(zzz={}).fix


@pytest.mark.parametrize(
    ("section", "key", "value", "expected"),
    [
        ("gateway", "port", "8080", "a whole number from 0 to 65535"),
        ("gateway", "port", 65_536, "a whole number from 0 to 65535"),
        ("gateway", "port", True, "a whole number from 0 to 65535"),
        ("gateway", "open", 1, "true or false"),
        ("gateway", "host", "a host", "a host name or IP address"),
        ("policy", "accept_frequency", 1.5, "a number from 0 to 1"),
        ("policy", "deny_models", "a/b", "a list of at most 4096 texts"),
        ("policy", "deny_models", ["b"], "org/name"),
        ("policy", "allow_nodes", ["short"], "52 base32 characters"),
        ("engine", "kind", "vlm", "one of 'auto', 'local', 'openai', 'llama-server'"),
        ("engine", "url", "127.0.0.1:8000", "an http:// or https:// URL"),
        ("links", "listen", "8778", "host:port"),
        ("links", "listen", "0.0.0.0:8778", "the host:port others dial"),
        ("links", "advertise", ["node.example.org"], "host:port"),
        ("links", "advertise", ["0.0.0.0:1"], "an address others can dial"),
        ("network", "name", "", "a text of 1 to 100 characters"),
        ("network", "tickets", ["wwwserve1broken"], "one word beginning with wwwserve1"),
        ("admin", "host", "192.0.2.7", "a loopback address"),
    ],
)
def test_a_wrong_value_says_what_was_expected(
    section: str, key: str, value: object, expected: str
) -> None:
    error = refuse(**{section: {key: value}})
    assert error.field.startswith(section)
    assert expected in error.expected
    assert error.fix


def test_an_error_names_the_layer_it_came_from(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        read(tmp_path / "config.toml", "", WWWSERVE_GATEWAY__PORT="many")
    assert "environment" in caught.value.fix


def test_a_setting_with_one_underscore_is_not_overlooked() -> None:
    with pytest.raises(BadInput) as caught:
        load_config(None, {"WWWSERVE_GATEWAY_PORT": "1"})
    assert caught.value.fix == "WWWSERVE_GATEWAY__PORT"


@pytest.mark.parametrize("override", ["gateway.port", "port=1", "=", "gateway.=1"])
def test_a_malformed_flag_is_refused(override: str) -> None:
    with pytest.raises(BadInput, match="--set"):
        load_config(None, {}, [override])


@pytest.mark.parametrize("content", [b"[gateway", b"\xff\xfe", b"a = 1\na = 2"])
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(content)
    with pytest.raises(BadInput) as caught:
        load_config(file, {})
    assert caught.value.field == str(file)


def test_strangers_are_never_served_without_a_key() -> None:
    assert refuse(gateway={"host": WILDCARD, "open": True}).field == "gateway.open"
    wide = parse(gateway={"host": WILDCARD}).gateway
    with pytest.raises(BadInput, match="wwwserve keys add"):
        validate_exposure(wide, key_count=0)
    validate_exposure(wide, key_count=1)
    for host in ("localhost", "127.0.0.9", "::1"):
        validate_exposure(parse(gateway={"host": host, "open": True}).gateway, key_count=0)


@pytest.mark.parametrize(
    "engine",
    [
        {"kind": "local", "url": "http://127.0.0.1:8000"},
        {"kind": "openai"},
        {"url": "http://127.0.0.1:8000", "model": "model.gguf"},
        {"url": "http://127.0.0.1:8000", "api_key": "one", "api_key_env": "OTHER"},
        {"url": "http://name:secret@127.0.0.1:8000"},
    ],
)
def test_an_engine_is_described_once(engine: dict[str, object]) -> None:
    error = refuse(engine=engine)
    assert error.field.startswith("engine.")
    assert "secret" not in str(error)


def test_secrets_are_not_printed() -> None:
    url = "http://127.0.0.1:8000"
    loaded = parse_config([Layer("file", {"engine": {"url": url, "api_key": "sk-secret"}})])
    assert loaded.config.engine.api_key == "sk-secret"
    assert "sk-secret" not in repr(loaded)
    assert "sk-secret" not in repr(list_values(loaded))
    assert "sk-secret" not in str(refuse(engine={"api_key": ["sk-secret"]}))


def test_every_setting_is_listed_with_its_origin() -> None:
    rows = {key: (value, origin) for key, value, origin in list_values(parse_config([]))}
    assert rows["gateway.port"] == (8777, "default")
    assert rows["models"] == ((), "default")
    config = Config()
    keys = {f"gateway.{field.name}" for field in fields(config.gateway)}
    assert keys <= rows.keys()


def test_models_are_read_and_refused_one_by_one() -> None:
    config = parse(models=[{"id": "Qwen/Qwen3-8B", "aliases": ["qwen"]}, {"id": "a/b"}])
    assert [model.id for model in config.models] == ["Qwen/Qwen3-8B", "a/b"]
    assert refuse(models=[{"id": "a/b"}, {"id": "a/b"}]).expected == "each model once"
    assert refuse(models=[{"id": "a/b"}, {"name": "c/d"}]).field == "models[2].name"
    assert refuse(models=[{"aliases": ["x"]}]).field == "models[1].id"
    assert refuse(models={"id": "a/b"}).fix == "write [[models]] above each model"
    assert refuse(groups={"auto": ["a/b"]}).field == "groups"
    assert refuse(groups={"small": []}).field == "groups.small"


def test_the_policy_becomes_whole_thousandths() -> None:
    policy = make_policy(
        parse(policy={"accept_frequency": 0.333, "deny_nodes": [node_text(NODE)]}).policy
    )
    assert policy.accept_permille == 333
    assert policy.target_utilisation_permille == 700
    assert policy.deny_nodes == (NODE,)


def test_tickets_say_who_must_answer_and_addresses_do_not() -> None:
    config = parse(network={"tickets": [ticket_text(TICKET)], "bootstrap": ["node.example.org:1"]})
    assert make_bootstrap(config) == (
        ("192.0.2.7:8778", NODE),
        ("[2001:db8::1]:8778", NODE),
        ("node.example.org:1", None),
    )
    assert make_groups(config) == {}


def test_a_ticket_of_another_network_is_refused() -> None:
    error = refuse(network={"name": "private", "tickets": [ticket_text(TICKET)]})
    assert error.field == "network.tickets"
    assert "'main'" in error.fix


def test_another_network_is_another_identity() -> None:
    private = make_parameters(parse(network={"name": "private"}))
    assert private.network == "private"
    assert compute_network_id(private) != compute_network_id(MAIN)
    assert make_parameters(Config()) == MAIN


def test_models_nobody_configured_are_what_the_engine_says() -> None:
    reading = EngineReading(
        EngineHealth.READY,
        models=(EngineModel("Qwen/Qwen3-8B", 4096), EngineModel("qwen3:8b"), EngineModel("a b")),
        slots=3,
        capabilities=("chat",),
    )
    served = make_served_models(Config(), reading)
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
    served = make_served_models(Config(), reading)
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
    folded, named, absent = make_served_models(config, reading)
    assert (folded.engine_model, folded.offer.context_tokens) == ("qwen3:8b", 4096)
    assert folded.offer.capabilities == ("chat", "tools")
    assert folded.slots == 4
    assert (named.engine_model, named.offer.context_tokens, named.slots) == ("other", 50, 2)
    assert absent.engine_model == "me/absent"


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
