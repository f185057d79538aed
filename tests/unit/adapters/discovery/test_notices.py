"""What anybody on a local network may have written is read within bounds, or not at all.

A notice of our own making is read back; then it is bent in every way an attacker may think of.
"""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wwwserve.adapters.discovery.notices import (
    NAME_LENGTH_MAX,
    SERVICE_TYPE,
    TEXT_BYTES_MAX,
    Identity,
    NoticeIgnored,
    RawNotice,
    read_notice,
)
from wwwserve.ports.discovery import NOTICE_ADDRESSES_MAX, Ignored
from wwwserve.values.ids import NodeId, node_prefix, node_text

NETWORK_ID = bytes(range(32))
SPEAKER = Identity(NodeId(b"\x01" * 32), NETWORK_ID, (1, 2))
LISTENER = Identity(NodeId(b"\x02" * 32), NETWORK_ID, (2, 3))


def make_raw() -> RawNotice:
    """A good notice of the speaker."""
    told = {key.encode(): value for key, value in SPEAKER.write().items()}
    return RawNotice(SPEAKER.instance, b"", told, ("192.0.2.7", "fe80::1%3"), 8778)


def with_told(**told: bytes | None) -> RawNotice:
    raw = make_raw()
    changed = {**raw.properties, **{key.encode(): value for key, value in told.items()}}
    return RawNotice(raw.name, raw.text, changed, raw.addresses, raw.port)


def refuse(raw: RawNotice) -> Ignored:
    with pytest.raises(NoticeIgnored) as caught:
        read_notice(raw, LISTENER)
    return caught.value.reason


def test_what_one_writes_the_other_reads() -> None:
    notice = read_notice(make_raw(), LISTENER)
    assert notice.node == SPEAKER.node
    assert notice.addresses == (ip_address("192.0.2.7"), ip_address("fe80::1%3"))
    assert (notice.name, notice.port) == (SPEAKER.instance, 8778)


def test_nothing_is_said_of_the_machine_and_nothing_of_the_networks_name() -> None:
    said = b" ".join((*SPEAKER.write().values(), SPEAKER.instance.encode(), SPEAKER.host.encode()))
    prefix = node_prefix(SPEAKER.node)
    for known in (node_text(SPEAKER.node), prefix, SPEAKER.network.decode(), SERVICE_TYPE):
        said = said.replace(known.encode(), b"")
    assert said.split() == [b"1", b"1-2", b".", b"wwwserve-.local."]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (with_told(net=b"0011223344556677"), Ignored.NETWORK),
        (with_told(net=None), Ignored.NETWORK),
        (with_told(proto=b"4-9"), Ignored.PROTOCOL),
        (with_told(proto=b"0-1"), Ignored.PROTOCOL),
        (with_told(proto=b"1"), Ignored.MALFORMED),
        (with_told(proto=b"1-" + b"9" * 30), Ignored.MALFORMED),
        (with_told(proto="1-\N{ARABIC-INDIC DIGIT NINE}".encode()), Ignored.MALFORMED),
        (with_told(proto=None), Ignored.MALFORMED),
        (with_told(v=b"2"), Ignored.MALFORMED),
        (with_told(node=b"short"), Ignored.MALFORMED),
        (with_told(node=b"\xff" * 52), Ignored.MALFORMED),
        (with_told(node=None), Ignored.MALFORMED),
    ],
)
def test_what_is_not_for_us_is_ignored_for_a_reason(raw: RawNotice, reason: Ignored) -> None:
    assert refuse(raw) is reason


def test_a_notice_is_as_long_as_a_notice_can_be() -> None:
    raw = make_raw()
    long_name = "x" * (NAME_LENGTH_MAX + 1)
    long_text = b"x" * (TEXT_BYTES_MAX + 1)
    for name, text, port in ((long_name, b"", 1), ("x", long_text, 1), ("x", b"", 0)):
        bent = RawNotice(name, text, raw.properties, raw.addresses, port)
        assert refuse(bent) is Ignored.MALFORMED
    many = tuple(f"192.0.2.{number}" for number in range(100))
    crowd = RawNotice(raw.name, raw.text, raw.properties, many, raw.port)
    assert len(read_notice(crowd, LISTENER).addresses) == NOTICE_ADDRESSES_MAX


@given(
    properties=st.dictionaries(
        st.sampled_from([b"v", b"net", b"node", b"proto", b"other"]),
        st.one_of(st.none(), st.binary(max_size=80)),
    ),
    addresses=st.lists(st.one_of(st.text(max_size=40), st.just("192.0.2.1")), max_size=12),
    port=st.integers(-1, 70_000),
)
def test_no_notice_breaks_the_reader(
    properties: dict[bytes, bytes | None], addresses: list[str], port: int
) -> None:
    told = {**make_raw().properties, **properties}
    try:
        notice = read_notice(RawNotice("x", b"", told, addresses, port), LISTENER)
    except NoticeIgnored:
        return
    assert len(notice.addresses) <= NOTICE_ADDRESSES_MAX
    assert 0 < notice.port < 2**16
