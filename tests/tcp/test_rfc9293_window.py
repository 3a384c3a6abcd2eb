"""RFC 9293 section 3.8.6: windows that close, shrink and open again, on both sides."""

from __future__ import annotations

import errno

import pytest
from support.hand import Hand
from support.pair import Pair, gaps

from tcplab.units import MS, SEC
from tcplab.wire import tcp_options as opt
from tcplab.wire.tcp import ACK, PSH, RST

MSS = opt.mss(1000)


def shrunk(window: int) -> Hand:
    """a has sent ten segments; the peer acknowledges one and takes most of its window back."""
    hand = Hand(MSS, window=20_000)
    assert len(hand.send(15_000)) == 10
    hand.pair.run(50 * MS)
    hand.say(ack=1000, window=window)
    return hand


# --- the sender -------------------------------------------------------------------------------------------------------


def test_nothing_new_is_sent_while_the_usable_window_is_negative() -> None:
    hand = shrunk(3000)
    assert hand.pair.conn("a").snd_wnd == 3000
    sent = [s for at in (2000, 3000, 5000) for s in hand.say(ack=at)]
    assert sent == []
    hand.pair.run(3 * SEC)
    assert all(hand.first(s) < 10_000 for s in hand.since(hand.opened))


def test_old_data_in_a_shrunk_window_is_repeated() -> None:
    hand = shrunk(3000)
    hand.pair.run(300 * MS)
    repeat = hand.pair.sent[-1]
    assert (repeat.rtx, hand.first(repeat), repeat.size) == (True, 1000, 1000)
    assert repeat.why.startswith("RTO #1")


def test_a_shrunk_window_that_opens_again_costs_nothing_but_time() -> None:
    hand = shrunk(0)
    hand.pair.run(2 * SEC)
    hand.say(ack=10_000, window=20_000)
    acked = 10_000
    while acked < 15_000:
        hand.pair.run(500 * MS)
        acked = max(hand.first(s) + s.size for s in hand.pair.sent if s.size)
        hand.say(ack=acked)
    assert hand.pair.conn("a").send_q == 0


def test_a_window_that_shrinks_to_zero_is_probed_with_old_data() -> None:
    hand = shrunk(0)
    start = len(hand.pair.sent)
    hand.pair.run(7 * SEC)
    probes = hand.since(start)
    assert all(s.rtx and hand.first(s) == 1000 for s in probes)
    spans = list(gaps([s.t for s in probes]))
    assert len(spans) >= 3
    assert all(later == pytest.approx(2 * earlier) for earlier, later in zip(spans, spans[1:], strict=False))


def test_the_first_probe_comes_after_one_rto_and_the_next_ones_back_off() -> None:
    hand = Hand(MSS, window=1000)
    hand.send(5000)
    hand.pair.run(10 * MS)
    hand.say(ack=1000, window=0)
    closed, rto = hand.pair.now / SEC, hand.pair.conn("a").rto_us / 1e6
    hand.pair.run(20 * SEC)
    probes = [s.t - closed for s in hand.pair.sent if s.why.startswith("window probe")]
    assert probes == pytest.approx([rto * (2**n - 1) for n in range(1, len(probes) + 1)])
    assert len(probes) == 6


def test_a_peer_that_answers_probes_may_keep_its_window_closed_for_a_day() -> None:
    pair = Pair()
    client, _ = pair.open()
    for _ in range(100):
        pair.call("a", "send", client, b"x" * 65536)
        pair.run(100 * MS)
    assert pair.conn("b").rcv_wnd == 0
    pair.run(24 * 3600 * SEC)
    assert pair.conns("a") == pair.conns("b") == ["ESTABLISHED"]
    assert pair.counter("a", "TcpExtTCPWinProbe") > 700


# --- the receiver -----------------------------------------------------------------------------------------------------


def full(scaling: bool = False) -> Hand:
    """a's receive buffer holds as much as its window allowed: the window is closed."""
    size = 1024 if scaling else 1000  # 1024: whole units of the scaled window
    hand = Hand(MSS + opt.nop() + opt.window_scale(7)) if scaling else Hand(MSS, rcvbuf=8000)
    at = 0
    while room := hand.pair.conn("a").rcv_wnd:
        hand.say(ACK | PSH, at, payload=b"x" * min(room, size))
        at += min(room, size)
        hand.pair.run(200 * MS)
    return hand


def test_a_closed_window_still_takes_an_ack() -> None:
    hand = full()
    hand.send(100)
    at = hand.pair.conn("a").recv_q
    hand.say(ACK, at, ack=100)
    assert hand.pair.conn("a").send_q == 0


def test_a_closed_window_still_takes_a_rst() -> None:
    hand = full()
    hand.say(RST, hand.pair.conn("a").recv_q)
    assert hand.pair.conns("a") == []
    while isinstance(data := hand.read(), bytes) and data:
        pass
    assert isinstance(data, OSError)
    assert data.errno == errno.ECONNRESET


def test_octets_beyond_a_closed_window_are_dropped_and_answered() -> None:
    hand = full()
    held = hand.pair.conn("a").recv_q
    (answer,) = hand.say(ACK | PSH, held, payload=b"too much")
    assert (answer.size, hand.acked(answer.seg), answer.seg.window) == (0, held, 0)
    assert hand.pair.conn("a").recv_q == held


@pytest.mark.parametrize(("scaling", "little"), [(False, 100), (True, 400)])
def test_reading_little_does_not_open_the_window_a_little(scaling: bool, little: int) -> None:
    hand = full(scaling)
    start = len(hand.pair.sent)
    for _ in range(9):
        hand.read(little)
        hand.pair.run(10 * MS)
    assert hand.since(start) == []
    hand.read()
    (update,) = hand.since(start)
    assert update.why.startswith("window update")
    assert update.seg.window << hand.pair.conn("a").rcv_wscale >= 1000


@pytest.mark.parametrize("scaling", [0, 1])
def test_the_right_edge_of_our_window_never_moves_to_the_left(scaling: int) -> None:
    pair = Pair(delay=MS)
    pair.set("b", tcp_window_scaling=scaling)
    client, server = pair.open()
    for turn in range(400):
        pair.call("a", "send", client, b"x" * 5000)
        pair.run(10 * MS)
        if turn % 7 == 0:
            pair.call("b", "recv", server, 1 + turn * 37 % 9000)
    conn = pair.conn("b")
    acks = [s.seg for s in pair.sent[3:] if s.host == "b"]
    edges = [((seg.ack - conn.irs) & 0xFFFFFFFF) + (seg.window << conn.rcv_wscale) for seg in acks]
    assert len(edges) > 50
    assert edges == sorted(edges)


def test_a_full_buffer_shuts_even_a_window_that_was_offered() -> None:
    """Short segments take much more memory than they carry: it is used up before the window is."""
    hand = Hand(MSS + opt.nop() + opt.window_scale(7))
    hand.set("SO_RCVBUF", 65_536)
    at = 0
    while not hand.pair.counter("a", "TcpExtTCPRcvQDrop"):
        last = hand.say(ACK | PSH, at, payload=b"x" * 200)
        at += 200
        hand.pair.run(200 * MS)
        assert at < 200_000
    assert hand.pair.conn("a").recv_q < 65_536
    assert last[-1].seg.window == 0
