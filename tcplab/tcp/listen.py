"""Where a connection waits: the SYN queue of small request entries, the accept queue of complete connections.

Two bounded objects with one limit, `max_ack_backlog` = min(backlog, somaxconn); both count as full at *more than*
the limit, so each holds one more (Linux inet_csk_reqsk_queue_is_full, sk_acceptq_is_full).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from tcplab.api.events import Queue, StateChanged
from tcplab.api.states import State
from tcplab.tcp import early, fastopen, syncookie
from tcplab.tcp.connection import Connection
from tcplab.tcp.env import Env, FlowKey
from tcplab.tcp.negotiate import Offer
from tcplab.tcp.request import OVERFLOW_REF, Request, peer_text
from tcplab.units import Nanos
from tcplab.wire.ipv4 import text as ip_text
from tcplab.wire.tcp import ACK, FIN, RST, SYN, Segment

REF = "RFC 9293 3.10.7.2"


class Listener:
    """A listening port: its two queues and their counts.

    `on_ready` tells the socket that accept() can work; `on_child` gives a new connection the socket's options.
    """

    __slots__ = (
        "accept_queue", "backlog", "closed", "cookie_at", "cookies_sent", "defer_accept", "df", "fastopen", "fd",
        "host", "max_ack_backlog", "on_child", "on_ready", "overflows", "port", "rcvbuf", "sndbuf", "syn_dropped",
        "syn_queue", "syn_retries", "tos", "user_mss", "window_clamp", "young",
    )  # fmt: skip

    def __init__(
        self,
        host: Env,
        port: int,
        backlog: int,
        fd: int,
        on_ready: Callable[[], None],
        on_child: Callable[[Connection], None] = lambda conn: None,
    ) -> None:
        self.host = host
        self.port = port
        self.fd = fd
        self.on_ready = on_ready
        self.on_child = on_child
        self.syn_queue: dict[FlowKey, Request] = {}
        self.accept_queue: deque[Connection] = deque()
        self.young = 0
        """Requests whose SYN,ACK was not repeated yet."""
        self.syn_dropped = self.overflows = self.cookies_sent = 0
        self.closed = False
        self.defer_accept = 0
        """TCP_DEFER_ACCEPT as a number of SYN,ACK timeouts; 0: off."""
        self.fastopen = fastopen.Settings()
        self.cookie_at: Nanos = -(1 << 62)
        self.rcvbuf = self.sndbuf = self.user_mss = self.window_clamp = self.syn_retries = self.tos = 0
        """Options of the socket that count before there is a connection; 0: not set."""
        self.df = True
        """IP_MTU_DISCOVER: whether a SYN,ACK forbids to be fragmented."""
        self.set_backlog(backlog)

    def set_backlog(self, backlog: int) -> None:
        """listen(2), also again on a live listener; negative counts as the greatest (an unsigned compare in Linux)."""
        limit = self.host.sysctl.somaxconn
        self.backlog = backlog
        self.max_ack_backlog = limit if backlog < 0 else min(backlog, limit)

    @property
    def syn_queue_full(self) -> bool:
        """Linux inet_csk_reqsk_queue_is_full."""
        return len(self.syn_queue) > self.max_ack_backlog

    @property
    def accept_queue_full(self) -> bool:
        """Linux sk_acceptq_is_full."""
        return len(self.accept_queue) > self.max_ack_backlog

    def syn_limit(self) -> tuple[int, str]:
        """How many half-open entries fit, and which number decides."""
        limit, why = self.max_ack_backlog + 1, "min(backlog, somaxconn) + 1"
        if not self.host.sysctl.tcp_syncookies:
            reserve = self.host.sysctl.tcp_max_syn_backlog
            without = reserve - (reserve >> 2) + 1
            if without < limit:
                return without, "3/4 of tcp_max_syn_backlog + 1, for peers that are not known"
        return limit, why

    def told(self, which: str, op: str, raddr: int, rport: int, why: str) -> None:
        """Emit what happened to a queue, and which peer it was about."""
        host = self.host
        if host.tracing:
            peer = peer_text(raddr, rport)
            length = len(self.syn_queue) if which == "syn" else len(self.accept_queue)
            limit = self.syn_limit()[0] if which == "syn" else self.max_ack_backlog + 1
            host.emit(Queue(host.now, host.name, self.port, which, op, length, limit, peer, why))

    def accept(self) -> Connection | None:
        """The oldest complete connection, or None."""
        if not self.accept_queue:
            return None
        conn = self.accept_queue.popleft()
        self.told("accept", "remove", conn.raddr, conn.rport, "accept() took it")
        return conn

    def close(self) -> list[Connection]:
        """The listener ends: the connections that nobody accepted. Requests die at their next timer, silently."""
        self.closed = True
        waiting = list(self.accept_queue)
        self.accept_queue.clear()
        return waiting


# --- a segment for a listening port -----------------------------------------------------------------------------------


def segment_arrives(listener: Listener, seg: Segment, raddr: int) -> None:
    """RFC 9293 3.10.7.2 as Linux does it: no answer to RST, RST to an ACK (or it is a cookie), a SYN opens."""
    flags = seg.flags
    if flags & RST:
        _ignore(listener, seg, raddr, "RST", "there is nothing to reset in LISTEN")
    elif flags & ACK:
        _ack_arrives(listener, seg, raddr)
    elif flags & SYN and not flags & FIN:
        syn_arrives(listener, seg, raddr, None)
    else:
        _ignore(listener, seg, raddr, "no SYN", "a listener takes a SYN only")


def _ignore(listener: Listener, seg: Segment, raddr: int, reason: str, why: str) -> None:
    listener.host.dropped(_label(listener, seg, raddr), reason, "", why, REF)


def _label(listener: Listener, seg: Segment, raddr: int) -> str:
    return f"{ip_text(listener.host.addr)}:{listener.port}>{peer_text(raddr, seg.sport)}"


def _ack_arrives(listener: Listener, seg: Segment, raddr: int) -> None:
    host = listener.host
    if not seg.flags & SYN and syncookie.recently_sent(listener):
        request = syncookie.check(listener, seg, raddr)
        if request is None:
            host.counters["TcpExtSyncookiesFailed"] += 1
        else:
            host.counters["TcpExtSyncookiesRecv"] += 1
            request.third_ack(seg)
            return
    host.reply_rst(seg, raddr, "no connection: a listener knows nothing of this ACK", REF)


def syn_arrives(listener: Listener, seg: Segment, raddr: int, isn: int | None) -> None:
    """A SYN for a listening port (Linux tcp_conn_request): into the SYN queue, answered by a cookie, or dropped."""
    host = listener.host
    sysctl = host.sysctl
    cookie = False
    if isn is None and (listener.syn_queue_full or sysctl.tcp_syncookies == 2):
        cookie = sysctl.tcp_syncookies > 0
        host.counters["TcpExtTCPReqQFullDoCookies" if cookie else "TcpExtTCPReqQFullDrop"] += 1
        if not cookie:
            _drop_syn(listener, seg, raddr, "syn", "synq full", "the SYN queue is full")
            return
    if listener.accept_queue_full:
        host.counters["TcpExtListenOverflows"] += 1
        listener.overflows += 1
        _drop_syn(listener, seg, raddr, "accept", "acceptq full", "the accept queue is full: even a SYN is dropped")
        return
    if cookie:
        syncookie.answer(listener, seg, raddr)
        return
    reserve = sysctl.tcp_max_syn_backlog
    if isn is None and not sysctl.tcp_syncookies and reserve - len(listener.syn_queue) < reserve >> 2:
        why = "the rest of tcp_max_syn_backlog is for peers that are known"
        _drop_syn(listener, seg, raddr, "syn", "synq full", why)
        return
    verdict = early.NOTHING
    if seg.payload or seg.fastopen is not None:
        verdict = early.judge(listener, seg, raddr)
    if verdict.opens:
        early.open_now(listener, seg, raddr, isn, verdict.option)
    else:
        _enqueue(listener, Request(listener, seg, raddr, Offer(seg, sysctl), isn), verdict.option)


def _drop_syn(listener: Listener, seg: Segment, raddr: int, which: str, reason: str, why: str) -> None:
    listener.syn_dropped += 1
    listener.told(which, "full", raddr, seg.sport, why)
    why = f"{why}: silently, so the peer tries again"
    listener.host.dropped(_label(listener, seg, raddr), reason, "TcpExtListenDrops", why, OVERFLOW_REF)


def _enqueue(listener: Listener, request: Request, cookie: bytes) -> None:
    host = listener.host
    listener.syn_queue[request.key] = request
    listener.young += 1
    host.flows[request.key] = request
    if host.tracing:
        why = "SYN received: a half-open entry in the SYN queue"
        host.emit(StateChanged(host.now, host.name, request.label, State.LISTEN.value, State.SYN_RECV.value, why, REF))
    listener.told("syn", "add", request.raddr, request.rport, "SYN received")
    why = "SYN received: the port listens and the SYN queue has room"
    if cookie:
        why += "; with a Fast Open cookie for the next time"
    request.send_syn_ack(why, fastopen.SERVER_REF if cookie else REF, cookie=cookie)
    request.wait()
