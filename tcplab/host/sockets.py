"""BSD socket calls: non-blocking inside, with the errno that Linux gives (socket(7), tcp(7), and the calls' pages)."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from tcplab.api.states import State
from tcplab.host import epoll, errqueue, network, options, ports, readiness
from tcplab.tcp import fastopen, output, pmtu, seq, user
from tcplab.tcp.connection import Connection
from tcplab.tcp.env import Entry
from tcplab.tcp.listen import Listener
from tcplab.tcp.timewait import TimeWait
from tcplab.units import NEVER, SEC, Nanos
from tcplab.wire.ipv4 import text as ip_text

if TYPE_CHECKING:
    from tcplab.host.epoll import Watch
    from tcplab.host.machine import Machine
    from tcplab.tcp.notices import Notices

Wake = Callable[[], None]
_READ: Final = readiness.IN | readiness.PRI | readiness.RDNORM | readiness.RDHUP
_WRITE: Final = readiness.OUT | readiness.WRNORM
"""What epoll looks for when TCP tells of something."""


class Socket:
    """A file descriptor of an application, and what it stands for."""

    __slots__ = (
        "bound", "ca_setsockopt", "congestion", "conn", "connecting", "error", "fastopen", "fd", "linger", "lingering",
        "listener", "machine", "notices", "options", "port", "readers", "reserved", "watches", "writers",
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
        self.options: dict[str, int] = {"IP_MTU_DISCOVER": pmtu.DONT} if machine.sysctl.ip_no_pmtu_disc else {}
        """What setsockopt() set, as `tcplab.host.options` keeps it; the three below are not one number."""
        self.linger: tuple[int, int] = (0, 0)
        self.congestion: str = machine.sysctl.tcp_congestion_control
        self.ca_setsockopt = False
        """TCP_CONGESTION chose it: a connection that a listener gets has it too."""
        self.fastopen: fastopen.Settings = fastopen.Settings()
        self.lingering: Linger | None = None
        """close() was called and waits."""
        self.error = 0
        """A pending error that outlived its connection."""
        self.reserved = False
        """bind() chose the port, so it stays the socket's when a connection ends (SOCK_BINDPORT_LOCK)."""
        self.notices: Notices | None = None
        """The error queue, once SO_ZEROCOPY or SO_TIMESTAMPING was set."""
        self.watches: tuple[Watch, ...] = ()
        self.readers: list[Wake] = []
        self.writers: list[Wake] = []

    # --- what TCP tells (tcplab.tcp.tcb.Owner) ---

    def readable(self) -> None:
        """Data, the end, an error or a connection to accept: whoever waits to read tries again."""
        for watch in self.watches:
            watch.wake(_READ)
        if self.readers:
            self.machine.woken += self.readers
            self.readers.clear()

    def writable(self) -> None:
        """Connected, room in the buffer, or an error: whoever waits to write tries again."""
        for watch in self.watches:
            watch.wake(_WRITE)
        if self.lingering is not None and not self.lingering.over:
            self.machine.woken.append(self.lingering.look)
        elif self.writers:
            self.machine.woken += self.writers
            self.writers.clear()

    @property
    def holds_port(self) -> bool:
        """Nobody else may have `port`: bind() took it, or a connection has it that is not over (inet_put_port)."""
        return self.bound or self.listener is not None or (self.conn is not None and not self.conn.over)

    def noticed(self) -> None:
        """The error queue has something (sock_def_error_report)."""
        for watch in self.watches:
            watch.wake(readiness.ERR)
        if self.readers:
            self.machine.woken += self.readers
            self.readers.clear()

    @property
    def outcome_known(self) -> bool:
        """A call to this very host's address blocked, and before anybody could wait its outcome was there."""
        conn = self.conn
        if conn is None or conn.raddr != conn.laddr:
            return False
        if self.lingering is not None:
            return self.lingering.over
        return self.connecting and conn.state not in (State.SYN_SENT, State.SYN_RECV)

    # --- the calls ---

    def bind(self, addr: int, port: int) -> None:
        """bind(2). EINVAL: bound before; EADDRNOTAVAIL: not our address; EADDRINUSE."""
        if self.holds_port:
            raise OSError(errno.EINVAL, "the socket is bound already")
        _check_port(port)
        if addr not in (0, self.machine.addr):
            raise OSError(errno.EADDRNOTAVAIL, f"{ip_text(addr)} is not an address of this host")
        if port:
            ports.check_bind(self.machine, self, port)
        if not port and self.options.get("IP_BIND_ADDRESS_NO_PORT"):
            return
        ports.bind(self.machine, self, port or ports.for_bind(self.machine, self))
        self.reserved = True

    def listen(self, backlog: int) -> None:
        """listen(2): also again on a listening socket, which changes the backlog live."""
        if self.conn is not None:
            raise OSError(errno.EINVAL, "the socket is connected")
        if self.listener is not None:
            self.listener.set_backlog(backlog)
            return
        if self.port:
            ports.check_bind(self.machine, self, self.port)
        else:
            self.port = ports.for_bind(self.machine, self)
        self.listener = Listener(self.machine, self.port, backlog, self.fd, self.readable, self._inherit)
        options.apply_listener(self, self.listener)
        bits = fastopen.SERVER | fastopen.ALL_LISTENERS
        if self.machine.sysctl.tcp_fastopen & bits == bits and not self.fastopen.max_qlen:
            self.fastopen.max_qlen = self.listener.max_ack_backlog
        self.machine.listeners.setdefault(self.port, []).append(self.listener)

    def accept(self) -> tuple[int, tuple[int, int]]:
        """accept(2): (descriptor, (address, port)) of the oldest complete connection. EAGAIN: none."""
        if self.listener is None:
            raise OSError(errno.EINVAL, "the socket does not listen")
        conn = self.listener.accept()
        if conn is None:
            raise BlockingIOError(errno.EAGAIN, "no connection to accept")
        sock = self.machine.new_socket()
        ports.bind(self.machine, sock, self.port)
        sock.options = {name: value for name, value in self.options.items() if name not in options.NOT_INHERITED}
        sock.linger, sock.congestion = self.linger, conn.congestion
        sock.ca_setsockopt = self.ca_setsockopt
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

    def _open(self, addr: int, port: int, data: bytes | None, flags: int = 0) -> int:
        """Call a peer, with Fast Open if there is `data` or the option is set; how much of it the SYN carries."""
        machine = self.machine
        _check_port(port)
        if not network.unicast(machine.addr, addr):
            raise OSError(errno.ENETUNREACH, f"{ip_text(addr)} is a broadcast or multicast address")
        local = self.port or ports.for_connect(machine, self, addr, port)
        old = machine.flows.get((addr, port, local))
        if old is not None and not ports.usable(machine, addr, port, local, chosen=bool(self.port)):
            raise OSError(errno.EADDRNOTAVAIL, "this port pair is in use")
        self.port = local
        self.error = 0
        conn = Connection(machine, machine.addr, local, addr, port)
        self._own(conn)
        options.apply(self, conn)
        conn.pingpong = int(self.options.get("TCP_QUICKACK") == 0 or self.options.get("TCP_DEFER_ACCEPT", 0) > 0)
        self.connecting = True
        if data is not None or self.fastopen.connect:
            conn.attempt = fastopen.attempt(machine, addr, self.fastopen.no_cookie, conn.user_mss)
        rcvbuf, sndbuf = self.options.get("SO_RCVBUF", 0), self.options.get("SO_SNDBUF", 0)
        return user.connect(conn, rcvbuf, sndbuf, old if isinstance(old, TimeWait) else None, data, flags)

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
            error = conn.error or errno.ECONNABORTED
            self._disconnect()
            raise OSError(error, f"connect() failed: {errno.errorcode[error]}")

    def _disconnect(self) -> None:
        """The connection is gone; the socket can try again (tcp_disconnect)."""
        self.conn = None
        self.connecting = False
        self.options.pop("TCP_WINDOW_CLAMP", None)
        if not self.reserved:
            ports.unbind(self.machine, self)
            self.port = 0

    def disconnect(self) -> None:
        """connect(2) with AF_UNSPEC: the connection, or the listening, ends at once; the socket can begin anew."""
        if self.listener is not None:
            self._stop_listening("the listener was disconnected before accept()", "Linux inet_csk_listen_stop")
        elif self.conn is not None:
            self.error = user.disconnect(self.conn) or self.error
        self._disconnect()
        self.readable()
        self.writable()

    def _own(self, conn: Connection) -> None:
        self.conn = conn
        conn.owner = self
        errqueue.own(self, conn)

    def _inherit(self, conn: Connection) -> None:
        """A new connection of this listener: it has the listener's options before accept() already."""
        options.apply(self, conn)
        errqueue.inherit(self, conn)

    def _connected(self) -> Connection:
        if self.error:
            error = self.take_error()
            raise OSError(error, f"the connection failed: {errno.errorcode[error]}")
        if self.conn is None:
            raise OSError(errno.ENOTCONN, "the socket is not connected")
        return self.conn

    def send(self, data: bytes, flags: int = 0, cuts: Sequence[int] = ()) -> int:
        """send(2): how many octets the buffer took. Flags: MSG_MORE, MSG_EOR, MSG_ZEROCOPY; EOPNOTSUPP: MSG_OOB."""
        if self.conn is None and not self.error:
            raise BrokenPipeError(errno.EPIPE, "the socket is not connected")
        return user.send(self._connected(), data, flags, cuts)

    def sendto(self, data: bytes, flags: int, addr: int, port: int) -> int:
        """sendto(2). MSG_FASTOPEN: connect and send at once; without it the address does not count.

        EINPROGRESS: there was no cookie yet, nothing was taken. EOPNOTSUPP: the sysctl tcp_fastopen has no client bit.
        """
        rest = flags & ~fastopen.MSG_FASTOPEN
        if not flags & fastopen.MSG_FASTOPEN or self._deferred():
            return self.send(data, rest)
        if not self.machine.sysctl.tcp_fastopen & fastopen.CLIENT:
            raise OSError(errno.EOPNOTSUPP, "tcp_fastopen does not let clients use it")
        if self.conn is not None or self.listener is not None:
            self.connect(addr, port)
            return self.send(data, rest)
        taken = self._open(addr, port, data, flags)
        if not taken:
            raise BlockingIOError(errno.EINPROGRESS, "the SYN is on its way, without data")
        return taken

    def recv(self, most: int, flags: int = 0) -> bytes:
        """recv(2): up to `most` octets, b"" at the end of the stream. Flags: MSG_PEEK, MSG_TRUNC."""
        conn = self.conn
        return user.receive(conn if conn is not None and not self.error else self._connected(), most, flags)

    def sendmsg(self, parts: list[bytes], flags: int = 0) -> int:
        """sendmsg(2) without an address: the octets of all `parts`."""
        return self.send(b"".join(parts), flags, errqueue.cuts(self, parts, flags))

    def recvmsg(self, most: int, flags: int = 0) -> tuple[bytes, dict[str, Any]]:
        """recvmsg(2): the octets, and with TCP_INQ how many are left (1 more than nothing at the end).

        MSG_ERRQUEUE: `tcplab.host.errqueue.read`.
        """
        if flags & errqueue.MSG_ERRQUEUE:
            return errqueue.read(self, most)
        conn = self._connected()
        data = user.receive(conn, most, flags)
        return data, {"TCP_INQ": len(conn.rcvq) or int(conn.fin_rcvd)} if self.options.get("TCP_INQ") else {}

    def ioctl(self, request: str) -> int:
        """ioctl(2): SIOCINQ, SIOCOUTQ or SIOCOUTQNSD: octets to read, not acknowledged, not sent."""
        if self.listener is not None or request not in ("SIOCINQ", "SIOCOUTQ", "SIOCOUTQNSD"):
            raise OSError(errno.EINVAL, f"no ioctl {request} here")
        conn = self.conn
        if conn is None or conn.state in (State.CLOSED, State.SYN_SENT):
            return len(conn.rcvq) if conn is not None and request == "SIOCINQ" else 0
        if request == "SIOCINQ":
            return len(conn.rcvq)
        if request == "SIOCOUTQNSD":
            return output.unsent(conn)
        fin_unacked = conn.fin_queued and not seq.after(conn.snd_una, conn.data_end)
        return len(conn.sndq) + fin_unacked

    def shutdown(self, how: str) -> None:
        """shutdown(2) with `rd`, `wr` or `rdwr`. ENOTCONN: not connected; EINVAL: another word.

        It ends an attempt to connect, and rd ends listening: the socket can begin anew (inet_shutdown).
        """
        if how not in ("rd", "wr", "rdwr"):
            raise OSError(errno.EINVAL, f"shutdown takes rd, wr or rdwr, not {how}")
        if self.listener is not None:
            if how != "wr":
                self._stop_listening("shutdown() of the listener", "Linux inet_shutdown")
                self._disconnect()
            return
        conn = self._connected()
        if conn.state is State.SYN_SENT:
            user.close(conn, (0, 0))
            self._disconnect()
            self.error = errno.ECONNRESET
            self.readable()
            self.writable()
            return
        if conn.over:
            raise OSError(errno.ENOTCONN, "the connection is over")
        self.connecting = False  # for connect() it is a connected socket from now on
        if how != "rd":
            user.close_writing(conn)
        if how != "wr":
            user.shut_reading(conn)

    def close(self) -> None:
        """close(2). EAGAIN: SO_LINGER waits for the ACK of the FIN; the descriptor can only be closed, again."""
        if self.listener is not None:
            self._stop_listening("the listener closed before accept()", "Linux inet_csk_listen_stop")
        if self.lingering is None and self.conn is not None and user.close(self.conn, self.linger):
            self.lingering = Linger(self, self.conn)
        if self.lingering is not None and not self.lingering.over:
            raise BlockingIOError(errno.EAGAIN, "SO_LINGER: the FIN is not acknowledged yet")
        ports.unbind(self.machine, self)
        del self.machine.sockets[self.fd]
        for watch in self.watches:
            watch.epoll.forget(self.fd)
        self.watches = ()
        self.readable()
        self.writable()

    def _stop_listening(self, why: str, ref: str) -> None:
        """The connections that nobody accepted go with the listener: they get RST. accept() is told."""
        assert self.listener is not None
        group = self.machine.listeners[self.port]
        group.remove(self.listener)
        if not group:
            del self.machine.listeners[self.port]
        for conn in self.listener.close():
            conn.dead = True
            user.abort(conn, why, ref)
        self.listener = None
        self.readable()

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
        if conn.over or conn.state is State.SYN_SENT:
            raise OSError(errno.ENOTCONN, "the socket is not connected")
        return (conn.raddr, conn.rport)

    def label(self) -> str:
        """The connection's name in events and views; empty when there is none."""
        return self.conn.label if self.conn is not None else ""

    # --- options ---

    def setsockopt(self, name: str, value: options.Value) -> None:
        """setsockopt(2) by the option's name (`tcplab.host.options`)."""
        options.set_option(self, name, value)

    def getsockopt(self, name: str) -> Any:
        """getsockopt(2) by name."""
        return options.get_option(self, name)

    def take_error(self) -> int:
        """SO_ERROR: the pending error, once; 0 when there is none."""
        conn = self.conn
        if conn is None:
            error, self.error = self.error, 0
            return error
        error, conn.error = conn.error, 0
        if error:
            conn.done = True
        else:
            error, conn.soft_error = conn.soft_error, 0
        return error


class Linger:
    """A close() that waits: until the FIN is acknowledged, or SO_LINGER's seconds are over (sk_stream_wait_close)."""

    __slots__ = ("conn", "deadline", "entry", "label", "over", "sock")

    def __init__(self, sock: Socket, conn: Connection) -> None:
        self.sock = sock
        self.conn = conn
        self.label = conn.label
        self.over = False
        seconds = sock.linger[1]
        self.deadline: Nanos = sock.machine.now + seconds * SEC if seconds > 0 else NEVER
        self.entry: Entry | None = None
        sock.machine.schedule(self)

    def on_timer(self) -> None:
        """The seconds are over: the connection goes on without the application."""
        self._end()

    def look(self) -> None:
        """Something happened to the connection."""
        if not self.over and not user.closing(self.conn):
            self._end()

    def _end(self) -> None:
        self.over = True
        self.deadline = NEVER
        user.orphan(self.conn)
        self.sock.writable()


def _check_port(port: int) -> None:
    if not 0 <= port <= 65535:
        raise OSError(errno.EINVAL, f"{port} is not a port")


def call(machine: Machine, op: str, args: tuple[Any, ...]) -> Any:
    """Run socket call `op` of the table below. ENOSYS: no such call; EBADF: no such descriptor."""
    if op == "close" and args[0] in machine.epolls:
        return epoll.close(machine, args[0])
    function = _CALLS.get(op)
    if function is None:
        if op == "socket":
            return machine.new_socket().fd
        if op == "sysctl":
            return machine.sysctl.get(*args) if len(args) == 1 else machine.sysctl.set(*args)
        if op == "profile":
            return machine.sysctl.adopt(*args)
        if op in epoll.CALLS:
            return epoll.call(machine, op, args)
        raise OSError(errno.ENOSYS, f"no socket call {op}")
    sock = machine.sockets.get(args[0])
    if sock is None or (sock.lingering is not None and op not in ("close", "conn")):
        raise OSError(errno.EBADF, f"descriptor {args[0]} is not open")
    return function(sock, *args[1:])


_CALLS: dict[str, Callable[..., Any]] = {
    "bind": Socket.bind,
    "listen": Socket.listen,
    "accept": Socket.accept,
    "connect": Socket.connect,
    "disconnect": Socket.disconnect,
    "send": Socket.send,
    "sendmsg": Socket.sendmsg,
    "sendto": Socket.sendto,
    "recv": Socket.recv,
    "recvmsg": Socket.recvmsg,
    "ioctl": Socket.ioctl,
    "shutdown": Socket.shutdown,
    "close": Socket.close,
    "abort": Socket.abort,
    "setsockopt": Socket.setsockopt,
    "getsockopt": Socket.getsockopt,
    "getsockname": Socket.getsockname,
    "getpeername": Socket.getpeername,
    "conn": Socket.label,
}
