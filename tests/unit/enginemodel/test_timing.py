"""What an iteration costs: the formula's terms one by one, and the profiles people name.

The expected times are worked out by hand from constants chosen round, or follow from what the
formula is for: small prompts ride free under the weights, large ones do not.
"""

import pytest

from wwwserve.enginemodel import (
    IterationTiming,
    IterationWork,
    compute_iteration_us,
    find_profile,
    list_profiles,
)
from wwwserve.values.refusals import BadInput

ROUND = IterationTiming(
    t0_s=0.001,
    w_s=0.010,
    g_s_per_token=0.00001,
    r_s_per_token=0.000001,
    c_s_per_seq=0.00002,
    d_s_per_kv_token=1e-7,
    e_s_per_pair=1e-9,
)


def test_every_term_counts() -> None:
    # 1 ms + (10^4 + 10^4)^(1/4) ms + 1 ms + 0.2 ms + 0.5 ms + 0.49005 ms
    work = IterationWork(
        prefill_tokens=990, prefill_pairs=990 * 990 / 2, sequences=10, context_tokens=5_000
    )
    assert compute_iteration_us(ROUND, work) == round(3_190.05 + 10_000 * 2**0.25)


def test_a_small_prompt_rides_free_under_the_weights() -> None:
    timing = find_profile("H100-80GB-SXM:Qwen3-8B").iteration_model
    alone = compute_iteration_us(timing, IterationWork(0, 0.0, 1, 1_000))
    with_small = compute_iteration_us(timing, IterationWork(64, 64 * 32.0, 1, 1_000))
    with_large = compute_iteration_us(timing, IterationWork(2_000, 2_000 * 1_000.0, 1, 1_000))
    assert with_small < 1.05 * alone
    assert with_large > 4 * alone


def test_there_are_51_profiles_and_each_is_found_by_its_name() -> None:
    profiles = list_profiles()
    assert len(profiles) == 51
    assert len({profile.name for profile in profiles}) == 51
    assert all(find_profile(profile.name) == profile for profile in profiles)


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("rtx-4090:qwen3-8b", "RTX-4090:Qwen3-8B"),
        ("RTX-4090:Qwen3-8B:tp2", "RTX-4090:Qwen3-8B:tp2"),
        ("RTX-4090/Qwen3-8B/tp2", "RTX-4090:Qwen3-8B:tp2"),
        ("A100-80GB-SXM:Llama-3-70B", "A100-80GB-SXM:Llama-3-70B:tp2"),
    ],
)
def test_a_profile_is_found_however_it_is_typed(typed: str, found: str) -> None:
    assert find_profile(typed).name == found


@pytest.mark.parametrize("typed", ["RTX4090:Qwen3-8B", "rtx-4090:qwen-8b", "4090:qwen3-8b"])
def test_a_near_miss_is_told_the_name_it_meant(typed: str) -> None:
    with pytest.raises(BadInput) as caught:
        find_profile(typed)
    assert "RTX-4090:Qwen3-8B" in caught.value.fix


def test_nonsense_is_told_where_the_names_are() -> None:
    with pytest.raises(BadInput, match="wwwserve engine profiles"):
        find_profile("")
