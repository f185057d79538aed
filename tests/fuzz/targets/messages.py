"""Control messages of a link: each opens into an envelope that says the same, or is refused.

One bad record does not condemn its message; what was opened or refused is counted.
"""

from random import Random

import msgspec

from tests.fuzz.mutating import UNFIT, mutate_msgpack
from tests.fuzz.targets.feeds import make_told
from tests.fuzz.targets.records import (
    KEY,
    NETWORK,
    get_node,
    make_records,
    seal_body,
)
from wwwserve.adapters.host import LibsodiumVerifier
from wwwserve.values.refusals import DeclineReason, Refusal
from wwwserve.wire import (
    BUCKETS,
    SUM_BYTES,
    Ack,
    Alive,
    Dead,
    Digest,
    Endpoint,
    Entry,
    Envelope,
    Gossip,
    Listing,
    Message,
    Nack,
    Ping,
    PingRequest,
    Probe,
    PushPull,
    Quote,
    RequestSummary,
    Room,
    Standing,
    Suspect,
    encode,
    encode_message,
    open_message,
    seal_record,
)
from wwwserve.wire.chain import (
    BlocksWanted,
    ForkTold,
    GenesisTold,
    GenesisWanted,
    HeadTold,
    strip_list,
)

SENDER = get_node(9)
_VERIFIER = LibsodiumVerifier()


def make_messages() -> list[Message]:
    """One of each, with claims and records of each kind."""
    sealed = [seal_record(record, KEY, NETWORK).sealed for record in make_records()]
    doubts = (Suspect(KEY.node_id, 3, SENDER), Dead(get_node(2), 1, SENDER))
    claims = (*doubts, Alive(sealed[1]))
    summary = RequestSummary(
        request=b"r" * 16, endpoint=Endpoint.CHAT, models=("org/small", "org/large"),
        prompt_tokens=100, completion_tokens_max=0, body_bytes=300, deadline_us=10**7,
        needs=("tools",), prefixes=(b"p" * 16, b"q" * 16),
    )  # fmt: skip
    feed, block = make_told()
    head = strip_list(block.block)
    return [
        Ping(1, claims),
        Ack(1),
        PingRequest(2, get_node(2), 500_000, claims[:1]),
        Gossip(claims),
        PushPull(tuple(sealed), doubts, (get_node(3),)),
        Nack(2, is_linked=True),
        Digest(bytes(32), bytes(BUCKETS * SUM_BYTES)),
        Listing(bytes(32), bytes(range(4)), (Entry(KEY.node_id, 3, Standing.ALIVE),), get_node(5)),
        Probe(7, summary),
        Quote(7, None, "org/small", 1000, 2000, 50, 10**6),
        Quote(8, DeclineReason.BUSY, retry_after_us=10**6),
        Room(("org/small", "org/large")),
        feed,
        block,
        HeadTold(head),
        BlocksWanted(1, 64),
        ForkTold(head, head),
        GenesisWanted(NETWORK, 0),
        GenesisTold(NETWORK, 0, 3, b"one"),
    ]


def make_seeds() -> list[bytes]:
    """One of each, as it travels."""
    return [encode_message(message) for message in make_messages()]


def mutate(data: bytes, chance: Random) -> bytes | None:
    """Change a field, or one of a record inside; None for what msgpack cannot read."""
    if chance.randrange(2):
        return mutate_msgpack(data, chance)
    try:
        return encode(_change_record(msgspec.msgpack.decode(data), chance))
    except UNFIT:
        return None


def _change_record(tree: object, chance: Random) -> object:
    """The same message with each record in it changed, and signed again."""
    match tree:
        case [bytes(body), bytes()]:
            sealed = seal_body(mutate_msgpack(body, chance) or body)
            return [sealed.body, sealed.signature]
        case list():
            return [_change_record(item, chance) for item in tree]
        case _:
            return tree


def consume(data: bytes) -> None:
    """Open it; what opens says the same again when it is sent on."""
    try:
        envelope = _open(data)
    except Refusal as refusal:
        assert refusal.rule
        return
    again = _open(encode_message(envelope.message))
    assert again == envelope
    # A record in a newer format is neither opened nor held against anybody.
    assert len(envelope.records) + envelope.refused <= _count_records(envelope.message)


def _open(data: bytes) -> Envelope:
    return open_message(data, sender=SENDER, verifier=_VERIFIER, network_id=NETWORK)


def _count_records(message: Message) -> int:
    if isinstance(message, PushPull):
        return len(message.records)
    claims = getattr(message, "claims", ())
    return sum(isinstance(claim, Alive) for claim in claims)
