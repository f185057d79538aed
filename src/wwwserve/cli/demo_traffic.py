"""The demo's own first requests: more at once than one node can take, so that it offloads."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from wwwserve.cli.demo_network import DemoNetwork
from wwwserve.cli.gateway_client import ChatAnswer, GatewayClient
from wwwserve.cli.terminal import CommandFailed

ANSWER_TOKENS_MAX = 48
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

    answered: int = 0
    failures: tuple[str, ...] = ()


async def send_burst(
    network: DemoNetwork, *, on_text: Callable[[str], None], questions: Sequence[str] = QUESTIONS
) -> Burst:
    """Ask all questions at the first node at once; `on_text` sees the first answer grow."""
    client = GatewayClient(network.nodes[0].info.gateway, network.api_key)
    model = network.nodes[0].models[0]
    burst = Burst()

    async def ask(number: int, question: str) -> None:
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
        for number, question in enumerate(questions):
            tasks.create_task(ask(number, question))
    return burst
