"""Which connection a packet of the script belongs to, as packetdrill decides it: the one at hand, mostly."""

from __future__ import annotations

import errno
from typing import Any

from tcplab.lab.drill import wire
from tcplab.lab.drill.script import Call, Event, Packet
from tcplab.lab.drill.stack import PORT, Outcome
from tcplab.wire.tcp import ACK, SYN, Segment

_FIRST_REMOTE_PORT = 40_001


class Flows:
    """The script's connections, the newest at hand unless ports say which."""

    def __init__(self, options: dict[str, str]) -> None:
        self.current: wire.Flow | None = None
        self.flows: list[wire.Flow] = []
        self.listening: dict[int, int] = {}
        """Port -> descriptor of the script."""
        self.listener = -1
        """The descriptor that listened last."""
        self.bound: dict[int, int] = {}
        self.connecting: list[tuple[int, int]] = []
        """(descriptor, the peer's port) of connect() calls whose SYN was not seen."""
        self.bind_port = int(options.get("bind_port") or PORT)
        self.connect_port = int(options.get("connect_port") or PORT)
        self._next_remote = _FIRST_REMOTE_PORT
        self._live: dict[int, int] = {}
        self._listens = False
        """The socket at hand is a listening one: the next SYN begins a connection."""

    def current_fd(self) -> int:
        """The script's descriptor of the connection at hand; -1: nobody has it yet."""
        return self.current.fd if self.current is not None else self.listener

    # --- packets --------------------------------------------------------------------------------------------

    def inbound(self, packet: Packet) -> wire.Flow | None:
        """The connection of a packet of the peer; a SYN for a listening port begins one."""
        if packet.ports is not None:
            found = self._by_ports(packet.ports[1], packet.ports[0])
            if found is None:
                found = self._new(packet.ports[1], packet.ports[0])
            self.current = found
            self._isn(found, packet)
            return found
        opens = "S" in packet.flags and "." not in packet.flags
        if opens and (self.current is None or self._listens):
            port = max(self.listening, default=self.bind_port)
            self.current = self._new(port, self._remote_port())
            self._listens = False
        elif self.current is None:
            self.current = self._new(max(self.listening, default=self.bind_port), self._remote_port())
        self._isn(self.current, packet)
        return self.current

    @staticmethod
    def _isn(flow: wire.Flow, packet: Packet) -> None:
        """The peer's first SYN says where its numbers begin; a later one may begin a connection anew."""
        if "S" not in packet.flags:
            return
        if flow.peer_isn is None:
            flow.peer_isn = packet.seq
        elif "." not in packet.flags:
            flow.candidate = packet.seq

    def _remote_port(self) -> int:
        self._next_remote += 1
        return self._next_remote - 1

    def _new(self, local: int, remote: int) -> wire.Flow:
        flow = wire.Flow(local, remote)
        self.flows.append(flow)
        return flow

    def _by_ports(self, local: int, remote: int) -> wire.Flow | None:
        return next((flow for flow in self.flows if (flow.local_port, flow.remote_port) == (local, remote)), None)

    def expects(self, packet: Packet | None, seen: wire.Seen) -> bool:
        """Whether `packet` of the script, or None for any, can mean this segment of the host."""
        segment = seen.segment
        if packet is not None and packet.ports is not None:
            return packet.ports == (segment.sport, segment.dport)
        flow = self.of(seen)
        opens = self._opens(segment, flow)
        if packet is None or self.current is None:
            return opens or flow is not None
        if self.connecting and "S" in packet.flags and "." not in packet.flags:
            return opens
        return flow is self.current

    def of(self, seen: wire.Seen) -> wire.Flow | None:
        """The connection of a segment of the host."""
        return self._by_ports(seen.segment.sport, seen.segment.dport)

    @staticmethod
    def same(first: wire.Seen, second: wire.Seen) -> bool:
        """Two segments of one connection."""
        one, other = first.segment, second.segment
        return (one.sport, one.dport) == (other.sport, other.dport)

    def outbound(self, packet: Packet, seen: wire.Seen) -> wire.Flow:
        """The connection of a segment of the host; its SYN says where its numbers begin."""
        segment = seen.segment
        flow = self.of(seen)
        if flow is None or self._opens(segment, flow):
            flow = flow or self._new(segment.sport, segment.dport)
            flow.fd = self._begun(segment.dport) or -1
            self.connecting = [entry for entry in self.connecting if entry[0] != flow.fd]
            flow.isn = None
            flow.ts.clear()
            flow.first_ts = None
            self.current = flow
        if segment.flags & SYN and (flow.isn is None or self._anew(flow, segment)):
            flow.isn = segment.seq
        return flow

    @staticmethod
    def _anew(flow: wire.Flow, segment: Segment) -> bool:
        """A SYN,ACK with another number answers the peer's later SYN: a new connection with the same ports."""
        if flow.candidate is None or segment.seq == flow.isn:
            return False
        flow.peer_isn, flow.candidate = flow.candidate, None
        flow.ts.clear()
        flow.first_ts = None
        return True

    def _opens(self, segment: Segment, flow: wire.Flow | None) -> bool:
        """Is it the SYN of a call that began, and not an older connection's once more?"""
        again = flow is not None and flow.isn == segment.seq
        return bool(segment.flags & SYN and not segment.flags & ACK and self._begun(segment.dport)) and not again

    def _begun(self, port: int) -> int:
        return next((fd for fd, peer in self.connecting if peer == port), 0)

    # --- calls ----------------------------------------------------------------------------------------------

    def before(self, name: str, args: dict[str, Any], fds: dict[int, int]) -> None:
        """Give the arguments that the script left out their values, and note what the call begins."""
        self._live = {live: script for script, live in fds.items()}
        fd = self._live.get(args.get("fd", -1), -1)
        if name == "bind":
            address = args["address"]
            args["address"] = address or ("", self.bind_port)
            self.bound[fd] = args["address"][1]
        elif name in ("connect", "sendto", "sendmsg"):
            args.setdefault("address", None)
            if args["address"] is None and (name == "connect" or args["flags"] & 0x20000000):
                args["address"] = ("", self.connect_port)
            fresh = args["address"] not in (None, ("unspec", 0))
            if fresh and not any(entry[0] == fd for entry in self.connecting):
                self.connecting.append((fd, args["address"][1]))
        elif name == "listen":
            self._listens = True
            self.listening[self.bound.get(fd, self.bind_port)] = fd
            self.listener = fd
            self.current = None  # the next SYN of the peer is for it

    def after(self, event: Event, args: dict[str, Any], outcome: Outcome) -> None:
        """A call has ended: who has which descriptor now."""
        call = event.action
        assert isinstance(call, Call)
        if call.name in ("accept", "accept4") and not outcome.errno and isinstance(call.result, int):
            port = outcome.out.get("port")
            flow = next((flow for flow in self.flows if flow.remote_port == port), self.current)
            if flow is not None:
                flow.fd = call.result
                self.current = flow
        elif call.args and isinstance(call.args[0], int):
            self._settled(call.name, call.args[0], outcome)

    def _settled(self, name: str, fd: int, outcome: Outcome) -> None:
        """After a call on a descriptor: what will not, or not any more, send a SYN."""
        theirs = [flow for flow in self.flows if flow.fd == fd]
        over = name == "close" and not outcome.errno
        if name == "connect":
            over = bool(theirs) and not outcome.errno
        if name in ("connect", "sendto", "sendmsg"):
            over = over or outcome.errno not in (0, errno.EINPROGRESS, errno.EALREADY)
        if over:
            self.connecting = [entry for entry in self.connecting if entry[0] != fd]
        if name == "close":
            self.listening = {port: owner for port, owner in self.listening.items() if owner != fd}
            for flow in theirs:
                flow.fd = -1
