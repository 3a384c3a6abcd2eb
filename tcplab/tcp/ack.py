"""What an ACK changes: RFC 9293 3.10.7.4 step 5, Linux tcp_ack."""

from __future__ import annotations

from tcplab.api.states import State
from tcplab.tcp import cc, chrono, delack, mtu_probe, negotiate, output, recovery, rtt, sack, seq, sndbuf, timers, tlp
from tcplab.tcp.tcb import DISORDER, LOSS, OPEN, PERSIST, Tcb
from tcplab.units import US
from tcplab.wire.tcp import ACK, PSH, Segment

REF = "RFC 9293 3.10.7.4"


def process(tcb: Tcb, seg: Segment) -> bool:
    """Take the ACK of `seg`. False: it acknowledges what we never sent; the whole segment goes (RFC 5961 section 5)."""
    host = tcb.host
    una, number = tcb.snd_una, seg.ack
    advanced = number != una
    if advanced and seq.before(number, una):
        return _old(tcb, seg)
    if advanced and seq.after(number, tcb.snd_nxt):
        host.dropped(tcb.label, "ack beyond", "", "it acknowledges what was never sent", "RFC 5961 5")
        output.challenge_ack(tcb, "ACK of data never sent", "RFC 5961 5")
        return False
    tcb.probes_out = 0
    take_timestamp(tcb, seg)
    tcb.rcv_tstamp = host.now
    window_changed = _update_window(tcb, seg)
    if not tcb.rtx:
        _window_opened(tcb)
        return True
    delivered = tcb.delivered
    newly_sacked = sack.mark(tcb, number, seg.sack) if seg.sack else 0
    newly_acked = _clean(tcb, number, seg) if advanced else 0
    duplicate = not advanced and not seg.payload and not window_changed and bool(tcb.rtx) and not newly_sacked
    if newly_sacked:
        duplicate = not advanced
    limited = newly_acked > 0 and output.cwnd_limited(tcb)
    recovery.on_ack(tcb, newly_acked, newly_sacked, delivered, duplicate, advanced)
    if limited and tcb.ca_state in (OPEN, DISORDER, LOSS):
        cc.CONTROLLERS[tcb.congestion].on_ack(tcb, tcb.delivered - delivered)
    if tcb.tlp_high_seq:
        tlp.on_ack(tcb, seg, duplicate, sack.is_dsack(number, seg.sack))
    if advanced:
        if not tcb.rtx:
            tcb.retrans_stamp = -1
        if not tcb.rtx or not tlp.schedule(tcb, advancing=True):
            timers.arm_rto(tcb)
    return True


def _old(tcb: Tcb, seg: Segment) -> bool:
    """An ACK below snd_una: nothing new in it, but far below it may be a blind attacker's (RFC 5961 section 5.2).

    So is one of octets that were never sent, however near (Linux compares with bytes_acked as well).
    """
    if seq.before(seg.ack, seq.add(tcb.snd_una, -min(tcb.max_window, tcb.bytes_acked))):
        why = "ACK older than any window or than our first octet"
        if not _predicted(tcb, seg):
            output.challenge_ack(tcb, why, "RFC 5961 5.2")
            return False
        take_timestamp(tcb, seg)
        if output.may_challenge(tcb, "RFC 5961 5.2"):
            tcb.pending |= delack.NOW
    elif not seg.payload:
        tcb.host.dropped(tcb.label, "old ACK", "", "it acknowledges less than was acknowledged", REF)
    return True


def _predicted(tcb: Tcb, seg: Segment) -> bool:
    """Linux's fast path (tcp_rcv_established) takes the data that it foresaw before it looks at such an ACK."""
    foreseen = tcb.state is State.ESTABLISHED and seg.payload and not seg.flags & ~(ACK | PSH) and not seg.sack
    same = seg.window << tcb.snd_wscale == tcb.snd_wnd and (seg.ts is not None) == tcb.ts_ok
    return bool(foreseen and same and not tcb.ooo and seg.seq == tcb.rcv_nxt)


def take_timestamp(tcb: Tcb, seg: Segment) -> None:
    """TS.Recent moves with what lies at the left edge of the window (RFC 7323 section 4.3, tcp_replace_ts_recent)."""
    if tcb.ts_ok and seg.ts is not None and not seq.after(seg.seq, tcb.rcv_wup):
        value = seg.ts[0]
        if not seq.before(value, tcb.ts_recent):
            tcb.ts_recent = value
            tcb.ts_recent_at = tcb.host.now


def _update_window(tcb: Tcb, seg: Segment) -> bool:
    """Take the window of the newest segment only (SND.WL1 and SND.WL2); of equals the greater, or one that closes.

    True when it changed (tcp_may_update_window).
    """
    offered = seg.window << tcb.snd_wscale
    if offered == tcb.snd_wnd and seg.seq == tcb.snd_wl1:
        return False
    if not may_update_window(tcb, seg):
        return False
    tcb.snd_wl1 = seg.seq
    if offered == tcb.snd_wnd:
        return False
    tcb.snd_wnd = offered
    negotiate.window_grew(tcb, offered)
    return True


def may_update_window(tcb: Tcb, seg: Segment) -> bool:
    """Is its window news? An old segment's is not, but one that is larger, or zero (tcp_may_update_window)."""
    newer = seq.after(seg.ack, tcb.snd_una) or seq.after(seg.seq, tcb.snd_wl1)
    return newer or (seg.seq == tcb.snd_wl1 and (seg.window << tcb.snd_wscale > tcb.snd_wnd or not seg.window))


def _window_opened(tcb: Tcb) -> None:
    """Nothing is outstanding: the ACK may answer a window probe (tcp_ack_probe)."""
    need = min(output.unsent(tcb), tcb.mss)
    if not need:
        return
    if tcb.snd_wnd - seq.diff(tcb.snd_nxt, tcb.snd_una) >= need:
        tcb.backoff = 0
        tcb.probes_since = -1
        timers.stop(tcb, PERSIST)
    else:
        timers.arm_persist(tcb)


def _clean(tcb: Tcb, number: int, seg: Segment) -> int:
    """Drop what is acknowledged, take the RTT, move SND.UNA (tcp_clean_rtx_queue). How many segments went."""
    done = fresh = 0
    first_sent = -1
    repeated = False
    for entry in tcb.rtx:
        if entry.end != number and seq.after(entry.end, number):
            if seq.before(entry.seq, number):
                entry.seq = number
            break
        done += 1
        if entry.sacked:
            tcb.sacked_out -= 1
        else:
            fresh += 1
        if entry.lost:
            tcb.lost_out -= 1
        if entry.retrans:
            tcb.retrans_out -= 1
        if entry.ever:
            repeated = True
        elif first_sent < 0 and not entry.sacked:
            first_sent = entry.sent
    del tcb.rtx[:done]
    if not tcb.sack_ok and done and tcb.sacked_out:  # duplicate ACKs told of some before (tcp_remove_reno_sacks)
        fresh = max(done - tcb.sacked_out, 1)
    tcb.delivered += fresh
    tcb.bytes_acked += seq.diff(number, tcb.snd_una)
    tcb.snd_una = number
    if tcb.sndq:
        taken = min((number - tcb.snd_base) & seq.MASK, len(tcb.sndq))  # a SYN or FIN is not in the queue
        del tcb.sndq[:taken]
        tcb.snd_base = seq.add(tcb.snd_base, taken)
    tcb.retransmits = 0
    sndbuf.acked(tcb)
    if tcb.notices is not None:
        tcb.notices.acked(tcb)
    if tcb.mtup is not None:
        mtu_probe.acknowledged(tcb)
    if not tcb.rtx:
        chrono.stop(tcb, chrono.BUSY)
    _sample(tcb, seg, first_sent, repeated)
    return done


def _sample(tcb: Tcb, seg: Segment, first_sent: int, repeated: bool) -> None:
    """Karn's rule, or the echoed timestamp (RFC 6298 3, RFC 7323 4); without either the RTO stays as it is."""
    if first_sent >= 0 and not repeated:
        rtt.sample(tcb, (tcb.host.now - first_sent) // US)
    elif seg.ts is not None and tcb.ts_ok and seg.ts[1]:
        echoed = rtt.from_timestamp(tcb, seg.ts[1])
        if echoed > 0:
            rtt.sample(tcb, echoed)


def fin_acked(tcb: Tcb) -> bool:
    """The peer has acknowledged our FIN."""
    return tcb.fin_queued and seq.after(tcb.snd_una, tcb.data_end)
