"""What a replayed request says: to its engine how much work it is, to nodes no more than in truth.

The body is read by the gateway's own reader and by the emulated engine's, without a socket.
"""

import pytest

from wwwserve.adapters.engines.emulated_orders import OrderDesk
from wwwserve.bench.replay import encode_body
from wwwserve.core.requests import estimate_prompt_tokens
from wwwserve.enginemodel import Demand
from wwwserve.frontends.gateway.checking import check_body
from wwwserve.sim import UserRequest
from wwwserve.values.ids import RequestId
from wwwserve.wire import Endpoint

FRAME_TOKENS = 16
"""What a node adds for the message around a prompt."""


def create_request(
    last_byte: int, *, prompt_tokens: int = 2_000, completion_tokens_max: int = 0
) -> UserRequest:
    """A request; its id's last byte says how wrong its prompt is estimated."""
    return UserRequest(
        request=RequestId(bytes(15) + bytes([last_byte])),
        origin=0,
        arrival_us=7_000_123,
        prompt_tokens=prompt_tokens,
        completion_tokens=700,
        model="m",
        completion_tokens_max=completion_tokens_max,
    )


@pytest.mark.parametrize("last_byte", range(21))
def test_a_node_takes_the_prompt_for_what_it_does_in_simulation(last_byte: int) -> None:
    request = create_request(last_byte)
    checked = check_body(Endpoint.CHAT, encode_body("m", request))
    estimate = estimate_prompt_tokens(checked.parts)
    assert 0 <= estimate - request.prompt_tokens_estimate <= FRAME_TOKENS
    assert 1_800 <= request.prompt_tokens_estimate <= 2_200


@pytest.mark.parametrize("last_byte", [0, 10, 20])
@pytest.mark.parametrize("prompt_tokens", [1, 2, 2_000])
def test_the_engine_does_the_work_of_the_trace(last_byte: int, prompt_tokens: int) -> None:
    request = create_request(last_byte, prompt_tokens=prompt_tokens)
    order = OrderDesk("m", context_tokens=8_192, seed=7).read(
        Endpoint.CHAT, encode_body("m", request)
    )
    assert order.demands == (Demand(prompt_tokens, 700),)
    assert order.is_stream


def test_a_node_is_told_no_more_of_an_answer_than_its_user_knows() -> None:
    unlimited = check_body(Endpoint.CHAT, encode_body("m", create_request(0)))
    assert unlimited.completion_tokens_max == 0
    limited = create_request(0, completion_tokens_max=900)
    assert check_body(Endpoint.CHAT, encode_body("m", limited)).completion_tokens_max == 900


def test_no_prompt_is_the_beginning_of_another() -> None:
    first, second = create_request(0), create_request(0)
    second.arrival_us += 1
    assert encode_body("m", first) != encode_body("m", second)
