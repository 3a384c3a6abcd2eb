"""Frames of the third party `x`: SYNs with forged sources, and forged resets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tcplab.link.match import Flow
from tcplab.rng import Stream
from tcplab.wire import ipv4, tcp, tcp_options
from tcplab.wire.frames import tcp_frame

X_MAC: Final = bytes.fromhex("02000a4d0009")
FORGED_NET: Final = ipv4.address("203.0.113.0")
"""TEST-NET-3 (RFC 5737): addresses that nobody has."""
PLACES: Final = ("exact", "in-window", "outside")

_SYN_OPTIONS: Final = (
    tcp_options.mss(1460) + tcp_options.sack_permitted() + tcp_options.nop() * 3 + tcp_options.window_scale(7)
)


def syn_flood(dice: Stream, dst_ip: int, dst_port: int, dst_mac: bytes, count: int) -> Iterator[bytes]:
    """`count` frames, each a SYN to `dst_ip`:`dst_port` from a forged address in 203.0.113.0/24 and a random port.

    Sources and numbers come from `dice`, so that the same seed gives the same flood, and the next one is another.
    """
    for _ in range(count):
        source = FORGED_NET + 1 + dice.below(254)
        port = 1024 + dice.below(0x10000 - 1024)
        segment = tcp.build(source, dst_ip, port, dst_port, dice.bits(32), 0, tcp.SYN, 64240, options=_SYN_OPTIONS)
        yield tcp_frame(X_MAC, dst_mac, source, dst_ip, dice.bits(16), segment)


@dataclass(frozen=True, slots=True)
class Victim:
    """What a forger must know of the host that shall believe the reset: what it expects to receive next."""

    mac: bytes
    flow: Flow
    """From the forged sender to the victim."""
    rcv_nxt: int
    rcv_wnd: int
    """Octets, already scaled."""


def rst(victim: Victim, which: str | int = "exact") -> bytes:
    """A forged RST toward the victim, as a test of RFC 5961 section 3.2 (RFC 9293 section 3.10.7.4, first check).

    `exact`: the sequence number is RCV.NXT, so the connection is reset. `in-window`: it is right of it, in the
    middle of the window, so a challenge ACK is due. `outside`: just behind the window, so it is ignored.

    A number instead is an offset from RCV.NXT.
    """
    if isinstance(which, int):
        offset = which
    elif which in PLACES:
        offset = {"exact": 0, "in-window": max(1, victim.rcv_wnd // 2), "outside": victim.rcv_wnd + 1}[which]
    else:
        raise ValueError(f"{which!r} is not a place in the window; expected one of {', '.join(PLACES)}")
    seq = (victim.rcv_nxt + offset) & 0xFFFFFFFF
    saddr, sport, daddr, dport = victim.flow
    segment = tcp.build(saddr, daddr, sport, dport, seq, 0, tcp.RST, 0)
    return tcp_frame(X_MAC, victim.mac, saddr, daddr, 0, segment)
