"""Whatever the octets: a parser gives a result or WireError, words and fields are always there, a host never raises."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.pair import MAC_A, MAC_B, MAC_X, A, B, X

from tcplab.api.events import AnyEvent, Dropped
from tcplab.host.machine import Machine
from tcplab.rng import Rng
from tcplab.wire import arp, ethernet, frames, icmp, ipv4, tcp, text
from tcplab.wire import tcp_options as opt
from tcplab.wire.checksum import checksum
from tcplab.wire.errors import WireError

many = settings(max_examples=300, deadline=None, derandomize=True)

LINUX_OPTIONS = opt.mss(1460) + opt.sack_permitted() + opt.timestamps(1, 0) + opt.nop() + opt.window_scale(7)
SYN = tcp.build(A, B, 40001, 80, 1, 0, tcp.SYN, 64240, LINUX_OPTIONS)
DATA = tcp.build(A, B, 40001, 80, 1, 1, tcp.PSH | tcp.ACK, 5, opt.nop() * 2 + opt.sack([(1, 2)]), b"hello")
QUOTE = ipv4.build(B, A, ipv4.PROTO_TCP, tcp.build(B, A, 80, 40001, 1, 1, tcp.ACK, 5))

VALID = {
    "SYN": frames.tcp_frame(MAC_A, MAC_B, A, B, 1, SYN),
    "data": frames.tcp_frame(MAC_A, MAC_B, A, B, 1, DATA),
    "echo request": frames.ip_frame(MAC_A, MAC_B, A, B, icmp.PROTO, icmp.build(8, 0, 1 << 16, b"abcdefgh")),
    "unreachable": frames.ip_frame(MAC_X, MAC_B, X, B, icmp.PROTO, icmp.build(3, 1, 0, QUOTE[:28])),
    "UDP": frames.ip_frame(MAC_A, MAC_B, A, B, 17, b"datagram"),
    "ARP request": frames.arp_frame(MAC_A, ethernet.BROADCAST, 1, A, bytes(6), B),
    "ARP reply": frames.arp_frame(MAC_A, MAC_B, 2, A, MAC_B, B),
}

PARSERS: dict[str, Callable[[bytes], object]] = {
    "ethernet": ethernet.parse,
    "arp": lambda octets: arp.parse(octets, 0),
    "ipv4": lambda octets: ipv4.parse(octets, 0),
    "ipv4 quoted": lambda octets: ipv4.parse(octets, 0, quoted=True),
    "icmp": lambda octets: icmp.parse(octets, 0, len(octets)),
    "icmp, wrong end": lambda octets: icmp.parse(octets, 0, len(octets) + 8),
    "tcp": lambda octets: tcp.parse(octets, 0, len(octets), A, B),
    "tcp, unverified": lambda octets: tcp.parse(octets, 0, len(octets), A, B, verify=False),
    "tcp, wrong end": lambda octets: tcp.parse(octets, 0, len(octets) + 20, A, B, verify=False),
}


def listening() -> tuple[Machine, list[AnyEvent]]:
    """Host b with a listener, and what it tells."""
    events: list[AnyEvent] = []
    host = Machine("b", B, MAC_B, Rng(1), events.append)
    fd = host.call(0, "socket")
    host.call(0, "bind", fd, 0, 80)
    host.call(0, "listen", fd, 5)
    return host, events


def check(frame: bytes) -> None:
    """Everything that reads frames, on one frame."""
    for parse in PARSERS.values():
        for octets in (frame, frame[ethernet.HEADER :], frame[ethernet.HEADER + ipv4.HEADER :]):
            with suppress(WireError):
                parse(octets)
    described = text.describe(frame, lambda *_: (1000, 2000))
    assert described.text
    assert "\n" not in described.text
    assert all(field.layer and field.name and field.value for field in text.fields(frame))
    assert len(text.hexdump(frame)) == (len(frame) + 15) // 16
    host, _ = listening()
    host.on_frame(0, frame)
    host.view(0)


@given(st.binary(max_size=120))
@example(b"")
@example(bytes(64))
@example(b"\xff" * 64)
@many
def test_any_octets(octets: bytes) -> None:
    check(octets)


@pytest.mark.parametrize("start", ["08060001080006040001", "080045", "08004500003c000040004006", "080046"])
@given(st.binary(max_size=80))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_any_octets_behind_a_plausible_start(start: str, octets: bytes) -> None:
    check(MAC_B + MAC_A + bytes.fromhex(start) + octets)


@pytest.mark.parametrize("name", VALID)
def test_valid_frames_are_read_whole(name: str) -> None:
    frame = VALID[name]
    assert not any(field.name == "unreadable" for field in text.fields(frame))
    host, events = listening()
    host.on_frame(0, frame)
    reasons = {event.reason for event in events if isinstance(event, Dropped)}
    assert reasons == {"UDP": {"protocol"}, "unreachable": {"icmp"}}.get(name, set())


@pytest.mark.parametrize("name", VALID)
def test_cut_off_anywhere(name: str) -> None:
    for length in range(len(VALID[name])):
        check(VALID[name][:length])


@pytest.mark.parametrize("name", VALID)
def test_any_octet_changed(name: str) -> None:
    frame = VALID[name]
    for at in range(len(frame)):
        for octet in (0, 0xFF, frame[at] ^ 1, frame[at] ^ 0x80):
            check(frame[:at] + bytes((octet,)) + frame[at + 1 :])


@pytest.mark.parametrize("name", ["SYN", "data"])
def test_any_octet_of_a_segment_changed_with_a_right_checksum(name: str) -> None:
    """What a checksum does not catch: the header itself says nonsense."""
    packet = VALID[name][ethernet.HEADER :]
    segment = packet[ipv4.HEADER :]
    for at in range(len(segment)):
        for octet in (0, 1, 0x7F, 0x80, 0xFF):
            changed = bytearray(segment)
            changed[at] = octet
            changed[16:18] = bytes(2)
            changed[16:18] = tcp_checksum(bytes(changed)).to_bytes(2, "big")
            check(frames.tcp_frame(MAC_A, MAC_B, A, B, 1, bytes(changed)))


def tcp_checksum(segment: bytes) -> int:
    """The checksum of a segment from a to b, by what the kernel of any host would do."""
    header = A.to_bytes(4, "big") + B.to_bytes(4, "big") + bytes((0, 6)) + len(segment).to_bytes(2, "big")
    return checksum(header + segment)


@pytest.mark.parametrize(
    ("name", "at", "octet", "reason", "counter"),
    [
        ("SYN", 14, 0x65, "IP header", "IpInHdrErrors"),
        ("SYN", 14, 0x44, "IP header", "IpInHdrErrors"),
        ("SYN", 22, 0x01, "IP checksum", "IpInHdrErrors"),
        ("SYN", 46, 0x40, "TCP header", "TcpInErrs"),
        ("SYN", 46, 0xF0, "TCP header", "TcpInErrs"),
        ("data", -1, 0x00, "checksum", "TcpInCsumErrors"),
        ("echo request", -1, 0x00, "ICMP checksum", "IcmpInCsumErrors"),
        ("ARP request", 15, 0x02, "strange ARP", ""),
        ("SYN", 13, 0xDD, "not IP", ""),
    ],
)
def test_what_is_wrong_is_said_and_counted_as_linux_does(
    name: str, at: int, octet: int, reason: str, counter: str
) -> None:
    frame = bytearray(VALID[name])
    frame[at] = octet
    host, events = listening()
    host.on_frame(0, bytes(frame))
    (dropped,) = (event for event in events if isinstance(event, Dropped))
    assert (dropped.reason, dropped.counter) == (reason, counter)
    assert host.counters.get(counter, 0) == (1 if counter else 0)
    assert host.out == []


def test_padding_of_ethernet_is_no_payload() -> None:
    host, _ = listening()
    host.on_frame(0, VALID["SYN"] + bytes(6))
    assert len(host.out) == 1
    assert text.describe(VALID["SYN"] + bytes(6)).len == 0
