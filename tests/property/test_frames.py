"""Frames survive any chopping, and bytes that are no frames are refused before they are held.

Hypothesis makes frames, chops and damages them; what comes out of the reader is compared with what
went in, and what it holds with the bound of one frame.
"""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wwwserve.adapters.transports import frames
from wwwserve.adapters.transports.frames import Frame, FrameError, FrameReader, FrameType, Hello
from wwwserve.ports.transport import CloseReason, ResetCode
from wwwserve.values.limits import FRAME_BYTES_MAX

STREAM_IDS = st.integers(1, frames.STREAM_ID_MAX)
PAYLOADS = st.binary(max_size=300)


def make_frames() -> st.SearchStrategy[Frame]:
    return st.one_of(
        st.tuples(st.just(FrameType.DATA), STREAM_IDS, PAYLOADS),
        st.tuples(st.just(FrameType.END), STREAM_IDS, st.just(b"")),
        st.tuples(st.just(FrameType.RESET), STREAM_IDS, st.binary(min_size=2, max_size=2)),
        st.tuples(st.just(FrameType.CREDIT), st.just(0) | STREAM_IDS, st.just(b"\0\0\0\1")),
        st.tuples(st.just(FrameType.MESSAGE), st.just(0), PAYLOADS),
        st.tuples(st.just(FrameType.PING), st.just(0), st.binary(min_size=8, max_size=8)),
    )


def chop(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(places)]


def pack(sent: list[Frame]) -> bytes:
    return b"".join(
        frames.pack_frame(FrameType(kind), stream, payload) for kind, stream, payload in sent
    )


@given(st.lists(make_frames(), max_size=12), st.lists(st.integers(0, 4_000), max_size=40))
def test_frames_arrive_whole_however_their_bytes_were_chopped(
    sent: list[Frame], cuts: list[int]
) -> None:
    reader = FrameReader()
    received = [frame for piece in chop(pack(sent), cuts) for frame in reader.feed(piece)]
    assert received == sent
    assert reader.held_bytes == 0


def test_the_largest_frame_arrives_byte_by_byte() -> None:
    payload = bytes(range(256)) * (FRAME_BYTES_MAX // 256)
    packed = frames.pack_frame(FrameType.DATA, 7, payload) + frames.pack_frame(FrameType.END, 7)
    reader = FrameReader()
    received = [frame for byte in packed for frame in reader.feed(bytes([byte]))]
    assert received == [(FrameType.DATA, 7, payload), (FrameType.END, 7, b"")]


@given(st.lists(st.binary(max_size=200), max_size=20))
def test_noise_is_refused_or_waits_and_never_piles_up(pieces: list[bytes]) -> None:
    reader = FrameReader()
    try:
        for piece in pieces:
            for kind, stream_id, payload in reader.feed(piece):
                assert kind in FrameType.__members__.values()
                assert 0 <= stream_id <= frames.STREAM_ID_MAX
                assert len(payload) <= FRAME_BYTES_MAX
            assert reader.held_bytes <= frames.HEADER_BYTES + FRAME_BYTES_MAX
    except FrameError:
        return


@pytest.mark.parametrize(
    ("header", "rule"),
    [
        (b"\x02\x01\x00\x01" + bytes(7) + b"\x01", "DATA of 65537 bytes"),
        (b"\x06\xff\xff\xff" + bytes(8), "MESSAGE of 16777215 bytes"),
        (b"\x00\x00\x00\x00" + bytes(8), "unknown type 0"),
        (b"\x0a\x00\x00\x00" + bytes(8), "unknown type 10"),
        (b"\x02\x00\x00\x01" + bytes(8), "DATA does not belong on stream 0"),
        (b"\x06\x00\x00\x01" + bytes(7) + b"\x01", "MESSAGE does not belong on stream 1"),
        (b"\x07\x00\x00\x07" + bytes(8), "PING of 7 bytes"),
        (b"\x01\x00\x00\x01" + bytes(8), "HELLO of 1 bytes"),
        (b"\x09\x00\x10\x00" + bytes(8), "CLOSE of 4096 bytes"),
    ],
)
def test_a_bad_header_is_refused_before_its_payload_comes(header: bytes, rule: str) -> None:
    with pytest.raises(FrameError, match=rule):
        list(FrameReader().feed(header))


@given(
    st.integers(0, 65_535), st.integers(0, 65_535), st.binary(min_size=32, max_size=32), PAYLOADS
)
def test_a_hello_reads_back_and_later_fields_are_skipped(
    low: int, high: int, network_id: bytes, later: bytes
) -> None:
    hello = Hello(min(low, high), max(low, high), network_id)
    ((kind, stream_id, payload),) = FrameReader().feed(frames.pack_hello(hello))
    assert (kind, stream_id) == (FrameType.HELLO, 0)
    assert frames.parse_hello(payload + later) == hello


def test_a_hello_of_another_protocol_is_refused() -> None:
    with pytest.raises(FrameError, match="opens with"):
        frames.parse_hello(b"HTTP" + bytes(40))
    with pytest.raises(FrameError, match="versions 2 to 1"):
        frames.parse_hello(b"WWWS" + b"\0\2\0\1" + bytes(36))


@given(st.sampled_from(CloseReason), st.text())
def test_a_closing_frame_tells_reason_and_sentence(reason: CloseReason, detail: str) -> None:
    ((_, _, payload),) = FrameReader().feed(frames.pack_close(reason, detail))
    read_reason, read_detail = frames.parse_close(payload)
    assert read_reason is reason
    assert read_detail.isprintable()
    if detail.isprintable() and len(detail.encode()) <= frames.CLOSE_DETAIL_BYTES_MAX:
        assert read_detail == detail


def test_numbers_of_later_versions_have_a_meaning_here() -> None:
    assert frames.parse_close(b"\xff\xffgone home") == (
        CloseReason.LOST,
        "unknown reason 65535: gone home",
    )
    assert frames.parse_reset(b"\xff\xff") is ResetCode.INTERNAL
    assert frames.parse_reset(b"\0\5") is ResetCode.INTERNAL, "a lost link cannot be told over it"
    for code in ResetCode:
        if code is not ResetCode.LINK_LOST:
            ((_, _, payload),) = FrameReader().feed(frames.pack_reset(3, code))
            assert frames.parse_reset(payload) is code
