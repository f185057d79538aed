"""A paid request between two nodes of a town, as its shells see it."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from msgspec.structs import replace

from tests.property.ledger_world import make_genesis, name
from wwwserve.core.effects import ExtendPayment
from wwwserve.core.payments import PayeeMeter, PayerMeter
from wwwserve.core.sessions import Role, SessionId
from wwwserve.values.credits import CREDIT
from wwwserve.values.model_names import ModelId
from wwwserve.wire import Endpoint, RequestSummary
from wwwserve.wire.ledger import Genesis, GenesisAccount, compute_genesis_held
from wwwserve.wire.requests import Unit

MODEL: Final = ModelId("org/small")
STRANGER, SEATED, RICH, EXECUTOR, OTHER, NEWCOMER = 5, 2, 3, 6, 7, 4
"""Members by number: two payers with seats and one without, three executors, one without a seat."""
DIGEST: Final = bytes(32)


def make_town_genesis() -> Genesis:
    """Credits and seats of the members; the sequencer and the treasury are 0 and 1."""
    genesis = make_genesis()
    accounts = (
        *genesis.accounts[:2],
        GenesisAccount(name(SEATED), 40 * CREDIT, seats=2),
        GenesisAccount(name(RICH), 40 * CREDIT, seats=1),
        GenesisAccount(name(NEWCOMER), 10 * CREDIT),
        GenesisAccount(name(STRANGER), 40 * CREDIT),
        GenesisAccount(name(EXECUTOR), CREDIT, seats=1),
        GenesisAccount(name(OTHER), CREDIT, seats=1),
    )
    parameters = replace(genesis.parameters, rate_ops=1_000)
    genesis = replace(genesis, accounts=accounts, parameters=parameters)
    return replace(genesis, supply=compute_genesis_held(genesis) + CREDIT)


def make_summary(
    *, prompt_tokens: int = 100, completion_max: int = 0, endpoint: Endpoint = Endpoint.CHAT
) -> RequestSummary:
    return RequestSummary(
        request=bytes(16),
        endpoint=endpoint,
        models=(MODEL,),
        prompt_tokens=prompt_tokens,
        completion_tokens_max=completion_max,
        body_bytes=prompt_tokens * 4,
    )


@dataclass
class Stream:
    """One paid request between two nodes."""

    payer: int
    executor: int
    number: int
    sender: PayerMeter
    receiver: PayeeMeter
    is_released: bool
    holds: list[bytes]
    first: int
    unit: int
    unit_tokens: int
    outputs: deque[int] = field(default_factory=deque)
    frames: deque[Unit | ExtendPayment] = field(default_factory=deque)
    delivered: int = -1
    arrived: int = -1
    is_paying: bool = True
    is_working: bool = True
    is_low_told: bool = False
    is_payer_over: bool = False
    is_executor_over: bool = False
    has_waited: bool = False
    """Whether an extension is with the executor's core."""

    @property
    def run(self) -> SessionId:
        return SessionId(Role.ORIGIN, self.number)

    @property
    def work(self) -> SessionId:
        return SessionId(Role.EXECUTOR, self.number)

    def worth(self, tokens: int) -> int:
        return 0 if tokens < 0 else self.first + self.unit * (tokens // self.unit_tokens)
