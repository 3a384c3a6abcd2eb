"""Sending again: Linux tcp_retransmit_skb, tcp_retrans_try_collapse, tcp_xmit_retransmit_queue."""

from __future__ import annotations

from tcplab.api.states import State
from tcplab.tcp import castate, output, pacing, pmtu, rate, seq, shift, timers, tso
from tcplab.tcp.tcb import LOSS, REO, Tcb
from tcplab.wire.tcp import ACK, FIN, PSH


def lost_ones(tcb: Tcb, why: str, ref: str) -> None:
    """Repeat what is lost, the first first, as far as cwnd goes (tcp_xmit_retransmit_queue)."""
    rtx = tcb.rtx
    rearm = False
    at = 0
    most = tso.most(tcb, output.current_mss(tcb))
    burst = several = prior = begun = 0
    while at < len(rtx) and tcb.retrans_out < tcb.lost_out:
        room = tcb.cwnd - tcb.in_flight
        if room <= 0:
            break
        entry = rtx[at]
        if not entry.lost or entry.retrans:
            at += 1
            burst = 0
            continue
        if not burst or entry.starts:  # so many of an sk_buff leave together, and are one from now on
            entry.starts = True
            if tcb.pacing:
                if pacing.holds(tcb):
                    break
                prior, begun = tcb.wstamp, tcb.bytes_retrans
            shift.fit(tcb, at, output.current_mss(tcb))
            burst = several = min(room, most, shift.end_of(tcb, at) - at)
        if not segment(tcb, at, why, ref, push=several > 1 and burst == 1):
            break
        burst -= 1
        if tcb.pacing:
            pacing.sent(tcb, prior, tcb.bytes_retrans - begun)
        lossy = tcb.ca_state == LOSS
        tcb.host.counters["TcpExtTCPSlowStartRetrans" if lossy else "TcpExtTCPFastRetrans"] += 1
        if castate.in_reduction(tcb):
            tcb.prr_out += 1
        if not at and timers.pending(tcb) != REO:
            rearm = True
        at += 1
        if not burst and at < len(rtx):
            rtx[at].starts = True
    if burst and at < len(rtx):  # the window has no room for the rest of the burst
        rtx[at].starts = True
    if rearm:
        timers.arm_rto(tcb)


def segment(tcb: Tcb, at: int, why: str, ref: str, push: bool = False) -> bool:
    """Repeat the segment at `at` of the queue (tcp_retransmit_skb). False: it may not leave."""
    entry = tcb.rtx[at]
    if not again(tcb, at, why, ref, push):
        return False
    if not entry.retrans:
        entry.retrans = True
        tcb.retrans_out += 1
    if tcb.retrans_stamp < 0:
        tcb.retrans_stamp = entry.sent
    tcb.undo_retrans = max(tcb.undo_retrans, 0) + 1
    return True


def again(tcb: Tcb, at: int, why: str, ref: str, push: bool = False) -> bool:
    """Send it again, without a word about it in the scoreboard: so does a probe (__tcp_retransmit_skb).

    `push`: it is the last of several that leave as one: those are always pushed.
    """
    host, entry, prior = tcb.host, tcb.rtx[at], tcb.wstamp
    pmtu.look_up(tcb)
    pmtu.follow(tcb)
    if tcb.mtup is not None:
        tcb.mtup.size = 0  # a probe of the path's MTU among what is outstanding says nothing any more
    if not entry.syn and not _fits(tcb, at):
        return False
    if not at:
        tcb.begun = -1
    tcb.total_retrans += 1
    entry.ever = True
    entry.sent = host.now
    entry.order = tcb.segs_out
    rate.sent(tcb, entry)
    tcb.tsorted.pop(entry, None)
    tcb.tsorted[entry] = None
    if entry.syn:
        host.counters["TcpExtTCPSynRetrans"] += 1
        output.send_syn(tcb, why, ref, rtx=True, with_ack=tcb.state is State.SYN_RECV)
        return True
    size = seq.diff(entry.end, entry.seq) - entry.fin
    offset = (entry.seq - tcb.snd_base) & seq.MASK
    payload = bytes(memoryview(tcb.sndq)[offset : offset + size])
    flags = ACK | (FIN if entry.fin else 0)
    if entry.push or push:
        flags |= PSH
    if tcb.cc.controls and not tcb.in_flight:
        tcb.cc.on_start(tcb)
    output.emit(tcb, entry.seq, flags, payload, why, ref, rtx=True)
    if tcb.pacing:
        pacing.sent(tcb, prior, size)
    return True


def _fits(tcb: Tcb, at: int) -> bool:
    """Make one segment of it that may leave now: split, or joined with those behind it.

    The peer may have taken window back: of what lies behind it now only the first segment may be repeated, and of one
    that straddles the edge the part before it.
    """
    entry = tcb.rtx[at]
    room = seq.diff(seq.add(tcb.snd_una, tcb.snd_wnd), entry.seq)
    mss = output.current_mss(tcb)
    if room <= 0:
        if entry.seq != tcb.snd_una:
            return False
        room = mss
    most = min(room, mss)
    stop = shift.end_of(tcb, at)
    last = tcb.rtx[stop - 1]
    whole = seq.diff(last.end, entry.seq) - last.fin
    if shift.length(entry) != min(whole, most):
        shift.cut(tcb, at, stop, most, mss)
    if whole > most:
        if most < mss:
            tcb.rtx[at + 1].starts = True
    elif whole < most and (entry.starts or not at):
        _collapse(tcb, at, most - whole)
    return True


def _collapse(tcb: Tcb, at: int, room: int) -> None:
    """Small segments that follow are repeated along with it, as one (tcp_retrans_try_collapse)."""
    rtx, edge = tcb.rtx, seq.add(tcb.snd_una, tcb.snd_wnd)
    entry, behind = rtx[at], at + 1
    if entry.sacked or not tcb.host.sysctl.tcp_retrans_collapse:
        return
    while behind < len(rtx) and not entry.eor:
        later = rtx[behind]
        room -= seq.diff(later.end, later.seq) - later.fin
        several = behind + 1 < len(rtx) and not rtx[behind + 1].starts
        if room < 0 or several or later.sacked or seq.after(later.end, edge):
            return
        entry.end, entry.eor = later.end, later.eor
        entry.fin |= later.fin
        entry.push |= later.push
        entry.ever |= later.ever
        tcb.lost_out -= later.lost
        tcb.retrans_out -= later.retrans
        if not tcb.sack_ok and tcb.sacked_out:
            tcb.sacked_out -= 1
        tcb.tsorted.pop(later, None)
        del rtx[behind]
