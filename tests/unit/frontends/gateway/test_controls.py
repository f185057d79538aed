"""A user's wishes are read from headers or body, and a wrong one is refused by its name.

Headers come as any case-insensitive mapping has them; members of the body come as raw JSON.
"""

import msgspec
import pytest

from wwwserve.core.sessions import Route
from wwwserve.frontends.gateway.controls import Controls, read_controls
from wwwserve.frontends.gateway.errors import Refused
from wwwserve.values.credits import MICROCREDITS_MAX
from wwwserve.values.ids import NodeId, node_text

NODE = NodeId(b"\x07" * 32)


def read_body(**fields: object) -> Controls:
    return read_controls(
        {},
        {
            f"x-wwwserve-{name.replace('_', '-')}": msgspec.Raw(msgspec.json.encode(value))
            for name, value in fields.items()
        },
    )


def test_no_wishes_are_the_usual() -> None:
    assert read_controls({"accept": "*/*", "x-other": "1"}, {}) == Controls()


def test_headers_and_body_say_the_same() -> None:
    headers = {
        "X-WWWServe-Route": "Network",
        "x-wwwserve-private": "true",
        "x-wwwserve-executors": f"{node_text(NODE)}, ",
        "x-wwwserve-deadline-ms": "1500",
        "x-wwwserve-seed": "7",
        "x-wwwserve-audit": "out",
    }
    expected = Controls(Route.NETWORK, True, (NODE,), 1_500_000, 7)  # noqa: FBT003 - as declared
    assert read_controls(headers, {}) == expected
    assert expected == read_body(
        route="network",
        private=True,
        executors=[node_text(NODE)],
        deadline_ms=1500,
        seed=7,
        audit="out",
    )


def test_a_header_wins() -> None:
    fields = {"x-wwwserve-route": msgspec.Raw(b'"local"')}
    assert read_controls({"x-wwwserve-route": "network"}, fields).route is Route.NETWORK


def test_null_is_no_wish() -> None:
    assert read_body(route=None, seed=None) == Controls()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("route", "sideways"),
        ("route", "local,network"),
        ("private", "maybe"),
        ("audit", "yes"),
        ("executors", "nobody"),
        ("executors", ",".join([node_text(NODE)] * 65)),
        ("deadline-ms", "0"),
        ("deadline-ms", "-5"),
        ("deadline-ms", "1.5"),
        ("deadline-ms", "soon"),
        ("deadline-ms", "9" * 5_000),
        ("deadline-ms", "²"),
        ("deadline-ms", str(25 * 3600 * 1000)),
        ("seed", "-1"),
        ("seed", str(2**63)),
        ("rout", "local"),
        ("max-price", "-1"),
        ("max-price", "cheap"),
        ("max-cost", "0.0000001"),
        ("max-cost", "1e3"),
        ("max-cost", "9" * 5_000),
    ],
)
def test_a_wrong_wish_is_refused_by_its_name(name: str, value: str) -> None:
    header = f"x-wwwserve-{name}"
    with pytest.raises(Refused) as caught:
        read_controls({header: value}, {})
    assert (caught.value.status, caught.value.param) == (400, header)
    assert len(caught.value.message) < 500


@pytest.mark.parametrize("value", [{}, [7], 1.5])
def test_a_member_of_a_wrong_kind_is_refused(value: object) -> None:
    with pytest.raises(Refused, match="route"):
        read_body(route=value)


def test_amounts_are_read_to_the_microcredit_from_texts_and_numbers() -> None:
    assert read_body(max_cost=0.1, max_price="667.5").cost_max == 100_000
    assert read_controls({"x-wwwserve-max-cost": "0.000001"}, {}).cost_max == 1
    assert read_body(max_price="667.5").price_max == 667_500_000
    assert read_body().cost_max == read_body().price_max == MICROCREDITS_MAX


def test_a_private_request_goes_to_no_node_that_is_not_named() -> None:
    with pytest.raises(Refused, match="not named"):
        read_body(private=True, route="network")
    assert read_body(private=True, route="network", executors=[node_text(NODE)]).is_private


def test_private_and_audited_exclude_each_other() -> None:
    with pytest.raises(Refused, match="never audited"):
        read_body(private=True, audit="in")


def test_a_provider_may_make_what_is_unsaid_private() -> None:
    assert read_controls({}, {}, is_private_unsaid=True) == Controls(is_private=True)
    route = {"x-wwwserve-route": "local"}
    assert read_controls(route, {}, is_private_unsaid=True).is_private
    said = {"x-wwwserve-private": "false"}
    assert not read_controls(said, {}, is_private_unsaid=True).is_private
