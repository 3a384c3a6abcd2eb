"""What a packet script cannot say: sequence numbers and timestamps as they are, IP headers, wrong checksums."""

from __future__ import annotations

import errno

import pytest
from support.pair import MAC_X, A, B, Pair, X

from tcplab.host.machine import Machine
from tcplab.rng import Rng
from tcplab.units import MS, SEC
from tcplab.wire import ethernet, ipv4
from tcplab.wire import tcp as wire_tcp
from tcplab.wire import tcp_options as opt
from tcplab.wire.tcp import ACK, FIN, PSH, RST, SYN

DONT_FRAGMENT = 0x4000


def header(pair: Pair, index: int = -1) -> ipv4.Ipv4:
    return ipv4.parse(pair.frames[index][1], ethernet.HEADER)


def heard_by_x(pair: Pair) -> None:
    """Answers to the third party need no question first."""
    pair.b.learn(X, MAC_X)


def test_a_rst_of_no_connection_has_no_options_and_the_usual_ip_header() -> None:
    pair = Pair()
    heard_by_x(pair)
    pair.inject("b", wire_tcp.build(X, B, 5000, 81, 1000, 0, SYN, 500, opt.mss(1460)), X)
    seg, ip = pair.sent[-1].seg, header(pair)
    assert (pair.sent[-1].flags, seg.seq, seg.ack, seg.window, seg.raw_options) == ("RA", 0, 1001, 0, b"")
    assert (ip.ttl, ip.ident, ip.fragment) == (64, 0, DONT_FRAGMENT)


def test_an_ack_of_time_wait_has_the_usual_ip_header() -> None:
    pair = Pair()
    client, server = pair.open()
    pair.call("a", "close", client)
    pair.call("b", "close", server)
    pair.run(SEC)
    assert pair.conns("a") == ["TIME_WAIT"]
    fin = next(sent.seg for sent in pair.sent if sent.host == "b" and "F" in sent.flags)
    pair.inject("a", wire_tcp.build(B, A, 80, fin.dport, fin.seq, fin.ack, FIN | ACK, 500), B)
    assert pair.sent[-1].flags == "A"
    assert (header(pair).ttl, header(pair).ident, header(pair).fragment) == (64, 0, DONT_FRAGMENT)


def test_an_abort_is_a_segment_of_its_connection() -> None:
    """Its IP identification is the next one; only a RST of no connection has none."""
    pair = Pair()
    client, _ = pair.open()
    before = header(pair).ident
    pair.call("a", "setsockopt", client, "SO_LINGER", (1, 0))
    pair.call("a", "close", client)
    assert pair.sent[-1].flags == "RA"
    assert header(pair).ident == (before + 1) & 0xFFFF != 0


@pytest.mark.parametrize("port", [80, 81])
@pytest.mark.parametrize("flags", [SYN, ACK, FIN, RST, RST | ACK])
def test_a_wrong_checksum_is_counted_and_never_answered(port: int, flags: int) -> None:
    """By a listening port (80) and by a closed one."""
    pair = Pair()
    heard_by_x(pair)
    pair.listen()
    right = wire_tcp.build(X, B, 5000, port, 1000, 7, flags, 500)
    wrong = right[:16] + bytes((right[16] ^ 0x55, right[17])) + right[18:]
    pair.inject("b", wrong, X)
    assert pair.sent == []
    assert (pair.counter("b", "TcpInErrs"), pair.counter("b", "TcpInCsumErrors")) == (1, 1)


def test_a_wrong_checksum_in_an_open_connection() -> None:
    """Not even a RST with the exact number counts, and nobody is told."""
    pair = Pair()
    pair.open()
    conn, before = pair.conn("b"), len(pair.sent)
    port = pair.sent[0].seg.sport
    for flags, payload in ((RST, b""), (ACK | PSH, b"x" * 10), (SYN, b"")):
        right = wire_tcp.build(A, B, port, 80, conn.rcv_nxt, conn.snd_nxt, flags, 500, b"", payload)
        pair.inject("b", right[:16] + bytes((right[16] ^ 0x55, right[17])) + right[18:], A)
    assert pair.conns("b") == ["ESTABLISHED"]
    assert len(pair.sent) == before
    assert (pair.counter("b", "TcpInErrs"), pair.counter("b", "TcpInCsumErrors")) == (3, 3)


def test_a_new_entry_has_an_isn_of_its_own() -> None:
    """The first has expired; the same SYN comes again. Repeats of one entry keep its number."""
    pair = Pair()
    heard_by_x(pair)
    pair.set("b", tcp_synack_retries=1)
    pair.listen()
    again = wire_tcp.build(X, B, 5000, 80, 1000, 0, SYN, 500, opt.mss(1460))
    pair.inject("b", again, X)
    pair.run(4 * SEC)
    assert pair.listener().syn_len == 0
    pair.inject("b", again, X)
    first, repeat, second = (sent.seg.seq for sent in pair.sent)
    assert first == repeat
    assert (second - first) & 0xFFFFFFFF == 4 * SEC // 64, "the clock behind it: one in 64 ns"


def test_a_client_that_takes_over_its_time_wait() -> None:
    """tcp_tw_reuse 1: the ISN is 65537 beyond the old connection's last number, and the SYN echoes the peer's time."""
    pair = Pair()
    pair.set("a", tcp_tw_reuse=1)
    pair.call("a", "sysctl", "ip_local_port_range", "40000 40000")
    client, server = pair.open()
    pair.call("a", "close", client)
    pair.run(20 * MS)
    pair.call("b", "close", server)
    pair.run(2 * SEC)
    old = pair.conn("a")
    last = next(sent.seg for sent in reversed(pair.sent) if sent.host == "b")
    assert (old.state, last.ts is not None) == ("TIME_WAIT", True)
    pair.connect()
    syn = pair.sent[-1].seg
    assert (syn.sport, syn.seq, syn.window) == (40000, (old.snd_nxt + 65537) & 0xFFFFFFFF, 65160)
    assert syn.ts is not None
    assert last.ts is not None
    assert syn.ts[1] == last.ts[0] != 0


def test_timestamps_are_a_clock_of_milliseconds_with_an_offset_of_their_own() -> None:
    """The same four-tuple has the same offset, so its timestamps never go back; others have other ones."""
    source = Machine("a", A, bytes(6), Rng(1), lambda event: None).isn
    offsets = {source.ts_offset(A, port, B, 80) for port in range(40000, 40100)}
    assert len(offsets) == 100
    pair = Pair()
    pair.listen()
    stamps = []
    for _ in range(2):
        fd = pair.connect(local=4000)
        stamps.append((pair.now, pair.sent[-1].seg.ts))
        pair.run(20 * MS)
        pair.call("a", "setsockopt", fd, "SO_LINGER", (1, 0))
        pair.call("a", "close", fd)
        pair.run(700 * MS)
    (begin, first), (end, second) = stamps
    assert first is not None
    assert second is not None
    assert (second[0] - first[0]) & 0xFFFFFFFF == (end - begin) // MS


@pytest.mark.parametrize("backlog", [65535, -1])
def test_a_backlog_is_limited_by_somaxconn(backlog: int) -> None:
    pair = Pair()
    pair.listen(backlog=backlog)
    assert pair.listener().max_ack_backlog == 4096


def test_of_nine_entries_five_go_early() -> None:
    """A SYN queue for eight that holds nine: more than half full until five are gone, at 7 s."""
    pair = Pair()
    heard_by_x(pair)
    pair.listen(backlog=8)
    for sport in range(5000, 5009):
        pair.inject("b", wire_tcp.build(X, B, sport, 80, 1000, 0, SYN, 500, opt.mss(1460)), X)
    pair.run(7500 * MS)
    assert pair.listener().syn_len == 4
    pair.run(55 * SEC)
    assert pair.listener().syn_len == 4
    pair.run(SEC)
    assert pair.listener().syn_len == 0
    answers = [sum(sent.seg.dport == sport for sent in pair.sent) for sport in range(5000, 5009)]
    assert sorted(answers) == [3] * 5 + [6] * 4
    assert pair.counter("b", "TcpExtListenDrops") == 0


def test_nobody_answers_the_question_for_a_mac() -> None:
    """connect() fails after three questions, with EHOSTUNREACH; no SYN was sent."""
    pair = Pair(acquainted=False)
    fd = pair.call("a", "socket")
    assert pair.errno("a", "connect", fd, X, 80) == errno.EINPROGRESS
    pair.run(2990 * MS)
    assert pair.conns("a") == ["SYN_SENT"]
    pair.run(20 * MS)
    assert pair.errno("a", "connect", fd, X, 80) == errno.EHOSTUNREACH
    assert pair.sent == []
