"""The World of a run: two hosts, the wire between them, a fabric, the loop, the trace; built from a plan.

A frame's life: a host leaves it in `out`; it crosses the fabric to the wire and is numbered (Sent); the link's rules
decide (Lost, Delayed, Duplicated, CeMarked); after the delay it crosses the fabric to the far end (Arrived) and is
given to the host there, if it is addressed to it. All of it happens in lab time: every fabric makes the same trace.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from tcplab.api.events import AnyEvent, Arrived, CeMarked, Delayed, Dropped, Duplicated, Lost
from tcplab.api.plan import HOSTS, Plan
from tcplab.api.stack import Emit, Outgoing
from tcplab.engines import plugins
from tcplab.engines.addresses import ADDRESS, KERNEL_MAC, MAC
from tcplab.engines.apps import Apps
from tcplab.engines.errors import EngineError
from tcplab.engines.fabric import Fabric, check_frame
from tcplab.engines.fabric_memory import MemoryFabric
from tcplab.engines.loop import Loop
from tcplab.engines.tracer import Tracer, capture
from tcplab.host.machine import Machine
from tcplab.link.inject import X_MAC
from tcplab.link.stages import Fate, Link
from tcplab.rng import Rng
from tcplab.tcp import cc
from tcplab.units import Nanos
from tcplab.wire import ethernet, ipv4

if TYPE_CHECKING:
    from tcplab.engines.kernel_host import KernelHost
    from tcplab.engines.netns import Namespaces

ENGINES: Final = ("veth", "sim")
SEATS: Final[dict[str, tuple[str, ...]]] = {"kernel": ("a", "b"), "mixed-a": ("a",), "mixed-b": ("b",)}
"""Engines on veth where the kernel's own TCP is in some host's seat: in real time only."""
_OTHER: Final = {"a": "b", "b": "a"}
_DIRECTION: Final = {"a": "a>b", "b": "b>a"}
_WIRE_PORT: Final = {"a": "wire:a", "b": "wire:b"}


class World:
    """One run on one engine (`veth`, `sim`, or one of SEATS); EngineError if this machine or its rights forbid it.

    `trace=False`, for measuring: no event is built, by nobody.
    """

    def __init__(self, plan: Plan, engine: str = "sim", trace: bool = True) -> None:
        self.plan = plan
        self.engine = engine
        self.notice = ""
        """Something the person should know; whoever chose the engine sets it."""
        cc.look_in(plugins.congestion)
        self.rng = Rng(plan.seed)
        self.tracer = Tracer()
        self.tracing = trace
        emit = self.tracer.emit if trace else None
        self._namespaces: Namespaces | None = None
        self._fabric = self._open_fabric(engine)
        self._carries = engine != "sim"
        """In memory nothing has to be carried."""
        self.kernels: tuple[KernelHost, ...] = ()
        """The hosts that are the kernel's."""
        self.hosts: dict[str, Machine | KernelHost] = {name: self._host(name, emit) for name in HOSTS}
        for name, profile in plan.profile.items():
            self.hosts[name].call(0, "profile", profile)
        for name, settings in plan.sysctl.items():
            for key, value in settings.items():
                self.hosts[name].call(0, "sysctl", key, value)
        self.link = Link(self.rng, plan.delay)
        self.loop = Loop(tuple(self.hosts.values()), self._settle, self._take_foreign)
        self.apps = Apps(self.hosts, self.loop, emit, self._settle)
        self._ends = (self.hosts["a"], self.hosts["b"])
        self.frames = 0
        """How many frames were on the wire so far: the serial number of the newest."""
        self._settling = False

    # --- for the lab ----------------------------------------------------------------------------------------

    @property
    def events(self) -> list[AnyEvent]:
        """The trace so far."""
        return self.tracer.events

    def emit(self, event: AnyEvent) -> None:
        """Append an event of the lab's own tier to the trace."""
        self.tracer.emit(event)

    def subscribe(self, listener: Callable[[AnyEvent], None]) -> None:
        """Call `listener` with each event as it is appended."""
        self.tracer.subscribe(listener)

    def call(self, host: str, op: str, *args: Any) -> Any:
        """One socket call at this instant; what it makes the host send leaves at once. OSError as Linux gives it."""
        try:
            return self.hosts[host].call(self.loop.now, op, *args)
        finally:
            self._settle()

    def inject(self, toward: str, frame: bytes, why: str, ref: str = "") -> None:
        """The third party puts a frame into the middle of the wire, behind the rules: half the delay is left."""
        check_frame(frame)
        number = self._number()
        if self.tracing:
            self.tracer.sent(self.loop.now, number, "x", toward, Outgoing(frame, why, ref))
        self._under_way(number, toward, frame, self.loop.now + self.link.delay // 2)

    def namespace_fds(self, host: str) -> tuple[int, ...]:
        """Descriptors to enter the host's namespaces with setns(2), in this order: (user, net), or (net,) as root."""
        if self._namespaces is None:
            raise EngineError(f"the {self.engine} engine has no namespaces: no program can run on {host}")
        net = self._namespaces.net[host]
        user = self._namespaces.user
        return (net,) if user is None else (user, net)

    def filenos(self) -> list[int]:
        """What a selector must watch beside `loop.timeout`, to call `loop.catch_up`: none while the loop is paused.

        Whatever real programs send meanwhile stays in the (bounded) receive buffers.
        """
        if not self.loop.playing:
            return []
        return [*self._fabric.filenos(), *(kernel.fileno() for kernel in self.kernels)]

    def pcapng(self) -> bytes:
        """The trace so far as a capture, each frame with its reason as comment."""
        return capture(self.events)

    def close(self) -> None:
        """Give everything back; with the namespaces the kernel takes away all that is in them."""
        for kernel in self.kernels:
            kernel.close()
        self._fabric.close()
        if self._namespaces is not None:
            self._namespaces.close()
            self._namespaces = None

    # --- from instant to instant ----------------------------------------------------------------------------

    def _settle(self) -> None:
        """Let everything happen that belongs to this instant: frames leave, woken applications run, until quiet."""
        if self._settling:  # an application's own call: the loop below sees to it
            return
        self._settling = True
        a, b = self._ends
        try:
            while True:
                if a.out or b.out:
                    self._collect()
                elif self.apps.ready:
                    self.apps.run_ready()
                else:
                    return
        finally:
            self._settling = False

    def _collect(self) -> None:
        """Put on the wire what the hosts have to send, a's first."""
        for host in self._ends:
            if host.out:
                letters, host.out = host.out, []
                if self._carries:
                    self._fabric.carry(host.name, [out.frame for out in letters])
                for out in letters:
                    self._enter(host.name, out)

    def _take_foreign(self) -> None:
        """Frames of the kernel in the namespaces: their time is the present instant."""
        for port, frame in self._fabric.foreign():
            src = port[-1]
            host = self.hosts[src]
            if isinstance(host, Machine):
                out = Outgoing(frame, f"sent by the kernel's TCP/IP of {src} (a real program)")
            else:
                host.sent(frame)
                out = Outgoing(frame, host.why)
            try:
                check_frame(frame)
            except EngineError as wrong:  # a real program may send anything
                number = self._number()
                if self.tracing:
                    self.tracer.sent(self.loop.now, number, src, _OTHER[src], out)
                self._tell(Lost(self.loop.now, number, wrong.text))
            else:
                self._enter(src, out)
        for kernel in self.kernels:
            kernel.poll(self.loop.now)

    def _enter(self, src: str, out: Outgoing) -> None:
        """A frame enters the wire at the side of `src`: number it, and let the rules decide."""
        now, frame, dst = self.loop.now, out.frame, _OTHER[src]
        self.frames = number = self.frames + 1
        segment = self.tracer.sent(now, number, src, dst, out) if self.tracing else None
        if not self.link.busy and not self.tracing and frame[:6] != X_MAC:  # nothing to decide, and nobody to tell
            at = self.link.arrival(now, _DIRECTION[src])
            self.loop.at(at, partial(self._arrive, number, dst, frame), "a frame arrives")
            return
        if not self.link.busy:
            self._under_way(number, dst, frame, self.link.arrival(now, _DIRECTION[src]))
            return
        traveller = number
        for verdict in self.link.frame(now, _DIRECTION[src], frame, segment):
            if verdict.fate is Fate.ARRIVES:
                self._under_way(traveller, dst, frame, verdict.at)
            elif verdict.fate is Fate.COPIED:
                traveller = self._number()
                self._tell(Duplicated(now, number, traveller, verdict.why))
                if self.tracing:
                    why = f"copy of frame {number}: {verdict.why}"
                    self.tracer.sent(now, traveller, src, dst, Outgoing(frame, why, rtx=out.rtx))
            elif verdict.fate is Fate.MARKED:
                frame = self._marked(now, number, frame, verdict.why)
            elif verdict.fate is Fate.DELAYED:
                self._tell(Delayed(now, number, verdict.at, verdict.why))
            else:
                self._tell(Lost(now, number, verdict.why))

    def _marked(self, now: Nanos, number: int, frame: bytes, why: str) -> bytes:
        """The frame, marked if it is of IP and may be marked."""
        head, packet = frame[: ethernet.HEADER], frame[ethernet.HEADER :]
        if ethernet.parse(frame)[2] != ethernet.ETH_IP or (marked := ipv4.congested(packet)) == packet:
            return frame
        self._tell(CeMarked(now, number, why))
        return head + marked

    def _under_way(self, number: int, dst: str, frame: bytes, at: Nanos) -> None:
        """Schedule the arrival. What is addressed to the third party leaves the wire in the middle."""
        if frame[:6] == X_MAC:
            delay = self.link.delay
            self.loop.at(at - delay + delay // 2, partial(self._reach_x, number), f"frame {number} arrives at x")
        else:
            text = f"frame {number} arrives at {dst}" if self.tracing else "a frame arrives"
            self.loop.at(at, partial(self._arrive, number, dst, frame), text)

    def _reach_x(self, number: int) -> None:
        self._tell(Arrived(self.loop.now, number, "x"))

    def _arrive(self, number: int, dst: str, frame: bytes) -> None:
        """The frame leaves the wire at the side of `dst`."""
        if self._carries:
            self._fabric.carry(_WIRE_PORT[dst], (frame,))
        host, now, address = self.hosts[dst], self.loop.now, frame[:6]
        if address == host.mac or address[0] & 1:
            if self.tracing:
                self.tracer.emit(Arrived(now, number, dst))
            host.frame = number
            host.on_frame(now, frame)
            host.frame = 0
        elif address == KERNEL_MAC[dst] and isinstance(host, Machine):
            self._tell(Arrived(now, number, dst))
        else:  # Linux: SKB_DROP_REASON_OTHERHOST
            why = "its destination MAC address is another one than this host's"
            self._tell(Dropped(now, dst, "", number, "other host", why=why))

    def _number(self) -> int:
        self.frames += 1
        return self.frames

    def _tell(self, event: AnyEvent) -> None:
        if self.tracing:
            self.tracer.emit(event)

    def _host(self, name: str, emit: Emit | None) -> Machine | KernelHost:
        """Who sits there."""
        if name not in SEATS.get(self.engine, ()):
            machine = Machine(name, ADDRESS[name], MAC[name], self.rng, emit)
            other = _OTHER[name]
            machine.learn(ADDRESS[other], MAC[other])  # they have met: a lesson begins with its SYN, not with ARP
            return machine
        from tcplab.engines.kernel_host import KernelHost

        assert self._namespaces is not None, "SEATS are engines with namespaces"
        kernel = KernelHost(name, ADDRESS[name], MAC[name], self._namespaces, emit)
        self.kernels = (*self.kernels, kernel)
        return kernel

    def _open_fabric(self, engine: str) -> Fabric:
        if engine == "sim":
            return MemoryFabric()
        if engine != "veth" and engine not in SEATS:
            raise EngineError(f"{engine!r} is not an engine; expected one of {', '.join((*ENGINES, *SEATS))}")
        from tcplab.engines.fabric_veth import VethFabric  # here: only Linux has packet sockets and namespaces
        from tcplab.engines.netns import Namespaces

        namespaces = Namespaces()
        try:
            namespaces.unshare()
            namespaces.join(SEATS.get(engine, ()))
            fabric = VethFabric(namespaces.open_sockets())
        except BaseException:
            namespaces.close()
            raise
        self._namespaces = namespaces
        return fabric
