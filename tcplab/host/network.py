"""The network that every host is on, and which addresses mean something there."""

from __future__ import annotations

from typing import Final

NETWORK_BITS: Final = 24
_HOST_BITS: Final = 32 - NETWORK_BITS


def on_link(addr: int, other: int) -> bool:
    """Two addresses of one network."""
    return addr >> _HOST_BITS == other >> _HOST_BITS


MARTIANS: Final = frozenset((0, 127, *range(224, 256)))
"""First octets of addresses that no packet may come from: this network, loopback, multicast and above (RFC 1122)."""


def unicast(own: int, addr: int) -> bool:
    """One machine's address: no multicast, not the broadcast address of the network of `own` (RFC 9293 MUST-46)."""
    broadcast = on_link(own, addr) and (addr + 1) & ((1 << _HOST_BITS) - 1) == 0
    return addr >> 24 < 224 and not broadcast
