"""Data: loss and repair, delayed ACKs, Nagle, windows, out of order, keepalive. LINUX sections 11 to 15."""

from __future__ import annotations

import errno

import pytest
from support.pair import Pair, gaps

from tcplab.rng import Stream
from tcplab.units import MS, SEC
from tcplab.wire.tcp import SYN, Segment

PORT = 40_000
ABOUT_TO_WRAP = 0xFFFF_FF00
NS_PER_ISN = 64


def transfer(pair: Pair, size: int, client: int, server: int, limit: int = 2000) -> bytes:
    """Send `size` octets from a to b with a reader that always reads; what arrived."""
    data = bytes(n * 7 & 255 for n in range(size))
    sent, got = 0, bytearray()
    for _ in range(limit):
        while sent < size:
            took = pair.call("a", "send", client, data[sent : sent + 65536])
            if not isinstance(took, int):
                break
            sent += took
        pair.run(10 * MS)
        while isinstance(chunk := pair.call("b", "recv", server, 1 << 20), bytes) and chunk:
            got += chunk
        if len(got) == size:
            break
    assert bytes(got) == data
    return bytes(got)


@pytest.mark.parametrize("sack", [0, 1])
@pytest.mark.parametrize("seed", range(4))
def test_a_body_survives_loss(seed: int, sack: int) -> None:
    chance = Stream(seed, "test/loss")
    pair = Pair(lose=lambda host, seg: not seg.flags & SYN and chance.chance(50_000))
    pair.set("a", tcp_sack=sack)
    client, server = pair.open()
    transfer(pair, 300_000, client, server)
    assert pair.counter("a", "TcpRetransSegs") > 0
    pair.run(60 * SEC)
    assert pair.conn("a").send_q == 0


def test_sequence_numbers_may_wrap() -> None:
    pair = Pair()
    listener = pair.listen()
    now = pair.a.isn.isn(0, pair.a.addr, PORT, pair.b.addr, 80)
    pair.run((ABOUT_TO_WRAP - now) % 2**32 * NS_PER_ISN)
    client = pair.connect(local=PORT)
    assert pair.conn("a").iss == ABOUT_TO_WRAP
    pair.run(20 * MS)
    fd, _ = pair.call("b", "accept", listener)  # type: ignore[misc]
    transfer(pair, 100_000, client, fd)
    assert pair.conn("a").snd_nxt < ABOUT_TO_WRAP


def lose_nth_data(*which: int):  # type: ignore[no-untyped-def]
    """Loses the n-th data segments of a, counted from 1, first transmissions and repeats alike."""
    count = [0]

    def lose(host: str, seg: Segment) -> bool:
        if host != "a" or not seg.payload:
            return False
        count[0] += 1
        return count[0] in which

    return lose


def test_three_later_arrives_repeat_at_once() -> None:
    pair = Pair(delay=50 * MS, lose=lose_nth_data(1))
    client, _ = pair.open()
    pair.run(SEC)
    start = pair.now / SEC
    pair.call("a", "send", client, b"x" * 14480)
    pair.run(SEC)
    repeat = next(s for s in pair.sent if s.rtx)
    assert repeat.why.startswith("fast retransmit: 3 segments SACKed")
    assert repeat.t == pytest.approx(start + 0.1)
    assert pair.counter("a", "TcpExtTCPTimeouts") == 0
    assert pair.counter("a", "TcpExtTCPFastRetrans") == 1
    assert pair.conn("a").ssthresh == 7


def test_without_sack_three_duplicate_acks_do_the_same() -> None:
    pair = Pair(delay=50 * MS, lose=lose_nth_data(1))
    pair.set("a", tcp_sack=0)
    client, _ = pair.open()
    pair.run(SEC)
    pair.call("a", "send", client, b"x" * 14480)
    pair.run(SEC)
    assert next(s for s in pair.sent if s.rtx).why.startswith("fast retransmit: 3 segments duplicate ACKs")
    assert pair.counter("a", "TcpExtTCPRenoRecovery") == 1
    assert pair.counter("a", "TcpExtTCPTimeouts") == 0


def test_rto_ladder_doubles_and_ends_in_etimedout() -> None:
    dead = [False]
    pair = Pair(delay=50_000, lose=lambda host, seg: dead[0])
    client, _ = pair.open()
    pair.set("a", tcp_retries2=3)
    dead[0] = True
    start = pair.now / SEC
    pair.call("a", "send", client, b"x")
    pair.run(20 * SEC)
    times = [s.t - start for s in pair.sent if s.size]
    assert times == pytest.approx([0.0, 0.2, 0.4, 0.8, 1.6, 3.2], abs=0.002)
    assert pair.errno("a", "recv", client, 1) == errno.ETIMEDOUT
    assert pair.call("a", "recv", client, 1) == b""
    assert pair.errno("a", "send", client, b"x") == errno.EPIPE
    assert pair.conns("a") == []
    assert pair.conns("b") == ["ESTABLISHED"]
    assert "R" not in "".join(s.flags for s in pair.sent)


def test_the_rto_drops_cwnd_to_one_and_ssthresh_to_seven_tenths() -> None:
    pair = Pair(delay=50 * MS, lose=lose_nth_data(*range(1, 11)))
    client, _ = pair.open()
    pair.set("a", tcp_early_retrans=0)
    pair.call("a", "send", client, b"x" * 14480)
    pair.run(350 * MS)
    conn = pair.conn("a")
    assert (conn.ssthresh, conn.cwnd, conn.ca_state) == (7, 1, "Loss")
    pair.run(5 * SEC)
    assert pair.conn("b").recv_q == 14480


def test_quick_acks_then_delayed_acks() -> None:
    pair = Pair(delay=0)
    client, server = pair.open()
    delays = []
    for _ in range(24):
        start = pair.now / SEC
        pair.call("a", "setsockopt", client, "TCP_NODELAY", 1)
        pair.call("a", "send", client, b"x" * 100)
        pair.run(60 * MS)
        delays.append(round(next(s.t for s in reversed(pair.sent) if s.host == "b") - start, 3))
    assert delays[:16] == [0.0] * 16
    assert all(0.04 <= delay <= 0.048 for delay in delays[16:])
    assert pair.counter("b", "TcpExtDelayedACKs") == 8
    del server


def test_an_answer_carries_the_ack() -> None:
    pair = Pair()
    client, server = pair.open()
    for _ in range(3):
        pair.call("a", "send", client, b"question")
        pair.run(20 * MS)
        pair.call("b", "recv", server, 100)
        pair.call("b", "send", server, b"answer")
        pair.run(20 * MS)
        pair.call("a", "recv", client, 100)
    pure = [s for s in pair.sent[3:] if s.host == "b" and not s.size]
    assert len(pure) == 1  # the first one was a quick ACK; then the dialogue was recognised
    assert any("rides on it" in s.why for s in pair.sent if s.host == "b" and s.size)


def test_nagle_holds_the_second_small_segment() -> None:
    for nodelay in (0, 1):
        pair = Pair()
        client, _ = pair.open()
        pair.call("a", "setsockopt", client, "TCP_NODELAY", nodelay)
        start = pair.now
        pair.call("a", "send", client, b"x" * 10)
        pair.call("a", "send", client, b"y" * 10)
        pair.run(100 * MS)
        times = [round(s.t - start / SEC, 3) for s in pair.sent if s.size]
        assert times == ([0.0, 0.0] if nodelay else [0.0, 0.01])
        assert pair.notes("a") == ([] if nodelay else ["held: Nagle"])


def test_what_holds_data_back_is_said_once() -> None:
    pair = Pair(delay=50 * MS)
    pair.call("b", "sysctl", "tcp_rmem", "4096 65536 65536")
    client, _ = pair.open()
    pair.call("a", "send", client, b"x" * 80_000)
    pair.run(2 * SEC)
    assert [note for note in pair.notes("a") if note.startswith("held")] == ["held: cwnd", "held: window"]


def test_zero_window_is_probed_and_reopened() -> None:
    pair = Pair()
    listener = pair.call("b", "socket")
    pair.call("b", "setsockopt", listener, "SO_RCVBUF", 8000)
    pair.call("b", "bind", listener, 0, 80)
    pair.call("b", "listen", listener, 5)
    client = pair.connect()
    pair.run(20 * MS)
    fd, _ = pair.call("b", "accept", listener)  # type: ignore[misc]
    pair.call("a", "send", client, b"x" * 30000)
    pair.run(10 * SEC)
    assert pair.conn("a").timers[0].name == "persist"
    probes = [s for s in pair.sent if s.why.startswith("window probe")]
    assert all(not s.size and s.seg.seq == (pair.conn("a").snd_una - 1) & 0xFFFFFFFF for s in probes)
    spans = list(gaps([s.t for s in probes]))
    assert all(later == pytest.approx(2 * earlier, rel=0.03) for earlier, later in zip(spans, spans[1:], strict=False))
    assert pair.counter("a", "TcpExtTCPWinProbe") == len(probes) >= 4
    assert pair.counter("b", "TcpExtTCPToZeroWindowAdv") >= 1
    got = b""
    while isinstance(chunk := pair.call("b", "recv", fd, 1 << 16), bytes):
        got += chunk
        pair.run(SEC)
    assert len(got) == 30000
    assert pair.counter("b", "TcpExtTCPFromZeroWindowAdv") >= 1


def test_nobody_reads_and_the_window_closes() -> None:
    pair = Pair()
    client, _ = pair.open()
    for _ in range(100):
        pair.call("a", "send", client, b"x" * 65536)
        pair.run(100 * MS)
    assert pair.conn("b").recv_q <= 131072
    assert pair.conn("b").rcv_wnd == 0
    assert pair.conn("a").timers[0].name == "persist"
    assert pair.counter("a", "TcpExtTCPTimeouts") == 0


def test_out_of_order_and_duplicate_are_told_with_sack_and_dsack() -> None:
    pair = Pair(delay=50 * MS, lose=lose_nth_data(2))
    client, _ = pair.open()
    pair.call("a", "setsockopt", client, "TCP_NODELAY", 1)
    for _ in range(4):
        pair.call("a", "send", client, b"x" * 100)
    pair.run(60 * MS)
    base = pair.conn("a").iss + 1
    blocks = [tuple((l - base, r - base) for l, r in s.seg.sack) for s in pair.sent if s.host == "b" and s.seg.sack]
    assert blocks == [((200, 300),), ((200, 400),)]
    ooo = pair.conn("b").ooo
    assert [(l - base, r - base) for l, r in ooo] == [(200, 300), (300, 400)]
    pair.run(5 * SEC)
    assert pair.conn("b").recv_q == 400
    again = next(frame for host, frame, _ in pair.frames if host == "a" and frame.endswith(b"x" * 100))
    pair.b.on_frame(pair.now, again)
    pair._collect()
    (left, right), *_ = pair.sent[-1].seg.sack
    assert (left - base, right - base) == (0, 100)
    assert pair.counter("b", "TcpExtTCPDSACKOldSent") == 1


def test_keepalive_gives_up_with_rst_and_etimedout() -> None:
    dead = [False]
    pair = Pair(delay=0, lose=lambda host, seg: dead[0])
    client, _ = pair.open()
    start = pair.now / SEC
    for name, value in (("TCP_KEEPIDLE", 1), ("TCP_KEEPINTVL", 1), ("TCP_KEEPCNT", 3), ("SO_KEEPALIVE", 1)):
        pair.call("a", "setsockopt", client, name, value)
    dead[0] = True
    pair.run(10 * SEC)
    probes = [s for s in pair.sent if s.why.startswith("keepalive probe")]
    assert [round(s.t - start, 1) for s in probes] == [1.0, 2.0, 3.0]
    assert all(s.seg.seq == (pair.sent[0].seg.seq) & 0xFFFFFFFF and not s.size for s in probes)
    assert pair.sent[-1].flags == "RA"
    assert pair.errno("a", "recv", client, 1) == errno.ETIMEDOUT
    assert pair.counter("a", "TcpExtTCPKeepAlive") == 3


def test_keepalive_of_a_live_peer_goes_on() -> None:
    pair = Pair()
    client, _ = pair.open()
    for name, value in (("TCP_KEEPIDLE", 1), ("TCP_KEEPINTVL", 1), ("TCP_KEEPCNT", 3), ("SO_KEEPALIVE", 1)):
        pair.call("a", "setsockopt", client, name, value)
    pair.run(10 * SEC)
    assert pair.conns("a") == ["ESTABLISHED"]
    assert pair.counter("a", "TcpExtTCPKeepAlive") >= 5
