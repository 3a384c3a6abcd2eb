"""Snapshots: what `ss -tnemoi` would show, with timers on their ladders and queues with their limits."""

from __future__ import annotations

import msgspec
import pytest
from support.pair import B, Pair, X

from tcplab.api.views import HostView, TimerView
from tcplab.host import view as host_view
from tcplab.tcp.tcb import TIMER_NAMES, Tcb
from tcplab.tcp.timers import arm
from tcplab.tui.draw.names import TIMERS
from tcplab.units import MS, SEC
from tcplab.wire import tcp as wire_tcp


def timers(pair: Pair, host: str) -> dict[str, TimerView]:
    return {timer.name: timer for timer in pair.conn(host).timers}


def test_an_idle_host() -> None:
    pair = Pair()
    view = pair.a.view(0)
    assert view == HostView("a", "10.77.0.1", "tcplab", (), (), {}, {})
    assert pair.a.next_timer() == ""


def test_the_syn_ladder() -> None:
    pair = Pair(lose=lambda *_: True)
    fd = pair.connect(local=4000)
    view = pair.conn("a")
    assert (view.state, view.fd, view.local, view.peer) == ("SYN_SENT", fd, "10.77.0.1:4000", "10.77.0.2:80")
    assert (view.snd_una, view.snd_nxt) == (view.iss, (view.iss + 1) & 0xFFFFFFFF)
    rto = timers(pair, "a")["rto"]
    assert (rto.armed, rto.expires, rto.rung, rto.rungs) == (0, SEC, 0, 10)
    assert rto.why
    pair.run(5 * SEC + 500 * MS)
    rto = timers(pair, "a")["rto"]
    assert (rto.armed, rto.expires, rto.rung, rto.rungs) == (5 * SEC, 7 * SEC, 5, 10)
    assert pair.a.next_timer() == "RTO 10.77.0.1:4000>10.77.0.2:80"
    pair.call("a", "sysctl", "tcp_syn_retries", 1)
    assert timers(pair, "a")["rto"].rungs == 5, "the ladder is what the setting says now"


def test_an_open_connection() -> None:
    pair = Pair()
    client, server = pair.open()
    pair.call("a", "send", client, b"x" * 3000)
    a = pair.conn("a")
    assert (a.state, a.fd, a.mss, a.advmss) == ("ESTABLISHED", client, 1448, 1460)
    assert a.options == "ts sack wscale:10,10"
    assert (a.cwnd, a.packets_out, a.send_q, a.not_sent, a.bytes_acked) == (10, 3, 3000, 0, 1)
    assert (a.srtt_us, a.rto_us) == (10_000, 210_000)
    tlp = timers(pair, "a")["tlp"]
    assert (tlp.armed, tlp.expires) == (pair.now, pair.now + 22 * MS), "two round trips and 2 ms"
    pair.set("a", tcp_early_retrans=0)
    pair.run(22 * MS)
    pair.call("a", "send", client, b"x")
    rto = timers(pair, "a")["rto"]
    assert (rto.armed, rto.expires, rto.rung, rto.rungs) == (pair.now, pair.now + pair.conn("a").rto_us * 1000, 0, 15)
    pair.run(100 * MS)
    a, b = pair.conn("a"), pair.conn("b")
    assert (a.send_q, a.packets_out, a.bytes_acked, a.timers) == (0, 0, 3002, ())
    assert (b.recv_q, b.bytes_received, b.fd) == (3001, 3001, server)
    assert (a.snd_nxt, a.rcv_nxt) == (b.rcv_nxt, b.snd_nxt)
    assert (a.iss, a.irs) == (b.irs, b.iss)
    assert (a.segs_out, a.segs_in) == (6, 1 + b.segs_out), "the SYN,ACK was sent by the half-open entry"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"tcp_timestamps": 0}, "sack wscale:10,10"),
        ({"tcp_sack": 0}, "ts wscale:10,10"),
        ({"tcp_window_scaling": 0}, "ts sack"),
        ({"tcp_timestamps": 0, "tcp_sack": 0, "tcp_window_scaling": 0}, ""),
    ],
)
def test_options_as_ss_shows_them(settings: dict[str, int], words: str) -> None:
    pair = Pair()
    pair.set("b", **settings)
    pair.open()
    assert pair.conn("a").options == pair.conn("b").options == words


def test_delayed_ack_persist_and_keepalive_timers() -> None:
    pair = Pair()
    listener = pair.listen()
    client = pair.call("a", "socket")
    pair.call("a", "setsockopt", client, "SO_RCVBUF", 10_000)
    pair.call("a", "connect", client, B, 80)
    pair.run(20 * MS)
    server, _ = pair.call("b", "accept", listener)
    pair.call("b", "setsockopt", server, "SO_KEEPALIVE", 1)
    alive = timers(pair, "b")["keepalive"]
    assert (alive.expires - alive.armed, alive.rung, alive.rungs) == (7200 * SEC, 0, 9)
    taken = pair.call("b", "send", server, b"x" * 50_000)
    pair.run(SEC)
    persist = timers(pair, "b")["persist"]
    assert (persist.rung, persist.rungs) == (1, 15), "the last probe found a's rate limit: no answer"
    assert pair.b.next_timer() == f"window probe {pair.call('b', 'conn', server)}"
    a, b = pair.conn("a"), pair.conn("b")
    assert (b.snd_wnd, b.packets_out, b.not_sent) == (0, 0, taken - a.recv_q)
    assert [timer.name for timer in b.timers] == ["persist", "keepalive"], "the earliest comes first"


def test_a_delayed_ack_waits() -> None:
    pair = Pair()
    client, _ = pair.open()
    while not pair.conn("b").timers:
        pair.call("a", "send", client, b"x" * 2000)
        pair.run(7 * MS)
        assert pair.now < SEC, "quick ACKs never end"
    (delack,) = pair.conn("b").timers
    assert (delack.name, delack.rung, delack.rungs, delack.expires - delack.armed) == ("delack", 0, 0, 40 * MS)
    assert pair.b.next_timer() == f"delayed ACK {pair.conn('b').conn}"


def test_half_open_entries_with_their_ladder() -> None:
    pair = Pair(lose=lambda host, seg: host == "b" or pair.now > 0)  # one SYN arrives, no answer does
    listener = pair.listen(backlog=3)
    pair.connect(local=4000)
    pair.run(2 * SEC)
    view = pair.listener()
    assert (view.local, view.port, view.fd, view.backlog) == ("10.77.0.2:80", 80, listener, 3)
    assert (view.syn_len, view.syn_limit, view.accept_len, view.accept_limit) == (1, 4, 0, 4)
    (request,) = view.syn_queue
    assert (request.peer, request.since, request.retrans, request.retries) == ("10.77.0.1:4000", 5 * MS, 1, 5)
    (timer,) = request.timers
    assert (timer.name, timer.rung, timer.rungs) == ("synack", 1, 5)
    assert timer.armed < pair.now < timer.expires
    assert pair.conns("b") == [], "a half-open entry is no connection yet"
    assert pair.b.next_timer() == "SYN,ACK 10.77.0.2:80>10.77.0.1:4000"


def test_a_full_accept_queue() -> None:
    pair = Pair()
    pair.listen(backlog=1)
    for port in (4000, 4001, 4002):
        pair.connect(local=port)
    pair.run(500 * MS)
    view = pair.listener()
    assert view.accept_queue == ("10.77.0.1:4000", "10.77.0.1:4001")
    assert (view.accept_len, view.accept_limit) == (2, 2)
    assert (view.cookies_sent, view.overflows) == (1, 1), "the third SYN found a full SYN queue, its ACK no room"


def test_which_limit_holds_without_cookies() -> None:
    pair = Pair()
    pair.listen(backlog=100)
    assert (pair.listener().syn_limit, pair.listener().syn_limit_why) == (101, "min(backlog, somaxconn) + 1")
    pair.set("b", tcp_syncookies=0, tcp_max_syn_backlog=16)
    view = pair.listener()
    assert view.syn_limit == 13
    assert "tcp_max_syn_backlog" in view.syn_limit_why


def test_no_more_than_64_entries_are_shown_but_all_are_counted() -> None:
    pair = Pair()
    pair.listen(backlog=100)
    for port in range(1000, 1080):
        pair.inject("b", wire_tcp.build(X, B, port, 80, 1, 0, wire_tcp.SYN, 1000), X)
    view = pair.listener()
    assert (len(view.syn_queue), view.syn_len) == (64, 80)


def test_what_is_left_after_the_close() -> None:
    pair = Pair()
    client, server = pair.open()
    pair.call("a", "close", client)
    pair.run(50 * MS)
    orphan = pair.conn("a")
    assert (orphan.state, orphan.fd) == ("FIN_WAIT_2", -1)
    assert pair.a.next_timer().startswith("FIN_WAIT_2 ")
    pair.call("b", "close", server)
    pair.run(50 * MS)
    left = pair.conn("a")
    (timer,) = left.timers
    assert (left.state, timer.name, timer.expires - timer.armed) == ("TIME_WAIT", "timewait", 60 * SEC)
    assert pair.a.next_timer() == f"2MSL {left.conn}"
    assert pair.b.view(pair.now).conns == ()


def test_segments_out_of_order_and_sacked() -> None:
    dropped: list[int] = []

    def first_data(host: str, seg: wire_tcp.Segment) -> bool:
        if host == "a" and seg.payload and not dropped:
            dropped.append(seg.seq)
            return True
        return False

    pair = Pair(lose=first_data)
    client, _ = pair.open()
    pair.call("a", "send", client, b"x" * 3000)
    pair.run(12 * MS)
    a, b = pair.conn("a"), pair.conn("b")
    end = (dropped[0] + 3000) & 0xFFFFFFFF
    assert b.ooo == (((dropped[0] + 1448) & 0xFFFFFFFF, end),)  # the short one fitted behind the other
    assert a.sacked == (((dropped[0] + 1448) & 0xFFFFFFFF, end),)
    assert (a.sacked_out, b.recv_q) == (2, 0)


@pytest.mark.parametrize("which", range(len(TIMER_NAMES)), ids=TIMER_NAMES)
def test_every_timer_has_its_words(which: int) -> None:
    pair = Pair()
    pair.open()
    pair.run(SEC)
    (conn,) = (flow for flow in pair.b.flows.values() if isinstance(flow, Tcb))
    arm(conn, which, pair.now + SEC, "a test")
    shown = timers(pair, "b")[TIMER_NAMES[which]]
    assert shown.why
    assert shown.name in TIMERS
    assert pair.b.next_timer().endswith(conn.label)


def test_counters_are_sorted_and_without_zeros_and_a_view_can_be_sent() -> None:
    pair = Pair()
    pair.open()
    pair.a.counters["TcpNever"] += 0
    view = pair.a.view(pair.now)
    assert list(view.counters) == sorted(view.counters)
    assert "TcpNever" not in view.counters
    assert view.counters["TcpActiveOpens"] == 1
    assert msgspec.json.decode(msgspec.json.encode(view), type=HostView) == view


def test_every_timer_has_a_short_name() -> None:
    assert len(host_view._SHORT) == len(TIMER_NAMES)
