"""RFC 9293 sections 3.4.1, 3.5 and 3.9.1.1: initial sequence numbers, opens that meet, and what an OPEN may name."""

from __future__ import annotations

import errno

import pytest
from support.pair import A, B, Pair, X

from tcplab.rng import Stream
from tcplab.tcp.isn import IsnSource
from tcplab.units import MS, SEC
from tcplab.wire import ethernet, ipv4
from tcplab.wire import tcp as wire_tcp
from tcplab.wire.tcp import ACK, RST, SYN


def test_the_isn_depends_on_a_secret() -> None:
    isns = {IsnSource(Stream(seed, "test")).isn(0, A, 1000, B, 80) for seed in range(50)}
    assert len(isns) == 50


@pytest.mark.parametrize("other", [(X, 1000, B, 80), (A, 1001, B, 80), (A, 1000, X, 80), (A, 1000, B, 81)])
def test_the_isn_depends_on_all_of_the_four_tuple(other: tuple[int, int, int, int]) -> None:
    source = IsnSource(Stream(1, "test"))
    away = (source.isn(0, *other) - source.isn(0, A, 1000, B, 80)) & 0xFFFFFFFF
    assert 1 << 16 < away < (1 << 32) - (1 << 16)


def test_the_isn_moves_at_least_once_in_four_microseconds() -> None:
    source = IsnSource(Stream(1, "test"))
    numbers = [source.isn(t, A, 1000, B, 80) for t in range(0, 400_000, 4000)]
    steps = {(later - earlier) & 0xFFFFFFFF for earlier, later in zip(numbers, numbers[1:], strict=False)}
    assert steps <= {62, 63}


def test_a_rst_in_syn_recv_after_an_active_open_is_told() -> None:
    pair = Pair(lose=lambda *_: True)
    fd = pair.connect()
    s = pair.sent[0].seg
    pair.inject("a", wire_tcp.build(B, A, 80, s.sport, 700, 0, SYN, 500), B)
    assert pair.conns("a") == ["SYN_RECV"]
    pair.inject("a", wire_tcp.build(B, A, 80, s.sport, 701, 0, RST, 0), B)
    assert pair.conns("a") == []
    assert pair.call("a", "getsockopt", fd, "SO_ERROR") == errno.ECONNRESET, "as Linux says it"


def test_a_rst_in_syn_recv_after_a_passive_open_leaves_the_listener() -> None:
    pair = Pair(lose=lambda host, seg: host == "b")
    listener = pair.listen()
    pair.connect()
    pair.run(20 * MS)
    s = pair.sent[0].seg
    pair.inject("b", wire_tcp.build(A, B, s.sport, 80, s.seq + 1, 0, RST, 0), A)
    assert pair.listener().syn_len == 0
    assert pair.errno("b", "accept", listener) == errno.EAGAIN
    pair.lose = None
    pair.run(2 * SEC)
    assert isinstance(pair.call("b", "accept", listener), tuple)


# --- OPEN -------------------------------------------------------------------------------------------------------------


def bound(pair: Pair, port: int) -> int:
    fd = pair.call("a", "socket")
    assert isinstance(fd, int)
    pair.call("a", "setsockopt", fd, "SO_REUSEADDR", 1)
    assert pair.call("a", "bind", fd, 0, port) is None
    return fd


def test_a_passive_open_leaves_connections_on_its_port_alone() -> None:
    pair = Pair()
    client, server = pair.open()
    pair.call("b", "listen", pair.call("b", "socket"), 5)
    second = pair.call("b", "socket")
    assert pair.errno("b", "bind", second, 0, 80) == errno.EADDRINUSE
    pair.call("a", "send", client, b"still here")
    pair.run(50 * MS)
    assert pair.call("b", "recv", server, 100) == b"still here"
    assert pair.listener().local.endswith(":80")


@pytest.mark.parametrize("state", ["SYN_SENT", "SYN_RECV"])
def test_a_port_can_listen_while_a_connection_on_it_is_being_opened(state: str) -> None:
    pair = Pair(lose=lambda *_: True)
    fd = bound(pair, 4000)
    pair.call("a", "connect", fd, B, 80)
    if state == "SYN_RECV":
        pair.inject("a", wire_tcp.build(B, A, 80, 4000, 700, 0, SYN, 500), B)
    assert pair.conns("a") == [state]
    assert pair.call("a", "listen", bound(pair, 4000), 5) is None
    assert pair.conns("a") == [state]
    pair.inject("a", wire_tcp.build(B, A, 81, 4000, 900, 0, SYN, 500), B)
    assert pair.sent[-1].flags == "SA"
    assert pair.sent[-1].seg.dport == 81


def test_a_listener_may_name_its_address() -> None:
    pair = Pair()
    fd = pair.call("b", "socket")
    assert pair.call("b", "bind", fd, B, 80) is None
    pair.call("b", "listen", fd, 5)
    pair.connect()
    pair.run(50 * MS)
    assert isinstance(pair.call("b", "accept", fd), tuple)


def test_every_segment_of_a_connection_comes_from_the_address_of_its_syn() -> None:
    pair = Pair()
    client, server = pair.open()
    pair.call("a", "send", client, b"x" * 5000)
    pair.run(SEC)
    pair.call("b", "recv", server, 5000)
    pair.call("a", "close", client)
    pair.call("b", "close", server)
    pair.run(SEC)
    sources = {(host, ipv4.parse(frame, ethernet.HEADER).src) for host, frame, _ in pair.frames}
    assert sources == {("a", A), ("b", B)}
    assert pair.call("a", "getsockname", client) != (0, 0)


@pytest.mark.parametrize("dst", ["10.77.0.255", "255.255.255.255", "224.0.0.1"])
@pytest.mark.parametrize("flags", [SYN, ACK])
def test_a_segment_to_many_is_not_answered(dst: str, flags: int) -> None:
    pair = Pair()
    pair.listen()
    addr = ipv4.address(dst)
    segment = wire_tcp.build(A, addr, 5000, 80, 1, 0, flags, 1000)
    packet = ipv4.build(A, addr, ipv4.PROTO_TCP, segment)
    pair.b.on_frame(0, ethernet.header(ethernet.BROADCAST, pair.a.mac, ethernet.ETH_IP) + packet)
    pair._collect()
    assert pair.frames == []
    assert pair.listener().syn_len == 0
    assert pair.drops("b") == ["not for us"]
