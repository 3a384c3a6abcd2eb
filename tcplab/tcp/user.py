"""The user's calls: RFC 9293 sections 3.10.1 to 3.10.6, with Linux's errno. Nothing here blocks."""

from __future__ import annotations

import errno
from collections.abc import Sequence

from tcplab.api.events import Noted
from tcplab.api.states import CLOSE_WAIT, CLOSED, ESTABLISHED, FIN_WAIT_2, SYN_RECV, SYN_SENT, Cause, State
from tcplab.tcp import (
    autotune,
    chrono,
    delack,
    fastopen,
    machine,
    mtu_probe,
    negotiate,
    output,
    pmtu,
    rate,
    rcvbuf,
    seq,
    sndbuf,
    timers,
    timewait,
    tso,
    window,
)
from tcplab.tcp.connection import Connection
from tcplab.tcp.tcb import RTO, SentSeg, Tcb
from tcplab.units import US

_CAN_WRITE = (State.ESTABLISHED, State.CLOSE_WAIT, State.SYN_RECV)
_NEEDS_RESET = (State.ESTABLISHED, State.CLOSE_WAIT, State.FIN_WAIT_1, State.FIN_WAIT_2, State.SYN_RECV)


def connect(
    conn: Connection, buffer: int, sndbuf: int, old: timewait.TimeWait | None, data: bytes | None = None, flags: int = 0
) -> int:
    """Active open (3.10.1): send the SYN. `old`: our own TIME_WAIT bucket, whose port pair is taken over.

    With Fast Open, `conn.attempt`, the SYN carries some of `data`; how many octets is the result. `data` None: if it
    may carry some, it waits for it.
    """
    host = conn.host
    negotiate.buffers(conn, buffer, sndbuf)
    conn.advmss = pmtu.advertised(host, conn.raddr, conn.user_mss)
    conn.mss_clamp = conn.user_mss or conn.mss_clamp
    conn.ts_ok = host.sysctl.tcp_timestamps > 0  # what the peer says to it is not known, but room is left
    mtu_probe.init(conn)
    pmtu.sync(conn, pmtu.to(host, conn.raddr))
    conn.ts_ok = False
    conn.rcv_wscale = window.pick_wscale(host.sysctl, buffer, conn.user_clamp)
    conn.clamp = min(conn.user_clamp or window.MAX_UNSCALED << conn.rcv_wscale, conn.clamp)
    mss = conn.advmss - (negotiate.TS_SPACE if old is not None and old.ts_recent else 0)
    conn.rcv_wnd = conn.rcv_ssthresh = window.initial(conn.rcvbuf, mss, conn.user_clamp)
    if host.sysctl.tcp_timestamps == 1:
        conn.ts_off = host.isn.ts_offset(conn.laddr, conn.lport, conn.raddr, conn.rport)
    conn.iss = host.isn.isn(host.now, conn.laddr, conn.lport, conn.raddr, conn.rport)
    if old is not None:
        conn.iss = seq.add(old.snd_nxt, 65537)
        conn.ts_recent, conn.ts_recent_at = old.ts_recent, old.ts_recent_at
        old.release("connect() reuses the port pair (tcp_tw_reuse)")
        host.counters["TcpExtTWRecycled"] += 1
    conn.ident = conn.iss & 0xFFFF
    conn.snd_una = conn.iss
    conn.snd_nxt = conn.snd_base = seq.add(conn.iss, 1)
    host.flows[conn.key] = conn
    machine.enter(conn, Cause.ACTIVE_OPEN, "connect()", "RFC 9293 3.10.1")
    if data is None and conn.attempt is not None and conn.attempt.room:
        conn.attempt.deferred = True
        return 0
    return _call(conn, data or b"", flags)


def _call(conn: Tcb, data: bytes, flags: int = 0) -> int:
    """Send the first SYN, and with Fast Open a part of `data`: how much."""
    host, attempt = conn.host, conn.attempt
    host.counters["TcpActiveOpens"] += 1
    conn.rtx.append(SentSeg(conn.iss, conn.snd_nxt, host.now, syn=True))
    why, ref = "connect(): synchronize", "RFC 9293 3.5"
    option = b""
    data = data[: attempt.room] if attempt is not None else b""
    if attempt is not None:
        option = attempt.option
        attempt.deferred = False
        attempt.taken = len(data)
        if attempt.room:
            why, ref = f"{why}, and Fast Open: {len(data)} octets of data", fastopen.CLIENT_REF
        elif option:
            why, ref = f"{why}, and ask for a Fast Open cookie", fastopen.CLIENT_REF
    if data:
        conn.sndq += data
        conn.snd_nxt = conn.data_end
        conn.rtx.append(SentSeg(conn.snd_base, conn.snd_nxt, host.now))
        conn.rtx[-1].push = True
        conn.skbs_sent.append(conn.snd_base)
        chrono.start(conn, chrono.BUSY)
        if conn.notices is not None:
            conn.notices.lent(conn, len(data), flags)
    output.send_syn(conn, why, ref, with_ts_recent=conn.ts_recent != 0, cookie=option, data=data)
    if data:
        conn.host.counters["TcpExtTCPOrigDataSent"] += 1
    timers.arm(conn, RTO, host.now + conn.rto, "the SYN waits for its SYN,ACK", "RFC 6298 2.1")
    return len(data)


# Flags of send() and recv(), with Linux's values; others mean nothing here.
MSG_OOB, MSG_PEEK, MSG_TRUNC, MSG_EOR, MSG_MORE = 0x1, 0x2, 0x20, 0x80, 0x8000


def send(tcb: Tcb, data: bytes, flags: int = 0, cuts: Sequence[int] = ()) -> int:
    """SEND (3.10.2): how many octets were taken. EAGAIN: the buffer is full; EPIPE: this direction is closed.

    `cuts`: offsets in `data` over which no segment goes.
    """
    if tcb.error:
        _raise_pending(tcb)
    if tcb.state is SYN_SENT or (tcb.state is SYN_RECV and tcb.request is None):
        if tcb.attempt is not None and tcb.attempt.deferred:
            taken = _call(tcb, data, flags)
            if taken:
                return taken
            raise BlockingIOError(errno.EINPROGRESS, "the SYN is on its way")
        raise BlockingIOError(errno.EAGAIN, "not connected yet")
    if tcb.state not in _CAN_WRITE or tcb.fin_queued or tcb.fin_later:
        raise BrokenPipeError(errno.EPIPE, "this direction is closed")
    if not data:
        return 0
    if flags & MSG_OOB:
        raise OSError(errno.EOPNOTSUPP, "there is no urgent data here")
    rate.check_app_limited(tcb)
    if cuts:
        tcb.eor += tuple(seq.add(tcb.data_end, cut) for cut in cuts)
    whole = tso.goal(tcb, output.current_mss(tcb))
    taken = sndbuf.take(tcb, data, whole, lambda: output.push_filled(tcb, "data from send()"))
    if not taken:
        raise BlockingIOError(errno.EAGAIN, "the send buffer is full")
    more = bool(flags & MSG_MORE) and taken == len(data)
    if not more or sndbuf.forced(tcb):
        sndbuf.mark(tcb)
    if flags & MSG_EOR and taken == len(data):
        tcb.eor += (tcb.data_end,)
    if tcb.notices is not None:
        tcb.notices.written(tcb, taken, flags)
    output.push(tcb, "data from send()", more)
    return taken


def receive(tcb: Tcb, most: int, flags: int = 0) -> bytes:
    """RECEIVE (3.10.3): up to `most` octets; b"" at the end. EAGAIN: nothing yet; ENOTCONN, or the pending error.

    MSG_PEEK leaves them in the buffer; of what MSG_TRUNC throws away come as many zeros.
    """
    if flags & MSG_OOB:
        raise OSError(errno.EINVAL, "there is no urgent data here")
    if tcb.rcvq:
        data = bytes(tcb.rcvq if most >= len(tcb.rcvq) else memoryview(tcb.rcvq)[:most])
        mine = tcb.receiver
        if mine is not None and mine.rtt and (tcb.host.now - tcb.space_at) // US >= mine.rtt >> 3:
            autotune.adjust(tcb, 0 if flags & MSG_PEEK else min(len(data), tcb.rcvskbs[0][0]))
        if not flags & MSG_PEEK:
            del tcb.rcvq[:most]
            rcvbuf.read(tcb, len(data))
            tcb.fin_read = tcb.fin_rcvd and not tcb.rcvq
        if flags & MSG_TRUNC:
            data = bytes(len(data))
        why = delack.after_read(tcb, len(data)) if tcb.state is ESTABLISHED or not tcb.over else ""
        if why:
            output.send_ack(tcb, why, delack.REF)
        return data
    if tcb.fin_rcvd or tcb.done:  # the end of the stream wins over a later error (Linux SOCK_DONE)
        tcb.fin_read = tcb.fin_rcvd
        return b""
    if tcb.error:
        _raise_pending(tcb)
    if tcb.shut_rd:
        return b""
    if tcb.state is CLOSED:
        raise OSError(errno.ENOTCONN, "not connected")
    raise BlockingIOError(errno.EAGAIN, "nothing to read yet")


def _raise_pending(tcb: Tcb) -> None:
    error, tcb.error = tcb.error, 0
    tcb.done = True
    raise OSError(error, f"the connection failed: {errno.errorcode[error]}")


def close_writing(tcb: Tcb, at_close: bool = False) -> None:
    """shutdown(SHUT_WR), and the first half of close(): FIN after all that was written (3.10.4)."""
    if tcb.fin_queued:
        return
    if tcb.state is SYN_RECV and not at_close:
        tcb.fin_later = True  # Linux tcp_shutdown leaves SYN_RECV alone; close() does not
    elif tcb.state in (ESTABLISHED, SYN_RECV, CLOSE_WAIT):
        tcb.fin_queued = True
        machine.enter(tcb, Cause.CLOSE, "the application closed its direction", "RFC 9293 3.10.4")
        output.push(tcb, "the rest of the data")


def closing(tcb: Tcb) -> bool:
    """Our FIN is not acknowledged yet (sk_stream_closing)."""
    return tcb.state in (State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK)


def close(tcb: Tcb, linger: tuple[int, int]) -> bool:
    """close(2): the socket goes, the connection ends in its own time. Linux tcp_close, socket(7) SO_LINGER.

    True: SO_LINGER wants to wait first, while `closing`; then comes `orphan`.
    """
    counters = tcb.host.counters
    wait = linger[0] and linger[1]
    tcb.dead = not wait
    if tcb.over:
        pass
    elif tcb.state is SYN_SENT:
        counters["TcpExtTCPAbortOnData"] += bool(linger[0] and linger[1] == 0)
        machine.destroy(tcb, Cause.CLOSE, "close() before the connection was open", "RFC 9293 3.10.4")
    elif tcb.rcvq:
        counters["TcpExtTCPAbortOnClose"] += 1
        why = f"close() with {len(tcb.rcvq)} octets unread: they are lost, the peer must know"
        rcvbuf.flush(tcb)
        abort(tcb, why, "RFC 2525 2.17")
    elif linger[0] and linger[1] == 0:
        counters["TcpExtTCPAbortOnData"] += 1
        abort(tcb, "SO_LINGER with 0 s: close() aborts", "socket(7) SO_LINGER")
    else:
        close_writing(tcb, at_close=True)
        if wait and closing(tcb):
            return True
    orphan(tcb)
    return False


def orphan(tcb: Tcb) -> None:
    """The application is gone (sock_orphan)."""
    tcb.dead = True
    tcb.owner = None
    if tcb.state is FIN_WAIT_2:
        if tcb.linger2 < 0:
            tcb.host.counters["TcpExtTCPAbortOnLinger"] += 1
            output.reset(tcb, "TCP_LINGER2 < 0: nobody waits for the peer's FIN", "tcp(7) TCP_LINGER2")
        timewait.orphan_fin_wait_2(tcb)


def abort(tcb: Tcb, why: str, ref: str = "RFC 9293 3.10.5") -> None:
    """ABORT (3.10.5): RST, and everything is forgotten."""
    if tcb.over:
        return
    if tcb.state is not SYN_SENT:
        output.reset(tcb, why, ref)
    machine.destroy(tcb, Cause.ABORT, why, ref)


def disconnect(tcb: Tcb) -> int:
    """connect(2) with AF_UNSPEC: the connection ends at once, with RST where the peer must know (tcp_disconnect).

    The error that stays pending.
    """
    tcb.owner = None
    tcb.dead = True
    if tcb.over:
        return 0
    unsent_fin = tcb.state in (State.CLOSING, State.LAST_ACK) and output.unsent(tcb) > 0
    why, ref = "connect() with AF_UNSPEC", "Linux tcp_disconnect"
    if tcb.state in _NEEDS_RESET or unsent_fin:
        abort(tcb, why, ref)
        return errno.ECONNRESET
    error = errno.ECONNRESET if tcb.state is SYN_SENT else 0
    machine.destroy(tcb, Cause.ABORT if error == 0 else Cause.CLOSE, why, ref)
    return error


def shut_reading(tcb: Tcb) -> None:
    """shutdown(SHUT_RD): recv() gives the end; what arrives is still acknowledged (Linux)."""
    tcb.shut_rd = True
    machine.wake(tcb)


def unreachable(tcb: Tcb, error: int, why: str, ref: str) -> None:
    """A hard ICMP error, or no ARP answer: it ends a connection that is still being opened (RFC 1122 4.2.3.9).

    On an open one it is remembered, and told if the connection dies in the end (tcp_v4_err).
    """
    if tcb.state is SYN_SENT or tcb.state is SYN_RECV:
        tcb.host.counters["TcpAttemptFails"] += 1
        if tcb.request is not None:
            tcb.request.drop()
            tcb.request = None
        machine.destroy(tcb, Cause.ERROR, f"{errno.errorcode[error]}: {why}", ref, error)
    else:
        tcb.soft_error = error
        if tcb.host.tracing:
            host = tcb.host
            host.emit(Noted(host.now, host.name, tcb.label, host.frame, "soft error", f"{why}: it may pass", ref))
