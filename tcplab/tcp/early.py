"""Fast Open's server: a connection that works before the third step of its handshake (RFC 7413 4.2.2).

The connection is complete but for its state, SYN_RECV; beside it stands the request, which repeats the SYN,ACK
and judges what comes until the third step does (Linux tcp_try_fastopen, tcp_check_req with fastopen).
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, NamedTuple

from tcplab.api.events import StateChanged
from tcplab.api.states import Cause, State
from tcplab.tcp import cwnd, fastopen, machine, rcvbuf, recovery, rtt, seq, syn_sent, timeouts, timers, undo
from tcplab.tcp.acked import Acked
from tcplab.tcp.negotiate import Offer
from tcplab.tcp.request import REF, RETRY_REF, Request, make_connection
from tcplab.tcp.tcb import INIT_RTO, LOSS, RTO, Tcb
from tcplab.units import MS, SEC, US
from tcplab.wire.tcp import Segment

if TYPE_CHECKING:
    from tcplab.tcp.listen import Listener

_RESET_COUNTS = 60 * SEC


class Verdict(NamedTuple):
    """What a SYN gets: a connection at once or not, and the option that goes with the SYN,ACK."""

    opens: bool
    option: bytes = b""


NOTHING = Verdict(False)


def judge(listener: Listener, seg: Segment, raddr: int) -> Verdict:
    """A SYN with data, or with the option, came (tcp_try_fastopen)."""
    host, settings = listener.host, listener.fastopen
    bits = host.sysctl.tcp_fastopen
    found = fastopen.offered(seg)
    if found is not None and not found[0]:
        host.counters["TcpExtTCPFastOpenCookieReqd"] += 1
    if not bits & fastopen.SERVER or (found is None and not seg.payload) or not _room(listener):
        return NOTHING
    if bits & fastopen.SERVER_NO_COOKIE or settings.no_cookie:
        return Verdict(True)
    if found is None:
        return NOTHING
    cookies = [fastopen.cookie(key, raddr, host.addr) for key in fastopen.keys_of(host, settings)]
    fresh = fastopen.option(cookies[0], found[1])
    if found[0] == cookies[0]:
        return Verdict(True)
    if found[0] in cookies:
        host.counters["TcpExtTCPFastOpenPassiveAltKey"] += 1
        return Verdict(True, fresh)
    if found[0]:
        host.counters["TcpExtTCPFastOpenPassiveFail"] += 1
    return Verdict(False, fresh)


def _room(listener: Listener) -> bool:
    """May one more connection be open before its third step? (tcp_fastopen_queue_check)"""
    settings = listener.fastopen
    if not settings.max_qlen:
        return False
    if settings.qlen < settings.max_qlen:
        return True
    if settings.resets and settings.resets[0] <= listener.host.now:
        settings.resets = settings.resets[1:]
        settings.qlen -= 1
        return True
    listener.host.counters["TcpExtTCPFastOpenListenOverflow"] += 1
    return False


def open_now(listener: Listener, seg: Segment, raddr: int, isn: int | None, option: bytes) -> None:
    """Make the connection, give it the data, answer, and let accept() have it (tcp_fastopen_create_child)."""
    host = listener.host
    request = Early(listener, seg, raddr, Offer(seg, host.sysctl), isn)
    request.rcv_nxt = seq.add(request.rcv_nxt, len(seg.payload))
    conn = request.conn = make_connection(request, seg)
    conn.request = request
    conn.snd_una = conn.snd_sml = conn.pushed_seq = conn.snd_nxt
    conn.snd_wnd = conn.max_window = seg.window  # the window of a SYN is never scaled (RFC 7323 2.2)
    conn.snd_wl1 = seg.seq
    rcvbuf.queue(conn, seg.payload)
    conn.bytes_received = len(seg.payload)
    conn.segs_in = 1
    conn.syn_data_acked = bool(seg.payload)
    conn.fastopen_child = True
    conn.rto = 3 * SEC  # until there is a sample (tcp_init_metrics, TCP_TIMEOUT_FALLBACK)
    conn.rttvar = conn.mdev = conn.mdev_max = 3_000_000
    conn.cwnd = cwnd.initial(conn)
    syn_sent.init_transfer(conn)
    conn.cc.init(conn)
    listener.fastopen.qlen += 1
    host.counters["TcpExtTCPFastOpenPassive"] += 1
    why = f"Fast Open: the connection is there at once, with {len(seg.payload)} octets of data"
    if host.tracing:
        old, new = State.LISTEN.value, State.SYN_RECV.value
        host.emit(StateChanged(host.now, host.name, conn.label, old, new, why, fastopen.SERVER_REF))
    request.send_syn_ack(f"{why}; the SYN,ACK acknowledges them", fastopen.SERVER_REF, cookie=option)
    timers.arm(conn, RTO, host.now + INIT_RTO, "the SYN,ACK waits for the third step", fastopen.SERVER_REF)
    listener.accept_queue.append(conn)
    listener.told("accept", "add", raddr, seg.sport, "Fast Open: it need not wait for the third step")
    listener.on_ready()


class Early(Request):
    """The half of a handshake that is still missing behind a connection that is open already."""

    __slots__ = ("conn",)

    conn: Tcb

    # --- what differs from a request in the SYN queue ---

    def wait(self) -> None:
        """The connection's own timer repeats the SYN,ACK."""

    def _strange(self, ack: int) -> bool:
        return False  # the connection looks at it: data may be acknowledged too

    def _snd_nxt(self) -> int:
        return self.conn.snd_nxt

    def _other_syn(self) -> None:
        """A stranger could send it: the connection stays."""

    def _reset(self) -> None:
        conn = self.conn
        if conn.state is State.SYN_RECV:
            self.host.counters["TcpAttemptFails"] += 1  # Linux counts it here, and again in tcp_done
        self._leave(reset=True)
        conn.request = None
        machine.destroy(conn, Cause.RST, "ECONNRESET: RST before the third step", REF, errno.ECONNRESET)

    # --- tcplab.tcp.tcb.HalfOpen ---

    def timeout(self) -> None:
        """Repeat the SYN,ACK, never data, and without a cookie; one more than others (tcp_fastopen_synack_timer)."""
        host, conn = self.host, self.conn
        host.counters["TcpExtTCPTimeouts"] += 1
        most = host.sysctl.tcp_synack_retries + 1
        if self.num_timeout >= most:
            timeouts.give_up(conn, f"the SYN,ACK was repeated {most} times")
            return
        if conn.retransmits == 1:
            recovery.enter_loss(conn)
        self.num_timeout += 1
        why = f"SYN,ACK repeated, {self.num_timeout} of {most}: the third step did not come"
        self.send_syn_ack(why, RETRY_REF, True)
        conn.total_retrans += 1
        conn.retransmits += 1
        if conn.retrans_stamp < 0:
            conn.retrans_stamp = host.now
        span = min(INIT_RTO << self.num_timeout, host.sysctl.tcp_rto_max_ms * MS)
        timers.arm(conn, RTO, host.now + span, "the SYN,ACK waits for the third step", RETRY_REF)

    def complete(self, seg: Segment) -> None:
        """From here on it is a connection like any other (tcp_rcv_synrecv_state_fastopen)."""
        conn = self.conn
        if not conn.srtt:
            if not self.repeated:
                rtt.sample(conn, (self.host.now - self.sent) // US)
            elif seg.ts is not None and seg.ts[1]:
                rtt.sample(conn, max(rtt.from_timestamp(conn, seg.ts[1]), 1))
        if conn.ca_state == LOSS and not conn.rtx:  # nothing but the SYN,ACK was lost, or not even that
            undo.try_recovery(conn, Acked(0, seg.ts[1] if seg.ts is not None and conn.ts_ok else 0))
        conn.retransmits = 0
        conn.retrans_stamp = -1
        conn.delivered += 1  # the SYN,ACK
        conn.request = None
        self._leave()
        timers.arm_rto(conn)

    def drop(self) -> None:
        """The connection is over: it counts no more."""
        self._leave()

    def _leave(self, reset: bool = False) -> None:
        """It waits no more. One that was accepted and got a RST counts for 60 s (reqsk_fastopen_remove)."""
        listener = self.listener
        if reset and not listener.closed and self.conn not in listener.accept_queue:
            listener.fastopen.resets += (self.host.now + _RESET_COUNTS,)
        else:
            listener.fastopen.qlen -= 1
