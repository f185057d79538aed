"""Signatures are checked once, and no peer can make a node do nothing else.

A verifier that counts stands for the dear one, and a clock is moved by hand.
"""

from wwwserve.node.verifying import (
    CHECKS_BURST_MAX,
    CHECKS_PER_SECOND_MAX,
    RationedVerifier,
    RememberingVerifier,
)
from wwwserve.values.ids import NodeId
from wwwserve.values.moments import SECOND, Moment

NODE = NodeId(bytes(32))
GOOD = b"good"


class CountingVerifier:
    """Knows one good signature, and how often it was asked."""

    def __init__(self) -> None:
        self.checks = 0

    def is_signed_by(self, node_id: NodeId, message: bytes, signature: bytes) -> bool:
        self.checks += 1
        return (node_id, signature) == (NODE, GOOD) and message != b""


class HandClock:
    def __init__(self) -> None:
        self.at = Moment(0)

    def now(self) -> Moment:
        return self.at


def test_a_good_signature_is_checked_once_and_a_bad_one_never_remembered() -> None:
    counting = CountingVerifier()
    verifier = RememberingVerifier(counting)
    assert [verifier.is_signed_by(NODE, b"a", GOOD) for _ in range(3)] == [True] * 3
    assert counting.checks == 1
    assert not verifier.is_signed_by(NODE, b"b", b"bad")
    assert not verifier.is_signed_by(NODE, b"b", b"bad")
    assert counting.checks == 3


def test_a_flood_of_false_signatures_costs_its_ration_and_keeps_nobody_else_out() -> None:
    counting, clock = CountingVerifier(), HandClock()
    shared = RememberingVerifier(counting)
    flooder, honest = RationedVerifier(shared, clock), RationedVerifier(shared, clock)
    assert honest.is_signed_by(NODE, b"known", GOOD)
    counting.checks = 0
    for number in range(10 * CHECKS_BURST_MAX):
        assert not flooder.is_signed_by(NODE, b"%d" % number, b"bad")
    assert counting.checks == CHECKS_BURST_MAX
    assert flooder.is_signed_by(NODE, b"known", GOOD), "what is known costs nothing"
    assert not flooder.is_signed_by(NODE, b"new", GOOD), "refused for now"
    assert honest.is_signed_by(NODE, b"new", GOOD)
    counting.checks = 0
    clock.at = Moment(2 * SECOND)
    for number in range(10 * CHECKS_BURST_MAX):
        flooder.is_signed_by(NODE, b"%d" % number, b"bad")
    assert counting.checks == 2 * CHECKS_PER_SECOND_MAX
