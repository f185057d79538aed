"""The demo's own first requests: more at once than one node can take, so that it offloads.

Where others serve models that the first node does not, its users want those as well.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wwwserve.cli.demo_network import DemoNetwork
from wwwserve.cli.gateway_client import ChatAnswer, GatewayClient
from wwwserve.cli.terminal import CommandFailed

ANSWER_TOKENS_MAX = 48
OTHER_QUESTIONS = 2
"""For each model that only other nodes serve."""
TEMPERATURE = 0.3
"""Low: the small model wanders off above it."""
QUESTIONS = (
    "Why is the sky blue? Answer in one sentence.",
    "What is the capital of France?",
    "Name three fruits.",
    "What is two plus two?",
    "Say hello in Spanish.",
    "What do bees make?",
    "Which planet do we live on?",
    "What is water made of?",
)


@dataclass(slots=True)
class Burst:
    """What came of the first requests."""

    sent: int
    answered: int = 0
    failures: tuple[str, ...] = ()


def plan_questions(network: DemoNetwork) -> list[tuple[str, str]]:
    """Models and what they are asked: mostly the first node's own, then all others."""
    own = network.nodes[0].models
    everybody = dict.fromkeys(model for node in network.nodes for model in node.models)
    others = [model for model in everybody if model not in own]
    return [
        *((own[0], question) for question in QUESTIONS),
        *((model, question) for model in others for question in QUESTIONS[:OTHER_QUESTIONS]),
    ]


async def send_burst(
    network: DemoNetwork, questions: Sequence[tuple[str, str]], *, on_text: Callable[[str], None]
) -> Burst:
    """Ask all questions at the first node at once; `on_text` sees the first answer grow."""
    client = GatewayClient(network.nodes[0].info.gateway, network.api_key)
    burst = Burst(len(questions))

    async def ask(number: int, model: str, question: str) -> None:
        answer = ChatAnswer()
        pieces = client.chat(
            [{"role": "user", "content": question}],
            model=model,
            answer=answer,
            options={"max_tokens": ANSWER_TOKENS_MAX, "temperature": TEMPERATURE},
        )
        try:
            async for _ in pieces:
                if number == 0:
                    on_text(answer.text)
        except CommandFailed as error:
            burst.failures = (*burst.failures, error.what)
        else:
            burst.answered += 1

    async with asyncio.TaskGroup() as tasks:
        for number, (model, question) in enumerate(questions):
            tasks.create_task(ask(number, model, question))
    return burst
