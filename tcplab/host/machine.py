"""One host: a pure state machine that is told the time (the protocol is `tcplab.api.stack.Host`).

Frames come in at `on_frame`, socket calls at `call`, deadlines at `on_timer`; what is to be sent lies in `out`
afterwards. TCP sees the machine as its `tcplab.tcp.env.Env`.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from errno import EHOSTUNREACH
from heapq import heappop, heappush
from typing import Any, Final

from tcplab.api.events import AnyEvent, Dropped, Noted
from tcplab.api.stack import Emit, Outgoing
from tcplab.api.views import HostView
from tcplab.host import arp, icmp, sockets, tcp_info, view
from tcplab.host.epoll import Epoll
from tcplab.host.network import MARTIANS, on_link
from tcplab.host.sockets import Socket
from tcplab.rng import Rng
from tcplab.tcp import listen, pmtu, seq, user
from tcplab.tcp.env import Endpoint, Entry, FlowKey, Timed
from tcplab.tcp.fastopen import Memory
from tcplab.tcp.isn import IsnSource
from tcplab.tcp.listen import Listener
from tcplab.tcp.pmtu import Learned
from tcplab.tcp.sysctl import Sysctl
from tcplab.tcp.tcb import Tcb
from tcplab.units import NEVER, Nanos, Seq
from tcplab.wire import ethernet, ipv4
from tcplab.wire import tcp as wire_tcp
from tcplab.wire.errors import WireError
from tcplab.wire.ipv4 import text as ip_text
from tcplab.wire.tcp import ACK, FIN, RST, SYN, Segment, flag_names

MTU: Final = 1500
GATEWAY_MAC: Final = bytes.fromhex("02000a4d0009")
"""Whoever is not on the lab's network is behind the third party: answers to forged sources go there and get lost."""
_NO_FRAME: Final = 0
_ECN_COUNTERS: Final = ("IpExtInNoECTPkts", "IpExtInECT1Pkts", "IpExtInECT0Pkts", "IpExtInCEPkts")
_IP_TYPE: Final = ethernet.ETH_IP.to_bytes(2, "big")


class Machine:
    """A host with one address. `tracing` is on exactly when somebody takes its events."""

    def __init__(self, name: str, addr: int, mac: bytes, rng: Rng, emit: Emit | None = None) -> None:
        self.name = name
        self.addr = addr
        self.mac = mac
        self.mtu = MTU
        self.path_mtus: dict[int, Learned] = {}
        """What ICMP told of the paths to other hosts (`tcplab.tcp.pmtu`), and how often that changed."""
        self.routes = 0
        self.gso_size = 0
        """What receive offload joined: the peer's segments in one that is larger; 0: nothing was joined."""
        self.now: Nanos = 0
        self.frame = _NO_FRAME
        self.tracing = emit is not None
        self._emit = emit
        self.out: list[Outgoing] = []
        self.sysctl: Sysctl = Sysctl()
        self.isn = IsnSource(rng.stream(f"host-{name}/isn"))
        self.fastopen = Memory()
        self.chance = rng.stream(f"host-{name}/cc")
        """What a congestion control rolls its dice with."""
        self.port_stream = rng.stream(f"host-{name}/ports")
        self.counters: dict[str, int] = defaultdict(int)
        self.flows: dict[FlowKey, Endpoint] = {}
        self.listeners: dict[int, list[Listener]] = {}
        """By port; several share one with SO_REUSEPORT."""
        self.sockets: dict[int, Socket] = {}
        self.epolls: dict[int, Epoll] = {}
        self.bound: dict[int, int] = {}
        """How many sockets have a port by bind() or accept() (`tcplab.host.ports`)."""
        self.neighbours: dict[int, bytes] = {}
        self.resolving: dict[int, arp.Resolution] = {}
        self.woken: list[Callable[[], None]] = []
        self._to_itself: deque[tuple[bytes, str, str]] = deque()
        self._next_fd = 3
        self._timers: list[Entry] = []
        self._serial = 0

    # --- the driver's side (api.stack.Host) ---

    def on_frame(self, now: Nanos, frame: bytes) -> None:
        """A frame arrives. Whatever is wrong with it is counted and said; nothing is raised."""
        self.now = now
        try:
            if frame[:6] == self.mac and frame[12:14] == _IP_TYPE:
                self._ip(frame)
            else:
                self._other_frame(frame)
        except WireError as wrong:
            counter = wrong.counter
            if counter == "TcpInCsumErrors":
                self.counters["TcpInErrs"] += 1
            self.dropped("", wrong.reason, counter, str(wrong), "RFC 9293 3.1")
        if self.woken or self._to_itself:
            self._settle()
        self.frame = _NO_FRAME

    def on_timer(self, now: Nanos) -> None:
        """Run everything that is due."""
        self.now = now
        while self._due() <= now:
            item = heappop(self._timers)[2]
            item.entry = None
            item.on_timer()
            self.schedule(item)
        self._settle()

    def call(self, now: Nanos, op: str, *args: Any) -> Any:
        """One socket call (`tcplab.host.sockets`); OSError as Linux gives it."""
        self.now = now
        try:
            return sockets.call(self, op, args)
        finally:
            if self.woken or self._to_itself:
                self._settle()

    def wait(self, fd: int, writable: bool, wake: Callable[[], None]) -> None:
        """Call `wake` once when trying again on `fd` makes sense; in the next instant when it does already."""
        sock = self.sockets.get(fd)
        if sock is None or (writable and sock.outcome_known):
            self.woken.append(wake)
        else:
            (sock.writers if writable else sock.readers).append(wake)

    def view(self, now: Nanos) -> HostView:
        """A snapshot."""
        self.now = now
        return view.of(self)

    def infos(self) -> dict[str, dict[str, int]]:
        """TCP_INFO of all connections, by their names."""
        return tcp_info.of_all(self.flows.values())

    @property
    def deadline(self) -> Nanos:
        """When the next timer is due, or now if somebody is to be woken; NEVER when nothing is."""
        if self.woken:
            return self.now
        heap = self._timers
        if not heap:
            return NEVER
        when, _, item = heap[0]  # asked before each event: as a rule its first entry is right
        return when if item is not None and item.deadline == when else self._due()

    def _due(self) -> Nanos:
        """When the next timer is due. Entries that moved are put right on the way."""
        heap = self._timers
        while heap:
            when: Nanos
            item: Timed | None
            when, _, item = heap[0]
            if item is None:
                heappop(heap)
            elif item.deadline == when:
                return when
            else:
                heappop(heap)
                item.entry = None
                self.schedule(item)
        return NEVER

    def next_timer(self) -> str:
        """What the earliest deadline is: `RTO 10.77.0.1:40001>10.77.0.2:80`."""
        return view.timer_text(self._timers[0][2]) if self._due() != NEVER else ""

    def _settle(self) -> None:
        """TCP is done with the input: take what it sent to this host, then let whom it woke try again."""
        while self._to_itself or self.woken:
            if self._to_itself:
                self._loop_back(*self._to_itself.popleft())
                continue
            woken, self.woken = self.woken, []
            for wake in woken:
                wake()

    # --- input ---

    def _other_frame(self, frame: bytes) -> None:
        dst, _, ethertype = ethernet.parse(frame)
        if dst != self.mac and not dst[0] & 1:
            self.dropped("", "other host", "", "its destination MAC address is another one than this host's")
        elif ethertype == ethernet.ETH_IP:
            self._ip(frame)
        elif ethertype == ethernet.ETH_ARP:
            arp.arrives(self, frame)
        else:
            self.dropped("", "not IP", "", f"ethertype {ethertype:#06x} is not spoken here")

    def _ip(self, frame: bytes) -> None:
        ip = ipv4.parse(frame, ethernet.HEADER)
        self.counters[_ECN_COUNTERS[ip.tos & 3]] += 1
        if ip.dst != self.addr:
            self.dropped("", "not for us", "IpInAddrErrors", f"{ip_text(ip.dst)} is not our address")
        elif ip.src >> 24 in MARTIANS or ip.src == self.addr:
            why = f"{ip_text(ip.src)} cannot be the address of a sender"
            self.dropped("", "martian", "", why, "Linux fib_validate_source")
        elif ip.fragment & ipv4.FRAGMENTED:
            self.dropped("", "fragment", "IpReasmFails", "fragments are not put together here")
        elif ip.proto == ipv4.PROTO_TCP:
            seg = wire_tcp.parse(frame, ip.start, ip.end, ip.src, ip.dst)
            if ip.tos:
                seg.ecn, seg.tos = ip.tos & 3, ip.tos
            self._tcp(seg, ip.src)
        else:
            self._payload(frame, ip)

    def _payload(self, frame: bytes, ip: ipv4.Ipv4) -> None:
        if ip.proto == ipv4.PROTO_TCP:
            seg = wire_tcp.parse(frame, ip.start, ip.end, ip.src, ip.dst)
            seg.ecn, seg.tos = ip.tos & 3, ip.tos
            self._tcp(seg, ip.src)
        elif ip.proto == ipv4.PROTO_ICMP:
            icmp.arrives(self, frame, ip)
        else:
            self.dropped("", "protocol", "IpInUnknownProtos", f"IP protocol {ip.proto} is not spoken here")

    def _loop_back(self, packet: bytes, why: str, ref: str) -> None:
        """A packet to the host's own address: it arrives without having been on any wire."""
        ip = ipv4.parse(packet, 0)
        self.counters[_ECN_COUNTERS[ip.tos & 3]] += 1
        if self._emit is not None and ip.proto == ipv4.PROTO_TCP:
            seg = wire_tcp.parse(packet, ip.start, ip.end, ip.src, ip.dst)
            label = f"{ip_text(ip.src)}:{seg.sport}>{ip_text(ip.dst)}:{seg.dport}"
            size = f" {len(seg.payload)}" if seg.payload else ""
            self._emit(Noted(self.now, self.name, label, 0, f"loops {flag_names(seg.flags)}{size}", why, ref))
        self._payload(packet, ip)

    def _tcp(self, seg: Segment, src: int) -> None:
        self.counters["TcpInSegs"] += 1
        flow = self.flows.get((src, seg.sport, seg.dport))
        if flow is not None:
            flow.on_segment(seg)
            return
        listener = self._listener(seg, src)
        if listener is not None:
            listen.segment_arrives(listener, seg, src)
        elif seg.flags & RST:
            self.dropped(
                self._label(seg, src), "RST", "", "no connection: a RST is never answered", "RFC 9293 3.10.7.1"
            )
        else:
            self.reply_rst(seg, src, "no socket: nobody listens on this port", "RFC 9293 3.10.7.1")

    def _listener(self, seg: Segment, src: int) -> Listener | None:
        """Who listens; of several the four-tuple's hash names one (reuseport_select_sock)."""
        group = self.listeners.get(seg.dport)
        if group is None:
            return None
        if len(group) == 1:
            return group[0]
        return group[self.isn.ts_offset(self.addr, seg.dport, src, seg.sport) * len(group) >> 32]

    def _label(self, seg: Segment, src: int) -> str:
        return f"{ip_text(self.addr)}:{seg.dport}>{ip_text(src)}:{seg.sport}"

    # --- output ---

    def reply_rst(self, seg: Segment, src: int, why: str, ref: str = "") -> None:
        """RFC 9293 3.10.7.1: with ACK the RST takes its number from it, else it acknowledges all of the segment.

        It travels as the segment did: TOS is copied, but not ECN's bits of it (Linux tcp_v4_send_reset).
        """
        if seg.flags & RST:
            return
        self.counters["TcpOutRsts"] += 1
        if seg.flags & ACK:
            number, ack, flags = seg.ack, 0, RST
        else:
            length = len(seg.payload) + bool(seg.flags & SYN) + bool(seg.flags & FIN)
            number, ack, flags = 0, seq.add(seg.seq, length), RST | ACK
        segment = wire_tcp.build(self.addr, src, seg.dport, seg.sport, number, ack, flags, 0)
        self.send_tcp(src, segment, 0, f"RST: {why}", ref, tos=seg.tos & ~3)

    def send_tcp(
        self,
        dst: int,
        segment: bytes,
        ident: int,
        why: str,
        ref: str = "",
        rtx: bool = False,
        tos: int = 0,
        df: bool = True,
    ) -> None:
        """Send one TCP segment; what repeats its connection's own octets is not counted (__tcp_transmit_skb)."""
        if not rtx:
            self.counters["TcpOutSegs"] += 1
        packet = ipv4.build(self.addr, dst, ipv4.PROTO_TCP, segment, ident, self.sysctl.ip_default_ttl, tos, df)
        if self.path_mtus or len(packet) > self.mtu:
            mtu = pmtu.to(self, dst)
            if len(packet) > mtu:
                self._too_large(dst, packet, mtu, why, ref, rtx)
                return
        mac = self.neighbours.get(dst)
        if mac is None:  # itself, a stranger, or behind the gateway
            self._send(dst, packet, why, ref, rtx)
            return
        self.out.append(Outgoing(mac + self.mac + _IP_TYPE + packet, why, ref, rtx))

    def _too_large(self, dst: int, packet: bytes, mtu: int, why: str, ref: str, rtx: bool) -> None:
        """The path carries less (ip_fragment): in fragments, or not at all if the packet forbids that."""
        head = ipv4.parse(packet, 0)
        if head.df:
            self.dropped(
                "", "too large", "IpFragFails", f"DF, but the path carries packets of {mtu} octets", "RFC 1191"
            )
            return
        self.counters["IpFragOKs"] += 1
        parts = ipv4.fragments(packet, mtu)
        for number, part in enumerate(parts, 1):
            self.counters["IpFragCreates"] += 1
            self._send(dst, part, f"fragment {number} of {len(parts)}: {why}", ref, rtx)

    def send_ip(self, dst: int, proto: int, payload: bytes, why: str, ref: str) -> None:
        """Put `payload` into a packet for `dst`."""
        self._send(dst, ipv4.build(self.addr, dst, proto, payload, 0, self.sysctl.ip_default_ttl), why, ref)

    def _send(self, dst: int, packet: bytes, why: str, ref: str, rtx: bool = False) -> None:
        """To the wire; ask for the neighbour's MAC first when it is not known."""
        if dst == self.addr:
            self._to_itself.append((packet, why, ref))
            return
        mac = self.neighbours.get(dst)
        if mac is None:
            if on_link(dst, self.addr):
                self._resolve(dst, packet, why, ref, rtx)
                return
            mac = GATEWAY_MAC
        self.out.append(Outgoing(ethernet.header(mac, self.mac, ethernet.ETH_IP) + packet, why, ref, rtx))

    def put(self, frame: bytes, why: str, ref: str = "") -> None:
        """Send a whole frame."""
        self.out.append(Outgoing(frame, why, ref))

    # --- neighbours ---

    def learn(self, addr: int, mac: bytes) -> None:
        """`addr` has `mac`: what waited for it leaves now."""
        self.neighbours[addr] = mac
        resolution = self.resolving.pop(addr, None)
        if resolution is not None:
            resolution.deadline = NEVER
            for packet, why, ref, rtx in resolution.waiting:
                self.out.append(Outgoing(ethernet.header(mac, self.mac, ethernet.ETH_IP) + packet, why, ref, rtx))

    def _resolve(self, addr: int, packet: bytes, why: str, ref: str, rtx: bool) -> None:
        resolution = self.resolving.get(addr)
        if resolution is None:
            resolution = self.resolving[addr] = arp.Resolution(self, addr)
            resolution.hold(packet, why, ref, rtx)
            resolution.ask()
        else:
            resolution.hold(packet, why, ref, rtx)

    def neighbour_failed(self, addr: int) -> None:
        """Nobody answered: connections that are being opened to `addr` fail with EHOSTUNREACH (measured at 3 s)."""
        self.resolving.pop(addr, None)
        for flow in list(self.flows.values()):
            if isinstance(flow, Tcb) and flow.raddr == addr:
                user.unreachable(flow, EHOSTUNREACH, f"nobody answers for {ip_text(addr)}", "RFC 826")

    # --- what TCP asks of its machine (tcp.env.Env) ---

    def listens(self, port: int) -> bool:
        """Whether anybody listens there."""
        return port in self.listeners

    def reopen(self, seg: Segment, src: int, isn: Seq) -> None:
        """A newer SYN ended a TIME_WAIT: the listener takes it."""
        listener = self._listener(seg, src)
        assert listener is not None, "a bucket asks `listens` first"
        listen.syn_arrives(listener, seg, src, isn)

    def new_socket(self) -> Socket:
        """A new descriptor."""
        fd = self.new_descriptor()
        sock = self.sockets[fd] = Socket(self, fd)
        return sock

    def new_descriptor(self) -> int:
        """Its number."""
        self._next_fd += 1
        return self._next_fd - 1

    def emit(self, event: AnyEvent) -> None:
        """Tell of a decision; nobody listens while `tracing` is false."""
        if self._emit is not None:
            self._emit(event)

    def dropped(self, label: str, reason: str, counter: str = "", why: str = "", ref: str = "") -> None:
        """The frame at hand is ignored: count it, and say why."""
        if counter:
            self.counters[counter] += 1
        if self._emit is not None:
            self._emit(Dropped(self.now, self.name, label, self.frame, reason, counter, why or reason, ref))

    def schedule(self, item: Timed) -> None:
        """See that the heap knows `item` no later than its deadline."""
        when, entry = item.deadline, item.entry
        if when >= (NEVER if entry is None else entry[0]):
            return
        if entry is not None:
            entry[2] = None
        self._serial += 1
        item.entry = entry = [when, self._serial, item]
        heappush(self._timers, entry)

    def unschedule(self, item: Timed) -> None:
        """The heap lets go of `item`."""
        if item.entry is not None:
            item.entry[2] = None
            item.entry = None
