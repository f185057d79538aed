"""What an emulated engine reads in a request: prompt, length of answer, and what it refuses.

Bodies as clients send them go through the desk that reads them; no socket is opened.
"""

from statistics import mean, median

import msgspec
import pytest

from wwwserve.adapters.engines import EmulatedSettings, parse_fault
from wwwserve.adapters.engines.emulated_orders import Order, OrderDesk, WrongRequest
from wwwserve.adapters.engines.emulated_settings import Fault, FaultKind
from wwwserve.enginemodel import Demand, find_profile
from wwwserve.values.moments import SECOND
from wwwserve.values.refusals import BadInput
from wwwserve.wire import Endpoint

DESK = OrderDesk("model", context_tokens=1_000, seed=7)
MESSAGES = [{"role": "user", "content": "one two three"}]


def read(endpoint: Endpoint = Endpoint.CHAT, desk: OrderDesk = DESK, **fields: object) -> Order:
    if endpoint is Endpoint.CHAT:
        fields = {"messages": MESSAGES} | fields
    return desk.read(endpoint, msgspec.json.encode(fields))


def test_ignoring_the_end_fixes_the_length() -> None:
    order = read(max_tokens=321, ignore_eos=True)
    assert order.demands == (Demand(3, 321),)
    assert order.answer is not None
    assert len(order.answer.words) == 321
    assert order.answer.finish_reason == "length"


def test_ignoring_the_end_without_a_limit_fills_the_context() -> None:
    assert read(ignore_eos=True).demands == (Demand(3, 997),)


def test_a_trace_tells_the_length_its_users_did_not() -> None:
    order = read(answer_tokens=321)
    assert order.demands == (Demand(3, 321),)
    assert order.answer is not None
    assert order.answer.finish_reason == "stop"
    assert read(answer_tokens=321, max_tokens=320).demands == (Demand(3, 320),)
    assert read(answer_tokens=5_000).demands == (Demand(3, 997),), "what the context holds"


def test_a_length_is_drawn_from_the_seed_and_the_prompt() -> None:
    first = read().demands
    assert read().demands == first
    assert read(seed=1).demands != first
    assert read(desk=OrderDesk("model", 1_000, seed=8)).demands != first


def test_limits_bound_what_is_drawn() -> None:
    drawn = read().demands[0].output_tokens
    assert 2 < drawn < 900
    cut = read(max_completion_tokens=2)
    assert cut.demands == (Demand(3, 2),)
    assert cut.answer is not None
    assert cut.answer.finish_reason == "length"
    free = read(max_tokens=drawn + 1)
    assert free.answer is not None
    assert free.answer.finish_reason == "stop"
    assert read(min_tokens=900).demands == (Demand(3, 900),)


def test_drawn_lengths_are_those_of_conversations() -> None:
    desk = OrderDesk("model", context_tokens=32_768, seed=7)
    lengths = [read(desk=desk, seed=seed).demands[0].output_tokens for seed in range(1_000)]
    assert 110 < median(lengths) < 146
    assert 165 < mean(lengths) < 220


def test_each_choice_is_a_sequence_of_its_own() -> None:
    order = read(n=3, max_tokens=5, ignore_eos=True)
    assert order.demands == (Demand(3, 5),) * 3
    prompts = read(Endpoint.COMPLETIONS, prompt=["a b", "c d"], max_tokens=5, ignore_eos=True)
    assert prompts.demands == (Demand(2, 5),) * 2


def test_a_prompt_may_be_numbers() -> None:
    order = read(Endpoint.COMPLETIONS, prompt=[1] * 99, max_tokens=1)
    assert order.demands == (Demand(99, 1),)


def test_an_embedding_is_a_prompt_without_an_answer() -> None:
    order = read(Endpoint.EMBEDDINGS, input=["a b", "c"])
    assert order.answer is None
    assert order.demands == (Demand(2, 1), Demand(1, 1))


def test_a_tool_call_is_one_token() -> None:
    order = read(tools=[{"type": "function", "function": {"name": "find"}}])
    assert order.demands == (Demand(3, 1),)


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        ({"model": "other"}, 404, "`other` does not exist; this is `model`"),
        ({"messages": []}, 400, "messages: expected"),
        ({"max_tokens": 0}, 400, "max_tokens"),
        ({"max_tokens": "many"}, 400, "max_tokens"),
        ({"n": 1_000}, 400, "n"),
        ({"max_tokens": 998}, 400, "maximum context length is 1000 tokens"),
    ],
)
def test_a_wrong_request_is_refused_as_by_a_real_engine(
    fields: dict[str, object], status: int, message: str
) -> None:
    with pytest.raises(WrongRequest) as caught:
        DESK.read(Endpoint.CHAT, msgspec.json.encode({"messages": MESSAGES} | fields))
    assert caught.value.status == status
    assert message in caught.value.message


@pytest.mark.parametrize("body", [b"", b"no json", b"[]", b'"text"', b"[" * 100_000])
def test_no_body_breaks_the_desk(body: bytes) -> None:
    with pytest.raises(WrongRequest):
        DESK.read(Endpoint.CHAT, body)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("crash", Fault(FaultKind.CRASH)),
        ("5xx:10%", Fault(FaultKind.ERROR, share_permille=100)),
        ("drip@30", Fault(FaultKind.DRIP, after_us=30 * SECOND)),
        ("hang:5%@2", Fault(FaultKind.HANG, 50, 2 * SECOND)),
    ],
)
def test_a_fault_is_read_as_typed(text: str, fault: Fault) -> None:
    assert parse_fault(text) == fault


@pytest.mark.parametrize("text", ["", "boom", "5xx:101%", "hang:5", "crash@", "crash@soon"])
def test_a_mistyped_fault_is_explained(text: str) -> None:
    with pytest.raises(BadInput, match="KIND"):
        parse_fault(text)


@pytest.mark.parametrize(
    ("field", "settings"),
    [
        ("speedup", {"speedup": 0.0}),
        ("speedup", {"speedup": float("nan")}),
        ("port", {"port": 70_000}),
        ("slots", {"slots": -1}),
        ("seed", {"seed": -1}),
    ],
)
def test_impossible_settings_are_refused(field: str, settings: dict[str, int]) -> None:
    with pytest.raises(BadInput) as caught:
        EmulatedSettings(find_profile("L40S:Qwen3-8B"), **settings)  # type: ignore[arg-type]
    assert caught.value.field == field
