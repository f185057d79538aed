"""A body reaches the engine as its user wrote it, but for what must change; sizes are estimates.

Bodies go in as bytes and the bytes an engine would get are compared, so that digits, order and
unknown fields count.
"""

import pytest

from wwwserve.core.requests.bodies import (
    MEDIA_TOKENS,
    compute_prefixes,
    estimate_prompt_tokens,
    prepare_engine_body,
    rename_reply,
)
from wwwserve.values.limits import PREFIX_HASHES_MAX
from wwwserve.values.refusals import Refusal
from wwwserve.wire import PREFIX_TOKENS, Endpoint

KEY = b"k" * 32


def test_the_engine_gets_its_own_name_and_always_a_stream() -> None:
    body = b'{"model":"auto","messages":[ {"role":"user"} ],"temperature":0.70000000000000000001}'
    assert prepare_engine_body(body, "engine.gguf", Endpoint.CHAT) == (
        b'{"model":"engine.gguf","messages":[ {"role":"user"} ],'
        b'"temperature":0.70000000000000000001,"stream":true,'
        b'"stream_options":{"include_usage":true}}'
    )


def test_other_stream_options_stay() -> None:
    body = b'{"stream":false,"stream_options":{"include_usage":false,"new":[1]}}'
    prepared = prepare_engine_body(body, "m", Endpoint.COMPLETIONS)
    assert prepared == (
        b'{"stream":true,"stream_options":{"include_usage":true,"new":[1]},"model":"m"}'
    )
    assert b'"include_usage":true' in prepare_engine_body(
        b'{"stream_options":null}', "m", Endpoint.CHAT
    )


def test_embeddings_are_not_streamed() -> None:
    assert prepare_engine_body(b'{"input":"x"}', "m", Endpoint.EMBEDDINGS) == (
        b'{"input":"x","model":"m"}'
    )


def test_our_own_fields_never_reach_an_engine() -> None:
    body = b'{"x-wwwserve-route":"local","x-wwwserve-new":1,"x-other":2}'
    assert prepare_engine_body(body, "m", Endpoint.EMBEDDINGS) == b'{"x-other":2,"model":"m"}'


@pytest.mark.parametrize("body", [b"", b"[]", b'{"a"', b'{"stream_options":3}', b'{"a":' * 5_000])
def test_what_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(Refusal):
        prepare_engine_body(body, "m", Endpoint.CHAT)


def test_an_answer_speaks_of_the_model_the_user_asked_for() -> None:
    reply = b'{"data":[0.10000000000000000001],"model":"engine.gguf"}'
    assert rename_reply(reply, "org/name") == reply.replace(b"engine.gguf", b"org/name")
    assert rename_reply(b'{"data":[]}', "m") == b'{"data":[]}'
    with pytest.raises(Refusal):
        rename_reply(b"[]", "m")


def test_prompts_are_about_a_quarter_of_their_bytes() -> None:
    assert 240 <= estimate_prompt_tokens([b'"' + b"word " * 200 + b'"']) <= 270
    assert estimate_prompt_tokens([]) == 0


def test_an_image_counts_as_one_however_large_it_is() -> None:
    image = b'[{"type":"image_url","image_url":{"url":"data:image/png;base64,%s"}}]' % (
        b"A" * 10**6
    )
    assert MEDIA_TOKENS < estimate_prompt_tokens([image]) < MEDIA_TOKENS + 100


def test_runs_too_short_for_media_are_words() -> None:
    words = b'[";base64,", "' + (b"A" * 255 + b" ") * 400 + b'"]'
    assert estimate_prompt_tokens([words]) == 4 + len(words) // 4
    assert estimate_prompt_tokens([words.replace(b"A ", b"AA ")]) >= 400 * MEDIA_TOKENS


def test_tokens_given_as_numbers_are_counted() -> None:
    assert estimate_prompt_tokens([b"[1,22,333]", b"[ [4, 5] ]"]) == 5


def test_prompts_with_the_same_beginning_share_its_hashes() -> None:
    # [REQUESTS-PREFIX.5]
    turn = [b"system:" + b"s" * 3_000, b"user:" + b"u" * 1_500]
    later = [*turn, b"assistant:" + b"a" * 2_000, b"user:more"]
    one, two = compute_prefixes(turn, KEY), compute_prefixes(later, KEY)
    assert (len(one), len(two)) == (4, 6), "one for each 256 tokens of four bytes"
    assert two[:4] == one
    other = compute_prefixes([turn[0], b"user:" + b"x" * 1_500], KEY)
    assert other[:2] == one[:2], "the system prompt is longer than two of them"
    assert not set(other[2:]) & set(one)
    assert {len(prefix) for prefix in one} == {16}


def test_a_prompt_that_is_one_text_shares_its_beginning_too() -> None:
    begin = b'"' + b"x" * 10_000
    one, two = compute_prefixes([begin + b'a"'], KEY), compute_prefixes([begin + b'b"'], KEY)
    assert one == two
    assert len(one) == 8


def test_another_key_gives_other_hashes() -> None:
    # [REQUESTS-PREFIX.5]
    parts = [b"a guess at what somebody asked" * 100]
    assert not set(compute_prefixes(parts, KEY)) & set(compute_prefixes(parts, bytes(32)))


def test_parts_cannot_be_shifted_into_one_another() -> None:
    filler = b"f" * 2_000
    assert compute_prefixes([b"ab", b"c", filler], KEY) != compute_prefixes(
        [b"a", b"bc", filler], KEY
    )


def test_a_prompt_has_no_more_hashes_than_travel_and_a_short_one_none() -> None:
    hashes = compute_prefixes([b"x" * 4_000_000], KEY)
    assert len(hashes) == PREFIX_HASHES_MAX == len(PREFIX_TOKENS)
    assert compute_prefixes([b"x" * 1_000], KEY) == ()
    assert compute_prefixes([], KEY) == ()
