"""Frames from addresses that cannot be, for other hosts, or with claims that are not believed."""

from __future__ import annotations

import errno
import struct

import pytest
from support.pair import MAC_A, MAC_B, MAC_X, A, B, Pair, X

from tcplab.units import MS
from tcplab.wire import ethernet, icmp, ipv4
from tcplab.wire import tcp as wire_tcp
from tcplab.wire.frames import arp_frame, tcp_frame
from tcplab.wire.tcp import SYN


def syn(src: int) -> bytes:
    return wire_tcp.build(src, B, 5000, 80, 1, 0, SYN, 1000)


@pytest.mark.parametrize("src", ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "10.77.0.2"])
def test_martians_are_dropped(src: str) -> None:
    pair = Pair()
    pair.listen()
    pair.inject("b", syn(ipv4.address(src)), ipv4.address(src))
    assert pair.drops("b") == ["martian"]
    assert pair.frames == []


def test_a_frame_for_another_mac_is_not_read() -> None:
    pair = Pair()
    pair.listen()
    pair.b.on_frame(0, tcp_frame(MAC_X, MAC_A, X, B, 0, syn(X)))
    assert pair.drops("b") == ["other host"]


def test_a_claim_to_our_own_address_is_not_learned() -> None:
    pair = Pair()
    pair.b.on_frame(0, arp_frame(MAC_X, ethernet.BROADCAST, 1, B, bytes(6), B))
    assert pair.drops("b") == ["ARP conflict"]
    assert B not in pair.b.neighbours
    pair.b.on_frame(0, arp_frame(MAC_X, ethernet.BROADCAST, 1, 0, bytes(6), B))
    assert 0 not in pair.b.neighbours


def test_a_repeated_syn_is_answered_once_in_half_a_second() -> None:
    pair = Pair()
    pair.b.learn(X, MAC_X)
    pair.listen()
    for _ in range(5):
        pair.inject("b", syn(X), X)
    assert pair.flow() == ["b SA", "b SA"]
    assert pair.counter("b", "TcpExtTCPACKSkippedSynRecv") == 3
    pair.run(600 * MS)
    pair.inject("b", syn(X), X)
    assert pair.flow() == ["b SA"] * 3


@pytest.mark.parametrize(("offset", "expected"), [(0, errno.EHOSTUNREACH), (-1, 0), (5000, 0)])
def test_an_icmp_error_must_quote_what_is_outstanding(offset: int, expected: int) -> None:
    pair = Pair(lose=lambda host, seg: True)
    fd = pair.connect()
    seg = pair.sent[0].seg
    quoted = ipv4.build(A, B, 6, struct.pack("!HHI", seg.sport, 80, (seg.seq + offset) & 0xFFFFFFFF) + bytes(12))
    packet = ipv4.build(X, A, 1, icmp.build(3, 1, 0, quoted))
    pair.a.on_frame(0, ethernet.header(MAC_A, MAC_B, ethernet.ETH_IP) + packet)
    assert pair.call("a", "getsockopt", fd, "SO_ERROR") == expected
    assert pair.counter("a", "TcpExtOutOfWindowIcmps") == (expected == 0)


def test_accepted_sockets_inherit_their_listeners_options() -> None:
    pair = Pair()
    listener = pair.listen()
    pair.call("b", "setsockopt", listener, "TCP_NODELAY", 1)
    pair.call("b", "setsockopt", listener, "SO_RCVBUF", 5000)
    pair.connect()
    pair.run(50 * MS)
    fd, _ = pair.call("b", "accept", listener)  # type: ignore[misc]
    assert pair.call("b", "getsockopt", fd, "TCP_NODELAY") == 1
    assert pair.call("b", "getsockopt", fd, "SO_RCVBUF") == 10000


def test_ports_and_addresses_that_cannot_be() -> None:
    pair = Pair()
    fd = pair.call("a", "socket")
    assert pair.errno("a", "bind", fd, 0, 70000) == errno.EINVAL
    assert pair.errno("a", "connect", fd, B, 70000) == errno.EINVAL
    assert pair.errno("a", "bind", fd, B, 80) == errno.EADDRNOTAVAIL
