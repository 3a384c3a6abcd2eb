"""RFC 9293 sections 3.8.6.3 and 3.10.7.4: when an ACK is sent, and for how many segments."""

from __future__ import annotations

import pytest
from support.hand import Hand
from support.pair import Pair

from tcplab.units import MS, SEC
from tcplab.wire import tcp_options as opt
from tcplab.wire.tcp import ACK, FIN, PSH, URG

MSS = opt.mss(1000)


def test_one_ack_answers_the_segment_that_fills_a_hole() -> None:
    hand = Hand(MSS)
    for at in (100, 200, 300, 400):
        hand.say(ACK, at, payload=b"x" * 100)
    (answer,) = hand.say(ACK | PSH, payload=b"x" * 100)
    assert hand.acked(answer.seg) == 500
    hand.pair.run(SEC)
    assert hand.pair.sent[-1] is answer
    assert len(hand.read()) == 500  # type: ignore[arg-type]


def test_an_old_segment_with_new_octets_gives_only_the_new_ones() -> None:
    hand = Hand(MSS)
    hand.say(ACK | PSH, payload=b"abcdef")
    (answer,) = hand.say(ACK | PSH, at=3, payload=b"defghi")
    assert hand.acked(answer.seg) == 9
    assert hand.read() == b"abcdefghi"


def longest_delay(rtt: int, size: int, flags: int, gap: int) -> float:
    """The longest wait for an ACK, in seconds, of 60 segments that come `gap` ms apart and are read at once."""
    hand = Hand(MSS, rtt=rtt * MS)
    came = {}
    for at in range(0, 60 * size, size):
        came[at + size] = hand.pair.now / SEC
        hand.say(flags, at, payload=b"x" * size)
        hand.read()
        hand.pair.run(gap * MS)
    hand.pair.run(SEC)
    longest = 0.0
    for sent in hand.since(hand.opened):
        for end in [end for end in came if end <= hand.acked(sent.seg)]:
            longest = max(longest, sent.t - came.pop(end))
    assert came == {}
    return longest


@pytest.mark.parametrize("rtt", [1, 10, 100])
@pytest.mark.parametrize("gap", [10, 30, 100])
@pytest.mark.parametrize(("size", "flags"), [(100, ACK), (100, ACK | PSH), (1000, ACK | PSH)])
def test_an_ack_waits_less_than_half_a_second(rtt: int, gap: int, size: int, flags: int) -> None:
    assert longest_delay(rtt, size, flags, gap) < 0.2


def test_full_segments_that_come_rarely_wait_no_longer() -> None:
    assert longest_delay(rtt=1000, size=1000, flags=ACK, gap=600) < 0.2001


def test_a_reader_that_waits_sees_every_second_full_segment_acknowledged() -> None:
    pair = Pair()
    client, server = pair.open()

    def read() -> None:
        pair.b.call(pair.b.now, "recv", server, 1 << 20)
        pair.b.wait(server, False, read)

    pair.b.wait(server, False, read)
    for _ in range(60):
        pair.call("a", "send", client, b"x" * 14480)
        pair.run(20 * MS)
    acks = [s.seg.ack for s in pair.sent[3:] if s.host == "b"]
    steps = [(later - earlier) & 0xFFFFFFFF for earlier, later in zip(acks, acks[1:], strict=False)]
    assert len(steps) > 100
    assert max(steps) == 2 * 1448


def test_urgent_octets_stay_in_the_stream() -> None:
    """As with SO_OOBINLINE: URG is not acted on, and nothing is lost or out of place."""
    hand = Hand(MSS)
    hand.say(ACK | PSH | URG, payload=b"abc", urgent=2)
    hand.say(ACK | PSH | URG | FIN, at=3, payload=b"def", urgent=0xFFFF)
    assert hand.read() == b"abcdef"
    assert hand.pair.conns("a") == ["CLOSE_WAIT"]
