"""The kernel's TCP under a script: a TUN device in a network namespace of its own, and real time."""

from __future__ import annotations

import errno
import queue
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from tcplab.engines.errors import EngineError
from tcplab.engines.haste import calm, hurry
from tcplab.engines.tun import TunHost
from tcplab.lab.drill.kernel_calls import Syscalls
from tcplab.lab.drill.shell import Deed, wrong_count
from tcplab.lab.drill.stack import LOCAL, REMOTE, Outcome, Sniffed
from tcplab.wire import checksum, ipv4
from tcplab.wire.tcp import HEADER as TCP_HEADER

_US: Final = 1_000
_SHORT: Final = 0.002
"""Seconds until a call counts as one that waits."""
_CHECKSUM: Final = 16
"""Where TCP's header has it."""
_AWAKE: Final = 700
"""Microseconds."""
_FAREWELL: Final = 1.0


class Call:
    """A call on its way: `stack.Pending`."""

    def __init__(self, do: Callable[[], Outcome]) -> None:
        self.do = do
        self.outcome: Outcome | None = None
        self.at = 0
        self.ended = threading.Event()


class Kernel:
    """`tcplab.lab.drill.stack.Stack` on the kernel's own TCP. EngineError: this machine cannot, or may not."""

    exact = False

    def __init__(self, options: dict[str, str]) -> None:
        self.local = options.get("local_ip") or LOCAL
        self.remote = options.get("remote_ip") or REMOTE
        mtu, mss = int(options.get("mtu") or 1500), int(options.get("mss") or 0)
        self._haste = hurry()
        try:
            self.host = TunHost(self.local, options.get("netmask_ip") or "255.255.0.0", mtu, mss)
        except EngineError:
            calm(self._haste)
            raise
        self.syscalls = Syscalls(self.host, self.local, self.remote)
        self.poller = select.poll()
        self.poller.register(self.host.fileno(), select.POLLIN)
        self._taken: deque[tuple[int, bytes]] = deque()
        """What left while nobody asked."""
        self.counted: dict[str, int] = {}
        self.begun: int | None = None
        """When the script began; time stands still until its first event."""
        self._work: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._worker = threading.Thread(target=self._calls, name="drill calls", daemon=True)
        self._worker.start()

    # --- time and packets -----------------------------------------------------------------------------------

    def now(self) -> int:
        """Microseconds from the start."""
        return (time.monotonic_ns() - self.begun) // _US if self.begun is not None else 0

    def _begin(self) -> None:
        if self.begun is None:
            self.begun = time.monotonic_ns()
            self.syscalls.epoch = time.time_ns()

    def advance(self, until: int) -> None:
        """Sleep; the last bit awake, because sleepers are woken late.

        What leaves meanwhile is taken at once: the kernel does not send again, or join, what still lies somewhere
        (skb_still_in_host_queue, tcp_can_collapse).
        """
        self._begin()
        while (left := until - self.now()) > 0:
            if select.select([self.host.fileno()], [], [], max(left - _AWAKE, 0) / 1e6)[0]:
                while (found := self.host.sniff()) is not None:
                    self._taken.append(found)

    def inject(self, packet: bytes) -> None:
        """A packet arrives at the device."""
        self._begin()
        try:
            self.host.inject(packet)
        except OSError as error:
            raise EngineError(f"the TUN device takes no packet: {error.strerror}") from error

    def sniff(self, until: int) -> Sniffed | None:
        """The next packet that left by the device."""
        self._begin()
        while (found := self._taken.popleft() if self._taken else self.host.sniff()) is None:
            left = until - self.now()
            if left <= 0:
                return None
            self.poller.poll(left / 1_000)
        at, packet = found
        assert self.begun is not None
        return Sniffed((at - self.begun) // _US, _summed(packet))

    # --- calls ----------------------------------------------------------------------------------------------

    def start(self, name: str, args: dict[str, Any]) -> Call:
        """Make the call on the thread that does so, which it may block."""
        function = Syscalls.named(name)
        if function is None:
            raise NotImplementedError("this call is not made for scripts")
        self._begin()
        call = Call(lambda: function(self.syscalls, args))
        self._work.put(call)
        call.ended.wait(_SHORT)
        return call

    def _calls(self) -> None:
        while (call := self._work.get()) is not None:
            try:
                outcome = call.do()
            except OSError as error:
                outcome = Outcome(-1, error.errno or errno.EIO)
            except (EngineError, OverflowError, ValueError):  # an argument that not even C would take
                outcome = Outcome(-1, errno.EINVAL)
            call.at = self.now()
            call.outcome = outcome
            call.ended.set()

    def finish(self, pending: Any, until: int) -> None:
        """Wait for it."""
        pending.ended.wait(max(until - self.now(), 0) / 1e6)

    # --- the rest -------------------------------------------------------------------------------------------

    def info(self, fd: int) -> dict[str, int]:
        """TCP_INFO."""
        return self.syscalls.info(fd)

    def configure(self, deed: Deed) -> str:
        """Settings go to the namespace; the machine's own are never touched."""
        if deed.kind == "sysctl":
            try:
                self.host.sysctl(deed.name, deed.value)
            except OSError as error:
                if deed.name == "tcp_congestion_control":
                    self.syscalls.congestion = deed.value
                    return ""
                return f"sysctl {deed.name} = {deed.value} could not be set: {error.strerror}"
        elif deed.kind == "mtu":
            self.host.mtu(int(deed.value))
        elif deed.kind == "offload":
            try:
                self.host.offload(deed.name, deed.value == "on")
            except OSError as error:
                return f"the offload {deed.name} could not be switched {deed.value}: {error.strerror}"
        elif deed.kind == "forget":
            try:
                self.host.forget()
            except OSError as error:
                return f"what is remembered of peers could not be forgotten: {error.strerror}"
        elif deed.kind == "nstat":
            self.counted = self.host.counters()
        elif deed.kind == "counted":
            now = self.host.counters()
            if deed.name not in now:
                return "there is no such counter"
            return wrong_count(deed, now[deed.name] - self.counted.get(deed.name, 0))
        return ""

    def close(self) -> None:
        """Drop the connections; the namespace goes with its last socket."""
        calm(self._haste)
        self._work.put(None)
        self.syscalls.wake()
        self._worker.join(_FAREWELL)
        self.syscalls.close()
        self.host.close()


def _summed(packet: bytes) -> bytes:
    """A TCP segment with its checksum: the device is one that would fill it in."""
    start = (packet[0] & 15) << 2
    if packet[9] != ipv4.PROTO_TCP or len(packet) < start + TCP_HEADER:
        return packet
    at = start + _CHECKSUM
    head, tail = packet[start:at], packet[at + 2 :]
    source, target = int.from_bytes(packet[12:16], "big"), int.from_bytes(packet[16:20], "big")
    length = len(packet) - start
    pseudo = checksum.pseudo(source, target, ipv4.PROTO_TCP, length).to_bytes(4, "big")
    value = checksum.checksum(pseudo + head + b"\0\0" + tail)
    return packet[:at] + value.to_bytes(2, "big") + packet[at + 2 :]
