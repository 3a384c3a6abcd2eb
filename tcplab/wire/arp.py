"""ARP for IPv4 over Ethernet (RFC 826)."""

from __future__ import annotations

from struct import Struct
from typing import Final

from tcplab.wire.errors import WireError

_PACKET: Final = Struct("!HHBBH6sI6sI")
_ETHERNET, _IPV4 = 1, 0x0800


class Arp:
    """A question (`op` 1) or an answer (2): sender and target, hardware and protocol address."""

    __slots__ = ("op", "sha", "spa", "tha", "tpa")

    def __init__(self, op: int, sha: bytes, spa: int, tha: bytes, tpa: int) -> None:
        self.op, self.sha, self.spa, self.tha, self.tpa = op, sha, spa, tha, tpa


def parse(buf: bytes, at: int) -> Arp:
    """Read the packet that begins at `at`."""
    if len(buf) - at < _PACKET.size:
        raise WireError("an ARP packet is cut off", "short ARP")
    hardware, protocol, hardware_size, protocol_size, op, sha, spa, tha, tpa = _PACKET.unpack_from(buf, at)
    if (hardware, protocol, hardware_size, protocol_size) != (_ETHERNET, _IPV4, 6, 4):
        raise WireError("ARP for something else than IPv4 over Ethernet", "strange ARP")
    return Arp(op, sha, spa, tha, tpa)


def build(op: int, sha: bytes, spa: int, tha: bytes, tpa: int) -> bytes:
    """The 28 octets of a packet."""
    return _PACKET.pack(_ETHERNET, _IPV4, 6, 4, op, sha, spa, tha, tpa)
