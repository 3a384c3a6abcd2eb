"""BSD socket calls: non-blocking inside, with the errno that Linux gives (socket(7), tcp(7), and the calls' pages)."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tcplab.api.states import State
from tcplab.host import early_options, ports
from tcplab.tcp import fastopen, timers, user
from tcplab.tcp.connection import Connection
from tcplab.tcp.listen import Listener
from tcplab.tcp.tcb import KEEPALIVE
from tcplab.tcp.timewait import TimeWait
from tcplab.units import MS
from tcplab.wire.ipv4 import text as ip_text

if TYPE_CHECKING:
    from tcplab.host.machine import Machine

Wake = Callable[[], None]


class Socket:
    """A file descriptor of an application, and what it stands for."""

    __slots__ = (
        "bound", "conn", "connecting", "defer_accept", "fastopen", "fd", "keepalive", "linger", "linger2", "listener",
        "machine", "nodelay", "port", "rcvbuf", "readers", "reuseaddr", "sndbuf", "syncnt", "user_timeout", "writers",
    )  # fmt: skip

    def __init__(self, machine: Machine, fd: int) -> None:
        self.machine = machine
        self.fd = fd
        self.port = 0
        self.bound = False
        self.conn: Connection | None = None
        self.listener: Listener | None = None
        self.connecting = False
        """connect() was called and its outcome not told yet."""
        self.reuseaddr = False
        self.nodelay = False
        self.linger = (0, 0)
        self.keepalive = [0, 0, 0, 0]
        """SO_KEEPALIVE, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT."""
        self.rcvbuf = self.sndbuf = 0
        self.syncnt = 0
        self.defer_accept = 0
        self.fastopen: fastopen.Settings = fastopen.Settings()
        self.linger2 = 0
        self.user_timeout = 0
        self.readers: list[Wake] = []
        self.writers: list[Wake] = []

    # --- what TCP tells (tcplab.tcp.tcb.Owner) ---

    def readable(self) -> None:
        """Data, the end, an error or a connection to accept: whoever waits to read tries again."""
        if self.readers:
            self.machine.woken += self.readers
            self.readers.clear()

    def writable(self) -> None:
        """Connected, room in the buffer, or an error: whoever waits to write tries again."""
        if self.writers:
            self.machine.woken += self.writers
            self.writers.clear()

    # --- the calls ---

    def bind(self, addr: int, port: int) -> None:
        """bind(2). EINVAL: bound before; EADDRNOTAVAIL: not our address; EADDRINUSE."""
        if self.bound or self.conn is not None:
            raise OSError(errno.EINVAL, "the socket is bound already")
        _check_port(port)
        if addr not in (0, self.machine.addr):
            raise OSError(errno.EADDRNOTAVAIL, f"{ip_text(addr)} is not an address of this host")
        if port == 0:
            port = ports.ephemeral(self.machine, 0, 0)
        ports.check_bind(self.machine, self, port)
        self.port = port
        self.bound = True

    def listen(self, backlog: int) -> None:
        """listen(2): also again on a listening socket, which changes the backlog live."""
        if self.conn is not None:
            raise OSError(errno.EINVAL, "the socket is connected")
        if self.listener is not None:
            self.listener.set_backlog(backlog)
            return
        if not self.bound:
            self.bind(0, 0)
        if self.port in self.machine.listeners:
            raise OSError(errno.EADDRINUSE, f"another socket listens on port {self.port}")
        self.listener = Listener(self.machine, self.port, backlog, self.fd, self.readable)
        self.listener.rcvbuf, self.listener.sndbuf = self.rcvbuf, self.sndbuf
        self.listener.defer_accept = self.defer_accept
        self.listener.fastopen = self.fastopen
        bits = fastopen.SERVER | fastopen.ALL_LISTENERS
        if self.machine.sysctl.tcp_fastopen & bits == bits and not self.fastopen.max_qlen:
            self.fastopen.max_qlen = self.listener.max_ack_backlog
        self.machine.listeners[self.port] = self.listener

    def accept(self) -> tuple[int, tuple[int, int]]:
        """accept(2): (descriptor, (address, port)) of the oldest complete connection. EAGAIN: none."""
        if self.listener is None:
            raise OSError(errno.EINVAL, "the socket does not listen")
        conn = self.listener.accept()
        if conn is None:
            raise BlockingIOError(errno.EAGAIN, "no connection to accept")
        sock = self.machine.new_socket()
        sock.port = self.port
        for option in _INHERITED:
            setattr(sock, option, getattr(self, option))
        sock.keepalive = list(self.keepalive)
        sock._own(conn)
        return sock.fd, (conn.raddr, conn.rport)

    def connect(self, addr: int, port: int) -> None:
        """connect(2). The first call raises EINPROGRESS, later ones EALREADY, the outcome, then EISCONN.

        With TCP_FASTOPEN_CONNECT and a cookie it returns: the SYN leaves with the first data.
        """
        if self.conn is None and self.listener is None:
            self._open(addr, port, None)
            if self._deferred():
                return
            raise BlockingIOError(errno.EINPROGRESS, "the SYN is on its way")
        if self.listener is not None:
            raise OSError(errno.EISCONN, "the socket listens")
        self._connect_again()

    def _open(self, addr: int, port: int, data: bytes | None) -> int:
        """Call a peer, with Fast Open if there is `data` or the option is set; how much of it the SYN carries."""
        machine = self.machine
        _check_port(port)
        if addr == machine.addr:
            raise OSError(errno.EADDRNOTAVAIL, "this host has no loopback: connect to the other host")
        local = self.port or ports.ephemeral(machine, addr, port)
        old = machine.flows.get((addr, port, local))
        if old is not None and not ports.usable(machine, addr, port, local):
            raise OSError(errno.EADDRNOTAVAIL, "this port pair is in use")
        self.port = local
        conn = Connection(machine, machine.addr, local, addr, port)
        self._own(conn)
        conn.syn_retries = self.syncnt
        self.connecting = True
        if data is not None or self.fastopen.connect:
            conn.attempt = fastopen.attempt(machine, addr, self.fastopen.no_cookie)
        return user.connect(conn, self.rcvbuf, self.sndbuf, old if isinstance(old, TimeWait) else None, data)

    def _deferred(self) -> bool:
        """connect() is done, but waits for data to go with the SYN."""
        conn = self.conn
        return conn is not None and conn.attempt is not None and conn.attempt.deferred

    def _connect_again(self) -> None:
        conn = self.conn
        assert conn is not None
        if self._deferred():
            raise OSError(errno.EISCONN, "the SYN waits for the first data")
        if conn.state is State.SYN_SENT or (self.connecting and conn.state is State.SYN_RECV):
            raise BlockingIOError(errno.EALREADY, "the connection is still being opened")
        if not self.connecting:
            raise OSError(errno.EISCONN, "the socket is connected")
        self.connecting = False
        if conn.error or conn.state is State.CLOSED:
            error, conn.error = conn.error or errno.ECONNABORTED, 0
            self.conn = None  # the socket can try again
            if not self.bound:
                self.port = 0
            raise OSError(error, f"connect() failed: {errno.errorcode[error]}")

    def _own(self, conn: Connection) -> None:
        self.conn = conn
        conn.owner = self
        conn.reuse = self.reuseaddr
        self._apply_options()

    def _connected(self) -> Connection:
        if self.conn is None:
            raise OSError(errno.ENOTCONN, "the socket is not connected")
        return self.conn

    def send(self, data: bytes) -> int:
        """send(2): how many octets the buffer took."""
        if self.conn is None:
            raise BrokenPipeError(errno.EPIPE, "the socket is not connected")
        return user.send(self.conn, data)

    def sendto(self, data: bytes, flags: int, addr: int, port: int) -> int:
        """sendto(2). MSG_FASTOPEN: connect and send at once; without it the address does not count.

        EINPROGRESS: there was no cookie yet, nothing was taken. EOPNOTSUPP: the sysctl tcp_fastopen has no client bit.
        """
        if not flags & fastopen.MSG_FASTOPEN or self._deferred():
            return self.send(data)
        if not self.machine.sysctl.tcp_fastopen & fastopen.CLIENT:
            raise OSError(errno.EOPNOTSUPP, "tcp_fastopen does not let clients use it")
        if self.conn is not None or self.listener is not None:
            self.connect(addr, port)
            return self.send(data)
        taken = self._open(addr, port, data)
        if not taken:
            raise BlockingIOError(errno.EINPROGRESS, "the SYN is on its way, without data")
        return taken

    def recv(self, most: int) -> bytes:
        """recv(2): up to `most` octets, b"" at the end of the stream."""
        return user.receive(self._connected(), most)

    def shutdown(self, how: str) -> None:
        """shutdown(2) with `rd`, `wr` or `rdwr`. ENOTCONN: not connected; EINVAL: another word."""
        if how not in ("rd", "wr", "rdwr"):
            raise OSError(errno.EINVAL, f"shutdown takes rd, wr or rdwr, not {how}")
        conn = self._connected()
        if conn.state is State.CLOSED:
            raise OSError(errno.ENOTCONN, "the connection is over")
        if how != "rd":
            user.close_writing(conn)
        if how != "wr":
            user.shut_reading(conn)

    def close(self) -> None:
        """close(2). A listener takes the connections that nobody accepted with it: they get RST."""
        machine = self.machine
        del machine.sockets[self.fd]
        if self.listener is not None:
            machine.listeners.pop(self.port, None)
            for conn in self.listener.close():
                conn.dead = True
                user.abort(conn, "the listener closed before accept()", "Linux inet_csk_listen_stop")
        if self.conn is not None:
            user.close(self.conn, self.linger)
        self.readable()
        self.writable()

    def abort(self) -> None:
        """SO_LINGER {1, 0} and close(): RST at once."""
        self.linger = (1, 0)
        self.close()

    def getsockname(self) -> tuple[int, int]:
        """(address, port) of our side."""
        return (self.machine.addr if self.port else 0, self.port)

    def getpeername(self) -> tuple[int, int]:
        """(address, port) of the other side. ENOTCONN: there is none."""
        conn = self._connected()
        if conn.state in (State.CLOSED, State.SYN_SENT):
            raise OSError(errno.ENOTCONN, "the socket is not connected")
        return (conn.raddr, conn.rport)

    def label(self) -> str:
        """The connection's name in events and views; empty when there is none."""
        return self.conn.label if self.conn is not None else ""

    # --- options ---

    def setsockopt(self, name: str, value: int | tuple[int, ...]) -> None:
        """setsockopt(2) by the option's name. ENOPROTOOPT: not known here; EINVAL: out of range."""
        setter = _SETTERS.get(name)
        if setter is None:
            raise OSError(errno.ENOPROTOOPT, f"no socket option {name} here; there are {', '.join(_SETTERS)}")
        setter(self, value)
        self._apply_options()

    def getsockopt(self, name: str) -> int:
        """getsockopt(2) by name. SO_ERROR reads and clears the pending error."""
        getter = _GETTERS.get(name)
        if getter is None:
            raise OSError(errno.ENOPROTOOPT, f"no socket option {name} here; there are {', '.join(_GETTERS)}")
        return getter(self)

    def take_error(self) -> int:
        """SO_ERROR: the pending error, once; 0 when there is none."""
        conn = self.conn
        if conn is None:
            return 0
        error, conn.error = conn.error, 0
        if error:
            conn.done = True
        return error

    def _apply_options(self) -> None:
        conn = self.conn
        if conn is None:
            return
        conn.nodelay = self.nodelay
        conn.linger2 = self.linger2
        conn.user_timeout = self.user_timeout * MS
        on, idle, interval, count = self.keepalive
        was_on = conn.keepalive is not None
        conn.keepalive = (idle, interval, count) if on else None
        if conn.over:
            return
        if on and not was_on and conn.state is not State.SYN_SENT:
            timers.arm_keepalive(conn)
        elif was_on and not on:
            timers.stop(conn, KEEPALIVE)


_INHERITED = ("reuseaddr", "nodelay", "linger", "linger2", "user_timeout", "rcvbuf", "sndbuf")
"""Options that an accepted socket takes over from its listener (socket(7), tcp(7))."""


def _check_port(port: int) -> None:
    if not 0 <= port <= 65535:
        raise OSError(errno.EINVAL, f"{port} is not a port")


def _number(value: int | tuple[int, ...]) -> int:
    if isinstance(value, tuple):
        raise OSError(errno.EINVAL, "this option takes one number")
    return value


def _set_linger(sock: Socket, value: int | tuple[int, ...]) -> None:
    if not isinstance(value, tuple) or len(value) != 2:
        raise OSError(errno.EINVAL, "SO_LINGER takes two numbers: on (0 or 1) and seconds")
    if value[0] and value[1]:
        raise OSError(errno.EOPNOTSUPP, "SO_LINGER here takes 0 seconds only (abort): close() never waits")
    sock.linger = (value[0], value[1])


def _set_rcvbuf(sock: Socket, value: int | tuple[int, ...]) -> None:
    sock.rcvbuf = max(2 * _number(value), 2304)  # Linux doubles it; SOCK_MIN_RCVBUF
    if sock.listener is not None:
        sock.listener.rcvbuf = sock.rcvbuf
    if sock.conn is not None:
        sock.conn.rcvbuf = sock.rcvbuf


def _set_sndbuf(sock: Socket, value: int | tuple[int, ...]) -> None:
    sock.sndbuf = max(2 * _number(value), 4608)  # SOCK_MIN_SNDBUF
    if sock.listener is not None:
        sock.listener.sndbuf = sock.sndbuf
    if sock.conn is not None:
        sock.conn.sndbuf = sock.sndbuf


def _set_defer_accept(sock: Socket, value: int | tuple[int, ...]) -> None:
    """Seconds become a number of SYN,ACK timeouts: 1, 3, 7, ... s (Linux secs_to_retrans)."""
    sock.defer_accept = max(_number(value), 0).bit_length()
    if sock.listener is not None:
        sock.listener.defer_accept = sock.defer_accept


def _keepalive_setter(at: int, low: int, high: int) -> Callable[[Socket, int | tuple[int, ...]], None]:
    def set_it(sock: Socket, value: int | tuple[int, ...]) -> None:
        number = _number(value)
        if not low <= number <= high:
            raise OSError(errno.EINVAL, f"it takes {low} .. {high}")
        sock.keepalive[at] = number

    return set_it


def _set(name: str, low: int = 0, high: int = 2**31 - 1) -> Callable[[Socket, int | tuple[int, ...]], None]:
    def set_it(sock: Socket, value: int | tuple[int, ...]) -> None:
        number = _number(value)
        if not low <= number <= high:
            raise OSError(errno.EINVAL, f"it takes {low} .. {high}")
        setattr(sock, name, bool(number) if isinstance(getattr(sock, name), bool) else number)

    return set_it


_SETTERS: dict[str, Callable[[Socket, int | tuple[int, ...]], None]] = {
    "SO_REUSEADDR": _set("reuseaddr"),
    "SO_LINGER": _set_linger,
    "SO_RCVBUF": _set_rcvbuf,
    "SO_SNDBUF": _set_sndbuf,
    "SO_KEEPALIVE": _keepalive_setter(0, 0, 2**31 - 1),
    "TCP_KEEPIDLE": _keepalive_setter(1, 1, 32767),
    "TCP_KEEPINTVL": _keepalive_setter(2, 1, 32767),
    "TCP_KEEPCNT": _keepalive_setter(3, 1, 127),
    "TCP_NODELAY": _set("nodelay"),
    "TCP_SYNCNT": _set("syncnt", 1, 127),
    "TCP_DEFER_ACCEPT": _set_defer_accept,
    "TCP_LINGER2": _set("linger2", -1, 120),
    "TCP_USER_TIMEOUT": _set("user_timeout"),
    **early_options.SETTERS,
}

_GETTERS: dict[str, Callable[[Socket], int]] = {
    "SO_ERROR": Socket.take_error,
    "SO_REUSEADDR": lambda sock: int(sock.reuseaddr),
    "SO_ACCEPTCONN": lambda sock: int(sock.listener is not None),
    "SO_RCVBUF": lambda sock: sock.rcvbuf or sock.machine.sysctl.tcp_rmem[1],
    "SO_SNDBUF": lambda sock: (
        sock.conn.sndbuf if sock.conn is not None else sock.sndbuf or sock.machine.sysctl.tcp_wmem[1]
    ),
    "SO_KEEPALIVE": lambda sock: sock.keepalive[0],
    "TCP_KEEPIDLE": lambda sock: sock.keepalive[1] or sock.machine.sysctl.tcp_keepalive_time,
    "TCP_KEEPINTVL": lambda sock: sock.keepalive[2] or sock.machine.sysctl.tcp_keepalive_intvl,
    "TCP_KEEPCNT": lambda sock: sock.keepalive[3] or sock.machine.sysctl.tcp_keepalive_probes,
    "TCP_NODELAY": lambda sock: int(sock.nodelay),
    "TCP_SYNCNT": lambda sock: sock.syncnt or sock.machine.sysctl.tcp_syn_retries,
    "TCP_USER_TIMEOUT": lambda sock: sock.user_timeout,
    "TCP_DEFER_ACCEPT": lambda sock: (1 << sock.defer_accept) - 1,
    "TCP_LINGER2": lambda sock: sock.linger2 or sock.machine.sysctl.tcp_fin_timeout,
    **early_options.GETTERS,
    "TCP_MAXSEG": lambda sock: sock.conn.mss if sock.conn is not None else 536,
}


def call(machine: Machine, op: str, args: tuple[Any, ...]) -> Any:
    """Run socket call `op` of the table below. ENOSYS: no such call; EBADF: no such descriptor."""
    if op == "socket":
        return machine.new_socket().fd
    if op == "sysctl":
        return machine.sysctl.get(*args) if len(args) == 1 else machine.sysctl.set(*args)
    function = _CALLS.get(op)
    if function is None:
        raise OSError(errno.ENOSYS, f"no socket call {op}")
    sock = machine.sockets.get(args[0])
    if sock is None:
        raise OSError(errno.EBADF, f"descriptor {args[0]} is not open")
    return function(sock, *args[1:])


_CALLS: dict[str, Callable[..., Any]] = {
    "bind": Socket.bind,
    "listen": Socket.listen,
    "accept": Socket.accept,
    "connect": Socket.connect,
    "send": Socket.send,
    "sendto": Socket.sendto,
    "recv": Socket.recv,
    "shutdown": Socket.shutdown,
    "close": Socket.close,
    "abort": Socket.abort,
    "setsockopt": Socket.setsockopt,
    "getsockopt": Socket.getsockopt,
    "getsockname": Socket.getsockname,
    "getpeername": Socket.getpeername,
    "conn": Socket.label,
}
