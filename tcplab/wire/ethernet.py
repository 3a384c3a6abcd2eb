"""Ethernet II frames."""

from __future__ import annotations

from typing import Final

from tcplab.wire.errors import WireError

HEADER: Final = 14
ETH_IP: Final = 0x0800
ETH_ARP: Final = 0x0806
BROADCAST: Final = b"\xff" * 6


def header(dst: bytes, src: bytes, ethertype: int) -> bytes:
    """The 14 octets in front of a payload."""
    return dst + src + ethertype.to_bytes(2, "big")


def parse(frame: bytes) -> tuple[bytes, bytes, int]:
    """(destination, source, ethertype); the payload begins at HEADER."""
    if len(frame) < HEADER:
        raise WireError(f"a frame of {len(frame)} octets has no Ethernet header", "short frame")
    return frame[:6], frame[6:12], frame[12] << 8 | frame[13]


def mac_text(mac: bytes) -> str:
    """`02:00:0a:4d:00:01`"""
    return mac.hex(":")
