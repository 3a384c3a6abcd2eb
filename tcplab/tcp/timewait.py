"""What is left of a connection after the close: TIME_WAIT, and FIN_WAIT_2 without an application.

A small bucket takes the connection's place in the demultiplexer (Linux inet_timewait_sock,
tcp_timewait_state_process), so that sixty seconds of memory cost little.
"""

from __future__ import annotations

from tcplab.api.events import StateChanged, Timer
from tcplab.api.states import TRANSITIONS, Cause, State
from tcplab.tcp import machine, output, seq, timers
from tcplab.tcp.env import Entry
from tcplab.tcp.tcb import KEEPALIVE, Tcb
from tcplab.units import MS, NEVER, SEC, Nanos
from tcplab.wire import tcp as wire_tcp
from tcplab.wire import tcp_options as opt
from tcplab.wire.ipv4 import text as ip_text
from tcplab.wire.tcp import ACK, FIN, RST, SYN, Segment

REF = "RFC 9293 3.6.1"
LINUX_REF = "Linux tcp_timewait_state_process"
_ISN_STEP = 65535 + 2


_SHORT = 4 * SEC  # inet_twsk_schedule: such a bucket counts as killed


class TimeWait:
    """A bucket: `state` is TIME_WAIT, or FIN_WAIT_2 of an orphan that still waits for the peer's FIN."""

    __slots__ = (
        "armed", "deadline", "entered", "entry", "host", "irs", "iss", "key", "laddr", "lport", "oow_at",
        "raddr", "rcv_nxt", "rcv_wnd", "rcv_wscale", "reuse", "reuseport", "rport", "snd_nxt", "state", "tos", "ts_off",
        "ts_ok", "ts_recent", "ts_recent_at",
    )  # fmt: skip

    def __init__(self, tcb: Tcb, state: State, length: Nanos) -> None:
        self.host = tcb.host
        self.key = tcb.key
        self.laddr, self.lport, self.raddr, self.rport = tcb.laddr, tcb.lport, tcb.raddr, tcb.rport
        self.state = state
        self.iss, self.irs = tcb.iss, tcb.irs
        self.snd_nxt, self.rcv_nxt = tcb.snd_nxt, tcb.rcv_nxt
        self.rcv_wnd, self.rcv_wscale = tcb.rcv_wnd, tcb.rcv_wscale
        self.ts_ok, self.ts_off = tcb.ts_ok, tcb.ts_off
        self.ts_recent, self.ts_recent_at = tcb.ts_recent, tcb.ts_recent_at
        self.tos = tcb.tos
        self.reuse, self.reuseport = tcb.reuse, tcb.reuseport
        self.oow_at: Nanos = -SEC
        self.armed = self.host.now
        self.entered = self.host.now
        """When TIME_WAIT, or the orphan's FIN_WAIT_2, began (tw_entry_stamp)."""
        self.entry: Entry | None = None
        self.deadline: Nanos = NEVER
        self.host.flows[self.key] = self
        self.host.counters["TcpExtTWKilled" if length <= _SHORT else "TcpExtTW"] += 1
        self._wait(length, "2MSL" if state is State.TIME_WAIT else "orphan in FIN_WAIT_2: tcp_fin_timeout")

    @property
    def label(self) -> str:
        """`10.77.0.1:40001>10.77.0.2:80`"""
        return f"{ip_text(self.laddr)}:{self.lport}>{ip_text(self.raddr)}:{self.rport}"

    def on_timer(self) -> None:
        """2MSL are over (or tcp_fin_timeout, for the orphan)."""
        self._end(Cause.TIMEOUT, "2MSL are over" if self.state is State.TIME_WAIT else "tcp_fin_timeout is over", REF)

    def on_segment(self, seg: Segment) -> None:
        """A segment for a connection that is over."""
        paws_reject = self._paws_reject(seg)
        if self.state is State.FIN_WAIT_2:
            self._fin_wait_2(seg, paws_reject)
        else:
            self._time_wait(seg, paws_reject)

    def _paws_reject(self, seg: Segment) -> bool:
        return bool(self.ts_ok and seg.ts is not None and self.ts_recent and seq.before(seg.ts[0], self.ts_recent))

    def _take_timestamp(self, seg: Segment) -> None:
        if self.ts_ok and seg.ts is not None:
            self.ts_recent = seg.ts[0]
            self.ts_recent_at = self.host.now

    # --- FIN_WAIT_2, orphaned ---

    def _fin_wait_2(self, seg: Segment, paws_reject: bool) -> None:
        flags = seg.flags
        end = _end_of(seg)
        right = seq.add(self.rcv_nxt, self.rcv_wnd)
        if paws_reject or not seq.in_window(seg.seq, end, self.rcv_nxt, right):
            self._answer(seg, "outside the window", "TcpExtTCPACKSkippedFinWait2")
            return
        if flags & RST:
            self._end(Cause.RST, "RST received", LINUX_REF)
            return
        if flags & SYN and not seq.before(seg.seq, self.rcv_nxt):
            self._refuse(seg, "SYN in FIN_WAIT_2")
            return
        if not flags & ACK or not seq.after(end, self.rcv_nxt) or end == seg.seq:
            self.host.dropped(self.label, "nothing new", "", "only the peer's FIN is awaited", LINUX_REF)
            return
        if not flags & FIN or end != seq.add(self.rcv_nxt, 1):
            self._refuse(seg, "data came, but the application has closed the socket")
            return
        self._become_time_wait(end)
        self._take_timestamp(seg)
        self._ack("ACK of the peer's FIN", REF)

    def _refuse(self, seg: Segment, why: str) -> None:
        self.host.reply_rst(seg, self.raddr, why, REF)
        self._end(Cause.ABORT, f"{why}: RST", REF)

    def _become_time_wait(self, rcv_nxt: int) -> None:
        host = self.host
        old, self.state = self.state, TRANSITIONS[self.state, Cause.FIN]
        self.rcv_nxt = rcv_nxt
        if host.tracing:
            why = "FIN received: both directions are closed, wait 2MSL"
            host.emit(StateChanged(host.now, host.name, self.label, old.value, self.state.value, why, REF))
        self.entered = host.now
        self._wait(host.sysctl.profile.time_wait, "2MSL")

    # --- TIME_WAIT ---

    def _time_wait(self, seg: Segment, paws_reject: bool) -> None:
        host = self.host
        flags = seg.flags
        if not paws_reject and seg.seq == self.rcv_nxt and (flags & RST or _end_of(seg) == seg.seq):
            self._exact(seg)
            return
        if flags & SYN and not flags & (RST | ACK) and not paws_reject and self._newer(seg):
            if host.listens(self.lport):
                self._reopen(seg)
            else:
                self._ack("a new SYN, but nobody listens any more: the last ACK again", LINUX_REF)
            return
        if paws_reject:
            host.counters["TcpExtPAWSTimewait"] += 1
        if flags & RST:
            host.dropped(self.label, "RST ignored", "", "only the exact number counts in TIME_WAIT", LINUX_REF)
            return
        if paws_reject or flags & ACK:
            self._wait(host.sysctl.profile.time_wait, "2MSL, started again by an old segment")
        self._answer(seg, "old segment in TIME_WAIT", "TcpExtTCPACKSkippedTimeWait")

    def _exact(self, seg: Segment) -> None:
        if seg.flags & RST and not self.host.sysctl.tcp_rfc1337:
            self._end(Cause.RST, "RST ends TIME_WAIT early (tcp_rfc1337 = 0)", "RFC 1337")
            return
        self._wait(self.host.sysctl.profile.time_wait, "2MSL, started again")
        self._take_timestamp(seg)
        self.host.dropped(self.label, "TIME_WAIT", "", "an ACK in sequence needs no answer", LINUX_REF)

    def _newer(self, seg: Segment) -> bool:
        """Is this SYN surely of a new connection? (RFC 6191 section 2, RFC 9293 MAY-2)"""
        newer_ts = self.ts_ok and seg.ts is not None and seq.before(self.ts_recent, seg.ts[0])
        return seq.after(seg.seq, self.rcv_nxt) or newer_ts

    def _reopen(self, seg: Segment) -> None:
        """Hand the SYN to the listener; the new ISN lies beyond all that the old connection sent."""
        isn = seq.add(self.snd_nxt, _ISN_STEP) or 1
        self._end(Cause.REUSE, "a newer SYN reuses the port pair", "RFC 9293 3.6.1 MAY-2")
        self.host.reopen(seg, self.raddr, isn)

    # --- both ---

    def _wait(self, length: Nanos, why: str) -> None:
        host = self.host
        self.armed = host.now
        self.deadline = host.now + length
        host.schedule(self)
        if host.tracing:
            host.emit(Timer(host.now, host.name, self.label, self.timer, "armed", self.deadline, 0, why, REF))

    @property
    def timer(self) -> str:
        """Name of the one timer."""
        return "timewait" if self.state is State.TIME_WAIT else "finwait2"

    def _end(self, cause: Cause, why: str, ref: str) -> None:
        host = self.host
        old, self.state = self.state, TRANSITIONS[self.state, cause]
        if host.flows.get(self.key) is self:
            del host.flows[self.key]
        self.deadline = NEVER
        host.unschedule(self)
        if host.tracing:
            host.emit(StateChanged(host.now, host.name, self.label, old.value, self.state.value, why, ref))

    def release(self, why: str) -> None:
        """A new connection of our own takes the port pair."""
        self._end(Cause.REUSE, why, "Linux tcp_twsk_unique")

    def _answer(self, seg: Segment, reason: str, skipped: str) -> None:
        """ACK what is not expected; a bare ACK or a SYN only at a limited rate (tcp_oow_rate_limited)."""
        host = self.host
        host.dropped(self.label, reason, "", "the connection is over: say what was expected", LINUX_REF)
        if seg.flags & SYN or _end_of(seg) == seg.seq:
            if host.now - self.oow_at < host.sysctl.tcp_invalid_ratelimit * MS:
                host.counters[skipped] += 1
                return
            self.oow_at = host.now
        self._ack(f"{self.state.value} answers: the last ACK again", REF)

    def _ack(self, why: str, ref: str) -> None:
        options = b""
        if self.ts_ok:
            now_ts = (self.host.now // MS + self.ts_off) & seq.MASK
            options = opt.nop() * 2 + opt.timestamps(now_ts, self.ts_recent)
        segment = wire_tcp.build(
            self.laddr, self.raddr, self.lport, self.rport, self.snd_nxt, self.rcv_nxt, ACK,
            self.rcv_wnd >> self.rcv_wscale & 0xFFFF, options,  # of a window above 65535 the lower bits
        )  # fmt: skip
        # no socket is left whose IP identification could count on (Linux ip_send_unicast_reply)
        self.host.send_tcp(self.raddr, segment, 0, why, ref, False, self.tos)


def _end_of(seg: Segment) -> int:
    return seq.add(seg.seq, len(seg.payload) + bool(seg.flags & SYN) + bool(seg.flags & FIN))


def start(tcb: Tcb, cause: Cause, why: str) -> None:
    """The connection enters TIME_WAIT: its bucket takes over (Linux tcp_time_wait)."""
    machine.enter(tcb, cause, why, REF)
    hand_over(tcb, State.TIME_WAIT, most(tcb))


def orphan_fin_wait_2(tcb: Tcb) -> None:
    """Nobody reads any more: wait for the peer's FIN, tcp_fin_timeout or TCP_LINGER2 seconds (tcp(7)).

    A bucket waits at most 60 s. What goes beyond that the connection itself waits first, on its keepalive timer, and
    then the bucket as long again: so 65 s become 10 (measured; Linux tcp_close, tcp_keepalive_timer).
    """
    span = fin_time(tcb)
    if tcb.linger2 < 0:
        machine.destroy(tcb, Cause.ABORT, "TCP_LINGER2 < 0: nobody waits for the peer's FIN", "tcp(7) TCP_LINGER2")
    elif span > most(tcb):
        why = "orphan in FIN_WAIT_2: longer than a bucket waits"
        timers.arm(tcb, KEEPALIVE, tcb.host.now + span - most(tcb), why, REF)
    else:
        hand_over(tcb, State.FIN_WAIT_2, span)


def most(tcb: Tcb) -> Nanos:
    """How long a bucket waits: Linux's minute (TCP_TIMEWAIT_LEN), or 2MSL of RFC 9293, which are four."""
    return tcb.host.sysctl.profile.time_wait


def fin_time(tcb: Tcb) -> Nanos:
    """How long an orphan waits in FIN_WAIT_2, never less than 3.5 RTOs (Linux tcp_fin_time)."""
    return max((tcb.linger2 or tcb.host.sysctl.tcp_fin_timeout) * SEC, (tcb.rto << 2) - (tcb.rto >> 1))


def hand_over(tcb: Tcb, state: State, length: Nanos) -> None:
    """A bucket takes the place of the connection, for `length`."""
    if tcb.pending:
        output.send_ack(tcb, "ACK that was owed, before the bucket takes over", REF)
    machine.release(tcb)
    TimeWait(tcb, state, length)
    machine.wake(tcb)
