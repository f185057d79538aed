"""Every bound of the product in one place, each with its reason and what happens at it.

Lengths are bytes unless the name says otherwise, times are microseconds.
"""

from typing import Final

from wwwserve.values.moments import MILLISECOND, SECOND

KIB: Final = 1024
MIB: Final = 1024 * KIB

# -- links ---------------------------------------------------------------------------------------
FRAME_BYTES_MAX: Final = 64 * KIB
"""The largest payload of one frame on a link; a longer one closes the link."""
STREAM_WINDOW_BYTES: Final = 256 * KIB
"""Bytes one stream may have in flight before the receiver must give credit."""
LINK_WINDOW_BYTES: Final = 4 * MIB
"""Bytes all streams of a link may have in flight together: what a hostile peer can make us hold."""
LINK_STREAMS_MAX: Final = 1024
"""Streams open at once that one peer may have opened; one more is reset with `REFUSED`."""
LINKS_MAX: Final = 64
"""Links a node keeps (product.md 3, Network); one more is refused with a reason."""
LINK_MESSAGES_QUEUED_MAX: Final = 1024
"""Control messages waiting for one link's socket; one more fails as `SendFailed`."""
LINK_HEARTBEAT_US: Final = 5 * SECOND
"""Silence after which who dialled a link asks over it, and half as long later the other end."""
LINK_IDLE_US: Final = 30 * SECOND
"""The same where nothing runs: membership watches such a link meanwhile, and routers that translate
addresses remember an idle connection for a minute at least."""
LINK_DEAD_US: Final = 15 * SECOND
"""Silence after which a link is dead, heartbeats included: TLS itself never notices."""
LINK_IDLE_DEAD_US: Final = LINK_IDLE_US * 3 // 2 + LINK_DEAD_US
"""The same, at most, where nothing runs."""
LINK_HANDSHAKE_US: Final = 10 * SECOND
"""Time for TCP, TLS and hello together; then the attempt is given up."""
HANDSHAKES_MAX: Final = 64
"""Incoming handshakes at once; a newcomer above it is closed unread."""

# -- messages ------------------------------------------------------------------------------------
MESSAGE_BYTES_MAX: Final = FRAME_BYTES_MAX
"""A control message is one frame."""
RECORD_BYTES_MAX: Final = 16 * KIB
"""One signed peer record."""
RECORD_ADDRESSES_MAX: Final = 8
RECORD_MODELS_MAX: Final = 64
RECORD_ALIASES_MAX: Final = 16
NAME_LENGTH_MAX: Final = 200
"""Characters of any name or reason in a message."""
PIGGYBACK_CLAIMS_MAX: Final = 6
"""Membership claims riding on one probe or answer."""
PIGGYBACK_BYTES_MAX: Final = 24 * KIB
"""Bytes of membership claims on one message."""
PUSH_PULL_RECORDS_MAX: Final = 64
"""Records in one message of an exchange; more come in the next. Taking in so many new ones costs
about 0.8 ms; no call of the core may cost more than 2."""
LISTING_ENTRIES_MAX: Final = 256
"""Members named in one message of an exchange; of more, the rest is asked for next."""
PREFIX_HASHES_MAX: Final = 32
"""Hashes of prompt prefixes in a probe."""

# -- membership ----------------------------------------------------------------------------------
MEMBERS_MAX: Final = 4096
"""Nodes a table remembers, dead ones included; a stranger above it is ignored."""
ADDRESS_BOOK_MAX: Final = 4096
"""Peer records kept on disk."""

# -- requests ------------------------------------------------------------------------------------
BODY_BYTES_MAX: Final = 8 * MIB
"""A request's body; larger is 413 at the gateway and a reset on a link."""
BODY_STORE_BYTES_MAX: Final = 512 * MIB
"""All bodies held at once; above it new requests are refused with 503."""
REQUESTS_OPEN_MAX: Final = 20_000
"""Requests of own users alive at once; one more is 503 with Retry-After."""
WORKS_OPEN_MAX: Final = 4_096
"""Requests of other nodes executed here at once; one more is declined as busy."""
QUEUE_LENGTH_MAX: Final = 1_000
"""Own requests waiting for a place; one too many is 503 with Retry-After."""
QUEUE_WAIT_US: Final = 120 * SECOND
"""Wait in the queue where no place is to come; then 503 with Retry-After."""
DEFERRED_WAIT_US: Final = 1_800 * SECOND
"""The same where one is to come: where engines work through others, or, with an objective, a place
is there that may become good enough."""
ATTEMPTS_MAX: Final = 8
"""Executions tried for one request before its user is told of the last failure."""
CANDIDATES_MAX: Final = 4
"""Nodes probed at once for one request (market.md 1: d = 2, adaptive 1-4)."""
PROBE_DEADLINE_US: Final = 500 * MILLISECOND
"""A quote later than this is not waited for."""
PROBE_DEADLINE_MIN_US: Final = 50 * MILLISECOND
"""The same for a request that has hardly any time left."""
QUOTE_LIFE_US: Final = 2 * SECOND
"""How long a quote may be relied on."""
ACCEPT_WAIT_US: Final = 5 * SECOND
"""From sending an offer to its accept or decline; then the attempt has failed."""
STALL_US: Final = 120 * SECOND
"""Longest silence of an engine or executor inside one stream; then the attempt has failed."""
STARVED_US: Final = 900 * SECOND
"""The same for an answer that has begun, while its engine goes on with others: an engine whose
cache is full takes one answer's place for another's, and gives it back once there is room."""
ALIVE_PERIOD_US: Final = 30 * SECOND
"""How often an executor tells an origin that a run goes on, output or not."""
PROGRESS_PERIOD_US: Final = 250 * MILLISECOND
"""At most four progress events a second for one stream."""
ENGINES_MAX: Final = 16
"""Engines of one node; a configuration that names more is refused."""
ENGINE_POLL_US: Final = 1 * SECOND
"""How often an engine's health and load are read."""
ENGINE_STALE_US: Final = 10 * SECOND
"""Age at which a reading counts as unknown."""
EVENT_BYTES_MAX: Final = 4 * MIB
"""One server-sent event from an engine; a longer one breaks the attempt."""
PAYMENT_WAIT_US: Final = 5 * SECOND
"""How long an executor waits for a unit that is overdue; then it goes no further."""
FINAL_UNIT_WAIT_US: Final = 2 * SECOND
"""How long it waits for the last unit after its last frame; its engine is free by then."""
PAYMENT_TOLD_US: Final = 100 * MILLISECOND
"""How often an executor's data plane tells how deep a hold is paid, while units come."""
UNRELEASED_BYTES_MAX: Final = 256 * KIB
"""Output kept back until a payer's hold is final; at the bound the engine is read no further."""
EXTENSIONS_MAX: Final = 64
"""Holds by which a payer may extend the first one of a stream; one more breaks the stream."""
TOKENS_MAX: Final = 100_000_000
"""Tokens of one prompt or answer, far above any: a summary or usage that says more is refused, an
engine's count above it is read as this."""
REPLY_BYTES_MAX: Final = 64 * MIB
"""An assembled (non-streamed) answer; a longer one breaks the attempt."""
FACTS_QUEUED_MAX: Final = 4_096
"""Facts waiting for one slow watcher; then its oldest are dropped and counted."""
