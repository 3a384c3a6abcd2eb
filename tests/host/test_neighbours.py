"""ARP: the question, the answer, three tries, what waits, and who is told when nobody answers."""

from __future__ import annotations

import errno

from support.pair import MAC_A, MAC_B, MAC_X, A, B, Pair, X

from tcplab.units import MS, SEC
from tcplab.wire import arp, ethernet, frames, ipv4

NOBODY = bytes(6)


def strangers() -> Pair:
    return Pair(acquainted=False)


def arps(pair: Pair, host: str) -> list[tuple[int, bytes, int, bytes, int]]:
    """(operation, destination MAC, sender, target MAC, target) of each ARP packet that `host` sent."""
    found = []
    for sender, frame, _ in pair.frames:
        dst, src, ethertype = ethernet.parse(frame)
        if sender == host and ethertype == ethernet.ETH_ARP:
            packet = arp.parse(frame, ethernet.HEADER)
            assert packet.sha == src == pair.host(host).mac
            found.append((packet.op, dst, packet.spa, packet.tha, packet.tpa))
    return found


def test_question_and_answer_come_before_the_syn() -> None:
    pair = strangers()
    pair.listen()
    pair.connect()
    assert pair.sent == []
    pair.run(SEC)
    assert arps(pair, "a") == [(1, ethernet.BROADCAST, A, NOBODY, B)]
    assert arps(pair, "b") == [(2, MAC_A, B, MAC_A, A)]
    assert pair.times("a", "S") == [0.01]
    assert pair.flow() == ["a S", "b SA", "a A"]
    assert pair.a.neighbours == {B: MAC_B}
    assert pair.b.neighbours == {A: MAC_A}, "who is asked learns who asks"


def test_the_reason_of_a_packet_that_waited_is_its_own() -> None:
    pair = strangers()
    pair.connect()
    pair.run(20 * MS)
    whys = [why for host, _, why in pair.frames if host == "a"]
    assert whys == ["ARP: who has 10.77.0.2? Try 1 of 3", "connect(): synchronize"]


def test_three_questions_a_second_apart_then_ehostunreach() -> None:
    pair = strangers()
    fd = pair.call("a", "socket")
    assert pair.errno("a", "connect", fd, X, 80) == errno.EINPROGRESS
    asked: list[float] = []
    while pair.a.deadline <= 3 * SEC:
        asked.append(pair.a.deadline / SEC)
        assert pair.a.next_timer() in ("ARP who has 10.77.0.9", f"RTO {pair.call('a', 'conn', fd)}")
        pair.run(pair.a.deadline - pair.now)
    assert set(asked) == {1.0, 2.0, 3.0}
    assert arps(pair, "a") == [(1, ethernet.BROADCAST, A, NOBODY, X)] * 3
    assert pair.errno("a", "connect", fd, X, 80) == errno.EHOSTUNREACH
    assert pair.a.resolving == {}


def test_a_late_answer_lets_go_what_waited_in_order() -> None:
    pair = strangers()
    fds = [pair.call("a", "socket") for _ in range(3)]
    for port, fd in enumerate(fds):
        pair.call("a", "connect", fd, X, 80 + port)
    pair.run(500 * MS)
    assert len(arps(pair, "a")) == 1, "one question for all"
    pair.a.on_frame(pair.now, frames.arp_frame(MAC_X, MAC_A, 2, X, MAC_A, A))
    waited = [outgoing.frame for outgoing in pair.a.out]
    assert [ethernet.parse(frame)[0] for frame in waited] == [MAC_X] * 3
    packets = [ipv4.parse(frame, ethernet.HEADER) for frame in waited]
    assert [frame[ip.start + 2 : ip.start + 4] for frame, ip in zip(waited, packets, strict=True)] == [
        (80 + port).to_bytes(2, "big") for port in range(3)
    ]
    pair.a.out.clear()
    pair.run(2 * SEC)
    assert len(arps(pair, "a")) == 1, "the question is answered"


def test_no_more_than_64_packets_wait_and_the_oldest_goes() -> None:
    pair = strangers()
    for number in range(70):
        pair.a.send_ip(X, 253, bytes((number,)), "experiment", "")
    (resolution,) = pair.a.resolving.values()
    assert [packet[-1] for packet, *_ in resolution.waiting] == list(range(6, 70))


def test_a_new_question_may_be_asked_after_a_failure() -> None:
    pair = strangers()
    for _ in range(2):
        fd = pair.call("a", "socket")
        pair.call("a", "connect", fd, X, 80)
        pair.run(4 * SEC)
        assert pair.call("a", "getsockopt", fd, "SO_ERROR") == errno.EHOSTUNREACH
    assert len(arps(pair, "a")) == 6


def test_a_question_for_somebody_else_is_not_answered_and_teaches_nothing() -> None:
    pair = strangers()
    pair.b.on_frame(0, frames.arp_frame(MAC_A, ethernet.BROADCAST, 1, A, NOBODY, X))
    assert pair.b.out == []
    assert pair.b.neighbours == {}


def test_an_answer_nobody_asked_for_names_nobody_else() -> None:
    pair = Pair()
    pair.b.on_frame(0, frames.arp_frame(MAC_X, MAC_A, 2, A, MAC_A, X))
    assert pair.b.neighbours == {A: MAC_A}, "it is not addressed to b: a stays who it was"


def test_outside_the_network_frames_go_to_the_third_party_without_a_question() -> None:
    pair = strangers()
    fd = pair.call("a", "socket")
    pair.call("a", "connect", fd, ipv4.address("203.0.113.7"), 80)
    assert [ethernet.parse(frame)[0] for _, frame, _ in pair.frames] == [MAC_X]
