"""The path MTU on the wire: who sets DF, what is fragmented, what ICMP may change. Scripts are in tests/pkt/pmtu."""

from __future__ import annotations

import errno

import pytest
from support.hand import Hand
from support.pair import MAC_A, MAC_X, A, B, X

from tcplab.tcp import pmtu
from tcplab.units import SEC
from tcplab.wire import ethernet, frames, icmp, ipv4
from tcplab.wire import tcp_options as opt


def headers(hand: Hand, start: int = 0) -> list[ipv4.Ipv4]:
    """The IP headers of what a sent."""
    sent = [frame for host, frame, _ in hand.pair.frames if host == "a"]
    return [ipv4.parse(frame, ethernet.HEADER) for frame in sent[start:]]


def frag_needed(hand: Hand, mtu: int) -> None:
    """A router says that a's last segment was too large for `mtu`."""
    pair = hand.pair
    last = [frame for host, frame, _ in pair.frames if host == "a"][-1]
    message = icmp.build(icmp.UNREACHABLE, icmp.FRAG_NEEDED, mtu, last[ethernet.HEADER : ethernet.HEADER + 28])
    pair.a.on_frame(pair.now, frames.ip_frame(MAC_X, MAC_A, X, A, icmp.PROTO, message))
    pair._collect()


@pytest.mark.parametrize(("mode", "df"), [(0, False), (1, True), (2, True), (3, False), (4, False), (5, False)])
def test_df_by_ip_mtu_discover(mode: int, df: bool) -> None:
    hand = Hand(options=opt.mss(1460))
    hand.set("IP_MTU_DISCOVER", mode)
    before = len(headers(hand))
    hand.send(100)
    assert [head.df for head in headers(hand, before)] == [df]


@pytest.mark.parametrize(("mode", "df"), [(1, False), (2, True)])
def test_below_min_pmtu_packets_may_be_fragmented(mode: int, df: bool) -> None:
    hand = Hand(options=opt.mss(1460))
    hand.set("IP_MTU_DISCOVER", mode)
    before = len(headers(hand))
    hand.send(1460)
    frag_needed(hand, 300)
    found = headers(hand, before)
    assert [head.df for head in found] == [True] + [df] * 3
    assert [head.end - head.start for head in found[1:]] == [532, 532, 20 + 1460 - 1024]
    assert pmtu.locked(hand.pair.a, B)


def test_the_sysctl_is_every_new_sockets_default() -> None:
    hand = Hand(options=opt.mss(1460), ip_no_pmtu_disc=1)
    assert hand.pair.call("a", "getsockopt", hand.fd, "IP_MTU_DISCOVER") == 0
    assert not any(head.df for head in headers(hand))


def test_ip_mtu_needs_a_connection() -> None:
    hand = Hand(options=opt.mss(1460))
    assert hand.pair.call("a", "getsockopt", hand.fd, "IP_MTU") == 1500
    hand.send(1460)
    frag_needed(hand, 1000)
    assert hand.pair.call("a", "getsockopt", hand.fd, "IP_MTU") == 1000
    assert hand.pair.errno("a", "getsockopt", hand.pair.call("a", "socket"), "IP_MTU") == errno.ENOTCONN
    assert hand.pair.errno("a", "setsockopt", hand.fd, "IP_MTU", 1000) == errno.ENOPROTOOPT


def test_what_icmp_told_expires() -> None:
    hand = Hand(options=opt.mss(1460), mtu_expires=5)
    hand.send(1460)
    frag_needed(hand, 1000)
    host = hand.pair.a
    assert (pmtu.to(host, B), pmtu.to(host, X), pmtu.to(host, A)) == (1000, 1500, 65535)
    hand.say(ack=1460)
    hand.pair.run(5 * SEC)
    assert hand.pair.call("a", "getsockopt", hand.fd, "IP_MTU") == 1500
    assert host.path_mtus == {}
    hand.send(1460)
    assert [hand.pair.conn("a").mss] == [1460]


def test_a_packet_that_the_path_cannot_carry_is_not_sent() -> None:
    hand = Hand(options=opt.mss(1460), tcp_min_snd_mss=800)
    hand.send(1460)
    before = len(headers(hand))
    frag_needed(hand, 600)
    assert len(headers(hand)) == before, "segments of 800 octets make packets of 840"
    assert hand.pair.counter("a", "IpFragFails") == 2


def test_without_df_it_is_fragmented() -> None:
    hand = Hand(options=opt.mss(1460), tcp_min_snd_mss=800)
    hand.set("IP_MTU_DISCOVER", 3)
    hand.send(800)
    frag_needed(hand, 600)
    host = hand.pair.a
    host.on_timer(host.deadline)
    found = [ipv4.parse(outgoing.frame, ethernet.HEADER) for outgoing in host.out]
    assert [(head.offset, head.mf, head.end - head.start) for head in found] == [(0, True, 576), (576, False, 244)]
    assert (hand.pair.counter("a", "IpFragOKs"), hand.pair.counter("a", "IpFragCreates")) == (1, 2)


@pytest.mark.parametrize("mtu", [28, 68, 576, 1499])
def test_fragments_carry_all_of_the_payload(mtu: int) -> None:
    payload = bytes(n % 251 for n in range(1480))
    packet = ipv4.build(A, B, 6, payload, ident=7, ttl=9, tos=8, df=False)
    got = bytearray(len(payload))
    parts = ipv4.fragments(packet, mtu)
    for number, part in enumerate(parts):
        head = ipv4.parse(part, 0)
        assert len(part) <= mtu
        assert (head.src, head.dst, head.proto, head.ident, head.ttl, head.tos, head.df) == (A, B, 6, 7, 9, 8, False)
        assert head.mf == (number < len(parts) - 1)
        got[head.offset : head.offset + head.end - head.start] = part[head.start : head.end]
    assert got == payload


@pytest.mark.parametrize("told", [0, 1, 67, 551, 552, 65535])
def test_any_number_in_the_message_is_survived(told: int) -> None:
    hand = Hand(options=opt.mss(1460))
    hand.send(3000)
    frag_needed(hand, told)
    assert hand.pair.conn("a").mss == (512 if told <= 552 else 1460)
    hand.say(ack=3000)
    assert hand.pair.conn("a").snd_una == hand.pair.conn("a").snd_nxt
