"""RFC 9293 sections 3.7.4, 3.8.1, 3.8.2 and 3.9.1.2: when data leaves, in what pieces, and how fast."""

from __future__ import annotations

from support.hand import Hand
from support.pair import Pair

from tcplab.units import MS, SEC
from tcplab.wire import tcp_options as opt
from tcplab.wire.tcp import ACK

MSS = opt.mss(1000)


def test_psh_is_on_the_last_segment_of_what_was_written() -> None:
    hand = Hand(MSS)
    assert [s.flags for s in hand.send(2500)] == ["A", "A", "PA"]


def test_a_lone_octet_leaves_at_once() -> None:
    hand = Hand(MSS)
    assert [(s.flags, s.size) for s in hand.send(1)] == [("PA", 1)]


def test_several_writes_leave_as_one_segment_with_one_psh() -> None:
    hand = Hand(MSS)
    hand.send(100)
    for _ in range(5):
        assert hand.send(100) == []
    assert [(s.flags, s.size) for s in hand.say(ack=100)] == [("PA", 500)]


def test_writes_that_wait_fill_the_largest_segment() -> None:
    hand = Hand(MSS)
    hand.send(100)
    sizes = [s.size for _ in range(15) for s in hand.send(100)]
    assert sizes == [1000]
    assert [s.size for s in hand.say(ack=1100)] == [500]


def test_a_stream_is_cut_into_full_segments() -> None:
    hand = Hand(MSS)
    assert [s.size for s in hand.send(9700)] == [1000] * 9 + [700]


# --- silly windows, sending side --------------------------------------------------------------------------------------


def test_a_window_that_opens_by_a_little_moves_nothing() -> None:
    hand = Hand(MSS, window=4000)
    assert len(hand.send(8000)) == 4
    for opened in (100, 300, 999):
        assert hand.say(ack=1000, window=3000 + opened) == []
    assert [s.size for s in hand.say(ack=2000, window=3000)] == [1000]


def test_the_last_small_piece_leaves_when_it_fits() -> None:
    hand = Hand(MSS, window=2000)
    assert [s.size for s in hand.send(2300)] == [1000, 1000]
    assert [s.size for s in hand.say(ack=2000, window=300)] == [300]


def test_a_segment_is_at_most_half_of_the_greatest_window() -> None:
    hand = Hand(MSS, window=1000)
    assert [s.size for s in hand.send(5000)] == [500, 500]


def test_a_timeout_overrides_the_waiting() -> None:
    hand = Hand(MSS, window=1000)
    hand.send(2000)
    start = len(hand.pair.sent)
    hand.say(ack=1000, window=400)
    acked = hand.pair.now
    hand.pair.run(SEC)
    (piece,) = [s for s in hand.since(start) if s.size and not s.rtx]
    assert piece.size == 400
    assert 0.1 <= piece.t - acked / SEC <= 1.0


# --- how fast ---------------------------------------------------------------------------------------------------------


def test_slow_start_doubles_in_a_round_trip() -> None:
    hand = Hand(MSS)
    assert len(hand.send(60_000)) == 10
    hand.pair.run(100 * MS)
    sent = [s for at in range(1000, 11_000, 1000) for s in hand.say(ack=at)]
    assert len(sent) == hand.pair.conn("a").cwnd == 20


def test_congestion_avoidance_adds_one_in_a_round_trip() -> None:
    hand = Hand(MSS)
    hand.pair.call("a", "setsockopt", hand.fd, "TCP_CONGESTION", "reno")
    hand.send(80_000)
    hand.pair.run(1500 * MS)  # the RTO: ssthresh becomes 5
    hand.say(ack=10_000)
    acked = 10_000
    while hand.pair.conn("a").cwnd < 6:
        acked += 1000
        hand.say(ack=acked)
        assert acked < 30_000
    before = hand.pair.conn("a").cwnd
    assert hand.pair.conn("a").ssthresh == 5
    for _ in range(before):
        acked += 1000
        hand.say(ack=acked)
    assert hand.pair.conn("a").cwnd == before + 1


def test_the_rto_doubles_with_each_repeat() -> None:
    hand = Hand(MSS)
    hand.send(1)
    hand.pair.run(7 * SEC)
    conn = hand.pair.conn("a")
    repeats = [s.t for s in hand.pair.sent if s.rtx]
    spans = [later - earlier for earlier, later in zip(repeats, repeats[1:], strict=False)]
    assert [round(span / spans[0]) for span in spans] == [1, 2, 4, 8][: len(spans)]
    assert (len(repeats), conn.backoff) == (5, 5)


# --- the RTO ----------------------------------------------------------------------------------------------------------


def test_the_first_round_trip_sets_srtt_and_rto() -> None:
    hand = Hand(MSS, rtt=400 * MS)
    conn = hand.pair.conn("a")
    assert (conn.srtt_us, conn.rttvar_us, conn.rto_us) == (400_000, 200_000, 1_200_000)
    # RFC 6298 2.2: SRTT = R, RTTVAR = R/2, RTO = SRTT + 4 RTTVAR


def test_a_repeated_segment_gives_no_round_trip_sample() -> None:
    hand = Hand(MSS, rtt=400 * MS)
    hand.send(100)
    hand.pair.run(1500 * MS)
    assert [s.rtx for s in hand.pair.sent if s.size] == [False, True]
    hand.say(ack=100)
    assert hand.pair.conn("a").srtt_us == 400_000
    hand.send(100)
    hand.pair.run(200 * MS)
    hand.say(ack=200)
    assert hand.pair.conn("a").srtt_us == 375_000  # 7/8 of 400 ms and 1/8 of 200


def test_a_timestamp_tells_which_of_two_was_acknowledged() -> None:
    hand = Hand(MSS + opt.nop() * 2 + opt.timestamps(1, 0), rtt=400 * MS)
    hand.send(100)
    hand.pair.run(1300 * MS)
    repeat = hand.pair.sent[-1]
    assert repeat.rtx
    assert repeat.seg.ts is not None
    hand.say(ACK, ack=100, options=opt.nop() * 2 + opt.timestamps(2, repeat.seg.ts[0]))
    assert hand.pair.conn("a").srtt_us == (7 * 400_000 + 100_000) // 8


def test_data_is_never_held_for_ever() -> None:
    """No call says PUSH: whatever Nagle holds leaves with the next ACK."""
    pair = Pair()
    client, _ = pair.open()
    for _ in range(20):
        pair.call("a", "send", client, b"x" * 10)
    pair.run(SEC)
    assert pair.conn("b").recv_q == 200
    assert pair.conn("a").not_sent == 0
