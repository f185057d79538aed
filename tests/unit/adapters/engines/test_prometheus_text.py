"""A metrics page is read for what it has; odd lines, odd numbers and absent names are unknown."""

from hypothesis import given
from hypothesis import strategies as st

from wwwserve.adapters.engines.prometheus_text import (
    get_count,
    get_permille,
    list_labels,
    parse_metrics,
)

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
below_zero -1
too_many 1e300
percents 55
full 1.0000001
by_priority{priority=""} 7
by_priority{priority="1"} 6
by_priority{priority="9",rank="0"} 1
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
    for name in ("absent", "not_a_number", "endless", "half", "below_zero", "too_many"):
        assert get_count(metrics, name) is None
        assert get_permille(metrics, name) is None


def test_a_share_of_more_than_all_is_unknown_unless_by_rounding() -> None:
    metrics = parse_metrics(PAGE)
    assert get_permille(metrics, "percents") is None
    assert get_permille(metrics, "full") == 1_000


def test_what_is_counted_once_more_for_each_priority_is_counted_once() -> None:
    assert get_count(parse_metrics(PAGE), "by_priority") == 7


def test_labels_are_listed_for_each_sample_of_just_that_name() -> None:
    assert list_labels(PAGE, "kv_ratio") == [{"slot": "0"}, {"slot": "1"}]
    assert list_labels(PAGE, "vllm:num_requests_running")[1]["engine"] == "1"
    assert list_labels(PAGE, "full") == [{}]
    assert list_labels(PAGE, "vllm:num_requests") == []


def test_a_name_of_a_megabyte_takes_no_time() -> None:
    # By the square of its length it would take days.
    assert list_labels("a{" + "b" * 1_000_000 + "} 1", "a") == [{}]


@given(st.text())
def test_no_page_is_too_odd(page: str) -> None:
    parse_metrics(page)
    list_labels(page, "a")
