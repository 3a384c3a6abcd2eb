"""RFC 9293: what comes back of what cannot be delivered, and what a shut window does not end."""

from __future__ import annotations

import errno

import pytest
from support.hand import Hand, icmp_to_a
from support.pair import Pair

from tcplab.units import MS, SEC
from tcplab.wire import icmp, ipv4
from tcplab.wire import tcp_options as opt

MSS = opt.mss(1000)


@pytest.mark.parametrize("dst", ["255.255.255.255", "10.77.0.255", "224.0.0.1"])
def test_connect_to_many_is_refused(dst: str) -> None:
    pair = Pair()
    fd = pair.call("a", "socket")
    assert pair.errno("a", "connect", fd, ipv4.address(dst), 80) == errno.ENETUNREACH
    assert pair.frames == []


def test_the_backoff_stays_until_there_is_a_new_sample() -> None:
    hand = Hand(MSS, rtt=100 * MS)
    hand.send(100)
    hand.pair.run(SEC)
    backed_off = hand.pair.conn("a").rto_us
    assert hand.pair.sent[-1].rtx
    hand.say(ack=100)
    assert hand.pair.conn("a").rto_us == backed_off


def test_a_window_shut_over_what_is_in_flight_ends_nothing() -> None:
    hand = Hand(MSS, window=20_000, tcp_retries2=3)
    hand.send(15_000)
    hand.pair.run(50 * MS)
    hand.say(ack=1000, window=0)
    seen = len(hand.pair.sent)
    for _ in range(600):
        hand.pair.run(50 * MS)
        if len(hand.pair.sent) > seen:
            hand.say(ack=1000)
            seen = len(hand.pair.sent)
    assert hand.pair.conns("a") == ["ESTABLISHED"]


def test_repeats_stay_within_a_window_that_shrank() -> None:
    hand = Hand(MSS, window=20_000)
    hand.send(15_000)
    hand.pair.run(50 * MS)
    hand.say(ack=1000, window=1000)
    hand.pair.run(300 * MS)
    hand.say(ack=2000, window=1000)
    hand.say(ack=3000, window=1000)
    assert all(hand.first(s) + s.size <= 4000 for s in hand.pair.sent if s.rtx)


def test_a_soft_error_is_told_in_the_end() -> None:
    hand = Hand(MSS)
    hand.set("TCP_USER_TIMEOUT", 2000)
    hand.send(100)
    icmp_to_a(hand.pair, icmp.UNREACHABLE, 1)
    hand.pair.run(10 * SEC)
    assert hand.pair.call("a", "getsockopt", hand.fd, "SO_ERROR") == errno.EHOSTUNREACH


@pytest.mark.parametrize(("kind", "error"), [(11, errno.EHOSTUNREACH), (12, errno.EPROTO)])
def test_other_hard_errors_in_syn_sent(kind: int, error: int) -> None:
    pair = Pair(lose=lambda *_: True)
    fd = pair.connect()
    icmp_to_a(pair, kind, 0)
    assert pair.call("a", "getsockopt", fd, "SO_ERROR") == error
