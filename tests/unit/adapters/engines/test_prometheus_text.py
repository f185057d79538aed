"""A metrics page is read for what it has; odd lines, odd numbers and absent names are unknown."""

from hypothesis import given
from hypothesis import strategies as st

from wwwserve.adapters.engines.prometheus_text import get_count, get_permille, parse_metrics

PAGE = """\
# HELP vllm:num_requests_running Number of requests
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{model_name="a",engine="0"} 3.0
vllm:num_requests_running{model_name="b} odd",engine="1"} 2
llamacpp:requests_deferred 4 1700000000000
kv_ratio{slot="0"} 0.25
kv_ratio{slot="1"} 7.5e-01
not_a_number NaN
endless +Inf
half a line
"""


def test_samples_of_several_models_add_up() -> None:
    assert get_count(parse_metrics(PAGE), "vllm:num_requests_running") == 5


def test_a_timestamp_is_not_part_of_the_value() -> None:
    assert get_count(parse_metrics(PAGE), "llamacpp:requests_deferred") == 4


def test_the_fullest_cache_counts_in_thousandths() -> None:
    assert get_permille(parse_metrics(PAGE), "kv_ratio") == 750


def test_older_names_are_tried_in_turn() -> None:
    assert get_count(parse_metrics(PAGE), "absent", "llamacpp:requests_deferred") == 4


def test_unknown_is_not_zero() -> None:
    metrics = parse_metrics(PAGE)
    for name in ("absent", "not_a_number", "endless", "half"):
        assert get_count(metrics, name) is None
        assert get_permille(metrics, name) is None


@given(st.text())
def test_no_page_is_too_odd(page: str) -> None:
    parse_metrics(page)
