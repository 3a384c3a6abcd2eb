"""When to acknowledge: Linux's quick acks, ping-pong mode and delayed ACK (RFC 9293 3.8.6.3, RFC 5681 4.2)."""

from __future__ import annotations

from tcplab.tcp import autotune, ecn, rcvbuf, seq, timers, window
from tcplab.tcp.tcb import ATO_MIN, COMPRESS, DELACK, NOMEM, QUICKACKS, Tcb
from tcplab.units import MS, NEVER, US, duration
from tcplab.wire.tcp import FIN, PSH, SYN, URG, Segment

REF = "RFC 9293 3.8.6.3"
COMPRESS_REF = "ip-sysctl tcp_comp_sack_nr"

# What is known of the ACK that is owed, as bits of Tcb.pending (Linux ICSK_ACK_*).
SCHED, PUSHED, PUSHED2, NOW = 1, 4, 8, 16
OWED = SCHED | NOW | NOMEM

PINGPONG = 1  # a dialogue: the ACK may ride on the answer (TCP_PINGPONG_THRESH)
_DELACK_MAX = 200 * MS
_MIN_SMALL = 536  # TCP_MSS_DEFAULT
_MIN_MSS = 88  # TCP_MIN_MSS
_REMNANT = FIN | SYN | PSH | URG
"""What a segment need not be a full one with (TCP_REMNANT)."""
_DUPTHRESH = 3
_SMALL_PACKET = 128
"""Segments below do not let the window grow."""


def data_received(tcb: Tcb, seg: Segment) -> None:
    """New data came: an ACK is owed, and the estimate of the peer's rhythm moves (tcp_event_data_recv)."""
    now = tcb.host.now
    tcb.pending |= SCHED
    size = len(seg.payload)
    if size != tcb.rcv_mss or tcb.last_seg_size or tcb.host.gso_size or size + rcvbuf.TS_SPACE * tcb.ts_ok > tcb.advmss:
        measure(tcb, seg)
    mine = tcb.receiver or autotune.of(tcb)
    if (tcb.rcv_nxt - mine.rtt_seq) & seq.MASK < seq.HALF or mine.rtt_at < 0:
        autotune.measure_window(tcb)
    if tcb.ato == 0:
        quicken(tcb, QUICKACKS)
        tcb.ato = ATO_MIN
    else:
        gap = now - tcb.lrcvtime
        if gap <= ATO_MIN // 2:
            tcb.ato = (tcb.ato >> 1) + ATO_MIN // 2
        elif gap < tcb.ato:
            tcb.ato = min((tcb.ato >> 1) + gap, tcb.rto)
        elif gap > tcb.rto:
            quicken(tcb, QUICKACKS)  # a long silence: the peer may be in slow start again
    tcb.lrcvtime = now
    if tcb.ecn:
        ecn.data_check(tcb, seg)
    if size >= _SMALL_PACKET and tcb.rcv_ssthresh < tcb.clamp:
        rcvbuf.grow(tcb, size)


def measure(tcb: Tcb, seg: Segment) -> None:
    """Guess the peer's segment size, and note a PSH'd short segment (tcp_measure_rcv_mss)."""
    last, tcb.last_seg_size = tcb.last_seg_size, 0
    whole = len(seg.payload)
    size = min(whole, tcb.host.gso_size or whole)
    if size >= tcb.rcv_mss:
        if size != tcb.rcv_mss:
            rcvbuf.measure(tcb, whole)
        tcb.rcv_mss = min(size, tcb.advmss - rcvbuf.TS_SPACE * tcb.ts_ok)
        return
    size += len(seg.raw_options)
    if size >= _MIN_SMALL or (size >= _MIN_MSS and not seg.flags & _REMNANT):
        size -= rcvbuf.TS_SPACE * tcb.ts_ok
        tcb.last_seg_size = size
        if size == last:  # two of them: the peer's segments are so small now
            tcb.rcv_mss = size
            return
    if tcb.pending & PUSHED:
        tcb.pending |= PUSHED2
    tcb.pending |= PUSHED


def quicken(tcb: Tcb, most: int) -> None:
    """Acknowledge the next segments at once, up to `most`, as far as the window goes (tcp_incr_quickack).

    The textbook knows of no such thing.
    """
    if tcb.host.sysctl.profile.delack:
        return
    count = min(tcb.rcv_wnd // (2 * tcb.rcv_mss) or 2, most)
    tcb.quick = max(tcb.quick, count)


def enter_quickack(tcb: Tcb, most: int = QUICKACKS) -> None:
    """Leave ping-pong mode and acknowledge at once for a while (tcp_enter_quickack_mode)."""
    quicken(tcb, most)
    tcb.pingpong = 0
    tcb.ato = ATO_MIN


def in_quickack(tcb: Tcb) -> bool:
    """An ACK that is owed leaves at once (tcp_in_quickack_mode)."""
    return tcb.quick > 0 and not tcb.pingpong


def data_sent(tcb: Tcb) -> None:
    """We sent data soon after the peer did: a dialogue, in which an ACK can ride on the answer."""
    if tcb.host.now - tcb.lrcvtime < tcb.ato:
        tcb.pingpong = PINGPONG


def acked(tcb: Tcb) -> None:
    """A segment with ACK left: nothing is owed any more, and the caller says so (tcp_event_ack_sent)."""
    if tcb.quick:
        tcb.quick -= 1
        if not tcb.quick:
            tcb.ato = ATO_MIN
    if tcb.expires[DELACK] != NEVER:
        timers.stop(tcb, DELACK)
    if tcb.expires[COMPRESS] != NEVER:
        _drop_compressed(tcb)


def _drop_compressed(tcb: Tcb) -> None:
    """The segment that left told all that waiting ACKs would have told."""
    mine = autotune.of(tcb)
    tcb.host.counters["TcpExtTCPAckCompressed"] += mine.dup_acks - _DUPTHRESH
    mine.dup_acks = _DUPTHRESH
    timers.stop(tcb, COMPRESS)


def decompress(tcb: Tcb) -> str:
    """Waiting ACKs leave now, as one: what to say of it; empty: none waits."""
    mine = autotune.of(tcb)
    waiting = mine.dup_acks - _DUPTHRESH
    if waiting <= 0:
        return ""
    mine.dup_acks = _DUPTHRESH
    timers.stop(tcb, COMPRESS)
    tcb.host.counters["TcpExtTCPAckCompressed"] += waiting - 1  # one is sent
    return f"{waiting} ACKs as one"


def reason_to_ack_now(tcb: Tcb) -> str:
    """Why the ACK that is owed cannot wait; empty when it can (__tcp_ack_snd_check)."""
    unacked = (tcb.rcv_nxt - tcb.rcv_wup) & seq.MASK
    if tcb.pending & NOMEM:
        return "ACK at once: the receive buffer is full, the window is 0"
    if tcb.pending & NOW:
        return "ACK at once: the peer must learn of this"
    if unacked > tcb.rcv_mss and window.candidate(tcb) >= tcb.rcv_wnd:  # which may end the quick ACKs
        return "ACK at once: more than one full segment is unacknowledged"
    if tcb.quick > 0 and not tcb.pingpong:  # in_quickack
        return f"quick ACK, {tcb.quick} more at once"
    return ""


def check(tcb: Tcb) -> str:
    """After a segment, while one is OWED: why to send an ACK now; empty: the timer runs (tcp_ack_snd_check)."""
    why = reason_to_ack_now(tcb)
    if why:
        return why
    return _compress(tcb) if tcb.ooo else delay(tcb)


def _compress(tcb: Tcb) -> str:
    """Data is missing: three ACKs tell so at once, of those behind them up to `tcp_comp_sack_nr` leave as one, after a
    twentieth of the round trip at most: their SACK blocks say it all (__tcp_ack_snd_check).
    """
    sysctl = tcb.host.sysctl
    mine = autotune.of(tcb)
    if not tcb.sack_ok or mine.dup_acks - _DUPTHRESH >= sysctl.tcp_comp_sack_nr:
        return "ACK at once: data is missing"
    if mine.hole != tcb.rcv_nxt:
        if tcb.expires[COMPRESS] != NEVER:
            _drop_compressed(tcb)
        mine.hole = tcb.rcv_nxt
        mine.dup_acks = 0
    mine.dup_acks += 1
    if mine.dup_acks <= _DUPTHRESH:
        return "ACK at once: data is missing"
    if tcb.expires[COMPRESS] == NEVER:
        trip = tcb.srtt if tcb.srtt and tcb.srtt < mine.rtt else mine.rtt
        wait = min(sysctl.tcp_comp_sack_delay_ns, trip * (US >> 3) // 20) + sysctl.tcp_comp_sack_slack_ns
        why = "data is still missing: more of it may come at once, and one ACK will tell"
        timers.arm(tcb, COMPRESS, tcb.host.now + wait, why, COMPRESS_REF)
    return ""


def delay(tcb: Tcb) -> str:
    """Let the ACK wait for a ride (tcp_send_delayed_ack). Not empty: it waits long enough already, send it."""
    now = tcb.host.now
    if tcb.host.sysctl.profile.delack:
        return _delay_as_the_book(tcb)
    ato = tcb.ato  # 0 while no data ever came: the ACK of a FIN then leaves at the next tick
    if ato > ATO_MIN:
        most = _DELACK_MAX if tcb.pingpong or tcb.pending & PUSHED else 500 * MS
        if tcb.srtt:
            most = min(most, max((tcb.srtt >> 3) * US, ATO_MIN))
        ato = min(ato, most)
    due = now + min(ato, _DELACK_MAX)
    held = tcb.expires[DELACK]
    if held != NEVER:
        if held <= now + (ato >> 2):
            return "delayed ACK: it would leave in a moment anyway"
        due = min(due, held)
    if due != held:
        timers.arm(tcb, DELACK, due, "an ACK is owed and may wait for data to ride on", REF)
    return ""


def _delay_as_the_book(tcb: Tcb) -> str:
    """RFC 5681 4.2: every second full segment has its ACK, whatever the window does, and none waits long."""
    if (tcb.rcv_nxt - tcb.rcv_wup) & seq.MASK > tcb.rcv_mss:
        return "ACK at once: more than one full segment is unacknowledged"
    if tcb.expires[DELACK] == NEVER:
        due = tcb.host.now + tcb.host.sysctl.profile.delack
        timers.arm(tcb, DELACK, due, "an ACK is owed and may wait for data, or for a second segment", "RFC 5681 4.2")
    return ""


def third_step_waits(tcb: Tcb) -> None:
    """TCP_QUICKACK 0, TCP_DEFER_ACCEPT, or a writer that waits: the ACK of the SYN,ACK may ride on data."""
    tcb.pending |= SCHED
    enter_quickack(tcb)
    timers.arm(tcb, DELACK, tcb.host.now + _DELACK_MAX, "the third step may wait for data to ride on", REF)


def timer(tcb: Tcb) -> str:
    """The delayed ACK's time has come (tcp_delack_timer_handler): why to send it, or empty."""
    if not tcb.pending & SCHED:
        return ""
    waited = duration(tcb.host.now - tcb.armed[DELACK])
    if tcb.pingpong:
        tcb.pingpong = 0
        tcb.ato = ATO_MIN
    else:
        tcb.ato = min(tcb.ato << 1, tcb.rto)
    tcb.host.counters["TcpExtDelayedACKs"] += 1
    if tcb.host.now == tcb.armed[DELACK]:
        return "ACK of the FIN: no data ever came, so there is no rhythm to wait for"
    return f"delayed ACK: no data to ride on came for {waited}"


def after_read(tcb: Tcb, copied: int) -> str:
    """The application read `copied` octets: why to tell the peer at once, or empty (__tcp_cleanup_rbuf)."""
    if tcb.pending & SCHED:
        if (tcb.rcv_nxt - tcb.rcv_wup) & seq.MASK > tcb.rcv_mss:
            return "ACK at the read: more than one full segment is unacknowledged"
        pushed = tcb.pending & PUSHED2 or (tcb.pending & PUSHED and not tcb.pingpong)
        if copied > 0 and pushed and not tcb.rcvq and not tcb.host.sysctl.profile.delack:
            return "ACK at the read: the application took all that was pushed"
    if copied > 0 and not tcb.shut_rd and not tcb.fin_rcvd:
        left = tcb.rcv_wnd - ((tcb.rcv_nxt - tcb.rcv_wup) & seq.MASK)  # most reads end here
        if 2 * left <= tcb.clamp:
            now_offered = window.offered(tcb)
            new = window.candidate(tcb)
            if new and new >= 2 * now_offered:
                return f"window update: the application read, {now_offered} -> {new}"
    return ""
