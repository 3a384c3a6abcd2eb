"""A frame in words: one line in tcpdump's manner, or every header field. Any octets will do; nothing is raised."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from tcplab.wire import arp, ethernet, icmp, ipv4, tcp, tcp_options
from tcplab.wire.checksum import residue
from tcplab.wire.errors import WireError

MASK: Final = 0xFFFFFFFF
_DUMP_LETTERS: Final = ((tcp.FIN, "F"), (tcp.SYN, "S"), (tcp.RST, "R"), (tcp.PSH, "P"), (tcp.URG, "U"), (tcp.ECE, "E"),
                        (tcp.CWR, "W"), (tcp.ACK, "."))  # fmt: skip
_ICMP_NAMES: Final = {0: "echo reply", 3: "destination unreachable", 8: "echo request", 11: "time exceeded"}


class Described(NamedTuple):
    """What the headers of a frame say. `proto` is `tcp`, `icmp`, `arp` or `other`; numbers are raw."""

    proto: str
    text: str
    saddr: int = 0
    daddr: int = 0
    sport: int = 0
    dport: int = 0
    flags: str = ""
    seq: int = 0
    ack: int = 0
    win: int = 0
    len: int = 0
    opts: str = ""
    rseq: int = 0
    """Relative to the flow's ISNs; the raw numbers without `bases`."""
    rack: int = 0


Bases: TypeAlias = Callable[[int, int, int, int, str, int], tuple[int, int]]
"""Given source and destination (address, port each), flags and sequence number: the ISNs of this way and the other."""


def describe(frame: bytes, bases: Bases | None = None) -> Described:
    """Read a frame as far as it can be read; numbers in the text are relative to what `bases` says, or raw."""
    try:
        return _ethernet(frame, bases)
    except WireError as wrong:
        return Described("other", f"{wrong} ({len(frame)} octets)")


def _ethernet(frame: bytes, bases: Bases | None) -> Described:
    dst, src, ethertype = ethernet.parse(frame)
    if ethertype == ethernet.ETH_ARP:
        return _arp(arp.parse(frame, ethernet.HEADER))
    if ethertype != ethernet.ETH_IP:
        where = f"{ethernet.mac_text(src)} > {ethernet.mac_text(dst)}"
        return Described("other", f"{where}: ethertype {ethertype:#06x}, length {len(frame)}")
    packet = ipv4.parse(frame, ethernet.HEADER)
    if packet.proto == ipv4.PROTO_TCP and not packet.offset:
        return _tcp(frame, packet, bases)
    where = f"{ipv4.text(packet.src)} > {ipv4.text(packet.dst)}"
    if packet.proto == ipv4.PROTO_ICMP and not packet.offset:
        message = icmp.parse(frame, packet.start, packet.end)
        name = _ICMP_NAMES.get(message.type, f"type {message.type}")
        text = f"{where}: ICMP {name}, code {message.code}, length {packet.end - packet.start}"
        return Described("icmp", text, packet.src, packet.dst)
    text = f"{where}: IP protocol {packet.proto}, length {packet.end - packet.start}"
    return Described("other", text, packet.src, packet.dst)


def _arp(packet: arp.Arp) -> Described:
    if packet.op == 1:
        text = f"ARP, who has {ipv4.text(packet.tpa)}? Tell {ipv4.text(packet.spa)}"
    else:
        text = f"ARP, {ipv4.text(packet.spa)} is at {ethernet.mac_text(packet.sha)}"
    return Described("arp", text, packet.spa, packet.tpa)


def _tcp(frame: bytes, packet: ipv4.Ipv4, bases: Bases | None) -> Described:
    seg = tcp.parse(frame, packet.start, packet.end, packet.src, packet.dst, verify=False)
    flags = tcp.flag_names(seg.flags)
    seq_base, ack_base = 0, 0
    if bases is not None:
        seq_base, ack_base = bases(packet.src, seg.sport, packet.dst, seg.dport, flags, seg.seq)
    size = len(seg.payload)
    seq = (seg.seq - seq_base) & MASK
    parts = [f"Flags [{''.join(letter for bit, letter in _DUMP_LETTERS if seg.flags & bit) or 'none'}]"]
    if size or seg.flags & (tcp.SYN | tcp.FIN | tcp.RST):
        parts.append(f"seq {seq}:{(seq + size) & MASK}" if size else f"seq {seq}")
    if seg.flags & tcp.ACK:
        parts.append(f"ack {(seg.ack - ack_base) & MASK}")
    parts.append(f"win {seg.window}")
    opts = tcp_options.text(seg.raw_options, ack_base)
    if opts:
        parts.append(f"options [{opts}]")
    parts.append(f"length {size}")
    text = f"{ipv4.text(packet.src)}.{seg.sport} > {ipv4.text(packet.dst)}.{seg.dport}: {', '.join(parts)}"
    rack = (seg.ack - ack_base) & MASK if seg.flags & tcp.ACK else 0
    return Described(
        "tcp", text, packet.src, packet.dst, seg.sport, seg.dport, flags, seg.seq, seg.ack, seg.window, size, opts,
        seq, rack,
    )  # fmt: skip


class Field(NamedTuple):
    """One header field in words."""

    layer: str
    name: str
    value: str


def fields(frame: bytes) -> list[Field]:
    """Every header field in the order of its RFC, checksums judged; it ends where the frame cannot be read on."""
    found: list[Field] = []
    try:
        _ethernet_fields(frame, found)
    except WireError as wrong:
        found.append(Field("?", "unreadable", str(wrong)))
    return found


def _ethernet_fields(frame: bytes, found: list[Field]) -> None:
    dst, src, ethertype = ethernet.parse(frame)
    found += [
        Field("Ethernet", "destination", ethernet.mac_text(dst)),
        Field("Ethernet", "source", ethernet.mac_text(src)),
        Field("Ethernet", "type", f"{ethertype:#06x}"),
    ]
    if ethertype == ethernet.ETH_ARP:
        packet = arp.parse(frame, ethernet.HEADER)
        found += [
            Field("ARP", "operation", {1: "1 request", 2: "2 reply"}.get(packet.op, str(packet.op))),
            Field("ARP", "sender", f"{ethernet.mac_text(packet.sha)} {ipv4.text(packet.spa)}"),
            Field("ARP", "target", f"{ethernet.mac_text(packet.tha)} {ipv4.text(packet.tpa)}"),
        ]
    elif ethertype == ethernet.ETH_IP:
        _ip_fields(frame, found)


def _ip_fields(frame: bytes, found: list[Field]) -> None:
    packet = ipv4.parse(frame, ethernet.HEADER)
    fragment = "DF" if packet.df else f"MF {packet.offset}" if packet.mf else str(packet.offset)
    found += [
        Field("IPv4", "header length", f"{packet.start - ethernet.HEADER} octets"),
        Field("IPv4", "type of service", f"{packet.tos:#04x}"),
        Field("IPv4", "total length", f"{packet.end - ethernet.HEADER} octets"),
        Field("IPv4", "identification", str(packet.ident)),
        Field("IPv4", "fragment", fragment),
        Field("IPv4", "time to live", str(packet.ttl)),
        Field("IPv4", "protocol", str(packet.proto)),
        Field("IPv4", "header checksum", "right"),
        Field("IPv4", "source", ipv4.text(packet.src)),
        Field("IPv4", "destination", ipv4.text(packet.dst)),
    ]
    if packet.proto == ipv4.PROTO_TCP and not packet.offset:
        _tcp_fields(frame, packet, found)
    elif packet.proto == ipv4.PROTO_ICMP and not packet.offset:
        _icmp_fields(frame, packet, found)


def _icmp_fields(frame: bytes, packet: ipv4.Ipv4, found: list[Field]) -> None:
    message = icmp.parse(frame, packet.start, packet.end, verify=False)
    found += [
        Field("ICMP", "type", f"{message.type} {_ICMP_NAMES.get(message.type, '')}".rstrip()),
        Field("ICMP", "code", str(message.code)),
        Field("ICMP", "checksum", "WRONG" if residue(frame[packet.start : packet.end]) else "right"),
        Field("ICMP", "rest of the header", f"{message.rest:#010x}"),
        Field("ICMP", "payload", f"{len(message.payload)} octets"),
    ]


def _tcp_fields(frame: bytes, packet: ipv4.Ipv4, found: list[Field]) -> None:
    seg = tcp.parse(frame, packet.start, packet.end, packet.src, packet.dst, verify=False)
    try:
        tcp.parse(frame, packet.start, packet.end, packet.src, packet.dst)
        verdict = "right"
    except WireError:
        verdict = "WRONG"
    bits = " ".join(name for bit, name in _FLAG_NAMES if seg.flags & bit) or "none"
    found += [
        Field("TCP", "source port", str(seg.sport)),
        Field("TCP", "destination port", str(seg.dport)),
        Field("TCP", "sequence number", str(seg.seq)),
        Field("TCP", "acknowledgment number", str(seg.ack)),
        Field("TCP", "data offset", f"{tcp.HEADER + len(seg.raw_options)} octets"),
        Field("TCP", "flags", bits),
        Field("TCP", "window", f"{seg.window} (before scaling)"),
        Field("TCP", "checksum", verdict),
        Field("TCP", "urgent pointer", str(seg.urgent)),
    ]
    found += [Field("TCP", "option", tcp_options.text(raw)) for raw in _each_option(seg.raw_options)]
    found.append(Field("TCP", "payload", f"{len(seg.payload)} octets"))


_FLAG_NAMES: Final = ((tcp.CWR, "CWR"), (tcp.ECE, "ECE"), (tcp.URG, "URG"), (tcp.ACK, "ACK"), (tcp.PSH, "PSH"),
                      (tcp.RST, "RST"), (tcp.SYN, "SYN"), (tcp.FIN, "FIN"))  # fmt: skip


def _each_option(raw: bytes) -> list[bytes]:
    return [
        bytes((kind,)) if kind == tcp_options.NOP else bytes((kind, 2 + len(body))) + body
        for kind, body in tcp_options.walk(raw)
    ]


def hexdump(data: bytes) -> list[str]:
    """Lines of 16 octets: offset, hexadecimal, printable."""
    lines = []
    for at in range(0, len(data), 16):
        row = data[at : at + 16]
        printable = "".join(chr(octet) if 32 <= octet < 127 else "." for octet in row)
        lines.append(f"{at:04x}  {row[:8].hex(' '):<23}  {row[8:].hex(' '):<23}  {printable}")
    return lines
