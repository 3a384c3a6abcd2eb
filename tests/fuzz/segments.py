"""The segment path in every state: octets become an opening, and then segments, calls and time, one after the other.

After each of them the rules of a simulation must hold (`tcplab.lab.simulate.rules`), and at the end nothing may be
left. The octets choose numbers near those that matter: RCV.NXT, the window's edge, SND.UNA, SND.NXT.
"""

from __future__ import annotations

from collections.abc import Callable

from tcplab.host.machine import Machine
from tcplab.host.options import OPTIONS
from tcplab.host.sockets import Socket
from tcplab.lab.simulate.rules import Keeper, nothing_left
from tcplab.rng import Rng
from tcplab.tcp import seq, window
from tcplab.tcp.fastopen import MSG_FASTOPEN
from tcplab.tcp.sysctl import KNOBS
from tcplab.tcp.tcb import Tcb
from tcplab.units import MS, NEVER, SEC
from tcplab.wire import ethernet, frames, icmp, ipv4
from tcplab.wire import tcp as wire_tcp
from tcplab.wire import tcp_options as opt
from tcplab.wire.tcp import ACK, FIN, PSH, RST, SYN

HERE, THERE = ipv4.address("10.77.0.1"), ipv4.address("10.77.0.2")
MAC, PEER_MAC = bytes.fromhex("02000a4d0001"), bytes.fromhex("02000a4d0002")
PORT, PEER_PORT = 80, 4000
MASK = 0xFFFFFFFF
LONGEST_WAIT = (1 << 26) - 1
"""Milliseconds: 18 hours."""
MOST = 200
"""Steps of one input."""
FRAMES = 5_000
"""Frames that one step may make the host send."""


class Octets:
    """An input, read piece by piece; when it is used up it gives zeros."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def over(self) -> bool:
        return self._at >= len(self._data)

    def number(self, size: int = 1) -> int:
        return int.from_bytes(self.take(size).ljust(size, b"\0"), "big")

    def take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        self._at += size
        return taken


class Bench:
    """One host, and a peer of whom everything can be believed."""

    def __init__(self, data: bytes) -> None:
        self.octets = Octets(data)
        self.now = 0
        self.host = Machine("a", HERE, MAC, Rng(1))
        self.host.learn(THERE, PEER_MAC)
        self.keeper = Keeper(self.host)
        self.fds: list[int] = []
        self.last: wire_tcp.Segment | None = None
        self.iss = 0xFFFF_FF00  # soon wraps
        self.ts = MASK - 50

    # --- what happens to the host ---

    def frame(self, frame: bytes) -> None:
        self.host.on_frame(self.now, frame)
        self._sent()

    def segment(
        self, flags: int, number: int, ack: int, size: int = 0, field: int = 65_535, options: bytes = b""
    ) -> None:
        segment = wire_tcp.build(
            THERE, HERE, PEER_PORT, PORT, number & MASK, ack & MASK, flags, field, options[:40], b"z" * size
        )  # fmt: skip
        self.frame(frames.tcp_frame(PEER_MAC, MAC, THERE, HERE, 0, segment))

    def call(self, op: str, *args: object) -> object:
        try:
            result: object = self.host.call(self.now, op, *args)
        except OSError as error:
            result = error
        self._sent()
        return result

    def run(self, span: int) -> None:
        until = self.now + span
        for _ in range(20_000):
            due = self.host.deadline
            if due > until:
                break
            self.now = max(self.now, due)
            self.host.on_timer(self.now)
            self._sent()
        else:
            raise AssertionError(f"it does not come to rest: {self.host.next_timer()}")
        self.now = until

    def _sent(self) -> None:
        out, self.host.out = self.host.out, []
        assert len(out) < FRAMES, "one step made it send too much"
        for outgoing in out:
            assert outgoing.why
            if ethernet.parse(outgoing.frame)[2] == ethernet.ETH_IP:
                ip = ipv4.parse(outgoing.frame, ethernet.HEADER)
                if ip.proto == ipv4.PROTO_TCP:
                    self.last = wire_tcp.parse(outgoing.frame, ip.start, ip.end, ip.src, ip.dst)
        self.keeper.look()

    # --- states ---

    def socket(self) -> int:
        fd = self.call("socket")
        assert isinstance(fd, int)
        self.fds.append(fd)
        return fd

    def listen(self, *options: tuple[str, int]) -> int:
        fd = self.socket()
        self.call("setsockopt", fd, "SO_REUSEADDR", 1)
        for name, value in options:
            self.call("setsockopt", fd, name, value)
        self.call("bind", fd, 0, PORT)
        self.call("listen", fd, 2)
        return fd

    def stamps(self) -> bytes:
        return opt.nop() * 2 + opt.timestamps(self.ts & MASK, 0)

    def syn(self, options: bytes | None = None, size: int = 0) -> None:
        plain = opt.of_syn(1000, self.ts, 0, 3)
        self.segment(SYN, self.iss, 0, size, options=plain if options is None else options)

    def handshake(self) -> None:
        assert self.last is not None
        echo = opt.nop() * 2 + opt.timestamps(self.ts & MASK, self.last.ts[0] if self.last.ts else 0)
        self.segment(ACK, self.iss + 1, self.last.seq + 1, options=echo if self.last.ts else b"")

    def passive(self, *options: tuple[str, int]) -> int:
        listener = self.listen(*options)
        self.syn()
        self.handshake()
        accepted = self.call("accept", listener)
        if not isinstance(accepted, tuple):
            return listener
        self.fds.append(accepted[0])
        return int(accepted[0])

    def active(self) -> int:
        fd = self.socket()
        self.call("bind", fd, 0, PORT)
        self.call("connect", fd, THERE, PEER_PORT)
        return fd

    def tcb(self) -> Tcb | None:
        found = [flow for flow in self.host.flows.values() if isinstance(flow, Tcb)]
        return found[0] if found else None


def _finished(bench: Bench, *flags: int) -> None:
    """Our FIN, and then segments of the peer: `FIN` is its FIN, `ACK` the ACK of ours."""
    bench.call("shutdown", bench.passive(), "wr")
    number = bench.iss + 1
    for flag in flags:
        assert bench.last is not None
        ack = bench.last.seq + bool(flag & ACK and bench.last.flags & FIN)
        bench.segment(flag | ACK, number, ack, options=bench.stamps())
        number += bool(flag & FIN)


def _peer_closed(bench: Bench) -> int:
    fd = bench.passive()
    bench.segment(FIN | ACK, bench.iss + 1, bench.last.seq + 1 if bench.last else 0, options=bench.stamps())
    return fd


def _full(bench: Bench) -> None:
    """Nobody reads: the buffer is small and full."""
    bench.passive(("SO_RCVBUF", 2304))
    tcb = bench.tcb()
    for _ in range(8):
        if tcb is not None:
            bench.segment(ACK | PSH, tcb.rcv_nxt, tcb.snd_nxt, 700, options=bench.stamps())


def _sending(bench: Bench) -> None:
    bench.call("send", bench.passive(), b"x" * 30_000)


def _early(bench: Bench) -> None:
    bench.call("sysctl", "tcp_fastopen", 0x603)
    bench.listen(("TCP_FASTOPEN", 2))
    bench.syn(opt.mss(1000) + opt.sack_permitted(), 100)


def _early_client(bench: Bench) -> None:
    bench.call("sysctl", "tcp_fastopen", 5)
    fd = bench.socket()
    bench.call("bind", fd, 0, PORT)
    bench.call("sendto", fd, b"x" * 3000, MSG_FASTOPEN, THERE, PEER_PORT)


def _cookie(bench: Bench) -> None:
    bench.call("sysctl", "tcp_syncookies", 2)
    bench.listen()
    bench.syn()


def _half_open(bench: Bench) -> None:
    bench.listen()
    bench.syn()


def _simultaneous(bench: Bench) -> None:
    bench.active()
    bench.syn()


def _lingering(bench: Bench) -> None:
    fd = bench.passive()
    bench.call("setsockopt", fd, "SO_LINGER", (1, 3))
    bench.call("close", fd)


STATES: dict[str, Callable[[Bench], object]] = {
    "CLOSED": lambda bench: None,
    "LISTEN": Bench.listen,
    "SYN_SENT": Bench.active,
    "SYN_RECV": _half_open,
    "SYN_RECV both": _simultaneous,
    "SYN_RECV early": _early,
    "SYN_SENT early": _early_client,
    "cookie": _cookie,
    "ESTABLISHED": Bench.passive,
    "ESTABLISHED sending": _sending,
    "ESTABLISHED full": _full,
    "CLOSE_WAIT": _peer_closed,
    "LAST_ACK": lambda bench: bench.call("close", _peer_closed(bench)),
    "FIN_WAIT_1": _finished,
    "FIN_WAIT_2": lambda bench: _finished(bench, ACK),
    "FIN_WAIT_2 orphan": lambda bench: (_finished(bench, ACK), bench.call("close", bench.fds[-1])),
    "CLOSING": lambda bench: _finished(bench, FIN),
    "TIME_WAIT": lambda bench: _finished(bench, ACK, FIN),
    "lingering": _lingering,
    "defer": lambda bench: bench.passive(("TCP_DEFER_ACCEPT", 5)),
}

_FAR = (10, 100, 1000, 1448, 2896, 5000, 65_535, 1 << 20, 1 << 30, 1 << 31)
_SPANS = (0, MS, 40 * MS, 200 * MS, SEC, 3 * SEC, 60 * SEC, 7200 * SEC)
_FLAGS = (ACK, ACK | PSH, ACK | FIN, RST, RST | ACK, SYN, SYN | ACK, ACK | PSH | FIN)
_OPTIONS = tuple(option for option in OPTIONS.values() if not option.read_only)
_KNOBS = tuple(name for name, knob in KNOBS.items() if isinstance(knob.default, int))
_CALLS = ("send", "recv", "shutdown", "close", "accept", "connect", "abort", "disconnect", "listen", "getsockopt")


def _number(bench: Bench, base: int) -> int:
    """Half are `base` itself, a quarter lie within eight of it: an edge is met by several such numbers at once."""
    kind = bench.octets.number()
    if kind < 0x80:
        return base
    if kind < 0xC0:
        return base + (kind & 15) - 8
    if kind < 0xE0:
        return base + _FAR[kind % len(_FAR)] * (-1 if kind & 0x10 else 1)
    return base + bench.octets.number(2) - 0x4000


def _size(bench: Bench) -> int:
    """Half of all have eight octets at most: edges meet sooner."""
    kind = bench.octets.number()
    return 1 + (kind & 7) if kind < 0x80 else 1448 if kind < 0xA0 else bench.octets.number(2) % 1461


def _a_segment(bench: Bench) -> None:
    octets, tcb = bench.octets, bench.tcb()
    shape = octets.number()
    flags = _FLAGS[shape & 7] if shape & 0x60 else octets.number(2) & 0x1FF
    last = bench.last
    left = tcb.rcv_nxt if tcb is not None else (last.ack if last is not None else bench.iss + 1)
    right = seq.add(left, window.offered(tcb)) if tcb is not None else left
    number = _number(bench, right if shape & 8 else left)
    theirs = tcb.snd_una if tcb is not None and shape & 16 else tcb.snd_nxt if tcb is not None else 0
    ack = _number(bench, theirs if tcb is not None or last is None else last.seq + 1)
    size = _size(bench) if shape & 0x80 else 0
    field = octets.number(2) if shape & 0x60 == 0x20 else 65_535
    bench.segment(flags, number, ack, size, field, _some_options(bench, tcb))


def _some_options(bench: Bench, tcb: Tcb | None) -> bytes:
    octets = bench.octets
    kind = octets.number()
    if kind < 144:
        bench.ts += kind & 3
        return bench.stamps() if tcb is None or tcb.ts_ok else b""
    if kind < 192:
        base = tcb.snd_una if tcb is not None else 0
        blocks = [(_number(bench, base) & MASK, _number(bench, base) & MASK) for _ in range(1 + kind % 3)]
        return opt.nop() * 2 + opt.sack(blocks)
    if kind < 208:
        return opt.nop() * 2 + opt.timestamps(_number(bench, bench.ts) & MASK, octets.number(4))
    if kind < 224:
        return opt.mss(octets.number(2)) + opt.window_scale(octets.number()) + opt.sack_permitted()
    return octets.take(kind & 31)


def _a_call(bench: Bench) -> None:
    octets = bench.octets
    op = _CALLS[octets.number() % len(_CALLS)]
    fd = bench.fds[octets.number() % len(bench.fds)] if bench.fds else 3
    size = octets.number(2)
    arguments: dict[str, tuple[object, ...]] = {
        "send": (b"x" * size, (0, 0x80, 0x8000, 0x4000000)[size & 3]),
        "recv": (size, (0, 0, 2, 0x20)[size & 3]),
        "shutdown": (("rd", "wr", "rdwr")[size % 3],),
        "connect": (THERE, PEER_PORT),
        "listen": (size & 7,),
        "getsockopt": (("TCP_INFO", "SO_ERROR", "SO_MEMINFO")[size % 3],),
    }
    result = bench.call(op, fd, *arguments.get(op, ()))
    if op == "accept" and isinstance(result, tuple):
        bench.fds.append(result[0])


def _an_option(bench: Bench) -> None:
    octets = bench.octets
    option = _OPTIONS[octets.number() % len(_OPTIONS)]
    value = octets.number(4) - (1 << 31) if octets.number() & 1 else octets.number()
    fd = bench.fds[octets.number() % len(bench.fds)] if bench.fds else 3
    if option.name == "TCP_USER_TIMEOUT":
        value &= LONGEST_WAIT  # for 24 days an orphan goes on: so it shall, but not here
    pair = option.name == "SO_LINGER"
    bench.call("setsockopt", fd, option.name, (value & 1, value & 7) if pair else value)


def _a_knob(bench: Bench) -> None:
    octets = bench.octets
    bench.call("sysctl", _KNOBS[octets.number() % len(_KNOBS)], octets.number(octets.number() & 3))


def _some_time(bench: Bench) -> None:
    bench.run(_SPANS[bench.octets.number() % len(_SPANS)])


def _any_frame(bench: Bench) -> None:
    """Anything at all, behind an Ethernet header or without one."""
    octets = bench.octets
    head = ethernet.header(MAC, PEER_MAC, (ethernet.ETH_IP, ethernet.ETH_ARP)[octets.number() & 1])
    bench.frame((head if octets.number() & 3 else b"") + octets.take(octets.number() & 127))


def _an_icmp(bench: Bench) -> None:
    octets, tcb = bench.octets, bench.tcb()
    kind, code = octets.number() % 13, octets.number() % 16
    number = _number(bench, tcb.snd_una if tcb is not None else 0) & MASK
    quoted = ipv4.build(
        HERE, THERE, ipv4.PROTO_TCP, PORT.to_bytes(2, "big") + PEER_PORT.to_bytes(2, "big") + number.to_bytes(4, "big")
    )
    message = icmp.build(kind, code, octets.number(4), quoted[: 28 - (octets.number() & 7)])
    bench.frame(frames.ip_frame(PEER_MAC, MAC, THERE, HERE, icmp.PROTO, message))


_STEPS = (_a_segment,) * 9 + (_a_call,) * 3 + (_some_time, _an_option, _a_knob, _any_frame, _an_icmp)
NAMES = tuple(STATES)


def target(data: bytes) -> None:
    """Nothing raises, all rules hold, nothing is left."""
    bench = Bench(data)
    STATES[NAMES[bench.octets.number() % len(NAMES)]](bench)
    for _ in range(MOST):
        if bench.octets.over:
            break
        _STEPS[bench.octets.number() % len(_STEPS)](bench)
        bench.host.view(bench.now)
    _end(bench)


def _end(bench: Bench) -> None:
    host = bench.host
    bench.keeper.counters()
    for fd in list(host.sockets):
        bench.call("abort", fd)
    for _ in range(300):
        if host.deadline >= NEVER:
            break
        bench.run(3600 * SEC)
    for sock in list(host.sockets.values()):
        _close(bench, sock)
    nothing_left(host)


def _close(bench: Bench, sock: Socket) -> None:
    """Of a close() that waited only the descriptor is left."""
    bench.call("close", sock.fd)
