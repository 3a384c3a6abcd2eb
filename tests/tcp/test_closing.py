"""Closing: every order, TIME_WAIT, orphans, RST in and out. LINUX sections 8 to 10."""

from __future__ import annotations

import errno

import pytest
from support.pair import A, B, Pair

from tcplab.units import MS, SEC
from tcplab.wire import tcp as wire_tcp
from tcplab.wire import tcp_options as opt
from tcplab.wire.tcp import ACK, FIN, PSH, RST, SYN, Segment


def test_active_close_ends_in_time_wait_for_sixty_seconds() -> None:
    pair = Pair()
    client, server = pair.open()
    pair.call("a", "close", client)
    pair.run(100 * MS)
    assert (pair.conns("a"), pair.conns("b")) == (["FIN_WAIT_2"], ["CLOSE_WAIT"])
    assert pair.call("b", "recv", server, 1) == b""
    pair.call("b", "close", server)
    pair.run(100 * MS)
    assert (pair.conns("a"), pair.conns("b")) == (["TIME_WAIT"], [])
    assert pair.flow()[3:] == ["a FA", "b A", "b FA", "a A"]
    closed_at = next(e.t for e in pair.events if getattr(e, "new", "") == "TIME_WAIT")
    pair.run(100 * SEC)
    assert pair.conns("a") == []
    assert pair.events[-1].t - closed_at == 60 * SEC


def test_the_ack_of_a_fin_rides_on_the_peers_fin() -> None:
    pair = Pair()
    client, server = pair.open()
    pair.b.wait(server, False, lambda: pair.b.call(pair.b.now, "close", server))
    pair.call("a", "close", client)
    pair.run(SEC)
    assert pair.flow()[3:] == ["a FA", "b FA", "a A"]


def test_fin_and_ack_in_one_segment_leave_one_timer() -> None:
    pair = Pair()
    client, server = pair.open()
    pair.b.wait(server, False, lambda: pair.b.call(pair.b.now, "close", server))
    pair.call("a", "close", client)
    pair.run(100 * SEC)
    assert pair.states("a")[2:] == ["FIN_WAIT_1", "FIN_WAIT_2", "TIME_WAIT", "CLOSED"]


def test_simultaneous_close() -> None:
    pair = Pair(delay=20 * MS)
    client, server = pair.open()
    pair.run(100 * MS)
    server_fd = server
    pair.call("a", "close", client)
    pair.call("b", "close", server_fd)
    pair.run(SEC)
    assert pair.states("a")[-3:] == pair.states("b")[-3:] == ["FIN_WAIT_1", "CLOSING", "TIME_WAIT"]


def test_half_close_lets_data_flow_the_other_way() -> None:
    pair = Pair()
    client, server = pair.open()
    pair.call("a", "shutdown", client, "wr")
    pair.run(50 * MS)
    assert pair.errno("a", "send", client, b"x") == errno.EPIPE
    pair.call("b", "send", server, b"still here!")
    pair.run(50 * MS)
    assert pair.call("a", "recv", client, 100) == b"still here!"
    pair.call("b", "close", server)
    pair.run(50 * MS)
    assert pair.conns("a") == ["TIME_WAIT"]


def test_lost_last_ack_restarts_time_wait() -> None:
    lost = [0]

    def last_ack(host: str, seg: Segment) -> bool:
        if host == "a" and seg.flags == ACK and pair.conns("a") == ["TIME_WAIT"] and lost[0] < 2:
            lost[0] += 1
            return True
        return False

    pair = Pair(lose=None)
    client, server = pair.open()
    pair.call("a", "close", client)
    pair.run(100 * MS)
    pair.lose = last_ack
    pair.call("b", "close", server)
    pair.run(60 * SEC)
    fins = [s.t for s in pair.sent if s.host == "b" and s.flags == "FA"]
    assert len(fins) == 3
    assert pair.conns("b") == []
    assert pair.conns("a") == ["TIME_WAIT"]  # 60 s after the last FIN, not after the first
    pair.run(SEC)
    assert pair.conns("a") == []


def test_orphan_in_fin_wait_2_obeys_tcp_fin_timeout() -> None:
    pair = Pair()
    pair.set("a", tcp_fin_timeout=3)
    client, server = pair.open()
    pair.call("a", "close", client)
    pair.run(2900 * MS)
    assert pair.conns("a") == ["FIN_WAIT_2"]
    pair.run(200 * MS)
    assert pair.conns("a") == []
    assert pair.call("b", "send", server, b"late") == 4
    pair.run(50 * MS)
    assert pair.sent[-1].flags == "R"
    assert pair.errno("b", "send", server, b"x") == errno.EPIPE


@pytest.mark.parametrize(("timeout", "linger2", "gone"), [(3, 0, 3), (60, 0, 60), (65, 0, 10), (60, 2, 2), (3, 30, 30)])
def test_how_long_an_orphan_waits(timeout: int, linger2: int, gone: int) -> None:
    pair = Pair(delay=0)
    pair.set("a", tcp_fin_timeout=timeout)
    client, _ = pair.open()
    if linger2:
        pair.call("a", "setsockopt", client, "TCP_LINGER2", linger2)
    pair.call("a", "close", client)
    pair.run(gone * SEC - 100 * MS)
    assert pair.conns("a") == ["FIN_WAIT_2"]
    pair.run(200 * MS)
    assert pair.conns("a") == []


def test_linger2_below_zero_waits_for_nobody() -> None:
    pair = Pair()
    client, server = pair.open()
    pair.call("a", "setsockopt", client, "TCP_LINGER2", -1)
    pair.call("a", "close", client)
    pair.run(100 * MS)
    assert pair.conns("a") == pair.conns("b") == []
    last = pair.sent[-1]
    assert last.flags == "R"
    assert last.seg.seq == (next(s for s in pair.sent if s.flags == "FA").seg.seq + 1) & 0xFFFFFFFF
    assert pair.counter("a", "TcpExtTCPAbortOnData") == 1
    assert pair.call("b", "recv", server, 1) == b""


def test_a_held_socket_in_fin_wait_2_has_no_timer() -> None:
    pair = Pair()
    pair.set("a", tcp_fin_timeout=3)
    client, _ = pair.open()
    pair.call("a", "shutdown", client, "wr")
    pair.run(100 * SEC)
    assert pair.conns("a") == ["FIN_WAIT_2"]


@pytest.mark.parametrize(("retries", "repeats"), [(0, 9), (3, 5)])
def test_an_orphan_gives_up(retries: int, repeats: int) -> None:
    dead = [False]
    pair = Pair(lose=lambda host, seg: dead[0])
    pair.set("a", tcp_orphan_retries=retries)
    client, _ = pair.open()
    dead[0] = True
    pair.call("a", "close", client)
    pair.run(200 * SEC)
    assert pair.conns("a") == []
    fins = [s for s in pair.sent if "F" in s.flags]
    assert len(fins) - 1 == repeats  # the first is a tail loss probe
    assert not any("R" in s.flags for s in pair.sent)


# --- RST --------------------------------------------------------------------------------------------------------------


def test_linger_zero_aborts() -> None:
    pair = Pair()
    client, server = pair.open()
    pair.call("a", "setsockopt", client, "SO_LINGER", (1, 0))
    pair.call("a", "close", client)
    pair.run(50 * MS)
    assert pair.sent[-1].flags == "RA"
    assert pair.conns("a") == pair.conns("b") == []
    assert pair.errno("b", "recv", server, 1) == errno.ECONNRESET
    assert pair.call("b", "recv", server, 1) == b""
    assert pair.errno("b", "send", server, b"x") == errno.EPIPE
    assert pair.counter("b", "TcpEstabResets") == 1


def test_close_with_unread_data_resets() -> None:
    pair = Pair()
    client, server = pair.open()
    pair.call("a", "send", client, b"hello")
    pair.run(50 * MS)
    pair.call("b", "close", server)
    pair.run(50 * MS)
    assert [s.flags for s in pair.sent if s.host == "b"][-1] == "RA"
    assert pair.counter("b", "TcpExtTCPAbortOnClose") == 1
    assert pair.errno("a", "recv", client, 1) == errno.ECONNRESET


def test_queued_data_is_read_before_the_reset_is_told() -> None:
    pair = Pair()
    client, server = pair.open()
    pair.call("b", "send", server, b"hello")
    pair.run(50 * MS)
    pair.call("b", "setsockopt", server, "SO_LINGER", (1, 0))
    pair.call("b", "close", server)
    pair.run(50 * MS)
    assert pair.call("a", "recv", client, 100) == b"hello"
    assert pair.errno("a", "recv", client, 100) == errno.ECONNRESET


def test_listener_close_resets_what_nobody_accepted() -> None:
    pair = Pair()
    listener = pair.listen()
    client = pair.connect()
    pair.run(50 * MS)
    pair.call("b", "close", listener)
    pair.run(50 * MS)
    assert pair.errno("a", "recv", client, 1) == errno.ECONNRESET


def test_a_half_open_entry_outlives_its_listener_but_not_its_timer() -> None:
    for late in (False, True):
        pair = Pair(delay=50 * MS)
        listener = pair.listen()
        pair.connect()
        pair.run(60 * MS)
        pair.call("b", "close", listener)
        if late:
            pair.lose = lambda host, seg: host == "a"
            pair.run(2 * SEC)
            assert pair.times("b", "SA") == [0.05]
        else:
            pair.run(200 * MS)
            assert pair.sent[-1].flags == "R"
        assert pair.b.flows == {}


def forged(pair: Pair, flags: int, offset: int, ack: int | None = None, payload: bytes = b"") -> None:
    """A segment as if from a, `offset` from what b expects."""
    conn = pair.conn("b")
    number = (conn.rcv_nxt + offset) & 0xFFFFFFFF
    port = int(conn.peer.rsplit(":", 1)[1])
    acked = conn.snd_nxt if ack is None else ack
    pair.inject("b", wire_tcp.build(A, B, port, 80, number, acked if flags & ACK else 0, flags, 500, b"", payload), A)


@pytest.mark.parametrize(
    ("offset", "reset", "challenge"),
    [
        (0, True, 0),
        (1, False, 1),
        (100, False, 1),
        (65536, False, 1),
        (65537, False, 0),
        (-1, False, 0),
        (-1000, False, 0),
    ],
)
def test_only_the_exact_number_resets(offset: int, reset: bool, challenge: int) -> None:
    pair = Pair()
    pair.open()
    pair.call("a", "send", 3, b"x")  # b's window is 65536 once it has sent an ACK
    pair.run(100 * MS)
    pair.call("b", "recv", 4, 10)
    window = pair.conn("b").rcv_wnd
    if offset >= 65536:
        offset = offset - 65536 + window
    forged(pair, RST, offset)
    assert (pair.conns("b") == []) is reset
    assert pair.counter("b", "TcpExtTCPChallengeACK") == challenge


def test_challenges_are_rationed() -> None:
    pair = Pair()
    pair.open()
    for _ in range(10):
        forged(pair, RST, 100)
    assert pair.counter("b", "TcpExtTCPChallengeACK") == 1
    assert pair.counter("b", "TcpExtTCPACKSkippedChallenge") == 9
    pair.run(600 * MS)
    forged(pair, SYN, 5_000_000)
    assert pair.counter("b", "TcpExtTCPChallengeACK") == 2
    assert pair.counter("b", "TcpExtTCPSYNChallenge") == 1


def test_ack_of_unsent_data_is_challenged_and_its_data_dropped() -> None:
    pair = Pair()
    _, server = pair.open()
    forged(pair, ACK | PSH, 0, (pair.conn("b").snd_nxt + 5000) & 0xFFFFFFFF, b"EVIL")
    assert pair.counter("b", "TcpExtTCPChallengeACK") == 1
    assert pair.errno("b", "recv", server, 10) == errno.EAGAIN


def test_segments_without_ack_and_beyond_the_window_are_dropped() -> None:
    pair = Pair()
    _, server = pair.open()
    forged(pair, PSH, 0, payload=b"EVIL")
    forged(pair, FIN, 0)
    forged(pair, 0, 0)
    assert pair.drops("b") == ["no ACK"] * 3
    forged(pair, ACK | PSH, 0, payload=b"unread")
    sent = len(pair.sent)
    forged(pair, ACK | PSH, 6 + pair.conn("b").rcv_wnd - 2, payload=b"EVIL")
    assert pair.counter("b", "TcpExtBeyondWindow") == 1
    assert len(pair.sent) == sent + 1
    assert pair.call("b", "recv", server, 100) == b"unread"
    assert pair.errno("b", "recv", server, 10) == errno.EAGAIN


def test_syn_recv_answers_as_linux() -> None:
    cases = [
        (RST, 1, 0, "gone", "TcpExtEmbryonicRsts"),
        (RST, 101, 0, "stays", "TcpExtTCPChallengeACK"),
        (SYN, 101, 0, "gone", "TcpOutRsts"),
        (SYN, 0, 0, "stays", "TcpExtTCPSynRetrans"),
        (ACK, 1, 12345, "stays", "TcpOutRsts"),
    ]
    for flags, offset, ack, fate, counter in cases:
        pair = Pair(lose=lambda host, seg: host == "b")
        pair.listen()
        pair.connect()
        pair.run(20 * MS)
        s = pair.sent[0].seg
        pair.inject("b", wire_tcp.build(A, B, s.sport, 80, s.seq + offset, ack, flags, 500), A)
        assert pair.listener().syn_len == (1 if fate == "stays" else 0), (flags, offset)
        assert pair.counter("b", counter) == 1, (flags, offset, counter)


# --- TIME_WAIT --------------------------------------------------------------------------------------------------------


def in_time_wait() -> tuple[Pair, int, int, int, int, int]:
    """b closed first and is in TIME_WAIT, listening again. Numbers that TIME_WAIT remembers."""
    pair = Pair()
    client, server = pair.open()
    pair.call("b", "close", server)
    pair.run(50 * MS)
    port = pair.sent[0].seg.sport
    pair.call("a", "close", client)
    pair.run(2 * SEC)
    assert pair.conns("b") == ["TIME_WAIT"]
    conn = pair.conn("b")
    last = next(s for s in reversed(pair.sent) if s.host == "a").seg
    assert last.ts is not None
    return pair, port, conn.rcv_nxt, conn.snd_nxt, last.ts[0], len(pair.sent)


@pytest.mark.parametrize(
    ("offset", "ts", "answer"),
    [
        (1000, 1, "SA"), (1000, 0, "SA"), (1000, None, "SA"), (-1000, 1, "SA"),
        (1000, -1, "A"), (-1000, 0, "A"), (-1000, None, "A"), (0, 0, "A"),
    ],
)  # fmt: skip
def test_new_syn_to_time_wait(offset: int, ts: int | None, answer: str) -> None:
    pair, port, rcv_nxt, snd_nxt, tsval, before = in_time_wait()
    options = b"" if ts is None else opt.nop() * 2 + opt.timestamps((tsval + ts) & 0xFFFFFFFF, 0)
    number = (rcv_nxt + offset) & 0xFFFFFFFF
    pair.inject("b", wire_tcp.build(A, B, port, 80, number, 0, SYN, 500, options), A)
    reply = pair.sent[before]
    assert reply.flags == answer
    if answer == "SA":
        assert reply.seg.seq == (snd_nxt + 65537) & 0xFFFFFFFF
        assert pair.listener().syn_len == 1
    else:
        assert (reply.seg.seq, reply.seg.ack) == (snd_nxt, rcv_nxt)
        assert pair.conns("b") == ["TIME_WAIT"]


@pytest.mark.parametrize(("rfc1337", "states"), [(0, []), (1, ["TIME_WAIT"])])
def test_rst_in_time_wait(rfc1337: int, states: list[str]) -> None:
    pair, port, rcv_nxt, _, _, before = in_time_wait()
    pair.set("b", tcp_rfc1337=rfc1337)
    pair.inject("b", wire_tcp.build(A, B, port, 80, (rcv_nxt + 10) & 0xFFFFFFFF, 0, RST, 0), A)
    assert pair.conns("b") == ["TIME_WAIT"]
    pair.inject("b", wire_tcp.build(A, B, port, 80, rcv_nxt, 0, RST, 0), A)
    assert pair.conns("b") == states
    assert len(pair.sent) == before


def test_bind_while_time_wait_needs_reuseaddr_on_both() -> None:
    for old, new, expected in ((0, 0, errno.EADDRINUSE), (0, 1, errno.EADDRINUSE), (1, 0, errno.EADDRINUSE), (1, 1, 0)):
        pair = Pair()
        listener = pair.call("b", "socket")
        pair.call("b", "setsockopt", listener, "SO_REUSEADDR", old)
        pair.call("b", "bind", listener, 0, 80)
        pair.call("b", "listen", listener, 1)
        client = pair.connect()
        pair.run(50 * MS)
        fd, _ = pair.call("b", "accept", listener)  # type: ignore[misc]
        pair.call("b", "close", fd)
        pair.run(50 * MS)
        pair.call("a", "close", client)
        pair.call("b", "close", listener)
        pair.run(50 * MS)
        again = pair.call("b", "socket")
        pair.call("b", "setsockopt", again, "SO_REUSEADDR", new)
        if expected:
            assert pair.errno("b", "bind", again, 0, 80) == expected
        else:
            assert pair.call("b", "bind", again, 0, 80) is None


def test_five_hundred_opens_and_closes_leak_nothing() -> None:
    pair = Pair(delay=MS)
    listener = pair.listen(backlog=10)
    for _ in range(500):
        client = pair.connect()
        pair.run(5 * MS)
        fd, _ = pair.call("b", "accept", listener)  # type: ignore[misc]
        pair.call("a", "close", client)
        pair.call("b", "close", fd)
        pair.run(5 * MS)
    pair.run(130 * SEC)
    assert pair.a.flows == {}
    assert pair.b.flows == {}
    assert len(pair.a.sockets) == 0
    assert len(pair.b.sockets) == 1
    assert pair.a._timers == pair.b._timers == []
