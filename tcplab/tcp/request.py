"""A half-open connection: what the SYN queue holds, and how the third ACK makes a connection of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tcplab.api.events import StateChanged, Timer
from tcplab.api.states import TRANSITIONS, Cause, State
from tcplab.tcp import ecn, negotiate, pmtu, seq, window
from tcplab.tcp import input as segment_input
from tcplab.tcp.connection import Connection
from tcplab.tcp.env import Entry, FlowKey
from tcplab.tcp.negotiate import TS_SPACE, Offer
from tcplab.tcp.tcb import SentSeg
from tcplab.units import MS, NEVER, SEC, Nanos, duration
from tcplab.wire import tcp as wire_tcp
from tcplab.wire import tcp_options as opt
from tcplab.wire.ipv4 import text as ip_text
from tcplab.wire.tcp import ACK, ECE, FIN, RST, SYN, Segment

if TYPE_CHECKING:
    from tcplab.tcp.listen import Listener

REF = "RFC 9293 3.10.7.4"
OVERFLOW_REF = "listen(2), tcp(7)"
RETRY_REF = "tcp(7) tcp_synack_retries"
DEFER_REF = "tcp(7) TCP_DEFER_ACCEPT"


class Request:
    """A half-open connection (Linux tcp_request_sock, NEW_SYN_RECV): just what the third ACK needs."""

    __slots__ = (
        "acked", "advmss", "armed", "cookie", "deadline", "entry", "host", "irs", "iss", "key", "laddr", "listener",
        "num_timeout", "offer", "oow_at", "raddr", "rcv_nxt", "rcv_wnd", "rcv_wscale", "repeated",
        "repeats", "rport", "sent", "since", "ts_off", "ts_recent", "ts_sent",
    )  # fmt: skip

    def __init__(self, listener: Listener, seg: Segment, raddr: int, offer: Offer, isn: int | None) -> None:
        host = self.host = listener.host
        self.listener = listener
        self.laddr, self.raddr, self.rport = host.addr, raddr, seg.sport
        self.key: FlowKey = (raddr, seg.sport, listener.port)
        self.irs = seg.seq
        self.rcv_nxt = seq.add(seg.seq, 1)
        self.offer = offer
        self.ts_recent = offer.ts_val
        self.ts_off = 0
        if offer.ts_ok and host.sysctl.tcp_timestamps == 1:
            self.ts_off = host.isn.ts_offset(host.addr, listener.port, raddr, seg.sport)
        self.iss = host.isn.isn(host.now, host.addr, listener.port, raddr, seg.sport) if isn is None else isn
        buffer = listener.rcvbuf or host.sysctl.tcp_rmem[1]
        self.advmss = pmtu.advertised(host, raddr, listener.user_mss)
        clamp = listener.window_clamp
        self.rcv_wnd = window.initial(buffer, self.advmss - (TS_SPACE if offer.ts_ok else 0), clamp)
        self.rcv_wscale = window.pick_wscale(host.sysctl, listener.rcvbuf, clamp) if offer.wscale is not None else 0
        self.ts_sent: tuple[int, int] | None = None
        """The timestamps of our first SYN,ACK and of the last."""
        self.num_timeout = 0
        self.cookie = False
        """It was never in the SYN queue: a SYN cookie came back."""
        self.repeated = False
        self.repeats = 0
        self.acked = False
        """The third ACK came and was ignored, because TCP_DEFER_ACCEPT waits for data."""
        self.oow_at: Nanos = -SEC
        self.since = self.sent = self.armed = host.now
        self.deadline: Nanos = NEVER
        self.entry: Entry | None = None

    @property
    def label(self) -> str:
        """`10.77.0.2:80>10.77.0.1:40001`"""
        return f"{ip_text(self.laddr)}:{self.listener.port}>{peer_text(self.raddr, self.rport)}"

    # --- output ---

    def send_syn_ack(self, why: str, ref: str, rtx: bool = False, cookie: bytes = b"") -> None:
        """SYN,ACK with what both sides may use; the window of a SYN is never scaled. `cookie`: Fast Open's option."""
        host, offer = self.host, self.offer
        ts = ((host.now // MS + self.ts_off) & seq.MASK, offer.ts_val) if offer.ts_ok else None
        if ts is not None:
            self.ts_sent = (self.ts_sent[0] if self.ts_sent is not None else ts[0], ts[0])
        wscale = self.rcv_wscale if offer.wscale is not None else None
        self.advmss = pmtu.advertised(host, self.raddr, self.listener.user_mss)
        options = negotiate.syn_options(self.advmss, ts, wscale, offer.sack_ok) + cookie
        segment = wire_tcp.build(
            host.addr, self.raddr, self.listener.port, self.rport, self.iss, self.rcv_nxt,
            SYN | ACK | ECE if offer.ecn_ok else SYN | ACK,
            min(self.rcv_wnd, window.MAX_UNSCALED), options,
        )  # fmt: skip
        if rtx:
            host.counters["TcpOutSegs"] += 1  # tcp_make_synack counts each
            host.counters["TcpRetransSegs"] += 1
            host.counters["TcpExtTCPSynRetrans"] += 1
            self.repeated = True
            self.repeats += 1
        listener = self.listener
        host.send_tcp(self.raddr, segment, 0, why, ref, rtx, listener.tos, listener.df)

    def wait(self) -> None:
        """Start the timer for the next repeat: 1 s, doubled each time (Linux tcp_reqsk_timeout)."""
        host = self.host
        span = min(SEC << self.num_timeout, host.sysctl.tcp_rto_max_ms * MS)
        self.armed = host.now
        self.deadline = host.now + span
        host.schedule(self)
        if host.tracing:
            why = f"SYN,ACK: wait {duration(span)} for the third step"
            host.emit(Timer(host.now, host.name, self.label, "synack", "armed", self.deadline, self.num_timeout, why))

    def retries(self) -> int:
        """TCP_SYNCNT or tcp_synack_retries; fewer while the queue is more than half full (reqsk_timer_handler)."""
        listener = self.listener
        most = listener.syn_retries or self.host.sysctl.tcp_synack_retries
        length = len(listener.syn_queue)
        if length << 1 > max(8, listener.max_ack_backlog):
            young = listener.young << 1
            while most > 2 and length >= young:
                most -= 1
                young <<= 1
        return most

    def on_timer(self) -> None:
        """The third step did not come: repeat the SYN,ACK, or forget the peer silently."""
        if self.listener.closed:
            self.end(Cause.ABORT, "the listener is gone: the entry goes, silently", "Linux reqsk_timer_handler")
            return
        self.host.counters["TcpExtTCPTimeouts"] += 1
        most = self.retries()
        defer = self.listener.defer_accept
        deferring = defer > 0 and self.acked
        if self.num_timeout >= most and not (deferring and self.num_timeout < defer):
            why = f"the SYN,ACK was repeated {self.num_timeout} times: the entry goes, silently"
            self.end(Cause.TIMEOUT, why, RETRY_REF)
            return
        if self.num_timeout == 0:
            self.listener.young -= 1
        self.num_timeout += 1
        if not deferring:
            why = f"SYN,ACK repeated, {self.num_timeout} of {most}: the third step did not come"
            self.send_syn_ack(why, RETRY_REF, True)
        elif self.num_timeout >= defer:
            self.send_syn_ack("SYN,ACK again: TCP_DEFER_ACCEPT is over, a last chance for data or ACK", DEFER_REF, True)
        self.wait()

    # --- input ---

    def on_segment(self, seg: Segment) -> None:
        """A segment for a half-open entry."""
        if self.passes(seg):
            self.third_ack(seg)

    def passes(self, seg: Segment) -> bool:
        """Linux tcp_check_req, RFC 9293 3.10.7.4 in SYN-RECEIVED: is it the third step? False: it is dealt with."""
        host = self.host
        flags = seg.flags
        paws_reject = bool(
            seg.ts is not None and self.offer.ts_ok and self.ts_recent and seq.before(seg.ts[0], self.ts_recent)
        )
        if flags & (SYN | ACK | RST) == SYN and seg.seq == self.irs and not paws_reject:
            self._same_syn()
            return False
        if flags & ACK and not flags & RST and self._strange(seg.ack):
            host.reply_rst(seg, self.raddr, "the ACK is not of our SYN,ACK", REF)
            return False
        end = seq.add(seg.seq, len(seg.payload) + bool(flags & SYN) + bool(flags & FIN))
        outside = not seq.in_window(seg.seq, end, self.rcv_nxt, seq.add(self.rcv_nxt, self.rcv_wnd))
        if paws_reject or outside or self._strange_echo(seg):
            self._out_of_window(seg, paws_reject)
            return False
        if flags & RST:
            self._rst(seg)
            return False
        if flags & SYN:
            host.reply_rst(seg, self.raddr, "a SYN with another number in the window", "RFC 9293 3.10.7.4")
            host.counters["TcpAttemptFails"] += 1
            self._other_syn()
            return False
        if not flags & ACK:
            host.dropped(self.label, "no ACK", "", "the third step carries ACK", REF)
            return False
        if seg.ts is not None and not seq.after(seg.seq, self.rcv_nxt):
            self.ts_recent = seg.ts[0]
        return True

    def _strange_echo(self, seg: Segment) -> bool:
        """Does it echo a timestamp that none of our SYN,ACKs had? (Linux TSEcrRejected)"""
        if seg.ts is None or not seg.ts[1] or self.ts_sent is None:
            return False
        return seq.before(seg.ts[1], self.ts_sent[0]) or seq.after(seg.ts[1], self.ts_sent[1])

    def _strange(self, ack: int) -> bool:
        """Is this number not that of our SYN?"""
        return ack != seq.add(self.iss, 1)

    def _other_syn(self) -> None:
        self.host.counters["TcpExtEmbryonicRsts"] += 1
        self.end(Cause.ABORT, "a SYN with another number in the window: RST", "RFC 9293 3.10.7.4")

    def _same_syn(self) -> None:
        """The same SYN again: the peer did not get our SYN,ACK (tcp_check_req). At most one answer in 500 ms."""
        host = self.host
        if self._limited():
            why = "the same SYN again, answered a moment ago"
            host.dropped(self.label, "SYN again", "TcpExtTCPACKSkippedSynRecv", why, "Linux tcp_oow_rate_limited")
            return
        self.send_syn_ack("the same SYN came again: our SYN,ACK was lost", "RFC 9293 3.10.7.4", rtx=True)
        self.wait()

    def _out_of_window(self, seg: Segment, paws_reject: bool) -> None:
        host = self.host
        host.counters["TcpExtPAWSEstab"] += paws_reject
        host.counters["TcpExtTSEcrRejected"] += not paws_reject and self._strange_echo(seg)
        host.dropped(self.label, "outside", "", "outside the window of the half-open entry", REF)
        if seg.flags & RST:
            return
        if not seg.payload and not seg.flags & FIN and self._limited():
            host.counters["TcpExtTCPACKSkippedSynRecv"] += 1
            return
        self._ack("ACK says what is expected instead", REF)

    def _limited(self) -> bool:
        """One answer to strange empty segments in tcp_invalid_ratelimit ms is enough (tcp_oow_rate_limited)."""
        host = self.host
        if host.now - self.oow_at < host.sysctl.tcp_invalid_ratelimit * MS:
            return True
        self.oow_at = host.now
        return False

    def _ack(self, why: str, ref: str) -> None:
        segment = wire_tcp.build(
            self.laddr, self.raddr, self.listener.port, self.rport, self._snd_nxt(), self.rcv_nxt, ACK,
            min(self.rcv_wnd, window.MAX_UNSCALED) >> self.rcv_wscale, self._ts_option(),
        )  # fmt: skip
        self.host.send_tcp(self.raddr, segment, 0, why, ref, False, self.listener.tos)

    def _snd_nxt(self) -> int:
        return seq.add(self.iss, 1)

    def _ts_option(self) -> bytes:
        if not self.offer.ts_ok:
            return b""
        now_ts = (self.host.now // MS + self.ts_off) & seq.MASK
        return opt.nop() * 2 + opt.timestamps(now_ts, self.ts_recent)

    def _rst(self, seg: Segment) -> None:
        host = self.host
        if seg.seq != self.rcv_nxt and host.sysctl.profile.challenge:
            why = "in the window, but not the number expected next"
            host.dropped(self.label, "RST inexact", "", why, "RFC 5961 3.2")
            if self._limited():
                host.counters["TcpExtTCPACKSkippedChallenge"] += 1
            else:
                host.counters["TcpExtTCPChallengeACK"] += 1
                self._ack("challenge ACK: RST in the window, but not exact", "RFC 5961 3.2")
            return
        host.counters["TcpAttemptFails"] += 1
        self._reset()

    def _reset(self) -> None:
        """A RST with the right number came."""
        self.host.counters["TcpExtEmbryonicRsts"] += 1
        self.end(Cause.RST, "RST received: the entry goes", REF)

    def unreachable(self, number: int, fatal: bool, why: str) -> None:
        """An ICMP error quotes our SYN,ACK: without a path the entry goes (tcp_req_err)."""
        host = self.host
        if number != self.iss:
            forged = "it quotes another number than our SYN,ACK's: it may be forged"
            host.dropped(self.label, "icmp", "TcpExtOutOfWindowIcmps", forged, "RFC 5927 4.1")
        elif fatal:
            host.counters["TcpExtListenDrops"] += 1
            self.listener.syn_dropped += 1
            self.end(Cause.ERROR, f"{why}: the entry goes", "Linux tcp_req_err")

    def third_ack(self, seg: Segment) -> None:
        """From the SYN queue to the accept queue, if there is room (tcp_v4_syn_recv_sock)."""
        listener, host = self.listener, self.host
        if listener.closed:
            host.reply_rst(seg, self.raddr, "the third ACK came, but the listener is gone", "RFC 9293 3.10.7.1")
            self.end(Cause.ABORT, "the listener is gone: RST", "Linux tcp_v4_rcv")
            return
        if not self.cookie and self.num_timeout < listener.defer_accept and not seg.payload and not seg.flags & FIN:
            self.acked = True
            why = "TCP_DEFER_ACCEPT: the connection counts when data comes"
            host.dropped(self.label, "deferred", "TcpExtTCPDeferAcceptDrop", why, DEFER_REF)
            return
        if listener.accept_queue_full:
            host.counters["TcpExtListenOverflows"] += 1
            host.counters["TcpExtListenDrops"] += 1
            listener.overflows += 1
            listener.told("accept", "full", self.raddr, self.rport, "the third ACK came, but the accept queue is full")
            if host.sysctl.tcp_abort_on_overflow and not self.cookie:
                host.counters["TcpExtEmbryonicRsts"] += 1
                host.reply_rst(seg, self.raddr, "the accept queue is full and tcp_abort_on_overflow = 1", OVERFLOW_REF)
                self.end(Cause.ABORT, "the accept queue is full and tcp_abort_on_overflow = 1", OVERFLOW_REF)
                return
            why = "the accept queue is full: the ACK is ignored, the entry stays half-open"
            host.dropped(self.label, "acceptq full", "", why, OVERFLOW_REF)
            return
        self.leave("the third ACK came")
        establish(listener, self, seg)

    def leave(self, why: str) -> None:
        """Out of the SYN queue."""
        listener = self.listener
        if listener.syn_queue.pop(self.key, None) is not None and self.num_timeout == 0:
            listener.young -= 1
        if self.host.flows.get(self.key) is self:
            del self.host.flows[self.key]
        self.deadline = NEVER
        self.host.unschedule(self)
        listener.told("syn", "remove", self.raddr, self.rport, why)

    def end(self, cause: Cause, why: str, ref: str) -> None:
        """The entry goes without having become a connection."""
        self.leave(why)
        host = self.host
        if host.tracing:
            new = TRANSITIONS[State.SYN_RECV, cause]
            host.emit(StateChanged(host.now, host.name, self.label, State.SYN_RECV.value, new.value, why, ref))


def peer_text(addr: int, port: int) -> str:
    """`10.77.0.1:40001`"""
    return f"{ip_text(addr)}:{port}"


def make_connection(request: Request, seg: Segment) -> Connection:
    """The connection that a request becomes: in SYN_RECV, known to the demultiplexer, not in any queue yet.

    `seg` completes it: half of the window in it is the most that a segment may hold (tcp_create_openreq_child).
    """
    listener = request.listener
    host = listener.host
    host.counters["TcpPassiveOpens"] += 1
    conn = Connection(host, host.addr, listener.port, request.raddr, request.rport)
    conn.iss, conn.irs = request.iss, request.irs
    conn.snd_una = request.iss
    conn.snd_nxt = conn.snd_base = seq.add(request.iss, 1)
    conn.rcv_nxt = conn.rcv_wup = request.rcv_nxt
    conn.rcv_wnd = conn.rcv_ssthresh = request.rcv_wnd
    conn.clamp = min(listener.window_clamp or conn.clamp, window.MAX_UNSCALED << request.rcv_wscale)
    conn.rcv_wscale = request.rcv_wscale
    conn.advmss = pmtu.advertised(host, request.raddr, listener.user_mss)
    conn.segs_in = 1  # the SYN; the SYN,ACK was the request's, and nobody counts it (tcp_create_openreq_child)
    conn.total_retrans = request.repeats
    conn.retrans_stamp = request.since if request.repeats else -1
    negotiate.buffers(conn, listener.rcvbuf, listener.sndbuf)
    listener.on_child(conn)
    conn.snd_wnd = conn.max_window = seg.window << (request.offer.wscale or 0)
    negotiate.apply(conn, request.offer)
    conn.ecn = ecn.OK if request.offer.ecn_ok else 0
    conn.ts_off, conn.ts_recent = request.ts_off, request.ts_recent
    conn.ident = request.iss & 0xFFFF
    conn.state = State.SYN_RECV  # the request was in it; the table's door is `enter`, from here on
    host.flows[conn.key] = conn
    return conn


def establish(listener: Listener, request: Request, seg: Segment) -> None:
    """Make the connection of a request whose third ACK came, and put it into the accept queue."""
    conn = make_connection(request, seg)
    syn = SentSeg(request.iss, conn.snd_nxt, request.sent, syn=True)
    syn.ever = request.repeated
    conn.rtx.append(syn)
    listener.accept_queue.append(conn)
    segment_input.segment_arrives(conn, seg)
    if conn.state is State.CLOSED:
        listener.accept_queue.remove(conn)
        return
    if conn.state is State.SYN_RECV:  # the segment reaches beyond the window: another one completes the handshake
        conn.rtx.clear()
        conn.tsorted.clear()
        conn.snd_una = conn.snd_nxt
    listener.told("accept", "add", conn.raddr, conn.rport, "the handshake is complete: waits for accept()")
    listener.on_ready()
