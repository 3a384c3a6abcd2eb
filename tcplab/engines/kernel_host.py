"""A host of the lab whose TCP is the kernel's: `api.stack.Host` over real sockets in its network namespace.

What it sends and receives crosses the same wire as ours, frame by frame, so that rules and injections act on it alike.
The kernel does not tell what it decides: states are what sock_diag(7) shows whenever something may have changed.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from tcplab.api.events import StateChanged
from tcplab.api.stack import Emit, Outgoing
from tcplab.api.states import State
from tcplab.api.views import HostView
from tcplab.engines import kernel_view, sockopt
from tcplab.engines.metrics import flush_metrics
from tcplab.engines.sockdiag import SockDiag
from tcplab.host.options import OPTIONS
from tcplab.tcp.profile import LINUX
from tcplab.tcp.sysctl import KNOBS
from tcplab.tcp.sysctl import text as sysctl_text
from tcplab.units import NEVER, Nanos
from tcplab.wire import ipv4

if TYPE_CHECKING:
    from tcplab.engines.netns import Namespaces

_SEEN: Final = "seen by sock_diag(7)"
_HOW: Final = {"rd": socket.SHUT_RD, "wr": socket.SHUT_WR, "rdwr": socket.SHUT_RDWR}
_NET: Final = Path("/proc/sys/net")
_FIRST_FD: Final = 3
_MOST_EVENTS: Final = 64
_GONE: Final = (errno.ENOENT, errno.EROFS)


class KernelHost:
    """The kernel in seat `name`. `notes`: what it cannot have as ours has it, in words."""

    deadline: Nanos = NEVER
    why: Final = "Linux sent it, and does not say why"

    def __init__(self, name: str, addr: int, mac: bytes, namespaces: Namespaces, emit: Emit | None) -> None:
        self.name, self.addr, self.mac = name, addr, mac
        self.out: list[Outgoing] = []
        self.tracing = emit is not None
        self.frame = 0
        self.notes: list[str] = []
        self._emit = emit
        self._namespaces = namespaces
        self._sockets: dict[int, socket.socket] = {}
        self._labels: dict[int, str] = {}
        self._listening: dict[int, str] = {}
        self._next_fd = _FIRST_FD
        self._closing: dict[int, _Closing] = {}
        self._waiting: dict[int, list[Callable[[], None]]] = {}
        self._poller = select.epoll()
        self._states: dict[str, State] = {}
        self._numbers = kernel_view.Numbers()
        self.congestion = str(OPTIONS["TCP_CONGESTION"].default)
        with namespaces.inside(name):
            self._diag = SockDiag()
            self._snmp: list[IO[str]] = [open(f"/proc/thread-self/net/{file}") for file in ("snmp", "netstat")]  # noqa: SIM115
        self._like_ours()
        self._began = self._counted()

    # --- for whoever drives -----------------------------------------------------------------------------------

    def on_frame(self, now: Nanos, frame: bytes) -> None:
        """It has arrived already, by the device; here is looked at what that changed, and whom it wakes."""
        self._numbers.arrived(frame)
        self.poll(now)

    def sent(self, frame: bytes) -> None:
        """The kernel put this frame on the wire."""
        self._numbers.sent(frame)

    def on_timer(self, now: Nanos) -> None:
        """The kernel keeps its timers to itself."""

    def next_timer(self) -> str:
        """What is due is not known."""
        return ""

    def fileno(self) -> int:
        """Readable when `poll` has something to do."""
        return self._poller.fileno()

    def poll(self, now: Nanos) -> None:
        """Wake whoever waits for a socket that is ready, and look what has changed."""
        self.look(now)
        for fd, _ in self._poller.poll(0, _MOST_EVENTS):
            self._poller.unregister(fd)
            for wake in self._waiting.pop(fd, ()):
                wake()

    def look(self, now: Nanos) -> None:
        """Tell of every state that is another one than before."""
        if self._emit is None:
            return
        entries = self._diag.dump()
        found: dict[str, State] = {entry.conn: entry.state for entry in entries if entry.state is not State.LISTEN}
        for conn, state in found.items():
            old = self._states.get(conn, State.CLOSED)
            if state is not old:
                self._emit(StateChanged(now, self.name, conn, old.value, state.value, _SEEN, "Linux inet_diag.c"))
        for conn, old in self._states.items():
            if conn not in found and old is not State.CLOSED:
                self._emit(StateChanged(now, self.name, conn, old.value, State.CLOSED.value, _SEEN))
        self._states = found

    def view(self, now: Nanos) -> HostView:
        """A snapshot, of what sock_diag(7) and /proc tell."""
        fds = {label: fd for fd, label in (*self._labels.items(), *self._listening.items())}
        conns, listeners = kernel_view.of(self._diag.dump(info=True), fds, self._numbers, now)
        return HostView(self.name, ipv4.text(self.addr), "linux", conns, listeners, self.counters(), {})

    def infos(self) -> dict[str, dict[str, int]]:
        """TCP_INFO of all connections, by their names."""
        return {entry.conn: entry.info for entry in self._diag.dump(info=True) if entry.info}

    def counters(self) -> dict[str, int]:
        """Those that moved since the host began, as nstat names them."""
        now = self._counted()
        moved = {name: count - self._began.get(name, 0) for name, count in now.items()}
        return {name: count for name, count in sorted(moved.items()) if count}

    def _counted(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for file in self._snmp:
            file.seek(0)
            lines = file.read().split("\n")
            for names, values in zip(lines[::2], lines[1::2], strict=False):
                pairs = zip(names.split()[1:], values.split()[1:], strict=False)
                found.update((names.partition(":")[0] + name, int(value)) for name, value in pairs)
        return found

    def close(self) -> None:
        """Drop every connection: with the last socket goes the namespace."""
        for sock in self._sockets.values():
            _abortive(sock)
            sock.close()
        for closing in self._closing.values():
            closing.join()
        self._poller.close()
        self._diag.close()
        for file in self._snmp:
            file.close()

    # --- settings ---------------------------------------------------------------------------------------------

    def _like_ours(self) -> None:
        """Begin with the defaults of our table, which are Linux's own; what this machine has otherwise is noted."""
        self._write("tcp_no_metrics_save", "1")
        for knob in KNOBS.values():
            if knob.name == "tcp_fastopen_key" or "congestion" in knob.name:
                continue  # secret, or of the whole machine
            wanted = str(sysctl_text(knob.default))
            try:
                path = self._setting(knob.name)
                with self._namespaces.inside(self.name):
                    found = " ".join(path.read_text().split())
                if found != wanted:
                    self._write(knob.name, wanted)
            except OSError as error:
                self.notes.append(f"{self.name}: sysctl {knob.name} is not set to {wanted}: {error.strerror}")

    def _setting(self, name: str) -> Path:
        with self._namespaces.inside(self.name):
            for folder in ("ipv4", "core", "ipv4/route"):
                path = _NET / folder / name.replace(".", "/")
                if path.is_file():
                    return path
        raise OSError(errno.ENOENT, f"this kernel has no sysctl {name}")

    def _write(self, name: str, value: str) -> None:
        path = self._setting(name)
        with self._namespaces.inside(self.name):
            path.write_text(value)

    def _sysctl(self, name: str, *value: Any) -> Any:
        if not value:
            path = self._setting(name)
            with self._namespaces.inside(self.name):
                return path.read_text().strip()
        if name == "tcp_congestion_control":  # a namespace takes only those that everybody may have; a socket takes any
            self.congestion = str(value[0])
            return None
        try:
            self._write(name, str(sysctl_text(value[0]) if isinstance(value[0], tuple) else value[0]))
        except OSError as error:
            if error.errno not in _GONE:
                raise
            self.notes.append(f"{self.name}: sysctl {name} = {value[0]}: {error.strerror or error}")
        return None

    # --- calls ------------------------------------------------------------------------------------------------

    def call(self, now: Nanos, op: str, *args: Any) -> Any:
        """One socket call, never blocking: OSError as the kernel gives it."""
        if op == "sysctl":
            return self._sysctl(*args)
        if op == "profile":
            if args[0] != LINUX.name:
                self.notes.append(f"{self.name}: no profile {args[0]} here: the kernel speaks its own TCP")
            return None
        if op == "forget":
            with self._namespaces.inside(self.name):
                flush_metrics()
            return None
        if op == "socket":
            return self._socket()
        fd, *rest = args
        if op == "conn":
            return self._labels.get(fd, "")
        if op == "close" and fd in self._closing:
            return self._closed(fd)
        if fd not in self._sockets:
            raise OSError(errno.EBADF, f"descriptor {fd} is not open")
        function = _CALLS.get(op)
        if function is None:
            raise OSError(errno.ENOSYS, f"no socket call {op} in the kernel's seat")
        try:
            return function(self, fd, *rest)
        except TypeError as wrong:
            raise OSError(errno.EINVAL, str(wrong)) from wrong
        finally:
            self.look(now)

    def wait(self, fd: int, writable: bool, wake: Callable[[], None]) -> None:
        """Run `wake` at the next `poll` that finds `fd` ready."""
        closing = self._closing.get(fd)
        number = closing.ended if closing is not None else self._sockets[fd].fileno()
        waiting = self._waiting.setdefault(number, [])
        if not waiting:
            self._poller.register(number, select.EPOLLOUT if writable and closing is None else select.EPOLLIN)
        waiting.append(wake)

    def _add(self, sock: socket.socket) -> int:
        sock.setblocking(False)
        fd, self._next_fd = self._next_fd, self._next_fd + 1
        self._sockets[fd] = sock
        return fd

    def _socket(self) -> int:
        with self._namespaces.inside(self.name):
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            sockopt.set_option(sock, "TCP_CONGESTION", self.congestion)
        except OSError as error:
            note = f"{self.name}: TCP_CONGESTION {self.congestion}: {error.strerror}"
            self.notes += [note] if note not in self.notes else []
        return self._add(sock)

    def _label(self, fd: int, addr: int, port: int) -> None:
        here, local = self._sockets[fd].getsockname()
        self._labels[fd] = f"{here}:{local}>{ipv4.text(addr)}:{port}"

    def _bind(self, fd: int, addr: int, port: int) -> None:
        self._sockets[fd].bind((ipv4.text(addr), port))

    def _listen(self, fd: int, backlog: int) -> None:
        self._sockets[fd].listen(backlog if backlog >= 0 else 0x7FFFFFFF)
        here, port = self._sockets[fd].getsockname()
        self._listening[fd] = f"{here}:{port}>0.0.0.0:0"

    def _accept(self, fd: int) -> tuple[int, tuple[int, int]]:
        sock, (peer, port) = self._sockets[fd].accept()
        new = self._add(sock)
        self._label(new, ipv4.address(peer), port)
        return new, (ipv4.address(peer), port)

    def _connect(self, fd: int, addr: int, port: int) -> None:
        try:
            self._sockets[fd].connect((ipv4.text(addr), port))
        finally:
            self._label(fd, addr, port)

    def _send(self, fd: int, data: bytes, flags: int = 0) -> int:
        return self._sockets[fd].send(data, flags | socket.MSG_NOSIGNAL)

    def _sendto(self, fd: int, data: bytes, flags: int, addr: int, port: int) -> int:
        try:
            return self._sockets[fd].sendto(data, flags | socket.MSG_NOSIGNAL, (ipv4.text(addr), port))
        finally:
            if fd not in self._labels:
                self._label(fd, addr, port)

    def _recv(self, fd: int, most: int, flags: int = 0) -> bytes:
        return self._sockets[fd].recv(min(most, 1 << 20), flags)

    def _shutdown(self, fd: int, how: str) -> None:
        self._sockets[fd].shutdown(_HOW[how])

    def _close(self, fd: int) -> None:
        sock = self._sockets.pop(fd)
        self._listening.pop(fd, None)
        number = sock.fileno()
        if self._waiting.pop(number, None) is not None:
            self._poller.unregister(number)
        on, seconds = sockopt.get_option(sock, "SO_LINGER")
        if on and seconds:
            self._closing[fd] = _Closing(sock)
            raise BlockingIOError(errno.EAGAIN, "SO_LINGER")
        sock.close()
        self._labels.pop(fd, None)

    def _closed(self, fd: int) -> None:
        if not self._closing[fd].over:
            raise BlockingIOError(errno.EAGAIN, "SO_LINGER")
        self._closing.pop(fd).join()
        self._labels.pop(fd, None)

    def _abort(self, fd: int) -> None:
        _abortive(self._sockets[fd])
        self._close(fd)

    def _setsockopt(self, fd: int, name: str, value: Any) -> None:
        sockopt.set_option(self._sockets[fd], name, value)

    def _getsockopt(self, fd: int, name: str) -> Any:
        return sockopt.get_option(self._sockets[fd], name)

    def _getsockname(self, fd: int) -> tuple[int, int]:
        addr, port = self._sockets[fd].getsockname()
        return ipv4.address(addr), port

    def _getpeername(self, fd: int) -> tuple[int, int]:
        addr, port = self._sockets[fd].getpeername()
        return ipv4.address(addr), port


class _Closing:
    """close() of a socket with SO_LINGER blocks, O_NONBLOCK or not (inet_release): so on a thread of its own."""

    def __init__(self, sock: socket.socket) -> None:
        self.ended = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.over = False
        self._thread = threading.Thread(target=self._run, args=(sock,), daemon=True)
        self._thread.start()

    def _run(self, sock: socket.socket) -> None:
        sock.close()
        self.over = True
        os.eventfd_write(self.ended, 1)

    def join(self) -> None:
        """Wait for it, and give the descriptor back."""
        self._thread.join()
        os.close(self.ended)


def _abortive(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


_CALLS: Final[dict[str, Callable[..., Any]]] = {
    "bind": KernelHost._bind,
    "listen": KernelHost._listen,
    "accept": KernelHost._accept,
    "connect": KernelHost._connect,
    "send": KernelHost._send,
    "sendto": KernelHost._sendto,
    "recv": KernelHost._recv,
    "shutdown": KernelHost._shutdown,
    "close": KernelHost._close,
    "abort": KernelHost._abort,
    "setsockopt": KernelHost._setsockopt,
    "getsockopt": KernelHost._getsockopt,
    "getsockname": KernelHost._getsockname,
    "getpeername": KernelHost._getpeername,
}
