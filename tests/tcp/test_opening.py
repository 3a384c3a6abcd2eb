"""Opening: the handshake and its options, both ladders, refusals, queues. LINUX sections 1 to 6."""

from __future__ import annotations

import errno

import pytest
from support.pair import A, B, Pair, X, gaps

from tcplab.units import MS, SEC
from tcplab.wire import tcp as wire_tcp
from tcplab.wire import tcp_options as opt
from tcplab.wire.tcp import ACK, CWR, ECE, FIN, PSH, RST, SYN

FULL, NO_TS = "mss sackOK TS nop wscale", "mss nop nop sackOK nop wscale"

FAR = X + 1000
"""An address outside the lab's network: a forged source."""


def syn(
    sport: int = 5000, seq: int = 1000, flags: int = SYN, options: bytes = b"", dport: int = 80, src: int = X
) -> bytes:
    return wire_tcp.build(src, B, sport, dport, seq, 0, flags, 65535, options)


def test_three_segments_open_a_connection() -> None:
    pair = Pair()
    pair.open()
    assert pair.flow() == ["a S", "b SA", "a A"]
    s, sa, a = (sent.seg for sent in pair.sent)
    assert (sa.ack, a.seq, a.ack) == (s.seq + 1, s.seq + 1, sa.seq + 1)
    assert pair.states("a") == ["SYN_SENT", "ESTABLISHED"]
    assert pair.states("b") == ["SYN_RECV", "ESTABLISHED"]


def test_every_segment_has_a_reason() -> None:
    pair = Pair()
    client, server = pair.open()
    pair.call("a", "send", client, b"x" * 5000)
    pair.run(SEC)
    pair.call("a", "close", client)
    pair.call("b", "close", server)
    pair.run(100 * SEC)
    assert all(why for _, _, why in pair.frames)


@pytest.mark.parametrize(
    ("a", "b", "syn_options", "synack_options", "windows"),
    [
        ({}, {}, "mss sackOK TS nop wscale", "mss sackOK TS nop wscale", (64240, 65160, 63)),
        (
            {"tcp_timestamps": 0},
            {},
            "mss nop nop sackOK nop wscale",
            "mss nop nop sackOK nop wscale",
            (64240, 64240, 63),
        ),
        ({"tcp_sack": 0}, {}, "mss nop nop TS nop wscale", "mss nop nop TS nop wscale", (64240, 65160, 63)),
        ({"tcp_window_scaling": 0}, {}, "mss sackOK TS", "mss sackOK TS", (64240, 65160, 64240)),
        ({"tcp_timestamps": 0, "tcp_sack": 0, "tcp_window_scaling": 0}, {}, "mss", "mss", (64240, 64240, 64240)),
        ({}, {"tcp_timestamps": 0}, FULL, NO_TS, (64240, 64240, 63)),
    ],
)
def test_options_as_linux_offers_them(
    a: dict[str, int], b: dict[str, int], syn_options: str, synack_options: str, windows: tuple[int, int, int]
) -> None:
    pair = Pair()
    pair.set("a", **a)
    pair.set("b", **b)
    pair.open()
    kinds = [option_kinds(sent.seg.raw_options) for sent in pair.sent]
    assert kinds[:2] == [syn_options, synack_options]
    assert tuple(sent.seg.window for sent in pair.sent) == windows


def option_kinds(raw: bytes) -> str:
    names = {1: "nop", 2: "mss", 3: "wscale", 4: "sackOK", 8: "TS"}
    kinds, at = [], 0
    while at < len(raw):
        kinds.append(names[raw[at]])
        at += 1 if raw[at] == 1 else raw[at + 1]
    return " ".join(kinds)


@pytest.mark.parametrize(
    ("retries", "linear", "at", "fails"),
    [
        (6, 4, [0, 1, 2, 3, 4, 5, 7, 11, 19, 35, 67], 131),
        (6, 0, [0, 1, 3, 7, 15, 31, 63], 127),
        (5, 4, [0, 1, 2, 3, 4, 5, 7, 11, 19, 35], 67),  # Linux, timer rounding aside: 68.4
        (3, 4, [0, 1, 2, 3, 4, 5, 7, 11], 19),
        (3, 0, [0, 1, 3, 7], 15),
        (4, 1, [0, 1, 2, 4, 8, 16], 32),
        (1, 4, [0, 1, 2], 3),
    ],
)
def test_syn_ladder(retries: int, linear: int, at: list[float], fails: float) -> None:
    pair = Pair(lose=lambda host, seg: True)
    pair.set("a", tcp_syn_retries=retries, tcp_syn_linear_timeouts=linear)
    fd = pair.connect()
    pair.run(200 * SEC)
    assert pair.times("a", "S") == at
    assert pair.events[-1].t == fails * SEC
    assert pair.call("a", "getsockopt", fd, "SO_ERROR") == errno.ETIMEDOUT
    assert pair.counter("a", "TcpExtTCPSynRetrans") == len(at) - 1
    assert pair.counter("a", "TcpExtTCPTimeouts") == len(at)
    assert pair.errno("a", "connect", fd, B, 80) == errno.ECONNABORTED


def test_syncnt_and_user_timeout_shorten_the_ladder() -> None:
    for option, value, count, end in (("TCP_SYNCNT", 2, 6, 7), ("TCP_USER_TIMEOUT", 3000, 3, 3)):
        pair = Pair(lose=lambda host, seg: True)
        fd = pair.call("a", "socket")
        pair.call("a", "setsockopt", fd, option, value)
        pair.call("a", "connect", fd, B, 80)
        pair.run(200 * SEC)
        assert len(pair.sent) == count
        assert pair.events[-1].t == end * SEC


@pytest.mark.parametrize(("retries", "at", "gone"), [(5, [0, 1, 3, 7, 15, 31], 63), (2, [0, 1, 3], 7), (0, [0], 1)])
def test_synack_ladder(retries: int, at: list[float], gone: float) -> None:
    pair = Pair(lose=lambda host, seg: host == "a" and not seg.flags & SYN)
    pair.set("b", tcp_synack_retries=retries)
    pair.listen()
    pair.connect()
    pair.run(200 * SEC)
    times = pair.times("b", "SA")
    assert [round(t - times[0], 6) for t in times] == at
    assert round(pair.events[-1].t / SEC - times[0], 6) == gone
    assert pair.listener().syn_len == 0
    assert pair.conns("a") == ["ESTABLISHED"]
    assert pair.counter("b", "TcpExtListenDrops") == 0
    assert pair.counter("a", "TcpExtTCPSYNChallenge") == len(at) - 1


def test_lost_synack_starts_both_ladders_and_ends_in_one_connection() -> None:
    lost: list[int] = []

    def first_synack(host: str, seg: wire_tcp.Segment) -> bool:
        if host == "b" and not lost:
            lost.append(1)
            return True
        return False

    pair = Pair(lose=first_synack)
    pair.set("a", tcp_syn_linear_timeouts=0)
    pair.listen()
    pair.connect()
    pair.run(10 * SEC)
    assert pair.conns("a") == pair.conns("b") == ["ESTABLISHED"]


def test_data_completes_a_handshake_whose_third_ack_was_lost() -> None:
    pair = Pair(lose=lambda host, seg: host == "a" and seg.flags == ACK and not seg.payload)
    listener = pair.listen()
    client = pair.connect()
    pair.run(50 * MS)
    assert pair.conns("b") == []
    pair.call("a", "send", client, b"hello")
    pair.run(50 * MS)
    fd, _ = pair.call("b", "accept", listener)  # type: ignore[misc]
    assert pair.call("b", "recv", fd, 100) == b"hello"
    assert pair.times("b", "SA") == [0.005]


def test_closed_port_refuses() -> None:
    pair = Pair()
    fd = pair.connect(port=81)
    pair.run(20 * MS)
    reply = pair.sent[1]
    assert (reply.flags, reply.seg.seq, reply.seg.window, reply.seg.raw_options) == ("RA", 0, 0, b"")
    assert reply.seg.ack == pair.sent[0].seg.seq + 1
    assert pair.call("a", "getsockopt", fd, "SO_ERROR") == errno.ECONNREFUSED
    assert pair.counter("b", "TcpOutRsts") == 1
    assert pair.counter("a", "TcpAttemptFails") == 1


@pytest.mark.parametrize(
    ("flags", "payload", "closed", "listening"),
    [
        (SYN, 4, ("RA", 0, 1005), ("SA", None, 1001)),
        (ACK, 0, ("R", 7777, 0), ("R", 7777, 0)),
        (ACK | PSH, 4, ("R", 7777, 0), ("R", 7777, 0)),
        (FIN | ACK, 0, ("R", 7777, 0), ("R", 7777, 0)),
        (SYN | ACK, 0, ("R", 7777, 0), ("R", 7777, 0)),
        (FIN, 0, ("RA", 0, 1001), None),
        (0, 0, ("RA", 0, 1000), None),
        (0, 4, ("RA", 0, 1004), None),
        (SYN | FIN, 0, ("RA", 0, 1002), None),
        (RST, 0, None, None),
        (RST | ACK, 0, None, None),
    ],
)
def test_answers_of_closed_and_listening_ports(
    flags: int, payload: int, closed: tuple[str, int, int] | None, listening: tuple[str, int | None, int] | None
) -> None:
    for port, expected in ((81, closed), (80, listening)):
        pair = Pair()
        pair.listen()
        ack = 7777 if flags & ACK else 0
        pair.inject("b", wire_tcp.build(X, B, 5000, port, 1000, ack, flags, 1000, b"", b"z" * payload), X)
        # answers to x wait for its MAC: what b would say lies behind the ARP question
        pair.b.learn(X, bytes.fromhex("02000a4d0009"))
        pair._collect()
        saw = [(s.flags, s.seg.seq, s.seg.ack) for s in pair.sent]
        if expected is None:
            assert saw == []
        else:
            assert len(saw) == 1
            name, seq, number = saw[0]
            assert (name, number) == (expected[0], expected[2])
            assert expected[1] is None or seq == expected[1]


@pytest.mark.parametrize(("backlog", "fit"), [(0, 1), (1, 2), (2, 3), (5, 6)])
def test_a_full_accept_queue_drops_the_syn(backlog: int, fit: int) -> None:
    for abort in (0, 1):
        pair = Pair()
        pair.set("a", tcp_syn_retries=1, tcp_syn_linear_timeouts=0)
        pair.set("b", tcp_abort_on_overflow=abort)
        pair.listen(backlog=backlog)
        for _ in range(fit + 1):
            pair.connect()
            pair.run(100 * MS)
        assert pair.conns("a").count("ESTABLISHED") == fit
        listener = pair.listener()
        assert (listener.accept_len, listener.accept_limit, listener.max_ack_backlog) == (fit, fit, backlog)
        pair.run(5 * SEC)
        assert pair.counter("b", "TcpExtListenOverflows") == 2
        assert pair.counter("b", "TcpExtListenDrops") == 2
        assert pair.counter("b", "TcpOutRsts") == 0
        assert "acceptq full" in pair.drops("b")


def test_somaxconn_caps_the_backlog_at_listen_time() -> None:
    pair = Pair()
    pair.set("b", somaxconn=3)
    fd = pair.listen(backlog=128)
    assert pair.listener().max_ack_backlog == 3
    pair.set("b", somaxconn=4096)
    assert pair.listener().max_ack_backlog == 3
    pair.call("b", "listen", fd, 50)
    assert pair.listener().max_ack_backlog == 50


@pytest.mark.parametrize(
    ("cookies", "backlog", "max_syn", "syns", "held", "dropped", "sent", "full"),
    [
        (0, 4, 2048, 24, 5, 19, 0, "TcpExtTCPReqQFullDrop"),
        (1, 4, 2048, 24, 5, 0, 19, "TcpExtTCPReqQFullDoCookies"),
        (2, 4, 2048, 24, 0, 0, 24, "TcpExtTCPReqQFullDoCookies"),
        (0, 64, 8, 32, 7, 25, 0, ""),
        (0, 64, 16, 32, 13, 19, 0, ""),
        (0, 64, 32, 32, 25, 7, 0, ""),
        (0, 128, 128, 160, 97, 63, 0, ""),
        (1, 64, 8, 24, 24, 0, 0, ""),
        (1, 16, 4, 24, 17, 0, 7, "TcpExtTCPReqQFullDoCookies"),
    ],
)
def test_syn_flood(
    cookies: int, backlog: int, max_syn: int, syns: int, held: int, dropped: int, sent: int, full: str
) -> None:
    pair = Pair()
    pair.set("b", tcp_syncookies=cookies, tcp_max_syn_backlog=max_syn)
    pair.listen(backlog=backlog)
    for sport in range(5000, 5000 + syns):
        pair.inject("b", syn(sport, src=FAR), FAR)
    assert pair.listener().syn_len == held
    assert pair.counter("b", "TcpExtListenDrops") == dropped
    assert pair.counter("b", "TcpExtSyncookiesSent") == sent
    assert not full or pair.counter("b", full) == syns - held
    assert pair.drops("b").count("synq full") == dropped


def test_a_crowded_queue_shortens_the_retries() -> None:
    pair = Pair()
    pair.listen(backlog=8)
    for sport in range(5000, 5009):
        pair.inject("b", syn(sport, src=FAR), FAR)
    pair.run(8 * SEC)
    assert 0 < pair.listener().syn_len < 9
    pair.run(60 * SEC)
    assert pair.listener().syn_len == 0


def test_overflow_at_the_third_ack() -> None:
    """The worked example of the exercises: the server ignores the ACK, repeats SYN,ACK, and lets c3 in later."""
    for abort in (0, 1):
        pair = Pair(delay=0)
        pair.set("b", tcp_syncookies=0, tcp_synack_retries=3, tcp_abort_on_overflow=abort)
        pair.b.learn(X, bytes.fromhex("02000a4d0009"))
        fd = pair.listen(backlog=1)
        for name in (1, 2):
            pair.inject("b", syn(5000 + name), X)
        third(pair, 5001)
        pair.inject("b", syn(5003), X)
        third(pair, 5002)
        third(pair, 5003)
        if abort:
            assert pair.sent[-1].flags == "R"
            assert pair.listener().syn_len == 0
            assert pair.counter("b", "TcpExtEmbryonicRsts") == 1
            continue
        third(pair, 5003, b"hello")
        assert pair.counter("b", "TcpExtListenOverflows") == 2
        assert pair.listener().syn_len == 1
        pair.run(1500 * MS)
        assert isinstance(pair.call("b", "accept", fd), tuple)
        pair.run(2 * SEC)
        third(pair, 5003)
        assert pair.listener().accept_len == 2
        assert list(gaps([s.t for s in pair.sent if s.flags == "SA" and s.seg.dport == 5003])) == [1.0, 2.0]


def third(pair: Pair, sport: int, payload: bytes = b"") -> None:
    synack = next(s.seg for s in pair.sent if s.flags == "SA" and s.seg.dport == sport)
    flags = ACK | (PSH if payload else 0)
    pair.inject("b", wire_tcp.build(X, B, sport, 80, 1001, synack.seq + 1, flags, 65535, b"", payload), X)


def test_cookie_keeps_options_with_timestamps_and_loses_them_without() -> None:
    with_ts = opt.mss(1300) + opt.sack_permitted() + opt.timestamps(77, 0) + opt.nop() + opt.window_scale(7)
    for options, kept in ((with_ts, True), (opt.mss(1300) + opt.nop() * 2 + opt.sack_permitted(), False)):
        pair = Pair()
        pair.set("b", tcp_syncookies=2)
        pair.b.learn(X, bytes.fromhex("02000a4d0009"))
        pair.listen()
        pair.run(100 * SEC)  # the clock behind the timestamps must be past zero
        pair.inject("b", syn(options=options), X)
        synack = pair.sent[-1].seg
        assert pair.listener().syn_len == 0
        assert (synack.sack_ok, synack.wscale is not None, synack.ts is not None) == (kept, kept, kept)
        reply = opt.nop() * 2 + opt.timestamps(78, synack.ts[0]) if synack.ts is not None else b""
        pair.inject("b", wire_tcp.build(X, B, 5000, 80, 1001, synack.seq + 1, ACK, 5000, reply), X)
        conn = pair.conn("b")
        assert conn.state == "ESTABLISHED"
        assert conn.options == ("ts sack wscale:7,10" if kept else "")
        assert conn.mss == (1288 if kept else 1300)
        assert pair.counter("b", "TcpExtSyncookiesRecv") == 1


def test_forged_cookie_ack_is_refused() -> None:
    pair = Pair()
    pair.set("b", tcp_syncookies=2)
    pair.b.learn(X, bytes.fromhex("02000a4d0009"))
    pair.listen()
    pair.inject("b", wire_tcp.build(X, B, 5000, 80, 1001, 12345, ACK, 500), X)
    assert pair.sent[-1].flags == "R"
    assert pair.counter("b", "TcpExtSyncookiesFailed") == 0  # nobody had been sent one
    pair.inject("b", wire_tcp.build(X, B, 4999, 80, 1000, 0, SYN, 500), X)
    pair.inject("b", wire_tcp.build(X, B, 5000, 80, 1001, 12345, ACK, 500), X)
    assert pair.sent[-1].flags == "R"
    assert pair.counter("b", "TcpExtSyncookiesFailed") == 1


def test_simultaneous_open() -> None:
    pair = Pair(delay=20 * MS)
    for host, local, peer in (("a", 4000, B), ("b", 4000, A)):
        fd = pair.call(host, "socket")
        pair.call(host, "bind", fd, 0, local)
        pair.call(host, "connect", fd, peer, 4000)
    pair.run(200 * MS)
    assert pair.states("a") == pair.states("b") == ["SYN_SENT", "SYN_RECV", "ESTABLISHED"]
    assert sorted(pair.flow()[:4]) == ["a S", "a SA", "b S", "b SA"]
    assert pair.sent[0].seg.seq == next(s for s in pair.sent if s.host == "a" and s.flags == "SA").seg.seq
    assert pair.counter("a", "TcpActiveOpens") == 1
    assert pair.counter("a", "TcpPassiveOpens") == 0
    assert sorted(pair.flow()[4:]) == ["a A", "b A"]
    final = next(s for s in pair.sent if s.host == "a" and s.flags == "A").seg
    assert final.sack == ((final.ack - 1, final.ack),)  # D-SACK 0-1: the SYN came twice
    assert pair.counter("a", "TcpExtTCPDSACKOldSent") == 1


def test_isn_moves_with_the_clock_of_its_four_tuple() -> None:
    pair = Pair()
    source = pair.a.isn
    first = source.isn(0, A, 1000, B, 80)
    assert source.isn(64_000, A, 1000, B, 80) == (first + 1000) & 0xFFFFFFFF
    assert abs(source.isn(0, A, 1001, B, 80) - first) > 1000


def test_unanswered_arp_is_ehostunreach() -> None:
    pair = Pair(acquainted=False, lose=None)
    fd = pair.call("a", "socket")
    pair.call("a", "connect", fd, X, 80)
    pair.run(5 * SEC)
    assert pair.call("a", "getsockopt", fd, "SO_ERROR") == errno.EHOSTUNREACH
    assert pair.events[-1].t == 3 * SEC
    assert pair.sent == []


def deferring(seconds: int, **lose: object) -> tuple[Pair, int, int]:
    """b defers accept(); a has connected."""
    pair = Pair(**lose)  # type: ignore[arg-type]
    listener = pair.listen()
    pair.call("b", "setsockopt", listener, "TCP_DEFER_ACCEPT", seconds)
    return pair, listener, pair.connect()


@pytest.mark.parametrize(("asked", "granted"), [(0, 0), (1, 1), (2, 3), (5, 7), (10, 15)])
def test_defer_accept_is_rounded_up_to_the_ladder(asked: int, granted: int) -> None:
    pair, listener, _ = deferring(asked)
    assert pair.call("b", "getsockopt", listener, "TCP_DEFER_ACCEPT") == granted


@pytest.mark.parametrize(("asked", "last_chance"), [(1, 1), (5, 7), (10, 15)])
def test_defer_accept_ignores_the_bare_ack_and_gives_a_last_chance(asked: int, last_chance: int) -> None:
    pair, listener, _ = deferring(asked)
    pair.run((last_chance - 1) * SEC + 500 * MS)
    assert pair.listener().syn_len == 1
    assert pair.counter("b", "TcpExtTCPDeferAcceptDrop") == 1
    pair.run(2 * SEC)
    assert [round(t) for t in pair.times("b", "SA")] == [0, last_chance]
    assert isinstance(pair.call("b", "accept", listener), tuple)


def test_defer_accept_ends_with_data() -> None:
    pair, listener, client = deferring(5)
    pair.run(2 * SEC)
    assert pair.errno("b", "accept", listener) == errno.EAGAIN
    pair.call("a", "send", client, b"hello")
    pair.run(50 * MS)
    assert isinstance(pair.call("b", "accept", listener), tuple)
    assert len(pair.times("b", "SA")) == 1


def test_defer_accept_without_any_ack_follows_the_usual_ladder() -> None:
    pair, _, _ = deferring(5, lose=lambda host, seg: host == "a" and not seg.flags & SYN)
    pair.set("b", tcp_synack_retries=2)
    pair.run(20 * SEC)
    assert [round(t) for t in pair.times("b", "SA")] == [0, 1, 3]
    assert round(pair.events[-1].t / SEC) == 7


@pytest.mark.parametrize(("flags", "offset"), [(RST | ACK, 0), (RST | ACK, 2), (SYN | ACK, 5), (ACK, 5)])
def test_a_wrong_ack_in_syn_sent_repeats_the_syn_soon_once(flags: int, offset: int) -> None:
    pair = Pair(lose=lambda host, seg: True)
    pair.set("a", tcp_syn_linear_timeouts=0)
    pair.connect()
    s = pair.sent[0].seg
    for _ in range(2):
        pair.inject("a", wire_tcp.build(B, A, 80, s.sport, 7, (s.seq + offset) & 0xFFFFFFFF, flags, 500), B)
        pair.run(500 * MS)
    assert pair.times("a", "S") == [0.0, 0.008]
    assert pair.conns("a") == ["SYN_SENT"]
    resets = [sent for sent in pair.sent if sent.flags == "R"]
    assert len(resets) == (0 if flags & RST else 2)


def test_a_host_that_forgot_its_connection_gets_a_new_one() -> None:
    """RFC 9293 3.5.1 Figure 9: SYN, challenge ACK, RST, and the next SYN opens."""
    pair = Pair()
    listener = pair.listen()
    pair.connect(local=4000)
    pair.run(50 * MS)
    pair.call("b", "accept", listener)
    pair.a.flows.clear()  # a has rebooted
    pair.a.sockets.clear()
    pair.connect(local=4000)
    pair.run(100 * MS)
    assert pair.flow()[3:] == ["a S", "b A", "a R", "a S", "b SA", "a A"]
    assert pair.conns("a") == ["ESTABLISHED"]
    assert pair.counter("b", "TcpExtTCPSYNChallenge") == 1


@pytest.mark.parametrize("ecn", [0, 1, 2])
def test_a_syn_of_accurate_ecn_is_answered_as_one_of_rfc_3168(ecn: int) -> None:
    """AE, CWR and ECE: a server that does not know AccECN takes it for RFC 3168's, as that was made to be."""
    pair = Pair()
    pair.set("b", tcp_ecn=ecn)
    pair.listen()
    pair.b.learn(X, bytes.fromhex("02000a4d0009"))
    pair.inject("b", syn(flags=SYN | ECE | CWR | 256), X)
    assert pair.sent[-1].seg.flags == SYN | ACK | (ECE if ecn else 0)
