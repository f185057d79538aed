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
from wwwserve.wire import Endpoint


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


def test_prompts_with_the_same_beginning_share_its_hash() -> None:
    one = compute_prefixes([b"system", b"hello", b"there"])
    two = compute_prefixes([b"system", b"hello", b"you"])
    assert one[:2] == two[:2]
    assert one[2] != two[2]
    assert {len(prefix) for prefix in one} == {16}


def test_parts_cannot_be_shifted_into_one_another() -> None:
    assert compute_prefixes([b"ab", b"c"])[-1] != compute_prefixes([b"a", b"bc"])[-1]


def test_of_many_prefixes_the_first_and_the_longest_stay() -> None:
    parts = [str(number).encode() for number in range(100)]
    kept = compute_prefixes(parts)
    assert len(kept) == PREFIX_HASHES_MAX
    assert kept[0] == compute_prefixes(parts[:1])[0]
    assert kept[-2:] == (compute_prefixes(parts[:99])[-1], compute_prefixes(parts)[-1])
