"""Chance at work on two wallets: commands of two small numbers each, and walks of many of them."""

import random
from collections.abc import Callable
from typing import Final

from tests.property.wallet_world import WalletWorld

Command = Callable[[WalletWorld, int, int], None]

COMMANDS: Final[tuple[Command, ...]] = (
    lambda world, a, b: world.open_hold(a, b),
    lambda world, a, b: world.open_hold(a, b),
    lambda world, a, _: world.answer(a),
    lambda world, a, _: world.forward(a),
    lambda world, a, b: world.pay(a, b),
    lambda world, a, b: world.pay(a, b),
    lambda world, a, _: world.finish(a),
    lambda world, a, b: world.order(a, b),
    lambda world, a, _: world.wait(a),
    lambda world, a, b: world.make_block(a, b),
    lambda world, a, b: world.make_block(a, b),
    lambda world, a, b: world.make_block(a, b),
    lambda world, _a, _b: world.forget_pool(),
    lambda world, a, _: world.cut(a),
    lambda world, a, _: world.heal(a),
    lambda world, a, _: world.slow_disk(a),
    lambda world, a, _: world.finish_writes(a),
    lambda world, a, b: world.kill(a, b),
    lambda world, a, b: world.lose_power(a, b),
    lambda world, a, _: world.back_up(a),
    lambda world, a, _: world.restore(a),
)
NUMBER_MAX: Final = 24


def draw_walk(seed: int, commands: int) -> WalletWorld:
    """A world in which chance commands, brought to rest."""
    chance = random.Random(seed)  # noqa: S311 - repeatable, and no secret
    world = WalletWorld()
    for _ in range(commands):
        command = chance.choice(COMMANDS)
        command(world, chance.randrange(NUMBER_MAX), chance.randrange(NUMBER_MAX))
        world.check()
    world.settle()
    return world
