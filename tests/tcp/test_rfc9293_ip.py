"""RFC 9293 section 3.9.2: what comes from IP and ICMP."""

from __future__ import annotations

import struct

import pytest
from support.hand import Hand, icmp_to_a
from support.pair import A, B, Pair, X

from tcplab.wire import ethernet, icmp, ipv4
from tcplab.wire import tcp as wire_tcp
from tcplab.wire.checksum import checksum
from tcplab.wire.tcp import SYN

TIME_EXCEEDED, PARAMETER_PROBLEM, SOURCE_QUENCH = 11, 12, 4


def with_options(packet: bytes, options: bytes) -> bytes:
    """The packet with IP options in its header."""
    words = 5 + len(options) // 4
    head = bytearray(packet[:20] + options)
    head[0] = 0x40 | words
    head[2:4] = (len(packet) + len(options)).to_bytes(2, "big")
    head[10:12] = bytes(2)
    head[10:12] = checksum(bytes(head)).to_bytes(2, "big")
    return bytes(head) + packet[20:]


@pytest.mark.parametrize(
    "options",
    [
        b"\x01\x01\x01\x00",
        b"\x07\x07\x04" + bytes(5),  # record route
        b"\x44\x08\x05\x00" + bytes(4),  # timestamp
        b"\x9e\x04\x00\x00",  # experimental
    ],
)
def test_ip_options_are_passed_over(options: bytes) -> None:
    pair = Pair()
    pair.listen()
    packet = ipv4.build(A, B, ipv4.PROTO_TCP, wire_tcp.build(A, B, 5000, 80, 1, 0, SYN, 1000))
    head = ethernet.header(pair.b.mac, pair.a.mac, ethernet.ETH_IP)
    pair.b.on_frame(0, head + with_options(packet, options))
    pair._collect()
    assert pair.flow() == ["b SA"]
    assert len(pair.frames[0][1]) == 14 + 20 + 24, "the answer has no IP options"


@pytest.mark.parametrize("opened", [False, True])
def test_source_quench_changes_nothing(opened: bool) -> None:
    hand = Hand() if opened else None
    pair = hand.pair if hand else Pair(lose=lambda *_: True)
    if hand:
        hand.send(100)
    else:
        pair.connect()
    before = pair.conn("a"), len(pair.frames)
    icmp_to_a(pair, SOURCE_QUENCH, 0)
    assert (pair.conn("a"), len(pair.frames)) == before


@pytest.mark.parametrize(
    ("kind", "code"),
    [(icmp.UNREACHABLE, code) for code in range(16)] + [(TIME_EXCEEDED, 0), (TIME_EXCEEDED, 1), (PARAMETER_PROBLEM, 0)],
)
def test_no_icmp_error_ends_an_open_connection(kind: int, code: int) -> None:
    hand = Hand()
    hand.send(100)
    icmp_to_a(hand.pair, kind, code)
    assert hand.pair.conns("a") == ["ESTABLISHED"]
    hand.say(ack=100)
    assert hand.pair.conn("a").send_q == 0


def test_an_icmp_error_reaches_the_connection_that_it_quotes_and_no_other() -> None:
    pair = Pair(lose=lambda *_: True)
    first, second = pair.connect(), pair.connect()
    icmp_to_a(pair, icmp.UNREACHABLE, 3)
    assert pair.conns("a") == ["SYN_SENT"]
    assert pair.call("a", "getsockopt", first, "SO_ERROR") == 0
    assert pair.call("a", "getsockopt", second, "SO_ERROR") != 0


def test_the_checksum_covers_the_addresses() -> None:
    pair = Pair()
    pair.listen()
    segment = wire_tcp.build(A, B, 5000, 80, 1, 0, SYN, 1000)
    pair.inject("b", segment, X)  # with the checksum of another sender
    assert pair.frames == []
    assert pair.counter("b", "TcpInCsumErrors") == 1
    (field,) = struct.unpack_from("!H", segment, 16)
    assert field != 0
