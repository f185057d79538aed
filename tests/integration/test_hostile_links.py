"""A node with real links survives real attackers: on TCP, in TLS, and on links of their own.

The victim echoes, behind a real TLS listener; an honest node talks to it all the while. Attackers
speak with plain sockets and `ssl`, so they can break any rule. Long waits of the product are
shortened for the test, never waited for.
"""

import asyncio
import random
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.joined_links import NETWORK, get_id, get_key
from tests.link_owners import Echo, Recorder
from tests.mux_pair import pack_data
from wwwserve.adapters.transports import TcpTransport, certificates, frames, mux, tcp
from wwwserve.adapters.transports.frames import FrameReader, FrameType, Hello
from wwwserve.ports.transport import CloseReason, Link, LinkEnded, ResetCode, Stream
from wwwserve.values.limits import FRAME_BYTES_MAX, HANDSHAKES_MAX, LINK_WINDOW_BYTES
from wwwserve.values.moments import MILLISECOND, SECOND

HELLO = Hello(1, 1, NETWORK)
WAIT_S = 30
Socket = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(slots=True)
class Victim:
    """An echoing node, and an honest link to it that must never notice anything."""

    echo: Echo
    transport: TcpTransport
    address: str
    honest: Link
    stream: Stream

    async def check_undisturbed(self) -> None:
        await self.stream.send(b"still fine?")
        async with asyncio.timeout(WAIT_S):
            assert await self.stream.receive() == b"still fine?"

    async def connect(self, context: ssl.SSLContext | None) -> Socket:
        host, port = self.address.rsplit(":", 1)
        async with asyncio.timeout(WAIT_S):
            return await asyncio.open_connection(
                host, int(port), ssl=context, server_hostname="" if context else None
            )

    async def attack(self, key_number: int) -> Socket:
        """A link of the attacker: a node like any other, which has said hello."""
        reader, writer = await self.connect(certificates.make_contexts(get_key(key_number).seed)[0])
        writer.write(frames.pack_hello(HELLO))
        return reader, writer


@pytest.fixture
async def victim() -> AsyncIterator[Victim]:
    echo, transport, honest = Echo(), TcpTransport(get_key(2), NETWORK), None
    honest_transport = TcpTransport(get_key(1), NETWORK)
    address = await transport.listen("127.0.0.1:0", echo.on_link)
    honest = await honest_transport.dial(address, get_id(2), Recorder().on_link)
    victim = Victim(echo, transport, address, honest, honest.open_stream())
    await victim.check_undisturbed()
    yield victim
    await victim.check_undisturbed()
    await honest_transport.close()
    await transport.close()


async def read_to_end(reader: asyncio.StreamReader) -> bytes:
    """Everything until the victim hangs up; an abrupt end is an end."""
    said = bytearray()
    with suppress(OSError, ssl.SSLError):
        async with asyncio.timeout(WAIT_S):
            while data := await reader.read(1 << 16):
                said += data
    return bytes(said)


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with suppress(OSError, ssl.SSLError):
        await writer.wait_closed()


def make_context(folder: Path, *, signer: str, kind: str) -> ssl.SSLContext:
    """What an attacker dials with: a certificate of another kind or of another signer."""
    authority_key = Ed25519PrivateKey.generate()
    if signer == "network CA":
        authority_key = Ed25519PrivateKey.from_private_bytes(certificates.CA_SEED)
    key = ec.generate_private_key(ec.SECP256R1()) if kind == "ecdsa" else authority_key
    if kind == "ed25519":
        key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "attacker")])
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, certificates.CA_NAME)])
    leaf = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(certificates.VALID_FROM)
        .not_valid_after(certificates.VALID_UNTIL)
        .sign(authority_key, None)
    )
    file = folder / "attacker.pem"
    file.write_bytes(
        leaf.public_bytes(Encoding.PEM)
        + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    context = make_blind_context()
    context.load_cert_chain(file)
    return context


def make_blind_context() -> ssl.SSLContext:
    """Accepts any server and shows no certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


# -- before there is a link ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signer", "kind"),
    [("none", ""), ("self", "ed25519"), ("network CA", "ecdsa")],
)
async def test_a_certificate_that_proves_no_node_is_refused(
    victim: Victim, tmp_path: Path, signer: str, kind: str
) -> None:
    context = make_blind_context()
    if kind:
        context = make_context(tmp_path, signer=signer, kind=kind)
    reader, writer = await victim.connect(context)
    with suppress(OSError, ssl.SSLError):
        writer.write(frames.pack_hello(HELLO) + pack_data(1))
        await writer.drain()
    assert await read_to_end(reader) == b"", "not even a hello"
    await hang_up(writer)
    assert victim.echo.link_count == 1


async def test_a_node_key_of_ones_own_is_all_a_link_needs(victim: Victim, tmp_path: Path) -> None:
    context = make_context(tmp_path, signer="network CA", kind="ed25519")
    reader, writer = await victim.connect(context)
    writer.write(frames.pack_hello(HELLO))
    async with asyncio.timeout(WAIT_S):
        assert await reader.read(1) == frames.pack_hello(HELLO)[:1]
    await hang_up(writer)


async def test_no_byte_reaches_a_node_that_is_not_the_one_expected() -> None:
    heard = asyncio.get_running_loop().create_future()

    async def impostor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frames.pack_hello(HELLO) + pack_data(2, b"lies") * 50)
        heard.set_result(await read_to_end(reader))
        await hang_up(writer)

    context = certificates.make_contexts(get_key(9).seed)[1]
    server = await asyncio.start_server(impostor, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    dialler, owner = TcpTransport(get_key(1), NETWORK), Recorder()
    with pytest.raises(LinkEnded) as refused:
        await dialler.dial(f"127.0.0.1:{port}", get_id(2), owner.on_link)
    assert refused.value.reason is CloseReason.UNWANTED
    async with asyncio.timeout(WAIT_S):
        assert await heard == b""
    assert owner.links.empty()
    server.close()
    await dialler.close()


@pytest.mark.parametrize(
    "noise", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" * 9, b"\0" * 99]
)
async def test_what_is_not_tls_is_refused(victim: Victim, noise: bytes) -> None:
    reader, writer = await victim.connect(None)
    writer.write(noise)
    writer.write_eof()
    assert len(await read_to_end(reader)) < 100, "an alert at most"
    await hang_up(writer)


async def test_a_slow_crowd_holds_a_bounded_room_for_a_bounded_time(
    victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp, "LINK_HANDSHAKE_US", 700 * MILLISECOND)
    crowd = [await victim.connect(None) for _ in range(HANDSHAKES_MAX)]
    for _, writer in crowd:
        writer.write(b"\x16")  # the first byte of a handshake, and then nothing
    late_reader, late_writer = await victim.connect(None)
    assert await read_to_end(late_reader) == b"", "a newcomer is closed unread"
    await hang_up(late_writer)
    await victim.check_undisturbed()
    for reader, writer in crowd:
        assert await read_to_end(reader) == b""
        await hang_up(writer)
    newcomer = TcpTransport(get_key(3), NETWORK)
    link = await newcomer.dial(victim.address, get_id(2), Recorder().on_link)
    assert link.peer == get_id(2)
    await newcomer.close()


async def test_a_crowd_at_the_door_does_not_stop_us_from_going_out(victim: Victim) -> None:
    crowd = [await victim.connect(None) for _ in range(HANDSHAKES_MAX)]
    elsewhere = TcpTransport(get_key(4), NETWORK)
    address = await elsewhere.listen("127.0.0.1:0", Echo().on_link)
    link = await victim.transport.dial(address, get_id(4), Recorder().on_link)
    assert link.peer == get_id(4)
    for _, writer in crowd:
        await hang_up(writer)
    await elsewhere.close()


async def test_many_who_leave_at_once_do_not_keep_a_newcomer_out(victim: Victim) -> None:
    crowd = TcpTransport(get_key(3), NETWORK)
    links = [
        await crowd.dial(victim.address, get_id(2), Recorder().on_link)
        for _ in range(HANDSHAKES_MAX + 10)
    ]
    for link in links:
        link.close(CloseReason.LEAVING)
    newcomer = await crowd.dial(victim.address, get_id(2), Recorder().on_link)
    assert newcomer.peer == get_id(2)
    await crowd.close()


async def test_those_who_never_hang_up_are_bounded_in_number(
    victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp, "FINISHING_MAX", 3)
    monkeypatch.setattr(tcp, "FINISH_US", 600 * SECOND)
    host, port = victim.address.rsplit(":", 1)

    def attack_and_linger(number: int) -> ssl.SSLSocket:
        context = certificates.make_contexts(get_key(number).seed)[0]
        raw = socket.create_connection((host, int(port)), timeout=WAIT_S)
        wrapped = context.wrap_socket(raw)
        wrapped.sendall(frames.pack_hello(HELLO) + b"\xff" * 12)
        return wrapped

    sockets = [await asyncio.to_thread(attack_and_linger, number) for number in range(10, 16)]
    while len(victim.echo.links) < 1 + len(sockets):  # noqa: ASYNC110 - they are on their way
        await asyncio.sleep(0)
    ends = {asyncio.ensure_future(link.wait_closed()) for link in victim.echo.links[1:]}
    lingering = ends
    async with asyncio.timeout(WAIT_S):
        while len(lingering) > 3:
            _, lingering = await asyncio.wait(lingering, return_when=asyncio.FIRST_COMPLETED)
    for wrapped in sockets:
        wrapped.close()
    await asyncio.wait(ends)


async def test_a_listener_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "LINK_HANDSHAKE_US", 50 * MILLISECOND)
    accepted: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: accepted.append(writer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    dialler = TcpTransport(get_key(1), NETWORK)
    with pytest.raises(LinkEnded, match=r"no answer|took longer") as refused:
        await dialler.dial(f"127.0.0.1:{port}", None, Recorder().on_link)
    assert refused.value.reason is CloseReason.LOST
    for writer in accepted:
        await hang_up(writer)
    server.close()
    await dialler.close()


async def test_closing_the_transport_gives_up_dials() -> None:
    accepted: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: accepted.append(writer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    dialler = TcpTransport(get_key(1), NETWORK)
    dial = asyncio.ensure_future(dialler.dial(f"127.0.0.1:{port}", None, Recorder().on_link))
    while not accepted:  # noqa: ASYNC110 - the listener has no event to wait for
        await asyncio.sleep(0)
    await dialler.close()
    with pytest.raises(LinkEnded) as refused:
        await dial
    assert refused.value.reason is CloseReason.LEAVING
    for writer in accepted:
        await hang_up(writer)
    server.close()


# -- on a link of the attacker's own -------------------------------------------------------------


def parse_close_frame(said: bytes) -> tuple[CloseReason, str]:
    kind, _, payload = list(FrameReader().feed(said))[-1]
    assert kind == FrameType.CLOSE
    return frames.parse_close(payload)


async def test_the_attacker_is_told_which_rule_it_broke(victim: Victim) -> None:
    reader, writer = await victim.attack(5)
    writer.write(pack_data(1) + b"\xff" * 12)
    reason, detail = parse_close_frame(await read_to_end(reader))
    assert reason is CloseReason.MALFORMED
    assert "unknown type 255" in detail
    await hang_up(writer)


async def test_one_who_falls_silent_is_told_and_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mux, "LINK_HEARTBEAT_US", 20 * MILLISECOND)
    monkeypatch.setattr(mux, "LINK_DEAD_US", 60 * MILLISECOND)
    owner, transport = Recorder(), TcpTransport(get_key(2), NETWORK)
    address = await transport.listen("127.0.0.1:0", owner.on_link)
    host, port = address.rsplit(":", 1)
    context = certificates.make_contexts(get_key(5).seed)[0]
    reader, writer = await asyncio.open_connection(host, int(port), ssl=context, server_hostname="")
    writer.write(frames.pack_hello(HELLO))
    said = await read_to_end(reader)
    assert parse_close_frame(said)[0] is CloseReason.SILENT
    assert frames.pack_ping(1) in said, "it was asked first"
    assert await owner.closed.get() is CloseReason.SILENT
    await hang_up(writer)
    await transport.close()


async def test_one_who_asks_and_never_reads_is_bounded(
    victim: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp, "FINISH_US", 50 * MILLISECOND)
    # The attacker's own windows are full at LINK_WINDOW_BYTES: it sends as much as it may, gives
    # no credit and reads nothing, so the victim's echo must stop somewhere.
    _, writer = await victim.attack(5)
    assert isinstance(writer.transport, asyncio.Transport)
    writer.transport.pause_reading()
    per_stream = 3
    count = LINK_WINDOW_BYTES // (per_stream * FRAME_BYTES_MAX) - 1
    for stream_id in range(1, 2 * count, 2):
        writer.write(pack_data(stream_id, bytes(FRAME_BYTES_MAX)) * per_stream)
    async with asyncio.timeout(WAIT_S):
        await writer.drain()
    await victim.check_undisturbed()
    attacked = victim.echo.links[-1]
    attacked.close(CloseReason.LEAVING)
    async with asyncio.timeout(WAIT_S):
        await attacked.wait_closed()
    await hang_up(writer)


async def test_ten_thousand_mutated_frames_disturb_nobody(victim: Victim) -> None:
    dice = random.Random(11)  # noqa: S311 - a repeatable liar
    frames_sent = links = 0
    while frames_sent < 10_000:
        links += 1
        reader, writer = await victim.attack(5 + links % 3)
        lies = [_make_lie(dice, number) for number in range(100)]
        frames_sent += len(lies)
        writer.write(b"".join(lies))
        # Should all of it have been harmless, or a length been so that it waits for more.
        writer.write(b"\xff" * 2 * FRAME_BYTES_MAX)
        reason, detail = parse_close_frame(await read_to_end(reader))
        assert reason is not CloseReason.LOST
        assert detail
        await hang_up(writer)
        if links % 20 == 0:
            await victim.check_undisturbed()
    while victim.echo.link_count > 1:  # noqa: ASYNC110 - the last hang-up is still on its way
        await asyncio.sleep(0)


def _make_lie(dice: random.Random, number: int) -> bytes:
    """A frame that is often right, and wrong in one place otherwise."""
    stream_id = 2 * dice.randrange(number + 1) + 1
    packed = dice.choice(
        [
            pack_data(2 * number + 1, dice.randbytes(dice.randrange(300))),
            pack_data(stream_id, b"again"),
            frames.pack_frame(FrameType.END, stream_id),
            frames.pack_reset(stream_id, ResetCode.CANCELLED),
            frames.pack_credit(dice.choice([0, stream_id]), dice.randrange(1, 1000)),
            frames.pack_frame(FrameType.MESSAGE, 0, b"gossip"),
            frames.pack_ping(dice.randrange(1 << 60)),
        ]
    )
    lie = bytearray(packed)
    if dice.random() < 0.2:
        lie[dice.randrange(len(lie))] ^= 1 << dice.randrange(8)
    return bytes(lie)
