"""A frame in words: tcpdump's manner, relative numbers, every field."""

from __future__ import annotations

import pytest
from support.pair import MAC_A, MAC_B, A, B

from tcplab.wire import ethernet, frames, icmp, ipv4, tcp, text
from tcplab.wire import tcp_options as opt


def segment(flags: int, options: bytes = b"", payload: bytes = b"", checksum: int | None = None) -> bytes:
    built = tcp.build(A, B, 40001, 80, 1001, 5005, flags, 502, options, payload, checksum=checksum)
    return frames.tcp_frame(MAC_A, MAC_B, A, B, 7, built)


ECHO = frames.ip_frame(MAC_A, MAC_B, A, B, icmp.PROTO, icmp.build(8, 0, 5 << 16 | 2, b"ping"))
WAY = "10.77.0.1.40001 > 10.77.0.2.80: "


@pytest.mark.parametrize(
    ("frame", "line"),
    [
        (segment(tcp.SYN, opt.mss(1460)), WAY + "Flags [S], seq 1, win 502, options [mss 1460], length 0"),
        (segment(tcp.ACK), WAY + "Flags [.], ack 5, win 502, length 0"),
        (segment(tcp.PSH | tcp.ACK, b"", b"hello"), WAY + "Flags [P.], seq 1:6, ack 5, win 502, length 5"),
        (segment(tcp.FIN | tcp.ACK), WAY + "Flags [F.], seq 1, ack 5, win 502, length 0"),
        (segment(tcp.RST), WAY + "Flags [R], seq 1, win 502, length 0"),
        (segment(0), WAY + "Flags [none], win 502, length 0"),
        (segment(tcp.ACK, opt.nop() * 2 + opt.sack([(5010, 5020)])),
         WAY + "Flags [.], ack 5, win 502, options [nop,nop,sack 1 {10:20}], length 0"),
        (frames.arp_frame(MAC_A, ethernet.BROADCAST, 1, A, bytes(6), B), "ARP, who has 10.77.0.2? Tell 10.77.0.1"),
        (frames.arp_frame(MAC_A, MAC_B, 2, A, MAC_B, B), "ARP, 10.77.0.1 is at 02:00:0a:4d:00:01"),
        (ECHO, "10.77.0.1 > 10.77.0.2: ICMP echo request, code 0, length 12"),
        (frames.ip_frame(MAC_A, MAC_B, A, B, 17, b"12345678"), "10.77.0.1 > 10.77.0.2: IP protocol 17, length 8"),
    ],
)  # fmt: skip
def test_one_line(frame: bytes, line: str) -> None:
    assert text.describe(frame, lambda *_: (1000, 5000)).text == line


def test_numbers() -> None:
    asked: list[tuple[object, ...]] = []

    def bases(*flow: object) -> tuple[int, int]:
        asked.append(flow)
        return 1000, 6000

    found = text.describe(segment(tcp.PSH | tcp.ACK, b"", b"hello"), bases)
    assert asked == [(A, 40001, B, 80, "PA", 1001)]
    assert (found.proto, found.saddr, found.sport, found.daddr, found.dport) == ("tcp", A, 40001, B, 80)
    assert (found.seq, found.ack, found.win, found.len, found.flags) == (1001, 5005, 502, 5, "PA")
    assert (found.rseq, found.rack) == (1, (5005 - 6000) & 0xFFFFFFFF)
    raw = text.describe(segment(tcp.SYN))
    assert (raw.rseq, raw.rack) == (1001, 0), "without ACK there is no acknowledgement to show"


def test_fields_of_a_segment() -> None:
    frame = segment(tcp.SYN | tcp.ACK, opt.mss(1460) + opt.nop() + opt.window_scale(7), b"hi")
    shown = [tuple(field) for field in text.fields(frame)]
    assert shown == [
        ("Ethernet", "destination", "02:00:0a:4d:00:02"),
        ("Ethernet", "source", "02:00:0a:4d:00:01"),
        ("Ethernet", "type", "0x0800"),
        ("IPv4", "header length", "20 octets"),
        ("IPv4", "type of service", "0x00"),
        ("IPv4", "total length", "50 octets"),
        ("IPv4", "identification", "7"),
        ("IPv4", "fragment", "DF"),
        ("IPv4", "time to live", "64"),
        ("IPv4", "protocol", "6"),
        ("IPv4", "header checksum", "right"),
        ("IPv4", "source", "10.77.0.1"),
        ("IPv4", "destination", "10.77.0.2"),
        ("TCP", "source port", "40001"),
        ("TCP", "destination port", "80"),
        ("TCP", "sequence number", "1001"),
        ("TCP", "acknowledgment number", "5005"),
        ("TCP", "data offset", "28 octets"),
        ("TCP", "flags", "ACK SYN"),
        ("TCP", "window", "502 (before scaling)"),
        ("TCP", "checksum", "right"),
        ("TCP", "urgent pointer", "0"),
        ("TCP", "option", "mss 1460"),
        ("TCP", "option", "nop"),
        ("TCP", "option", "wscale 7"),
        ("TCP", "payload", "2 octets"),
    ]


def test_fields_judge_the_checksum() -> None:
    wrong = {field.name: field.value for field in text.fields(segment(tcp.ACK, checksum=1)) if field.layer == "TCP"}
    assert wrong["checksum"] == "WRONG"


def test_fields_of_a_ping() -> None:
    shown = [(field.name, field.value) for field in text.fields(ECHO) if field.layer == "ICMP"]
    assert shown == [
        ("type", "8 echo request"),
        ("code", "0"),
        ("checksum", "right"),
        ("rest of the header", "0x00050002"),
        ("payload", "4 octets"),
    ]
    wrong = {field.name: field.value for field in text.fields(ECHO[:-1] + b"!") if field.layer == "ICMP"}
    assert wrong["checksum"] == "WRONG"


def test_fields_end_where_a_frame_is_cut_off() -> None:
    *read, last = text.fields(segment(tcp.ACK)[:40])
    assert [field.layer for field in read] == ["Ethernet"] * 3
    assert (last.name, last.value) == ("unreadable", "the packet is shorter than its total length")


def test_hexdump() -> None:
    assert text.hexdump(b"") == []
    assert text.hexdump(bytes(range(60, 78))) == [
        "0000  3c 3d 3e 3f 40 41 42 43  44 45 46 47 48 49 4a 4b  <=>?@ABCDEFGHIJK",
        "0010  4c 4d                                             LM",
    ]


@pytest.mark.parametrize("wrong", ["", "1.2.3", "1.2.3.4.5", "1.2.3.256", "1.2.3.-4", "a.b.c.d", "1.2.3.٤", "1..2.3"])
def test_what_is_no_address(wrong: str) -> None:
    with pytest.raises(ValueError, match="not an IPv4 address"):
        ipv4.address(wrong)
