"""Each format against another implementation: what we build it builds too, what it builds we read, octet for octet."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcplab.wire import arp, ethernet, frames, icmp, ipv4, tcp
from tcplab.wire import tcp_options as opt

logging.getLogger("scapy").setLevel(logging.ERROR)
scapy_inet = pytest.importorskip("scapy.layers.inet", reason="scapy is not installed")
scapy_l2 = pytest.importorskip("scapy.layers.l2", reason="scapy is not installed")
Ether, ARP = scapy_l2.Ether, scapy_l2.ARP
IP, ICMP, TCP = scapy_inet.IP, scapy_inet.ICMP, scapy_inet.TCP

some = settings(max_examples=50, deadline=None, derandomize=True)
OCTET, WORD, LONG = st.integers(0, 255), st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
MAC = st.binary(min_size=6, max_size=6)
PAYLOAD = st.binary(max_size=120)

# (what we encode, scapy's words for it)
OPTIONS = {
    "mss": (opt.mss(1460), [("MSS", 1460)]),
    "window scale": (opt.window_scale(10), [("WScale", 10), ("EOL", None)]),
    "sack permitted": (opt.sack_permitted() + opt.nop() * 2, [("SAckOK", b""), ("NOP", None), ("NOP", None)]),
    "timestamps": (opt.nop() * 2 + opt.timestamps(7, 2**32 - 1), [("NOP", None)] * 2 + [("Timestamp", (7, 2**32 - 1))]),
    "sack 1": (opt.nop() * 2 + opt.sack([(1, 2)]), [("NOP", None)] * 2 + [("SAck", (1, 2))]),
    "sack 3": (opt.sack([(1, 2), (3, 4), (2**32 - 1, 0)]), [("SAck", (1, 2, 3, 4, 2**32 - 1, 0))]),
    "sack 4": (opt.nop() * 2 + opt.sack([(n, n + 1) for n in range(4)]),
               [("NOP", None)] * 2 + [("SAck", (0, 1, 1, 2, 2, 3, 3, 4))]),
    "fast open": (opt.nop() * 2 + opt.fastopen(bytes(range(8))), [("NOP", None)] * 2 + [(34, bytes(range(8)))]),
    "fast open, asked": (opt.nop() * 2 + opt.fastopen(), [("NOP", None)] * 2 + [(34, b"")]),
    "a SYN of Linux": (
        opt.mss(1460) + opt.sack_permitted() + opt.timestamps(1, 0) + opt.nop() + opt.window_scale(7),
        [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (1, 0)), ("NOP", None), ("WScale", 7)],
    ),
}  # fmt: skip


@given(MAC, MAC, WORD)
@some
def test_ethernet(dst: bytes, src: bytes, ethertype: int) -> None:
    theirs = bytes(Ether(dst=ethernet.mac_text(dst), src=ethernet.mac_text(src), type=ethertype))
    assert ethernet.header(dst, src, ethertype) == theirs
    assert ethernet.parse(theirs) == (dst, src, ethertype)


@given(MAC, MAC, WORD, LONG, LONG)
@some
def test_arp(sha: bytes, tha: bytes, op: int, spa: int, tpa: int) -> None:
    names = (ethernet.mac_text(sha), ipv4.text(spa), ethernet.mac_text(tha), ipv4.text(tpa))
    theirs = bytes(ARP(op=op, hwsrc=names[0], psrc=names[1], hwdst=names[2], pdst=names[3]))
    assert arp.build(op, sha, spa, tha, tpa) == theirs
    packet = arp.parse(b"??" + theirs + b"padding", 2)
    assert (packet.op, packet.sha, packet.spa, packet.tha, packet.tpa) == (op, sha, spa, tha, tpa)


@given(LONG, LONG, OCTET, PAYLOAD, WORD, OCTET, OCTET, st.booleans())
@some
def test_ipv4(src: int, dst: int, proto: int, payload: bytes, ident: int, ttl: int, tos: int, df: bool) -> None:
    header = IP(src=ipv4.text(src), dst=ipv4.text(dst), proto=proto, id=ident, ttl=ttl, tos=tos, flags="DF" * df)
    theirs = bytes(header / payload)
    assert ipv4.build(src, dst, proto, payload, ident, ttl, tos, df) == theirs
    packet = ipv4.parse(theirs + b"padding", 0)
    assert (packet.src, packet.dst, packet.proto, packet.ident) == (src, dst, proto, ident)
    assert (packet.ttl, packet.tos, packet.df, packet.mf, packet.offset) == (ttl, tos, df, False, 0)
    assert theirs[packet.start : packet.end] == payload


@given(st.integers(0, 0x1FFF), st.booleans())
@some
def test_ipv4_fragments_and_options(offset: int, more: bool) -> None:
    options = [scapy_inet.IPOption(b"\x94\x04\x00\x00")]
    theirs = bytes(IP(src="1.2.3.4", dst="5.6.7.8", frag=offset, flags="MF" * more, options=options) / b"data")
    packet = ipv4.parse(theirs, 0)
    assert (packet.offset, packet.mf) == (8 * offset, more)
    assert theirs[packet.start : packet.end] == b"data"


@given(OCTET, WORD, WORD, PAYLOAD)
@some
def test_icmp_echo(code: int, ident: int, number: int, payload: bytes) -> None:
    for kind in (icmp.ECHO_REQUEST, icmp.ECHO_REPLY):
        theirs = bytes(ICMP(type=kind, code=code, id=ident, seq=number) / payload)
        assert icmp.build(kind, code, ident << 16 | number, payload) == theirs
        message = icmp.parse(theirs, 0, len(theirs))
        assert (message.type, message.code, message.rest) == (kind, code, ident << 16 | number)
        assert message.payload == payload


@pytest.mark.parametrize("code", range(16))
def test_icmp_unreachable(code: int) -> None:
    quoted = bytes(IP(src="10.77.0.1", dst="10.77.0.2") / TCP(sport=40001, dport=80))[:28]
    assert icmp.build(icmp.UNREACHABLE, code, 0, quoted) == bytes(ICMP(type=3, code=code) / quoted)


def theirs_of(src: int, dst: int, flags: int, fields: dict[str, object], payload: bytes) -> bytes:
    """scapy's segment with the checksum that goes with the addresses."""
    packet = bytes(IP(src=ipv4.text(src), dst=ipv4.text(dst), proto=6) / TCP(flags=flags, **fields) / payload)
    return packet[20:]


@given(LONG, LONG, WORD, WORD, LONG, LONG, st.integers(0, 0x1FF), WORD, WORD, PAYLOAD)
@some
def test_tcp(
    src: int, dst: int, sport: int, dport: int, seq: int, ack: int, flags: int, window: int, urgent: int, payload: bytes
) -> None:
    fields = {"sport": sport, "dport": dport, "seq": seq, "ack": ack, "window": window, "urgptr": urgent}
    theirs = theirs_of(src, dst, flags, fields, payload)
    assert tcp.build(src, dst, sport, dport, seq, ack, flags, window, b"", payload, urgent) == theirs
    seg = tcp.parse(b"head" + theirs + b"tail", 4, 4 + len(theirs), src, dst)
    assert (seg.sport, seg.dport, seg.seq, seg.ack) == (sport, dport, seq, ack)
    assert (seg.flags, seg.window, seg.urgent, seg.payload, seg.raw_options) == (flags, window, urgent, payload, b"")


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("payload", [b"", b"odd", b"even"])
def test_tcp_options(name: str, payload: bytes) -> None:
    encoded, words = OPTIONS[name]
    theirs = theirs_of(1, 2, 0x12, {"sport": 3, "dport": 4, "seq": 5, "ack": 6, "window": 7, "options": words}, payload)
    assert tcp.build(1, 2, 3, 4, 5, 6, tcp.SYN | tcp.ACK, 7, encoded, payload) == theirs
    read = dict(TCP(theirs).options)
    seg = tcp.parse(theirs, 0, len(theirs), 1, 2)
    assert seg.mss == read.get("MSS")
    assert seg.wscale == read.get("WScale")
    assert seg.sack_ok == ("SAckOK" in read)
    assert seg.ts == read.get("Timestamp")
    assert tuple(edge for block in seg.sack for edge in block) == read.get("SAck", ())
    assert (seg.fastopen is not None) == ("fast open" in name)


def test_whole_frames() -> None:
    macs = bytes(range(6)), bytes(range(6, 12))
    ether = Ether(src=ethernet.mac_text(macs[0]), dst=ethernet.mac_text(macs[1]))
    addresses = {"src": "10.77.0.1", "dst": "10.77.0.2", "flags": "DF", "id": 9}
    src, dst = ipv4.address("10.77.0.1"), ipv4.address("10.77.0.2")
    segment = tcp.build(src, dst, 1, 2, 3, 4, tcp.PSH | tcp.ACK, 5, b"", b"hello")
    theirs = ether / IP(**addresses) / TCP(sport=1, dport=2, seq=3, ack=4, flags="PA", window=5) / b"hello"
    assert frames.tcp_frame(*macs, src, dst, 9, segment) == bytes(theirs)
    ping = icmp.build(icmp.ECHO_REQUEST, 0, 0, b"ping")
    assert frames.ip_frame(*macs, src, dst, icmp.PROTO, ping, 9) == bytes(ether / IP(**addresses) / ICMP() / b"ping")
    question = ARP(hwsrc=ethernet.mac_text(macs[0]), psrc="10.77.0.1", hwdst="00:00:00:00:00:00", pdst="10.77.0.2")
    assert frames.arp_frame(*macs, 1, src, bytes(6), dst) == bytes(ether / question)


def test_a_wrong_checksum_can_be_said() -> None:
    segment = tcp.build(1, 2, 3, 4, 5, 6, tcp.ACK, 7, checksum=0xBEEF)
    assert TCP(segment).chksum == 0xBEEF
    with pytest.raises(ValueError, match="checksum") as caught:
        tcp.parse(segment, 0, len(segment), 1, 2)
    assert caught.value.counter == "TcpInCsumErrors"
    assert tcp.parse(segment, 0, len(segment), 1, 2, verify=False).window == 7
