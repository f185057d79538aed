"""A bad body is refused before anything is spent on it, naming the field and what to try.

Bodies go in as bytes, as an HTTP client would send them; what is refused must say where and why.
"""

import pytest

from wwwserve.frontends.gateway.checking import apply_controls, check_body
from wwwserve.frontends.gateway.controls import Controls
from wwwserve.frontends.gateway.errors import Refused
from wwwserve.wire import Endpoint

MESSAGES = b'"messages":[{"role":"user","content":"Hi"}]'
CHAT = b'{"model":"m",' + MESSAGES + b"}"


def chat(more: bytes) -> bytes:
    return b'{"model":"m",' + MESSAGES + b"," + more + b"}"


def one_message(message: bytes) -> bytes:
    return b'{"model":"m","messages":[' + message + b"]}"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"messages":[]}', "messages"),
        (b'{"model":"m","messages":[]}', "messages"),
        (b'{"model":"m"}', "messages"),
        (b"{" + MESSAGES + b"}", "model"),
        (b'{"model":"",' + MESSAGES + b"}", "model"),
        (b'{"model":"' + b"x" * 300 + b'",' + MESSAGES + b"}", "model"),
        (b'{"model":7,' + MESSAGES + b"}", "model"),
        (one_message(b'{"content":"Hi"}'), "messages[0].role"),
        (one_message(b'{"role":7,"content":"Hi"}'), "messages[0].role"),
        (one_message(b'{"role":"user"}'), "messages[0].content"),
        (one_message(b'{"role":"user","content":null}'), "messages[0].content"),
        (one_message(b'{"role":"user","content":7}'), "messages[0].content"),
        (one_message(b'{"role":"user","content":{}}'), "messages[0].content"),
        (one_message(b'{"role":"user","content":["Hi"]}'), "messages[0].content[0]"),
        (one_message(b'{"role":"user","content":[{"text":"Hi"}]}'), "messages[0].content[0].type"),
        (one_message(b'"Hi"'), "messages[0]"),
        (chat(b'"max_tokens":0'), "max_tokens"),
        (chat(b'"max_tokens":-1'), "max_tokens"),
        (chat(b'"max_tokens":1e99'), "max_tokens"),
        (chat(b'"max_tokens":"9"'), "max_tokens"),
        (chat(b'"max_completion_tokens":2000000'), "max_completion_tokens"),
        (chat(b'"n":0'), "n"),
        (chat(b'"n":1000'), "n"),
        (chat(b'"stream":"yes"'), "stream"),
        (chat(b'"stream_options":7'), "stream_options"),
        (chat(b'"temperature":"hot"'), "temperature"),
        (chat(b'"stop":[7]'), "stop[0]"),
        (chat(b'"tools":[7]'), "tools[0]"),
        (chat(b'"prompt":"Hi"'), "prompt"),
    ],
)
def test_a_bad_chat_is_refused_by_field(body: bytes, param: str) -> None:
    with pytest.raises(Refused) as caught:
        check_body(Endpoint.CHAT, body)
    assert caught.value.status == 400
    assert caught.value.param == param
    assert "Try: " in caught.value.message


@pytest.mark.parametrize(
    ("endpoint", "body", "param"),
    [
        (Endpoint.COMPLETIONS, b'{"model":"m"}', "prompt"),
        (Endpoint.COMPLETIONS, b'{"model":"m","prompt":""}', "prompt"),
        (Endpoint.COMPLETIONS, b'{"model":"m","prompt":[]}', "prompt"),
        (Endpoint.COMPLETIONS, b'{"model":"m","prompt":null}', "prompt"),
        (Endpoint.COMPLETIONS, b'{"model":"m","prompt":7}', "prompt"),
        (Endpoint.COMPLETIONS, b'{"model":"m","prompt":["Hi",7]}', "prompt"),
        (Endpoint.COMPLETIONS, b'{"model":"m","prompt":[{}]}', "prompt[0]"),
        (Endpoint.COMPLETIONS, b'{"model":"m","prompt":"Hi",' + MESSAGES + b"}", "messages"),
        (Endpoint.COMPLETIONS, b'{"model":"m","prompt":"Hi","max_tokens":-1}', "max_tokens"),
        (Endpoint.EMBEDDINGS, b'{"model":"m"}', "input"),
        (Endpoint.EMBEDDINGS, b'{"model":"m","input":[]}', "input"),
        (Endpoint.EMBEDDINGS, b'{"model":"m","input":["Hi",[7]]}', "input"),
    ],
)
def test_a_bad_prompt_is_refused_by_field(endpoint: Endpoint, body: bytes, param: str) -> None:
    with pytest.raises(Refused) as caught:
        check_body(endpoint, body)
    assert (caught.value.status, caught.value.param) == (400, param)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"[]", "a JSON object"),
        (b'"Hi"', "a JSON object"),
        (CHAT + b"x", "not valid JSON"),
        (CHAT.replace(b"Hi", b"\xff"), "not UTF-8"),
        (b"\xef\xbb\xbf" + CHAT, "not valid JSON"),
        (chat(b'"temperature":NaN'), "not valid JSON"),
        (chat(b'"x":' + b"[" * 100_000 + b"]" * 100_000), "nested too deeply"),
        (chat(b'"x":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000), "nested too deeply"),
    ],
)
def test_what_is_no_json_object_is_refused(body: bytes, says: str) -> None:
    with pytest.raises(Refused, match=says) as caught:
        check_body(Endpoint.CHAT, body)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "body",
    [
        CHAT,
        chat(b'"unknown":{"a":[1.50]},"max_tokens":null,"n":null,"stop":"x"'),
        one_message(b'{"role":"assistant","content":null,"tool_calls":[]}'),
        one_message(b'{"role":"assistant","tool_calls":[]}'),
        one_message(b'{"role":"user","content":[]}'),
        one_message(b'{"role":"ipython","content":"custom"}'),
    ],
)
def test_what_engines_may_take_is_left_to_them(body: bytes) -> None:
    assert check_body(Endpoint.CHAT, body).model == "m"


@pytest.mark.parametrize("prompt", [b'"Hi"', b'["Hi","Ho"]', b"[1,2]", b"[[1],[2]]"])
def test_all_kinds_of_prompts_are_taken(prompt: bytes) -> None:
    body = b'{"model":"m","max_tokens":0,"prompt":' + prompt + b"}"
    assert check_body(Endpoint.COMPLETIONS, body).parts == (prompt,)


def test_what_the_node_decides_by_is_read() -> None:
    body = chat(
        b'"stream":true,"stream_options":{"include_usage":true},"n":2,"max_tokens":7,"seed":1,'
        b'"max_completion_tokens":9,"tools":[{"type":"function"}],"logprobs":true'
    )
    checked = check_body(Endpoint.CHAT, body)
    assert (checked.is_streamed, checked.shows_usage, checked.choices) == (True, True, 2)
    assert checked.completion_tokens_max == 9
    assert checked.needs == (), "engines without tools or logprobs answer without them"
    assert checked.parts == (b'[{"type":"function"}]', b'user:"Hi"')
    assert checked.has_seed


def test_an_image_needs_a_model_that_sees() -> None:
    content = b'[{"type":"text","text":"?"},{"type":"image_url","image_url":{"url":"x"}}]'
    body = one_message(b'{"role":"user","content":' + content + b"}")
    assert check_body(Endpoint.CHAT, body).needs == ("vision",)


def test_a_repeated_member_counts_and_travels_once() -> None:
    body = b'{"model":"a",' + MESSAGES + b',"model":"b","x-wwwserve-seed":1}'
    checked = check_body(Endpoint.CHAT, body)
    assert checked.model == "b"
    assert apply_controls(body, checked, Controls()).count(b'"model"') == 1


def test_a_body_without_own_fields_stays_as_it_was_written() -> None:
    body = b'{ "model" : "m", "messages":[{"role":"user","content":"x-wwwserve-"}], "a":1.0e2 }'
    assert apply_controls(body, check_body(Endpoint.CHAT, body), Controls()) is body


def test_own_fields_go_and_a_seed_comes_unless_there_is_one() -> None:
    body = chat(b'"x-wwwserve-route":"local","a":1.0e2')
    checked = check_body(Endpoint.CHAT, body)
    assert apply_controls(body, checked, Controls(seed=7)) == chat(b'"a":1.0e2,"seed":7')
    seeded = chat(b'"seed":1')
    assert apply_controls(seeded, check_body(Endpoint.CHAT, seeded), Controls(seed=7)) is seeded
