"""What is seen on the wire: each number of a connection stands for one octet, however often it is sent."""

from __future__ import annotations

from tcplab.engines.addresses import ADDRESS
from tcplab.lab.simulate import streams
from tcplab.lab.simulate.plan import CALLED, CALLER
from tcplab.lab.simulate.stage import Stage
from tcplab.lab.simulate.streams import Side, Violation
from tcplab.wire import ethernet, ipv4
from tcplab.wire import tcp as wire_tcp
from tcplab.wire.tcp import SYN

_MASK = 0xFFFFFFFF
_NAMES = {number: name for name, number in ADDRESS.items()}


class Tap:
    """Compares each segment that a host sends with what its application said."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._first: dict[tuple[int, int, int, int], tuple[int, Side | None]] = {}
        self.sent = {"a": 0, "b": 0}
        """TCP segments that each host put on the wire."""

    def seen(self, src: str, frame: bytes) -> None:
        """A frame of a host enters the wire."""
        if ethernet.parse(frame)[2] != ethernet.ETH_IP:
            return
        ip = ipv4.parse(frame, ethernet.HEADER)
        if ip.proto != ipv4.PROTO_TCP:
            return
        self.sent[src] += 1
        seg = wire_tcp.parse(frame, ip.start, ip.end, ip.src, ip.dst)
        flow = (ip.src, seg.sport, ip.dst, seg.dport)
        if seg.flags & SYN:
            self._first[flow] = ((seg.seq + 1) & _MASK, self._who(src, seg.sport, ip.dst, seg.dport))
        if not seg.payload or flow not in self._first:
            return
        first, side = self._first[flow]
        if side is None or side.tainted:
            return
        at = (seg.seq + bool(seg.flags & SYN) - first) & _MASK
        if at >> 31 or at + len(seg.payload) > side.said + 2000 + (1 << 24):
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
