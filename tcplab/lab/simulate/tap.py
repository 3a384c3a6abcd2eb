"""What is seen on the wire: each number of a connection stands for one octet, however often it is sent."""

from __future__ import annotations

from typing import Final

from tcplab.engines.addresses import ADDRESS
from tcplab.lab.simulate import streams
from tcplab.lab.simulate.plan import CALLED, CALLER
from tcplab.lab.simulate.stage import Stage
from tcplab.lab.simulate.streams import Side, Violation
from tcplab.wire import ethernet, ipv4
from tcplab.wire import tcp as wire_tcp
from tcplab.wire.tcp import ACK, SYN

_MASK: Final = 0xFFFFFFFF
_MOST_AHEAD: Final = 1 << 24
"""send() may have taken this much that its caller does not know of yet."""
_NAMES: Final = {number: name for name, number in ADDRESS.items()}


class Tap:
    """Compares each segment that a host sends with what its application said."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._first: dict[tuple[int, int, int, int], list[int]] = {}
        """Where each direction's data begins: a cookie, or a port used twice, gives it several beginnings."""
        self._speaks: dict[tuple[int, int, int, int], Side | None] = {}
        self.sent = {"a": 0, "b": 0}
        self.syn_acks = {"a": 0, "b": 0}
        """TCP segments that each host put on the wire, and those of them that were SYN,ACKs."""

    def seen(self, src: str, frame: bytes) -> None:
        """A frame of a host enters the wire."""
        if ethernet.parse(frame)[2] != ethernet.ETH_IP:
            return
        ip = ipv4.parse(frame, ethernet.HEADER)
        if ip.proto != ipv4.PROTO_TCP or ip.fragment & ipv4.FRAGMENTED:
            return
        seg = wire_tcp.parse(frame, ip.start, ip.end, ip.src, ip.dst)
        self.sent[src] += 1
        self.syn_acks[src] += seg.flags & (SYN | ACK) == SYN | ACK
        flow = (ip.src, seg.sport, ip.dst, seg.dport)
        if seg.flags & SYN:
            first = (seg.seq + 1) & _MASK
            beginnings = self._first.setdefault(flow, [])
            if first not in beginnings:
                beginnings.append(first)
            self._speaks[flow] = self._who(src, seg.sport, ip.dst, seg.dport)
        side = self._speaks.get(flow)
        if not seg.payload or side is None or side.tainted:
            return
        number = seg.seq + bool(seg.flags & SYN)
        at = min((number - first) & _MASK for first in self._first[flow])
        if at > side.said + _MOST_AHEAD:
            raise Violation("wrong number on the wire", f"{side.name} sent octet {at}")
        if seg.payload != streams.octets(side.call.id, side.side, at, len(seg.payload)):
            raise Violation("wrong octets on the wire", f"{side.name} sent others as {at}:{at + len(seg.payload)}")

    def _who(self, src: str, sport: int, dst: int, dport: int) -> Side | None:
        """Who speaks: it called from this port, or is called from that one."""
        side = self._stage.ports.get((src, sport))
        if side is not None and side.side in (CALLER, CALLED):
            return side
        caller = self._stage.ports.get((_NAMES.get(dst, ""), dport))
        return caller.peer if caller is not None else None
