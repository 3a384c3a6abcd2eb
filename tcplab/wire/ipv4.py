"""IPv4 headers (RFC 791). Addresses are integers; text only at the edges."""

from __future__ import annotations

from struct import Struct
from typing import Final

import msgspec

from tcplab.wire.checksum import update
from tcplab.wire.errors import WireError

HEADER: Final = 20
PROTO_ICMP: Final = 1
PROTO_TCP: Final = 6
_HEADER: Final = Struct("!BBHHHBBHII")
_DF, _MF = 0x4000, 0x2000
_COUNTER: Final = "IpInHdrErrors"
_CE: Final = 3
"""Both bits of ECN: congestion experienced."""
FRAGMENTED: Final = 0x3FFF
"""Any of these bits of `Ipv4.fragment`: it is a part of a packet only."""


class Ipv4(msgspec.Struct, gc=False):
    """A header that was read. `start` and `end` bound the payload; `fragment` is the field with DF, MF and offset."""

    src: int
    dst: int
    proto: int
    ttl: int
    tos: int
    ident: int
    fragment: int
    start: int
    end: int

    @property
    def df(self) -> bool:
        """Don't fragment."""
        return self.fragment & _DF != 0

    @property
    def mf(self) -> bool:
        """More fragments follow."""
        return self.fragment & _MF != 0

    @property
    def offset(self) -> int:
        """Where a fragment begins, in octets."""
        return (self.fragment & 0x1FFF) << 3


def parse(buf: bytes, at: int, quoted: bool = False) -> Ipv4:
    """Read and verify the header at `at`; octets behind the total length are padding and not part of the payload.

    `quoted`: an ICMP error quotes it; what follows it may be cut off, and routers may have changed it.
    """
    room = len(buf) - at
    if room < HEADER:
        raise WireError("an IP header is cut off", "short IP", _COUNTER)
    version, tos, total, ident, fragment, ttl, proto, _, src, dst = _HEADER.unpack_from(buf, at)
    length = (version & 15) << 2
    if version >> 4 != 4 or length < HEADER or total < length or length > room:
        raise WireError("the IP header's version or lengths make no sense", "IP header", _COUNTER)
    if not quoted:
        if int.from_bytes(buf[at : at + length], "big") % 0xFFFF:
            raise WireError("the IP header's checksum is wrong", "IP checksum", _COUNTER)
        if total > room:
            raise WireError("the packet is shorter than its total length", "IP length", _COUNTER)
    return Ipv4(src, dst, proto, ttl, tos, ident, fragment, at + length, at + total)


def build(
    src: int, dst: int, proto: int, payload: bytes, ident: int = 0, ttl: int = 64, tos: int = 0, df: bool = True
) -> bytes:
    """A packet with a header of 20 octets and a right checksum."""
    length = HEADER + len(payload)
    fragment = _DF if df else 0
    total = (0x4500 | tos) + length + ident + fragment + (ttl << 8 | proto) + src + dst
    return _HEADER.pack(0x45, tos, length, ident, fragment, ttl, proto, -total % 0xFFFF, src, dst) + payload


def congested(packet: bytes) -> bytes:
    """`packet` as a router passes it on that is congested, marked CE; one that may not be marked stays as it is
    (RFC 3168 5). The checksum follows (RFC 1624).
    """
    old = packet[1]
    if not old & _CE or old & _CE == _CE:
        return packet
    checksum = update(int.from_bytes(packet[10:12], "big"), old, old | _CE)
    return packet[:1] + bytes([old | _CE]) + packet[2:10] + checksum.to_bytes(2, "big") + packet[12:]


def fragments(packet: bytes, mtu: int) -> list[bytes]:
    """The packets of at most `mtu` octets that carry the payload of a packet with a header of 20 (RFC 791 3.2)."""
    head = parse(packet, 0)
    step = (mtu - HEADER) & ~7
    found = []
    for at in range(0, len(packet) - HEADER, step):
        payload = packet[HEADER + at : HEADER + at + step]
        field = at >> 3 | (_MF if HEADER + at + step < len(packet) else 0)
        rest = (0x4500 | head.tos) + HEADER + len(payload) + head.ident + field + (head.ttl << 8 | head.proto)
        checksum = -(rest + head.src + head.dst) % 0xFFFF
        words = (head.ident, field, head.ttl, head.proto, checksum, head.src, head.dst)
        found.append(_HEADER.pack(0x45, head.tos, HEADER + len(payload), *words) + payload)
    return found


def text(addr: int) -> str:
    """`10.77.0.1`"""
    return f"{addr >> 24}.{addr >> 16 & 255}.{addr >> 8 & 255}.{addr & 255}"


def address(dotted: str) -> int:
    """The integer of `10.77.0.1`. ValueError: not four numbers of 0 .. 255."""
    parts = dotted.split(".")
    if len(parts) != 4 or not all(part.isascii() and part.isdigit() and int(part) <= 255 for part in parts):
        raise ValueError(f"{dotted!r} is not an IPv4 address")
    return int.from_bytes(bytes(map(int, parts)), "big")
