"""An operator's choices are merged, checked and explained: by layers of plain values and files.

Defaults, file, environment and flags are read together; whatever is wrong must come back as a
`BadInput` that names the field and says what to do. Each bad input is one a person might type.
"""

from dataclasses import fields
from pathlib import Path

import pytest

from wwwserve.node import (
    Config,
    Layer,
    LoadedConfig,
    list_values,
    load_config,
    parse_config,
)
from wwwserve.node.config import (
    EngineConfig,
    EngineKind,
    GatewayConfig,
    list_changes,
    validate_exposure,
)
from wwwserve.node.setup_parts import (
    make_bootstrap,
    make_groups,
    make_parameters,
    make_policy,
)
from wwwserve.ports.peer_handle import ConfigChange
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
    assert config.engines[0].is_local


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
    assert loaded.config.engines[0].kind is EngineKind.OPENAI


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


@pytest.mark.parametrize(
    "content",
    [
        b"[gateway",
        b"\xff\xfe",
        b"a = 1\na = 2",
        b"a = " + b"[" * 10_000,
        b"a = " + b"1" * 5_000,
        b"a" + b".a" * 100_000 + b" = 1",
    ],
    ids=["cut", "bytes", "twice", "nested", "digits", "dots"],
)
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(content)
    with pytest.raises(BadInput) as caught:
        load_config(file, {})
    assert caught.value.field == str(file)


def test_a_number_too_long_to_be_shown_is_refused_like_any_other(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f"[gateway]\nport = 0x{'f' * 5_000}\n", encoding="ascii")
    with pytest.raises(BadInput) as caught:
        load_config(file, {})
    assert caught.value.field == "gateway.port"


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
    assert loaded.config.engines[0].api_key == "sk-secret"
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
    assert refuse(models=[{"id": "a/b"}, {"id": "a/b"}]).expected == "each model once for an engine"
    assert refuse(models=[{"id": "a/b"}, {"name": "c/d"}]).field == "models[2].name"
    assert refuse(models=[{"aliases": ["x"]}]).field == "models[1].id"
    assert refuse(models={"id": "a/b"}).fix == "write [[models]] above each model"
    assert refuse(groups={"auto": ["a/b"]}).field == "groups"
    assert refuse(groups={"small": []}).field == "groups.small"


SEVERAL = """
[[engines]]
name = "large"
url = "http://127.0.0.1:8000/v1"
slots = 64
weight = 3
[[engines]]
name = "small"
[[models]]
id = "Qwen/Qwen3-8B"
engine = "large"
"""


def test_several_engines_are_tables_with_names(tmp_path: Path) -> None:
    loaded = read(tmp_path / "config.toml", SEVERAL)
    large, small = loaded.config.engines
    assert (large.name, large.slots, large.weight, large.is_local) == ("large", 64, 3, False)
    assert (small.name, small.weight, small.is_local) == ("small", 1, True)
    assert loaded.config.models[0].engine == "large"
    rows = {key: (value, origin) for key, value, origin in list_values(loaded)}
    assert rows["engines.large.slots"] == (64, str(tmp_path / "config.toml"))
    assert rows["engines.small.slots"] == (0, "default")
    assert "engine.slots" not in rows


def test_one_engine_in_the_short_form_is_the_only_one() -> None:
    assert parse(engine={"weight": 2}).engines == (EngineConfig(weight=2),)
    assert parse().engines == (EngineConfig(),)


@pytest.mark.parametrize(
    ("engines", "field", "expected"),
    [
        ([{"name": "a"}, {"name": "a"}], "engines.name", "each name once"),
        ([{"url": "http://127.0.0.1:8000"}], "engines[1].name", "one for each"),
        ([{"name": "a"}, {"name": "b", "kind": "vllm"}], "engines[2].url", "base URL"),
        ([{"name": "a", "weight": 0}], "engines[1].weight", "a whole number from 1 to 1000"),
        ([{"name": "a", "slot": 1}], "engines[1].slot", "a known one"),
        ([], "engines", "1 to 16"),
        ([{"name": f"engine-{number}"} for number in range(17)], "engines", "1 to 16"),
        ({"name": "a", "api_key": "sk-secret"}, "engines", "tables"),
    ],
)
def test_engines_that_cannot_be_told_apart_or_used_are_refused(
    engines: object, field: str, expected: str
) -> None:
    error = refuse(engines=engines)
    assert error.field == field
    assert expected in error.expected
    assert "sk-secret" not in str(error)


def test_both_forms_at_once_are_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        read(tmp_path / "config.toml", SEVERAL, WWWSERVE_ENGINE__URL="http://127.0.0.1:1")
    assert "engine.url (from environment)" in caught.value.found
    assert "set engine.url there" in caught.value.fix
    assert refuse(engine=[{"name": "a"}]).fix.startswith("write [[engines]] above each engine")
    with pytest.raises(BadInput, match=r"\[\[engines\]\] in config.toml"):
        load_config(None, {"WWWSERVE_ENGINES__URL": "http://127.0.0.1:1"})


def test_a_model_is_on_an_engine_that_is_there() -> None:
    engines = [{"name": "large"}, {"name": "small"}]
    error = refuse(engines=engines, models=[{"id": "a/b", "engine": "lrge"}])
    assert (error.field, error.expected) == ("models.engine", "an engine's name: large, small")
    twice = [{"id": "a/b", "engine": "large"}, {"id": "a/b", "engine": "large"}]
    assert refuse(engines=engines, models=twice).field == "models.id"
    assert (
        len(parse(engines=engines, models=[{"id": "a/b"}, {"id": "a/b", "engine": "large"}]).models)
        == 2
    )


def test_secrets_of_several_engines_are_not_printed() -> None:
    engines = [{"name": "a", "url": "http://127.0.0.1:1", "api_key": "sk-secret"}]
    loaded = parse_config([Layer("file", {"engines": engines})])
    assert loaded.config.engines[0].api_key == "sk-secret"
    assert "sk-secret" not in repr(list_values(loaded))
    assert "sk-secret" not in str(refuse(engines=[{"name": "a", "api_key": ["sk-secret"]}]))


def test_what_changed_is_told_setting_by_setting() -> None:
    url, keyed = "http://127.0.0.1:1", {"name": "a", "url": "http://127.0.0.1:1"}
    old = parse_config([Layer("file", {"engines": [keyed | {"api_key": "one"}, {"name": "b"}]})])
    new = parse_config(
        [
            Layer(
                "file",
                {
                    "engines": [keyed | {"api_key": "two"}, {"name": "c", "url": url}],
                    "policy": {"own_first": False},
                    "groups": {"small": ["a/b"]},
                },
            )
        ]
    )
    assert list_changes(old, old) == ()
    assert list_changes(old, new) == (
        ConfigChange("engines.a.api_key", "(set)", "(set)"),
        ConfigChange("engines.c.name", "-", "c"),
        ConfigChange("engines.c.url", "", url),
        ConfigChange("policy.own_first", old=True, new=False),
        ConfigChange("groups.small", [], ["a/b"]),
        ConfigChange("engines.b.name", "b", "-"),
    )


def test_the_policy_becomes_whole_thousandths() -> None:
    config = parse(policy={"accept_frequency": 0.333, "deny_nodes": [node_text(NODE)]})
    policy = make_policy(config)
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
