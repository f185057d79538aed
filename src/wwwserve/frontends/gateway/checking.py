"""A request's body, checked before anything is spent on it.

Only the fields checked here are decoded, once; the rest stays bytes and reaches the engine as the
user wrote it, unknown fields included. Engines forgive what clients must not rely on (an empty list
of messages) and crash on what users should be told (a message without a role), so nothing of that
is left to them.
"""

import re
from typing import Annotated, TypeVar, assert_never

import msgspec
from msgspec import Meta

from wwwserve.core.requests import OWN_FIELD_PREFIX
from wwwserve.frontends.gateway.controls import Controls
from wwwserve.frontends.gateway.errors import Refused, refuse_field
from wwwserve.values.model_names import MODEL_NAME_LENGTH_MAX
from wwwserve.wire import Endpoint

MESSAGES_MAX = 10_000
"""Messages of one conversation; an engine's context ends long before."""
INPUTS_MAX = 2_048
"""Texts in one request for embeddings or completions (OpenAI's bound for embeddings)."""
CHOICES_MAX = 128
"""Answers to one prompt (OpenAI's bound of `n`)."""
COMPLETION_TOKENS_MAX = 1_000_000
"""Tokens a user may ask for; no engine has so long an answer."""

ModelName = Annotated[str, Meta(min_length=1, max_length=MODEL_NAME_LENGTH_MAX)]
TokenCount = Annotated[int, Meta(ge=1, le=COMPLETION_TOKENS_MAX)]
ChoiceCount = Annotated[int, Meta(ge=1, le=CHOICES_MAX)]
ShortText = Annotated[str, Meta(min_length=1, max_length=64)]
Value = TypeVar("Value")
_ROLES_WITHOUT_WORDS = ("assistant", "tool", "function")
"""Whose messages may have nothing but calls in them."""
# Where a member is missing, these very objects are its value.
_ABSENT = msgspec.Raw(b"")
_NULL = msgspec.Raw(b"null")


class _Message(msgspec.Struct):
    role: ShortText
    content: msgspec.Raw = _NULL


class _Part(msgspec.Struct):
    type: ShortText


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _Generation(msgspec.Struct, kw_only=True):
    """What chats and text completions have in common."""

    model: ModelName
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    n: ChoiceCount | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None


class _Chat(_Generation, kw_only=True):
    messages: Annotated[list[_Message], Meta(min_length=1, max_length=MESSAGES_MAX)]
    max_tokens: TokenCount | None = None
    max_completion_tokens: TokenCount | None = None
    tools: msgspec.Raw = _NULL
    prompt: msgspec.Raw = _ABSENT


class _Completion(_Generation, kw_only=True):
    prompt: msgspec.Raw
    max_tokens: Annotated[int, Meta(ge=0, le=COMPLETION_TOKENS_MAX)] | None = None
    """0 is for those who only want their own prompt back with its log probabilities."""
    messages: msgspec.Raw = _ABSENT


class _Embedding(msgspec.Struct):
    model: ModelName
    input: msgspec.Raw


_CHATS = msgspec.json.Decoder(_Chat)
_COMPLETIONS = msgspec.json.Decoder(_Completion)
_EMBEDDINGS = msgspec.json.Decoder(_Embedding)
_CONTENTS = msgspec.json.Decoder(list[_Part])
_TOOLS = msgspec.json.Decoder(list[dict[str, msgspec.Raw]] | None)
_TEXTS = msgspec.json.Decoder(str | list[str | int | list[int]])
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])

_OWN_FIELD_PREFIX = OWN_FIELD_PREFIX.encode()
_FIXES = {
    "model": "a name that GET /v1/models lists",
    "messages": '[{"role": "user", "content": "Hello"}]',
    "max_tokens": f"1 to {COMPLETION_TOKENS_MAX}, or leave it out for no limit",
    "max_completion_tokens": f"1 to {COMPLETION_TOKENS_MAX}, or leave it out for no limit",
    "n": f"1 to {CHOICES_MAX}",
    "stream": "true or false",
    "stream_options": '{"include_usage": true}',
    "prompt": "a text, or a list of texts",
    "input": "a text, or a list of texts",
    "tools": '[{"type": "function", "function": {"name": ...}}]',
}
_MISSING = re.compile(r"missing required field `([^`]+)`")
_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `\$\.?(?P<path>.*)`)?$", re.DOTALL)


class CheckedBody(msgspec.Struct, frozen=True):
    """What a gateway needs to know of a request's body."""

    model: str
    parts: tuple[bytes, ...]
    """The prompt as JSON, in the order an engine reads it: tools, then messages or texts."""
    own_fields: dict[str, msgspec.Raw]
    """Members for this product, by their full names."""
    is_streamed: bool = False
    shows_usage: bool = False
    choices: int = 1
    completion_tokens_max: int = 0
    needs: tuple[str, ...] = ()
    """What an engine without it fails at; without tools or logprobs it answers all the same."""
    has_seed: bool = False


def check_body(endpoint: Endpoint, body: bytes) -> CheckedBody:
    """Decode and check a body; raises `Refused` (400) naming the first field that is wrong."""
    try:
        # Skipped fields are not decoded, so their text is looked at here.
        body.decode()
    except UnicodeDecodeError as error:
        raise Refused(400, f"the body is not UTF-8: byte {error.start} cannot be read") from error
    try:
        return _check(endpoint, body)
    except msgspec.ValidationError as error:
        raise _explain(error) from error
    except ValueError as error:
        raise Refused(400, f"the body is not valid JSON: {error}") from error
    except RecursionError as error:
        raise Refused(400, "the body is nested too deeply") from error


def apply_controls(body: bytes, checked: CheckedBody, controls: Controls) -> bytes:
    """The body without this product's own fields, and with the seed its user asked for."""
    sets_seed = controls.seed is not None and not checked.has_seed
    if not checked.own_fields and not sets_seed:
        return body
    fields = _FIELDS.decode(body)
    for name in checked.own_fields:
        del fields[name]
    if sets_seed:
        fields["seed"] = msgspec.Raw(msgspec.json.encode(controls.seed))
    return msgspec.json.encode(fields)


def _check(endpoint: Endpoint, body: bytes) -> CheckedBody:
    own_fields = _find_own_fields(body)
    match endpoint:
        case Endpoint.CHAT:
            return _check_chat(_CHATS.decode(body), own_fields)
        case Endpoint.COMPLETIONS:
            return _check_completion(_COMPLETIONS.decode(body), own_fields)
        case Endpoint.EMBEDDINGS:
            request = _EMBEDDINGS.decode(body)
            parts = _check_texts("input", request.input)
            return CheckedBody(request.model, parts, own_fields)
        case _:
            assert_never(endpoint)


def _check_chat(chat: _Chat, own_fields: dict[str, msgspec.Raw]) -> CheckedBody:
    if chat.prompt is not _ABSENT:
        raise refuse_field("prompt", "not together with messages", "leave one of them out")
    has_images = False
    parts = []
    if chat.tools is not _NULL and _decode_below("tools", _TOOLS, chat.tools):
        parts.append(bytes(chat.tools))
    for index, message in enumerate(chat.messages):
        content = bytes(message.content)
        has_images |= _check_content(index, message.role, content)
        parts.append(message.role.encode() + b":" + content)
    return CheckedBody(
        chat.model,
        tuple(parts),
        own_fields,
        is_streamed=bool(chat.stream),
        shows_usage=_shows_usage(chat),
        choices=chat.n or 1,
        completion_tokens_max=chat.max_completion_tokens or chat.max_tokens or 0,
        needs=("vision",) if has_images else (),
        has_seed=chat.seed is not None,
    )


def _check_content(index: int, role: str, content: bytes) -> bool:
    """Check what a message says; whether there are images in it."""
    if content.startswith(b'"') or (content == b"null" and role in _ROLES_WITHOUT_WORDS):
        return False
    param = f"messages[{index}].content"
    if content.startswith(b"["):
        parts = _decode_below(param, _CONTENTS, content)
        return any(part.type in ("image_url", "input_image") for part in parts)
    raise refuse_field(param, "expected a text or a list of parts", '"content": "Hello"')


def _check_completion(request: _Completion, own_fields: dict[str, msgspec.Raw]) -> CheckedBody:
    if request.messages is not _ABSENT:
        expected = "not for text completions"
        raise refuse_field("messages", expected, "POST /v1/chat/completions, or send a prompt")
    return CheckedBody(
        request.model,
        _check_texts("prompt", request.prompt),
        own_fields,
        is_streamed=bool(request.stream),
        shows_usage=_shows_usage(request),
        choices=request.n or 1,
        completion_tokens_max=request.max_tokens or 0,
        has_seed=request.seed is not None,
    )


def _shows_usage(request: _Generation) -> bool:
    return request.stream_options is not None and bool(request.stream_options.include_usage)


def _check_texts(param: str, raw: msgspec.Raw) -> tuple[bytes, ...]:
    """Check a prompt or input, one or many, of text or of tokens; its parts."""
    texts = _decode_below(param, _TEXTS, raw)
    if not texts:
        raise refuse_field(param, "expected something in it", _FIXES[param])
    _check_one_kind(param, texts)
    is_one = isinstance(texts, str) or isinstance(texts[0], int)
    if not is_one and len(texts) > INPUTS_MAX:
        raise refuse_field(param, f"expected at most {INPUTS_MAX} texts", "send fewer at once")
    return (bytes(raw),)


def _check_one_kind(param: str, texts: str | list[str | int | list[int]]) -> None:
    if len({type(text) for text in texts}) > 1:
        raise refuse_field(param, "expected texts or tokens, not both", _FIXES[param])


def _find_own_fields(body: bytes) -> dict[str, msgspec.Raw]:
    if _OWN_FIELD_PREFIX not in body:
        return {}
    fields = _FIELDS.decode(body)
    return {name: raw for name, raw in fields.items() if name.startswith(OWN_FIELD_PREFIX)}


def _decode_below(
    param: str, decoder: "msgspec.json.Decoder[Value]", raw: msgspec.Raw | bytes
) -> Value:
    """Decode a member that was kept as it came."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise _explain(error, below=param) from error


def _explain(error: msgspec.ValidationError, below: str = "") -> Refused:
    """Say in our words which field is wrong."""
    found = _PLACE.match(str(error))
    what, path = (found["what"], found["path"] or "") if found else (str(error), "")
    missing = _MISSING.search(what)
    names = [below, path, missing[1] if missing else ""]
    param = ".".join(name for name in names if name).replace(".[", "[")
    if not param:
        return Refused(400, f"the body: {what[0].lower()}{what[1:]}. Try: a JSON object")
    fix = _FIXES.get(re.split(r"[.\[]", param)[0], "see OpenAI's API reference")
    return refuse_field(param, "it is required" if missing else what[0].lower() + what[1:], fix)
