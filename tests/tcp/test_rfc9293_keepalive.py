"""RFC 9293 section 3.8.4: probes of a connection that has fallen silent."""

from __future__ import annotations

import pytest
from support.hand import Hand
from support.pair import Sent

from tcplab.units import MS, SEC
from tcplab.wire import tcp_options as opt
from tcplab.wire.tcp import ACK, PSH

HOUR = 3600 * SEC


def guarded(**options: int) -> Hand:
    """a watches its peer with SO_KEEPALIVE."""
    hand = Hand(opt.mss(1000))
    for name, value in {**options, "SO_KEEPALIVE": 1}.items():
        hand.set(name, value)
    return hand


def probes(hand: Hand) -> list[Sent]:
    return [s for s in hand.pair.sent if s.why.startswith("keepalive probe")]


def test_nobody_asked_for_it_and_nothing_is_sent() -> None:
    hand = Hand(opt.mss(1000))
    hand.pair.run(100 * HOUR)
    assert len(hand.pair.sent) == hand.opened
    assert hand.pair.conns("a") == ["ESTABLISHED"]


def test_the_first_probe_comes_after_two_hours() -> None:
    hand = guarded()
    hand.pair.run(2 * HOUR - SEC)
    assert probes(hand) == []
    hand.pair.run(2 * SEC)
    (probe,) = probes(hand)
    assert (probe.size, hand.first(probe)) == (0, -1)


def test_it_can_be_turned_off_again() -> None:
    hand = guarded(TCP_KEEPIDLE=10)
    hand.pair.run(5 * SEC)
    hand.set("SO_KEEPALIVE", 0)
    hand.pair.run(HOUR)
    assert probes(hand) == []


@pytest.mark.parametrize("idle", [1, 10, 600])
def test_an_application_sets_its_own_interval(idle: int) -> None:
    hand = guarded(TCP_KEEPIDLE=idle)
    hand.pair.run((idle + 1) * SEC)
    assert [round(s.t) for s in probes(hand)][:1] == [idle]


def test_a_host_sets_the_interval_of_all() -> None:
    hand = guarded()
    hand.pair.set("a", tcp_keepalive_time=20)
    hand.set("SO_KEEPALIVE", 0)
    hand.set("SO_KEEPALIVE", 1)
    hand.pair.run(21 * SEC)
    assert len(probes(hand)) == 1


@pytest.mark.parametrize("payload", [b"", b"x"])
def test_whatever_comes_starts_the_interval_anew(payload: bytes) -> None:
    hand = guarded(TCP_KEEPIDLE=10)
    for turn in range(10):
        hand.pair.run(8 * SEC)
        hand.say(ACK | PSH if payload else ACK, turn * len(payload), payload=payload)
    assert probes(hand) == []
    hand.pair.run(11 * SEC)
    assert len(probes(hand)) == 1


def test_no_probe_while_data_is_outstanding() -> None:
    hand = guarded(TCP_KEEPIDLE=1)
    hand.send(10)
    hand.pair.run(60 * SEC)
    assert probes(hand) == []
    assert any(s.rtx for s in hand.pair.sent)


def test_one_answer_after_several_lost_ones_is_enough() -> None:
    hand = guarded(TCP_KEEPIDLE=10, TCP_KEEPINTVL=5, TCP_KEEPCNT=3)
    hand.pair.run(21 * SEC)
    assert len(probes(hand)) == 3
    hand.say()
    hand.pair.run(9 * SEC)
    assert hand.pair.conns("a") == ["ESTABLISHED"]
    hand.pair.run(5 * SEC)
    hand.say()
    hand.pair.run(100 * MS)
    assert hand.pair.conns("a") == ["ESTABLISHED"]
