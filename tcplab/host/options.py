"""Every option of a socket, with Linux's name, default, range and unit: one table, which `help` shows too.

Only options that the stack obeys stand here (socket(7), tcp(7)). A socket keeps what was set in `Socket.options`, for
itself and for the connections that it accepts; `apply` carries it into a connection.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from tcplab.api.states import State
from tcplab.host import early_options, errqueue, tcp_info
from tcplab.tcp import cc, delack, output, pmtu, rcvbuf, timers
from tcplab.tcp.connection import Connection
from tcplab.tcp.listen import Listener
from tcplab.tcp.tcb import KEEPALIVE, NO_PACING
from tcplab.units import MS

if TYPE_CHECKING:
    from tcplab.host.sockets import Socket

Value: TypeAlias = int | tuple[int, ...] | str | bytes
"""What setsockopt() takes: a number, for SO_LINGER two, for TCP_CONGESTION a name, for TCP_FASTOPEN_KEY octets."""

_INT: Final = 2**31 - 1
_BUFFER_MAX: Final = 4 << 20  # net.core.rmem_max and wmem_max
_MIN_RCVBUF, _MIN_SNDBUF = 2304, 4608
_MIN_CLAMP: Final = _MIN_RCVBUF // 2
NOT_INHERITED: Final = ("TCP_DEFER_ACCEPT", "TCP_QUICKACK")
"""What an accepted socket does not have of its listener."""
_NOT_ECN: Final = 0xFC
_UINT: Final = 2**32 - 1
_NO_LIMIT: Final = -1
_MAX_DEFER: Final = 255  # SYN,ACK timeouts


class Option(NamedTuple):
    """One option. `low` .. `high`, both included, is what it takes; 0 of an option with a `knob` stands for that one.

    `take` makes of what was given what is kept; `effect` acts on it; `read` and `write` are for what is more.
    """

    name: str
    unit: str
    text: str
    source: str = "tcp(7)"
    default: int | str = 0
    low: int = -(2**31)
    high: int = _INT
    knob: str = ""
    read_only: bool = False
    take: Callable[[int], int] = int
    effect: Callable[[Socket], None] | None = None
    read: Callable[[Socket], Any] | None = None
    write: Callable[[Socket, Value], None] | None = None

    @property
    def span(self) -> str:
        """What it takes and what it is, in words."""
        if self.read_only:
            return f"{self.unit}, can only be read"
        default = f"sysctl {self.knob}" if self.knob else f"{self.default}"
        limits = "" if self.low < -1 else f", {self.low} .. {self.high}" if self.high < _INT else f", from {self.low}"
        return f"{self.unit}{limits}, default {default}"


# --- the two calls ----------------------------------------------------------------------------------------------------


def set_option(sock: Socket, name: str, value: Value) -> None:
    """setsockopt(2) by the option's name. ENOPROTOOPT: not known here; EINVAL: out of range."""
    option = OPTIONS.get(name)
    if option is None or option.read_only:
        known = ", ".join(one.name for one in OPTIONS.values() if not one.read_only)
        raise OSError(errno.ENOPROTOOPT, f"no socket option {name} to set here; there are {known}")
    if option.write is not None:
        option.write(sock, value)
        return
    if not isinstance(value, int):
        raise OSError(errno.EINVAL, f"{name} takes one number")
    if not option.low <= value <= option.high:
        raise OSError(errno.EINVAL, f"{name} takes {option.low} .. {option.high} ({option.unit}), not {value}")
    sock.options[name] = option.take(value)
    _carry(sock)
    if option.effect is not None:
        option.effect(sock)


def get_option(sock: Socket, name: str) -> Any:
    """getsockopt(2) by name. SO_ERROR reads and clears the pending error; TCP_INFO gives all of tcp_info."""
    option = OPTIONS.get(name)
    if option is None:
        raise OSError(errno.ENOPROTOOPT, f"no socket option {name} here; there are {', '.join(OPTIONS)}")
    if option.read is not None:
        return option.read(sock)
    return sock.options.get(name) or _default(sock, option)


def _default(sock: Socket, option: Option) -> Any:
    if not option.knob:
        return option.default
    value = sock.machine.sysctl.get(option.knob)
    return value[1] if isinstance(value, tuple) else value


def _carry(sock: Socket) -> None:
    """Tell the listener or the connection of its options."""
    if sock.conn is not None:
        apply(sock, sock.conn)
    if sock.listener is not None:
        apply_listener(sock, sock.listener)


def apply_listener(sock: Socket, listener: Listener) -> None:
    """Give a listener the options that count before there is a connection."""
    get = sock.options.get
    listener.rcvbuf, listener.sndbuf = get("SO_RCVBUF", 0), get("SO_SNDBUF", 0)
    listener.defer_accept = get("TCP_DEFER_ACCEPT", 0)
    listener.syn_retries = get("TCP_SYNCNT", 0)
    listener.fastopen = sock.fastopen
    listener.tos, listener.df = get("IP_TOS", 0), get("IP_MTU_DISCOVER", pmtu.WANT) in (pmtu.WANT, pmtu.DO)
    listener.user_mss, listener.window_clamp = get("TCP_MAXSEG", 0), get("TCP_WINDOW_CLAMP", 0)


def apply(sock: Socket, conn: Connection) -> None:
    """Give a connection the options of its socket; a new one of a listener inherits them so (sk_clone)."""
    _carry_congestion(sock, conn)
    if not sock.options:
        return
    get = sock.options.get
    conn.reuse, conn.reuseport = bool(get("SO_REUSEADDR")), bool(get("SO_REUSEPORT"))
    conn.tos, conn.pmtudisc = get("IP_TOS", 0), get("IP_MTU_DISCOVER", pmtu.WANT)
    pmtu.forbid_fragments(conn)
    conn.nodelay, conn.cork = bool(get("TCP_NODELAY")), bool(get("TCP_CORK"))
    conn.user_mss = get("TCP_MAXSEG", 0)
    conn.rcvbuf_locked = "SO_RCVBUF" in sock.options
    conn.user_clamp = get("TCP_WINDOW_CLAMP", 0)
    conn.notsent_lowat = get("TCP_NOTSENT_LOWAT", 0) & 0xFFFFFFFF
    conn.thin_lto = get("TCP_THIN_LINEAR_TIMEOUTS", 0) == 1
    conn.linger2 = get("TCP_LINGER2", 0)
    conn.user_timeout = get("TCP_USER_TIMEOUT", 0) * MS
    conn.syn_retries = get("TCP_SYNCNT", 0)
    conn.rcvbuf, conn.sndbuf = get("SO_RCVBUF", conn.rcvbuf), get("SO_SNDBUF", conn.sndbuf)
    conn.sndbuf_fixed = "SO_SNDBUF" in sock.options
    settings = (get("TCP_KEEPIDLE", 0), get("TCP_KEEPINTVL", 0), get("TCP_KEEPCNT", 0))
    conn.keepalive = settings if get("SO_KEEPALIVE") else None
    if "SO_MAX_PACING_RATE" in sock.options:
        _limit_pacing(conn, get("SO_MAX_PACING_RATE", _NO_LIMIT))


def _carry_congestion(sock: Socket, conn: Connection) -> None:
    """What a listener's connections have unless TCP_CONGESTION was set is the host's (tcp_ca_openreq_child)."""
    if conn.congestion != sock.congestion and (sock.listener is None or sock.ca_setsockopt):
        cc.assign(conn, sock.congestion)
        if conn.state is not State.CLOSED:
            conn.cc.init(conn)


def _limit_pacing(conn: Connection, rate: int) -> None:
    """So many octets a second at most, whatever the controller wants; and now it is paced (sk_setsockopt)."""
    if rate == _NO_LIMIT:
        conn.max_pacing_rate = NO_PACING
        return
    conn.pacing = True
    conn.max_pacing_rate = rate & _UINT
    conn.pacing_rate = min(conn.pacing_rate, conn.max_pacing_rate)


# --- what setting one does --------------------------------------------------------------------------------------------


def _keepalive(sock: Socket) -> None:
    """Start the idle clock, or stop it (tcp_set_keepalive, tcp_sock_set_keepidle_locked)."""
    conn = sock.conn
    if conn is None or conn.state is State.CLOSED or conn.state is State.SYN_SENT:
        return
    if conn.keepalive is None:
        timers.stop(conn, KEEPALIVE)
    else:
        silent = conn.host.now - max(conn.lrcvtime, conn.rcv_tstamp)
        timers.arm_keepalive(conn, max(timers.keepalive_settings(conn)[0] - silent, 0))


def _keepalive_on(sock: Socket) -> None:
    conn = sock.conn
    if conn is None or conn.keepalive is None:
        _keepalive(sock)
    elif conn.state is not State.CLOSED and conn.state is not State.SYN_SENT:
        timers.arm_keepalive(conn)


def _nodelay(sock: Socket) -> None:
    """Whatever Nagle or a cork held back leaves (__tcp_sock_set_nodelay)."""
    if sock.conn is not None and sock.conn.nodelay:
        output.push(sock.conn, "TCP_NODELAY was set: what was held back", force=True)


def _cork(sock: Socket) -> None:
    if sock.conn is not None and not sock.conn.cork:
        output.push(sock.conn, "the cork is out: what was held back")


def _window_clamp(sock: Socket) -> None:
    """Linux tcp_set_window_clamp."""
    conn = sock.conn
    if conn is None:
        return
    rcvbuf.set_clamp(conn, conn.user_clamp)


def _room(sock: Socket) -> None:
    sock.writable()


def _quickack(sock: Socket) -> None:
    """Linux __tcp_sock_set_quickack: 0 begins ping-pong mode, others end it and send the ACK that is owed."""
    conn, value = sock.conn, sock.options["TCP_QUICKACK"]
    if conn is None:
        return
    conn.pingpong = int(value == 0)
    if value and conn.state in (State.ESTABLISHED, State.CLOSE_WAIT) and conn.pending & delack.SCHED:
        conn.pending |= delack.PUSHED
        why = delack.after_read(conn, 1)
        if why:
            output.send_ack(conn, "TCP_QUICKACK was set: the ACK that was owed", delack.REF)
        conn.pingpong = int(value & 1 == 0)


# --- options that are not one kept number -----------------------------------------------------------------------------


def _set_linger(sock: Socket, value: Value) -> None:
    if not isinstance(value, tuple) or len(value) != 2:
        raise OSError(errno.EINVAL, "SO_LINGER takes two numbers: on (0 or 1) and seconds")
    on, seconds = value
    sock.linger = (1, seconds) if on else (0, sock.linger[1])


def _set_congestion(sock: Socket, value: Value) -> None:
    if not isinstance(value, str) or not value:
        raise OSError(errno.EINVAL, "TCP_CONGESTION takes a name")
    sysctl = sock.machine.sysctl
    if cc.find(value) is None:
        known = ", ".join(sysctl.tcp_available_congestion_control.split())
        raise OSError(errno.ENOENT, f"no congestion control {value} here; there are {known}")
    if value not in sysctl.tcp_allowed_congestion_control.split():
        raise OSError(errno.EPERM, f"{value} is not among tcp_allowed_congestion_control")
    sock.congestion = value
    sock.ca_setsockopt = True
    _carry(sock)


def _set_maxseg(sock: Socket, value: Value) -> None:
    if not isinstance(value, int) or (value and not 88 <= value <= 32767):
        raise OSError(errno.EINVAL, f"TCP_MAXSEG takes 88 .. 32767, or 0 for what the path allows, not {value!r}")
    sock.options["TCP_MAXSEG"] = value
    _carry(sock)


def _set_window_clamp(sock: Socket, value: Value) -> None:
    if not isinstance(value, int) or (value == 0 and sock.conn is not None):
        raise OSError(errno.EINVAL, "TCP_WINDOW_CLAMP takes a number; 0, no limit, only before there is a connection")
    sock.options["TCP_WINDOW_CLAMP"] = max(value, _MIN_CLAMP) if value else 0
    _carry(sock)
    _window_clamp(sock)


def _maxseg(sock: Socket) -> int:
    if sock.conn is not None and sock.conn.state is not State.CLOSED:
        return sock.conn.mss
    return sock.options.get("TCP_MAXSEG") or 536


def _clamp(sock: Socket) -> int:
    """A connection's is its own by now: the buffer has a say in it (do_tcp_getsockopt)."""
    if sock.conn is not None and sock.conn.state is not State.CLOSED:
        return sock.conn.clamp
    return sock.options.get("TCP_WINDOW_CLAMP", 0)


def _buffer(least: int) -> Callable[[int], int]:
    """Linux doubles what is asked for, up to rmem_max, and has a minimum; negative counts as very much."""
    return lambda value: max(2 * (min(value, _BUFFER_MAX) if value >= 0 else _BUFFER_MAX), least)


def _deferred(seconds: int) -> int:
    """Seconds become a number of SYN,ACK timeouts: 1, 2, 4 .. 64 s, then 120 s each (Linux secs_to_retrans)."""
    retries = passed = 0
    while passed < seconds and retries < _MAX_DEFER:
        passed += min(1 << retries, 120)
        retries += 1
    return retries


def _defer_accept(sock: Socket) -> int:
    return sum(min(1 << n, 120) for n in range(sock.options.get("TCP_DEFER_ACCEPT", 0)))


def _port_range(value: int) -> int:
    low, high = value & 0xFFFF, value >> 16 & 0xFFFF
    if low and high and low > high:
        raise OSError(errno.EINVAL, f"IP_LOCAL_PORT_RANGE: {low} is more than {high}")
    return value


def _mtu_discover(sock: Socket) -> int:
    return sock.options.get("IP_MTU_DISCOVER", pmtu.WANT)


def _mtu(sock: Socket) -> int:
    if sock.conn is None or sock.conn.over:
        raise OSError(errno.ENOTCONN, "without a connection there is no path")
    return pmtu.to(sock.machine, sock.conn.raddr)


def _sndbuf(sock: Socket) -> int:
    if sock.conn is not None:
        return sock.conn.sndbuf
    return sock.options.get("SO_SNDBUF") or sock.machine.sysctl.tcp_wmem[1]


def _pingpong(sock: Socket) -> int:
    pingpong = sock.conn.pingpong if sock.conn is not None else sock.options.get("TCP_QUICKACK") == 0
    return int(not pingpong)


def _info(sock: Socket) -> dict[str, int]:
    if sock.listener is not None:
        return tcp_info.of_listener(sock.listener)
    return tcp_info.of(sock.conn) if sock.conn is not None else tcp_info.of_unconnected()


def _cc_info(sock: Socket) -> dict[str, int]:
    return sock.conn.cc.info(sock.conn) if sock.conn is not None else {}


OPTIONS: Final[dict[str, Option]] = {
    option.name: option
    for option in (
        Option(
            "SO_REUSEADDR", "bool", "bind() although connections have the port: all must set it, and none may listen",
            "socket(7)", take=bool,
        ),
        Option(
            "SO_REUSEPORT", "bool", "several listeners on one port share its connections by a hash: all must set it",
            "socket(7)", take=bool,
        ),
        Option(
            "SO_LINGER", "bool and s", "close() waits so long for the ACK of the FIN; with 0 s it aborts with a RST",
            "socket(7)", read=lambda sock: sock.linger, write=_set_linger,
        ),
        Option(
            "SO_RCVBUF", "octets", "receive buffer, doubled: half of it is overhead", "socket(7)", knob="tcp_rmem",
            take=_buffer(_MIN_RCVBUF),
        ),
        Option(
            "SO_SNDBUF", "octets", "send buffer, doubled likewise", "socket(7)", knob="tcp_wmem",
            take=_buffer(_MIN_SNDBUF), effect=_room, read=_sndbuf,
        ),
        Option("SO_KEEPALIVE", "bool", "probe a silent peer", "socket(7)", take=bool, effect=_keepalive_on),
        Option(
            "SO_ERROR", "errno", "the pending error, once", "socket(7)", read_only=True,
            read=lambda sock: sock.take_error(),
        ),
        Option(
            "SO_ACCEPTCONN", "bool", "whether the socket listens", "socket(7)", read_only=True,
            read=lambda sock: int(sock.listener is not None),
        ),
        Option("SO_TYPE", "number", "1: SOCK_STREAM", "socket(7)", 1, read_only=True),
        Option("SO_PROTOCOL", "number", "6: IPPROTO_TCP", "socket(7)", 6, read_only=True),
        Option("SO_DOMAIN", "number", "2: AF_INET", "socket(7)", 2, read_only=True),
        Option("TCP_NODELAY", "bool", "small segments do not wait; setting it sends", take=bool, effect=_nodelay),
        Option("TCP_CORK", "bool", "a part of a segment waits for more, 200 ms at most", take=bool, effect=_cork),
        Option(
            "TCP_MAXSEG", "octets", "the MSS that our SYN tells, and the most that we send; 0: what the path allows",
            default=536, low=0, high=32767, read=_maxseg, write=_set_maxseg,
        ),
        Option(
            "TCP_KEEPIDLE", "s", "idle time before the first keepalive probe", low=1, high=32767,
            knob="tcp_keepalive_time", effect=_keepalive,
        ),
        Option(
            "TCP_KEEPINTVL", "s", "time between keepalive probes", low=1, high=32767, knob="tcp_keepalive_intvl"
        ),
        Option(
            "TCP_KEEPCNT", "probes", "unanswered probes before ETIMEDOUT", low=1, high=127, knob="tcp_keepalive_probes"
        ),
        Option(
            "TCP_SYNCNT", "SYNs", "repeats of a SYN, or of a listener's SYN,ACK", low=1, high=127,
            knob="tcp_syn_retries",
        ),
        Option(
            "TCP_LINGER2", "s", "how long an orphan waits in FIN_WAIT_2, at most 120; below 0: RST at once",
            knob="tcp_fin_timeout", take=lambda value: max(min(value, 120), -1),
        ),
        Option(
            "TCP_DEFER_ACCEPT", "s", "accept() gets a connection only when data came",
            take=_deferred, read=_defer_accept,
        ),
        Option(
            "TCP_WINDOW_CLAMP", "octets",
            "the greatest window to offer, until segments of another size come; 0: no limit",
            read=_clamp, write=_set_window_clamp,
        ),
        Option(
            "TCP_QUICKACK", "bool", "1: acknowledge at once for a while, 0: wait for data to ride on", default=1,
            effect=_quickack, read=_pingpong,
        ),
        Option(
            "TCP_CONGESTION", "name", "the congestion control", default=cc.DEFAULT, knob="tcp_congestion_control",
            read=lambda sock: sock.congestion,
            write=_set_congestion,
        ),
        Option("TCP_USER_TIMEOUT", "ms", "give up when data is unacknowledged for so long; 0: by retries", low=0),
        Option(
            "TCP_NOTSENT_LOWAT", "octets", "send() takes more only while less than this is unsent; 0: no limit",
            effect=_room,
        ),
        Option(
            "TCP_FASTOPEN", "connections", "how many may be open before the third step; 0: no Fast Open",
            read=lambda sock: sock.fastopen.max_qlen, write=early_options.queue_length,
        ),
        Option(
            "TCP_FASTOPEN_CONNECT", "bool", "connect() waits for the first data, which goes with the SYN",
            read=lambda sock: int(sock.fastopen.connect), write=early_options.connect,
        ),
        Option(
            "TCP_FASTOPEN_NO_COOKIE", "bool", "data in the SYN without a cookie",
            read=lambda sock: int(sock.fastopen.no_cookie), write=early_options.no_cookie,
        ),
        Option(
            "TCP_FASTOPEN_KEY", "octets", "the key of the cookies, 16 octets; 32: an older one counts too",
            read=lambda sock: b"".join(sock.fastopen.keys), write=early_options.key,
        ),
        Option(
            "SO_ZEROCOPY", "bool", "send() with MSG_ZEROCOPY tells by the error queue when the octets were taken",
            "Linux msg_zerocopy.rst", low=0, high=1, read=errqueue.is_zerocopy, write=errqueue.zerocopy,
        ),
        Option(
            "SO_TIMESTAMPING", "flags", "when the last octet of a send() left and was acknowledged: by the error queue",
            "Linux timestamping.rst", low=0, read=errqueue.stamps, write=errqueue.timestamping,
        ),
        Option(
            "SO_MEMINFO", "struct", "memory of the socket, as ss(8) shows it", "sock_diag(7)", read_only=True,
            read=lambda sock: tcp_info.memory(sock.conn),
        ),
        Option(
            "IP_TOS", "octet", "type of service of its packets; the two bits of ECN are not the application's", "ip(7)",
            take=lambda value: value & _NOT_ECN,
        ),
        Option(
            "IP_MTU_DISCOVER", "mode",
            "0 no DF, ICMP is not believed; 1 DF down to min_pmtu; 2 DF always; 3 no DF; 4 and 5 as 0", "ip(7)",
            low=pmtu.DONT, high=pmtu.OMIT, default=pmtu.WANT, read=_mtu_discover,
        ),
        Option(
            "IP_MTU", "octets", "the greatest packet that the path of the connection carries", "ip(7)", read_only=True,
            read=_mtu,
        ),
        Option(
            "IP_BIND_ADDRESS_NO_PORT", "bool", "bind() to port 0 leaves the choice of the port to connect()", "ip(7)",
            take=bool,
        ),
        Option(
            "IP_LOCAL_PORT_RANGE", "ports", "lowest, and 65536 times the highest, that connect() and bind() choose",
            "ip(7)", take=_port_range,
        ),
        Option(
            "TCP_THIN_LINEAR_TIMEOUTS", "bool", "with few segments out the RTO does not double", low=0, high=1,
        ),
        Option("TCP_INQ", "bool", "recvmsg() tells how much is left to read", low=0, high=1),
        Option(
            "SO_MAX_PACING_RATE", "octets/s", "segments leave no faster, one after the other; -1: no limit",
            "socket(7)", default=_NO_LIMIT, read=lambda sock: sock.options.get("SO_MAX_PACING_RATE", _NO_LIMIT),
        ),
        Option(
            "TCP_CC_INFO", "struct", "what bbr knows of the path (struct tcp_bbr_info)", read_only=True, read=_cc_info,
        ),
        Option("TCP_INFO", "struct", "all that is known of it (struct tcp_info)", read_only=True, read=_info),
    )
}  # fmt: skip
