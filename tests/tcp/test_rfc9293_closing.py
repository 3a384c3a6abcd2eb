"""RFC 9293 sections 3.5.3, 3.6 and 3.8.3: how a connection ends, and how the application learns of it."""

from __future__ import annotations

import errno

import pytest
from support.hand import Hand
from support.pair import Pair

from tcplab.units import MS, SEC
from tcplab.wire import tcp_options as opt
from tcplab.wire.tcp import ACK, FIN, PSH, RST

MSS = opt.mss(1000)


def test_a_rst_may_carry_data() -> None:
    hand = Hand(MSS)
    assert hand.say(RST | ACK, payload=b"administratively reset") == []
    assert hand.pair.conns("a") == []
    assert isinstance(hand.read(), ConnectionResetError)


def test_the_application_can_tell_a_close_from_an_abort() -> None:
    closed, aborted = Hand(MSS), Hand(MSS)
    closed.say(FIN | ACK)
    aborted.say(RST)
    assert closed.read() == b""
    assert isinstance(aborted.read(), ConnectionResetError)
    assert closed.pair.call("a", "getsockopt", closed.fd, "SO_ERROR") == 0


def test_data_for_a_closed_socket_is_answered_with_rst() -> None:
    pair = Pair()
    client, server = pair.open()
    pair.call("b", "shutdown", server, "wr")
    pair.call("b", "close", server)
    pair.run(50 * MS)
    pair.call("a", "send", client, b"nobody reads this")
    pair.run(50 * MS)
    assert pair.sent[-1].flags == "R"
    assert pair.conns("a") == pair.conns("b") == []
    assert pair.errno("a", "send", client, b"x") == errno.EPIPE


@pytest.mark.parametrize("which", ["a", "b"])
def test_only_the_side_that_closes_first_waits(which: str) -> None:
    pair = Pair()
    fds = dict(zip("ab", pair.open(), strict=True))
    other = "b" if which == "a" else "a"
    for host in (which, other):
        pair.call(host, "close", fds[host])
        pair.run(100 * MS)
    assert (pair.conns(which), pair.conns(other)) == (["TIME_WAIT"], [])


# --- failures ---------------------------------------------------------------------------------------------------------


def test_unanswered_data_ends_after_more_than_a_hundred_seconds() -> None:
    """R2 is tcp_retries2: with its default of 15 the ladder of doublings lasts 924.6 s from the first repeat."""
    hand = Hand(MSS)
    hand.send(1)
    sent = hand.pair.now
    hand.pair.run(900 * SEC)
    assert hand.pair.conns("a") == ["ESTABLISHED"]
    hand.pair.run(300 * SEC)
    assert hand.pair.conns("a") == []
    assert (hand.pair.events[-1].t - sent) / SEC > 924.6
    answer = hand.read()
    assert isinstance(answer, OSError)
    assert answer.errno == errno.ETIMEDOUT


@pytest.mark.parametrize("limit", [1, 3, 60])
def test_an_application_can_set_how_long_data_may_stay_unanswered(limit: int) -> None:
    hand = Hand(MSS)
    hand.set("TCP_USER_TIMEOUT", limit * 1000)
    hand.send(1)
    hand.pair.run(150 * SEC)
    first = next(s.t for s in hand.pair.sent if s.rtx)
    assert hand.pair.conns("a") == []
    assert hand.pair.events[-1].t / SEC == pytest.approx(first + limit)
    assert hand.pair.call("a", "getsockopt", hand.fd, "SO_ERROR") == errno.ETIMEDOUT


def test_whoever_waits_is_woken_by_the_failure() -> None:
    hand = Hand(MSS)
    woken: list[float] = []
    hand.pair.a.wait(hand.fd, False, lambda: woken.append(hand.pair.now / SEC))
    hand.set("TCP_USER_TIMEOUT", 1000)
    hand.send(1)
    hand.pair.run(5 * SEC)
    assert len(woken) == 1


# --- data injection ---------------------------------------------------------------------------------------------------


def test_an_ack_from_nowhere_carries_nothing_in() -> None:
    hand = Hand(MSS)
    hand.send(100)
    (challenge,) = hand.say(ACK | PSH, ack=5000, payload=b"EVIL")
    assert challenge.why.startswith("challenge ACK")
    assert isinstance(hand.read(), BlockingIOError)
    assert hand.pair.conn("a").send_q == 100
