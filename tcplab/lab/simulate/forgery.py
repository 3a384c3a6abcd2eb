"""What a third party forges: segments that look as if a peer of a connection had sent them (RFC 5961 section 1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from tcplab.host.machine import Machine
from tcplab.link.inject import FORGED_NET
from tcplab.rng import Stream
from tcplab.tcp.tcb import Tcb
from tcplab.units import Seq
from tcplab.wire import icmp, ipv4
from tcplab.wire import tcp as wire_tcp
from tcplab.wire import tcp_options as opt
from tcplab.wire.tcp import ACK, FIN, PSH, RST, SYN

_MASK: Final = 0xFFFFFFFF
_CODES: Final = (0, 1, 2, 3, 5, 13)
"""No network, host, protocol, port; the route failed; forbidden."""
Made: TypeAlias = tuple[Seq, Seq, int, int, bytes, bytes]
"""Sequence number, acknowledgement, flags, window, options, payload."""


def _stamps(tcb: Tcb) -> bytes:
    return opt.nop() * 2 + opt.timestamps(tcb.ts_recent, 1) if tcb.ts_ok else b""


def _window(tcb: Tcb) -> int:
    return tcb.snd_wnd >> tcb.snd_wscale


def _plain(tcb: Tcb, flags: int, seq: Seq, ack: Seq, payload: bytes = b"") -> Made:
    return seq & _MASK, ack & _MASK, flags, _window(tcb), _stamps(tcb), payload


def _sack(tcb: Tcb, n: int) -> Made:
    """Blocks of what is outstanding, or not: nothing may be believed that was not sent (tcp_is_sackblock_valid)."""
    left = tcb.snd_nxt + n % 5000 - 2500
    blocks = [(left & _MASK, (left + n % 3001) & _MASK)]
    options = _stamps(tcb) + opt.nop() * 2 + opt.sack(blocks)
    return tcb.rcv_nxt, tcb.snd_una, ACK, _window(tcb), options, b""


_HARMLESS: Final[dict[str, Callable[[Tcb, int], Made]]] = {
    "reset inexact": lambda tcb, n: _plain(tcb, RST, tcb.rcv_nxt + 1 + n % 2000, 0),
    "reset outside": lambda tcb, n: _plain(tcb, RST, tcb.rcv_nxt - 2 - n, 0),
    "SYN": lambda tcb, n: _plain(tcb, SYN, tcb.rcv_nxt + n % 3000, 0),
    "ACK of nothing": lambda tcb, n: _plain(tcb, ACK, tcb.rcv_nxt, tcb.snd_nxt + 1 + n),
    "old ACK": lambda tcb, n: _plain(tcb, ACK, tcb.rcv_nxt, tcb.snd_una - 1 - n),
    "old data": lambda tcb, n: _plain(tcb, ACK | PSH, tcb.rcv_nxt - 1000 - n, tcb.snd_una, b"z" * (n % 1000)),
    "no ACK": lambda tcb, n: _plain(tcb, PSH, tcb.rcv_nxt, 0, b"z" * (n % 1400)),
    "nothing": lambda tcb, n: _plain(tcb, 0, tcb.rcv_nxt, 0),
    "bare ACK": lambda tcb, n: _plain(tcb, ACK, tcb.rcv_nxt, tcb.snd_una),
    "broken options": lambda tcb, n: (
        tcb.rcv_nxt, tcb.snd_una, ACK, _window(tcb), bytes((n % 256, n >> 8 & 63, 3, 3, n & 31, 5, 9, 8)), b"",
    ),
    "SACK": _sack,
}  # fmt: skip
_SPITEFUL: Final[dict[str, Callable[[Tcb, int], Made]]] = {
    "reset exact": lambda tcb, n: _plain(tcb, RST, tcb.rcv_nxt, 0),
    "data": lambda tcb, n: _plain(tcb, ACK | PSH, tcb.rcv_nxt + n % 3 * (n % 2000), tcb.snd_una, b"z" * (n % 1400)),
    "FIN": lambda tcb, n: _plain(tcb, ACK | FIN, tcb.rcv_nxt + n % 2 * (n % 2000), tcb.snd_una),
    "ACK of all": lambda tcb, n: _plain(tcb, ACK, tcb.rcv_nxt, tcb.snd_nxt),
    "no window": lambda tcb, n: (tcb.rcv_nxt, tcb.snd_una, ACK, 0, _stamps(tcb), b""),
    "other time": lambda tcb, n: (
        tcb.rcv_nxt, tcb.snd_una, ACK, _window(tcb),
        opt.nop() * 2 + opt.timestamps((tcb.ts_recent + n) & _MASK, 0), b"",
    ),
    "anything": lambda tcb, n: (
        (tcb.rcv_nxt + n % 4096 - 64) & _MASK, (tcb.snd_nxt - n % 2048 + 16) & _MASK, n & 0x1FF, n >> 3 & 0xFFFF,
        _stamps(tcb) if n & 1 else b"", b"z" * (n % 700),
    ),
}  # fmt: skip
SPITEFUL: Final = tuple(_SPITEFUL)
FLOOD: Final = "flood"
"""SYNs from addresses that nobody has."""
UNREACHABLE: Final = "unreachable"
"""A router's ICMP error about the connection: for one that is open it is no more than a hint (RFC 5927)."""
HARMLESS: Final = (*_HARMLESS, UNREACHABLE)
"""What no connection may suffer from."""
KINDS: Final = (*HARMLESS, *SPITEFUL, FLOOD)


def segment(tcb: Tcb, kind: str, n: int) -> bytes:
    """A segment of this kind for the connection; `n` varies it."""
    made = (_HARMLESS.get(kind) or _SPITEFUL[kind])(tcb, n)
    first, ack, flags, window, options, payload = made
    return wire_tcp.build(
        tcb.raddr, tcb.laddr, tcb.rport, tcb.lport, first, ack if flags & ACK else 0, flags, min(window, 65_535),
        options, payload,
    )  # fmt: skip


def unreachable(tcb: Tcb, n: int) -> bytes:
    """An ICMP message that quotes a segment of the connection: of what is outstanding, or not."""
    number = (tcb.snd_una if n & 1 else tcb.snd_nxt + n) & _MASK
    start = tcb.lport.to_bytes(2, "big") + tcb.rport.to_bytes(2, "big") + number.to_bytes(4, "big")
    quoted = ipv4.build(tcb.laddr, tcb.raddr, ipv4.PROTO_TCP, start)
    return icmp.build(icmp.UNREACHABLE, _CODES[n % len(_CODES)], 0, quoted)


def flood(host: Machine, port: int, dice: Stream, count: int) -> list[tuple[int, bytes]]:
    """(source, segment) of so many SYNs."""
    made = []
    for _ in range(count):
        source = FORGED_NET + 1 + dice.below(254)
        sport = 1024 + dice.below(60_000)
        syn = wire_tcp.build(source, host.addr, sport, port, dice.bits(32), 0, SYN, 1024, opt.mss(1460))
        made.append((source, syn))
    return made
