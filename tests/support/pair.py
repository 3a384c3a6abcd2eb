"""Two hosts and a wire in virtual time: the smallest lab in which an exchange can be driven and read.

A test drives (`call`, `run`, `segment`) and compares `lines`, one per frame, each `HOST FLAGS rseq:rack len`.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator

from tcplab.api.events import AnyEvent, Dropped, Noted, StateChanged
from tcplab.api.views import ConnView, ListenerView
from tcplab.host.machine import Machine
from tcplab.rng import Rng
from tcplab.units import MS, NEVER, Nanos
from tcplab.wire import ethernet, ipv4
from tcplab.wire import tcp as wire_tcp

A, B, X = (ipv4.address(f"10.77.0.{last}") for last in (1, 2, 9))
MAC_A, MAC_B, MAC_X = (bytes.fromhex(f"02000a4d000{last}") for last in (1, 2, 9))


class Sent:
    """A segment that a host put on the wire: `t` in seconds, numbers relative to the ISNs where known."""

    def __init__(self, t: Nanos, host: str, seg: wire_tcp.Segment, why: str, ref: str, rtx: bool) -> None:
        self.t = t / 1e9
        self.host = host
        self.seg = seg
        self.flags = wire_tcp.flag_names(seg.flags)
        self.why = why
        self.ref = ref
        self.rtx = rtx
        self.size = len(seg.payload)

    def __repr__(self) -> str:
        size = f" len {self.size}" if self.size else ""
        return f"{self.t:.3f} {self.host} {self.flags}{size}: {self.why}"


class Pair:
    """Hosts a and b. `lose` is asked for each frame of a host: (host, segment) -> bool."""

    def __init__(
        self,
        delay: Nanos = 5 * MS,
        seed: int = 1,
        lose: Callable[[str, wire_tcp.Segment], bool] | None = None,
        acquainted: bool = True,
    ) -> None:
        self.events: list[AnyEvent] = []
        rng = Rng(seed)
        self.a = Machine("a", A, MAC_A, rng, self.events.append)
        self.b = Machine("b", B, MAC_B, rng, self.events.append)
        if acquainted:
            self.a.learn(B, MAC_B)
            self.b.learn(A, MAC_A)
        self.lose = lose
        self.delay = delay
        self.now: Nanos = 0
        self.sent: list[Sent] = []
        self.frames: list[tuple[str, bytes, str]] = []
        self._wire: list[tuple[Nanos, int, str, bytes]] = []
        self._serial = 0

    def host(self, name: str) -> Machine:
        return self.a if name == "a" else self.b

    # --- driving ---

    def call(self, host: str, op: str, *args: object) -> object:
        """A socket call; an OSError comes back as the result, so that a test can compare it."""
        try:
            result: object = self.host(host).call(self.now, op, *args)
        except OSError as error:
            result = error
        self._collect()
        return result

    def errno(self, host: str, op: str, *args: object) -> int:
        """The errno of a call that must fail."""
        result = self.call(host, op, *args)
        assert isinstance(result, OSError), f"{op} gave {result!r}"
        assert result.errno is not None
        return result.errno

    def run(self, span: Nanos) -> None:
        """Let `span` pass."""
        until = self.now + span
        while True:
            due = min(self._wire[0][0] if self._wire else NEVER, self.a.deadline, self.b.deadline)
            if due > until:
                break
            assert due >= self.now, "a deadline lies in the past"
            self.now = due
            if self._wire and self._wire[0][0] == due:
                _, _, dst, frame = heapq.heappop(self._wire)
                self.host(dst).on_frame(due, frame)
            else:
                (self.a if self.a.deadline == due else self.b).on_timer(due)
            self._collect()
        self.now = until

    def inject(self, to: str, segment: bytes, src: int) -> None:
        """The third party puts a segment on the wire, which arrives at once."""
        host = self.host(to)
        packet = ipv4.build(src, host.addr, ipv4.PROTO_TCP, segment)
        host.on_frame(self.now, ethernet.header(host.mac, MAC_X, ethernet.ETH_IP) + packet)
        self._collect()

    def _collect(self) -> None:
        for host, peer in ((self.a, "b"), (self.b, "a")):
            out, host.out = host.out, []
            for outgoing in out:
                assert outgoing.why, "a frame left without a reason"
                self.frames.append((host.name, outgoing.frame, outgoing.why))
                lost = False
                if ethernet.parse(outgoing.frame)[2] == ethernet.ETH_IP:
                    ip = ipv4.parse(outgoing.frame, ethernet.HEADER)
                    if ip.proto == ipv4.PROTO_TCP:
                        seg = wire_tcp.parse(outgoing.frame, ip.start, ip.end, ip.src, ip.dst)
                        sent = Sent(self.now, host.name, seg, outgoing.why, outgoing.ref, outgoing.rtx)
                        self.sent.append(sent)
                        lost = self.lose is not None and self.lose(host.name, seg)
                if not lost:
                    self._serial += 1
                    heapq.heappush(self._wire, (self.now + self.delay, self._serial, peer, outgoing.frame))

    # --- usual openings ---

    def listen(self, host: str = "b", port: int = 80, backlog: int = 5) -> int:
        fd = self.call(host, "socket")
        assert isinstance(fd, int)
        self.call(host, "setsockopt", fd, "SO_REUSEADDR", 1)
        self.call(host, "bind", fd, 0, port)
        self.call(host, "listen", fd, backlog)
        return fd

    def connect(self, host: str = "a", port: int = 80, local: int = 0) -> int:
        fd = self.call(host, "socket")
        assert isinstance(fd, int)
        if local:
            self.call(host, "setsockopt", fd, "SO_REUSEADDR", 1)
            self.call(host, "bind", fd, 0, local)
        self.call(host, "connect", fd, B if host == "a" else A, port)
        return fd

    def open(self, port: int = 80) -> tuple[int, int]:
        """A connection from a to b: both descriptors."""
        listener = self.listen(port=port)
        client = self.connect(port=port)
        self.run(4 * self.delay + MS)
        accepted = self.call("b", "accept", listener)
        assert isinstance(accepted, tuple), accepted
        return client, accepted[0]

    # --- reading ---

    def flow(self) -> list[str]:
        """`HOST FLAGS[ length]` of every segment so far."""
        return [f"{s.host} {s.flags}{f' {s.size}' if s.size else ''}" for s in self.sent]

    def times(self, host: str, flags: str) -> list[float]:
        """When `host` sent segments with exactly these flags, in seconds."""
        return [round(s.t, 6) for s in self.sent if s.host == host and s.flags == flags]

    def states(self, host: str) -> list[str]:
        """The states that the connections of `host` entered, in order."""
        return [event.new for event in self.events if isinstance(event, StateChanged) and event.host == host]

    def drops(self, host: str) -> list[str]:
        """Reasons for which `host` ignored segments."""
        return [event.reason for event in self.events if isinstance(event, Dropped) and event.host == host]

    def notes(self, host: str) -> list[str]:
        """What `host` noticed."""
        return [event.note for event in self.events if isinstance(event, Noted) and event.host == host]

    def conn(self, host: str) -> ConnView:
        """The only connection of `host`."""
        (view,) = self.host(host).view(self.now).conns
        return view

    def conns(self, host: str) -> list[str]:
        return [view.state for view in self.host(host).view(self.now).conns]

    def listener(self, host: str = "b") -> ListenerView:
        return self.host(host).view(self.now).listeners[0]

    def counter(self, host: str, name: str) -> int:
        return self.host(host).counters.get(name, 0)

    def set(self, host: str, **sysctls: int | str) -> None:
        for name, value in sysctls.items():
            self.host(host).sysctl.set(name, value)


def gaps(times: list[float]) -> Iterator[float]:
    """The times between neighbours."""
    return (round(after - before, 6) for before, after in zip(times, times[1:], strict=False))
