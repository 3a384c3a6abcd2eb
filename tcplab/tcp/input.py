"""Segment arrives: RFC 9293 section 3.10.7, with RFC 5961, RFC 7323 and Linux's tcp_input.c where they go further.

The order of the tests is the RFC's: sequence number, RST, SYN, ACK, the data, the FIN. Before it stand the
timestamp test (PAWS) and the answer to segments without ACK.
"""

from __future__ import annotations

import errno

from tcplab.api.states import ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2, SYN_RECV, SYN_SENT, Cause, State
from tcplab.tcp import (
    ack,
    autotune,
    data,
    delack,
    machine,
    negotiate,
    output,
    rcvbuf,
    recovery,
    seq,
    sndbuf,
    syn_sent,
    timers,
    timewait,
    window,
)
from tcplab.tcp.seq import HALF, MASK
from tcplab.tcp.tcb import Tcb
from tcplab.units import MS, SEC
from tcplab.wire.tcp import ACK, FIN, RST, SYN, Segment

REF = "RFC 9293 3.10.7.4"
_PAWS_24_DAYS = 24 * 24 * 3600 * SEC
_PAWS_WINDOW = 1
"""Linux TCP_PAWS_WINDOW: timestamps may go back by so much."""
_PEER_CLOSED = (State.CLOSE_WAIT, State.CLOSING, State.LAST_ACK)
_AGES = 3600 * SEC
"""Longer ago than any timer asks for."""


def segment_arrives(tcb: Tcb, seg: Segment) -> None:
    """Run one segment through the connection; whatever it allows is sent before this returns."""
    tcb.segs_in += 1
    if seg.payload:
        tcb.data_segs_in += 1
    if tcb.state is SYN_SENT:
        syn_sent.segment_arrives(tcb, seg)
    else:
        _synchronized(tcb, seg)


def _synchronized(tcb: Tcb, seg: Segment) -> None:
    if tcb.request is not None and not tcb.request.passes(seg):
        return
    if not seg.flags & (ACK | RST | SYN):
        tcb.host.dropped(tcb.label, "no ACK", "", "every segment after the SYN carries ACK", REF)
        return
    if not _acceptable(tcb, seg):
        return
    if seg.payload and tcb.request is None and ack.predicted(tcb, seg):
        _foreseen(tcb, seg)
    elif not _considered(tcb, seg):
        return
    if tcb.nospace:
        sndbuf.look_for_space(tcb)
    if tcb.pending & delack.OWED:
        why = delack.check(tcb)
        if why:
            output.send_ack(tcb, why, delack.REF)
    if tcb.dead and tcb.state is FIN_WAIT_2:
        if tcb.linger2 < 0:
            tcb.host.counters["TcpExtTCPAbortOnData"] += 1
            tcb.host.reply_rst(seg, tcb.raddr, "TCP_LINGER2 < 0: nobody waits for the peer's FIN", "tcp(7) TCP_LINGER2")
        timewait.orphan_fin_wait_2(tcb)


def _foreseen(tcb: Tcb, seg: Segment) -> None:
    """Linux's fast path: the data first, and then the ACK. If that says nothing new nobody looks at it, or asks whether
    anything may leave (tcp_rcv_established).
    """
    ack.take_timestamp(tcb, seg)
    if seg.ts is not None:
        autotune.measure_echo(tcb, seg.ts[1], len(seg.payload))
    data.segment_text(tcb, seg)
    if seg.ack == tcb.snd_una:
        tcb.rcv_tstamp = tcb.host.now
        return
    ack.process(tcb, seg)
    if tcb.sndq:
        output.push(tcb, "the ACK made room")


def _considered(tcb: Tcb, seg: Segment) -> bool:
    """The slow path, steps 5 to 8: the ACK, the data, the FIN. False: there is nothing left to do."""
    if tcb.request is not None:
        if not _early_handshake_done(tcb, seg):
            return False
    elif tcb.state is SYN_RECV:
        if not _handshake_done(tcb, seg):
            return False
        ack.take_timestamp(tcb, seg)
    elif not ack.process(tcb, seg):
        return False
    elif seg.ts is not None and tcb.state is ESTABLISHED:
        if seg.payload:
            autotune.measure_echo(tcb, seg.ts[1], len(seg.payload))
        else:
            tcb.rcv_tsecr = seg.ts[1]
    if tcb.fin_queued and not tcb.rtx and ack.fin_acked(tcb) and not _our_fin_acked(tcb):
        return False
    if seg.payload or seg.flags & FIN:
        data.segment_text(tcb, seg)
        if tcb.state is not ESTABLISHED and tcb.over:
            return False
    if tcb.sndq or tcb.fin_queued:
        output.push(tcb, "the ACK made room")
    return True


def _acceptable(tcb: Tcb, seg: Segment) -> bool:
    """Steps 0 to 4 (tcp_validate_incoming): PAWS, sequence, RST, SYN. False: the segment is dealt with."""
    flags = seg.flags
    if (
        tcb.ts_ok and seg.ts is not None and (seg.ts[0] - tcb.ts_recent) & MASK >= HALF and not flags & RST
        and _paws_reject(tcb, seg.ts[0], seg)
    ):  # fmt: skip
        _too_old(tcb, seg)
        return False
    length = len(seg.payload)
    if flags & (FIN | SYN):
        length += bool(flags & FIN) + bool(flags & SYN)
    is_next = seg.seq == tcb.rcv_nxt and (
        not length or length <= tcb.rcv_wnd - ((tcb.rcv_nxt - tcb.rcv_wup) & MASK)  # window.offered
    )
    if not is_next and not _in_window(tcb, seg, length):
        return False
    if flags & (RST | SYN | ACK) == ACK:
        return True
    if flags & RST:
        _rst(tcb, seg)
        return False
    if flags & SYN and not _simultaneous_syn_ack(tcb, seg):
        if tcb.host.sysctl.profile.challenge:
            _challenge_syn(tcb)
        else:
            _syn_in_window(tcb, seg)
        return False
    if not flags & ACK:
        tcb.host.dropped(tcb.label, "no ACK", "", "every segment after the SYN carries ACK", REF)
        return False
    return True  # the SYN,ACK of a simultaneous open


def _in_window(tcb: Tcb, seg: Segment, length: int) -> bool:
    """Step 1, for a segment that is not simply the next one (tcp_sequence). False: it is dealt with."""
    flags = seg.flags
    right = seq.add(tcb.rcv_nxt, window.offered(tcb))
    end = seq.add(seg.seq, length)
    beyond = seq.after(end, right)
    outside = beyond and (seq.after(seg.seq, right) or not rcvbuf.taken_beyond(tcb, seg, right))
    if not seq.before(end, tcb.rcv_wup) and not outside:
        return True
    if flags & RST and _rst_behind_fin(tcb, seg):
        _reset(tcb, "RST with the number of the peer's FIN")
    elif flags & RST:
        tcb.host.dropped(tcb.label, "RST outside", "", "its number lies outside the window", "RFC 5961 3.2")
    elif flags & SYN:
        _challenge_syn(tcb)
    else:
        if beyond:
            tcb.host.counters["TcpExtBeyondWindow"] += 1
        where = "beyond the window" if beyond else "old data"
        _complain(tcb, seg, where, f"it lies {'beyond the right' if beyond else 'before the left'} edge", REF)
    return False


def _paws_reject(tcb: Tcb, value: int, seg: Segment) -> bool:
    """RFC 7323 section 5: its timestamp `value` is of the past, unless ours is more than 24 days old, or none."""
    if not tcb.ts_recent:
        return False
    age = seq.diff(tcb.ts_recent, value)
    if age <= _PAWS_WINDOW or tcb.host.now - tcb.ts_recent_at > _PAWS_24_DAYS:
        return False
    # Linux tcp_disordered_ack_check: a pure ACK that was overtaken is harmless
    same = _pure_ack(seg) and seg.seq == tcb.rcv_nxt and seg.ack == tcb.snd_una
    return not (same and age * MS * 5 <= tcb.rto * 6 and not ack.may_update_window(tcb, seg))


def _too_old(tcb: Tcb, seg: Segment) -> None:
    """PAWS rejects it: most are told where we are."""
    if seg.flags & SYN:
        _challenge_syn(tcb)
    elif _pure_ack(seg) and seq.before(seg.seq, tcb.rcv_nxt):
        why = "an old ACK that was overtaken: it needs no answer"
        tcb.host.dropped(tcb.label, "old timestamp", "TcpExtPAWSOldAck", why, "RFC 7323 5.3")
    else:
        tcb.host.counters["TcpExtPAWSEstab"] += 1
        _complain(tcb, seg, "old timestamp", "its timestamp is older than the last one: PAWS", "RFC 7323 5.3")


def _pure_ack(seg: Segment) -> bool:
    return not seg.payload and not seg.flags & (FIN | SYN) and bool(seg.flags & ACK)


def _complain(tcb: Tcb, seg: Segment, reason: str, why: str, ref: str) -> None:
    """Answer an unacceptable segment with an ACK; empty ones at a limited rate (tcp_oow_rate_limited)."""
    host = tcb.host
    host.dropped(tcb.label, reason, "", why, ref)
    if not seg.payload and not seg.flags & (SYN | FIN):
        if host.now - tcb.oow_at < host.sysctl.tcp_invalid_ratelimit * MS:
            host.counters["TcpExtTCPACKSkippedSeq"] += 1
            return
        tcb.oow_at = host.now
    end = seq.add(seg.seq, len(seg.payload) + bool(seg.flags & FIN))
    if end != seg.seq and seq.before(seg.seq, tcb.rcv_nxt):
        data.seen_before(tcb, seg.seq, tcb.rcv_nxt if seq.after(end, tcb.rcv_nxt) else end)
    output.send_ack(tcb, f"ACK says what is expected instead: {why}", ref)


def _challenge_syn(tcb: Tcb) -> None:
    counters = tcb.host.counters
    counters["TcpInErrs"] += tcb.state is State.ESTABLISHED  # Linux tcp_rcv_established alone has syn_inerr
    counters["TcpExtTCPSYNChallenge"] += 1
    tcb.host.dropped(tcb.label, "SYN", "", "a SYN does not reset a connection any more", "RFC 5961 4.2")
    output.challenge_ack(tcb, f"SYN in {tcb.state.value}: if it was you, tell with a RST", "RFC 5961 4.2")


def _syn_in_window(tcb: Tcb, seg: Segment) -> None:
    """The profile `rfc793`: it is an error, and the end."""
    why = "a SYN in the window: the peer began anew, or somebody forged it"
    tcb.host.reply_rst(seg, tcb.raddr, why, "RFC 793 p. 71")
    machine.destroy(tcb, Cause.ABORT, why, "RFC 793 p. 71", errno.ECONNRESET)


def _simultaneous_syn_ack(tcb: Tcb, seg: Segment) -> bool:
    """The peer's SYN,ACK of a simultaneous open."""
    return bool(
        tcb.state is State.SYN_RECV and seg.flags & ACK and seg.seq == tcb.irs and seg.ack == tcb.snd_nxt
    )  # fmt: skip


def _rst(tcb: Tcb, seg: Segment) -> None:
    """RFC 5961 section 3: only the exact number resets, or the end of the furthest block that we reported.

    The profile `rfc793`: any number in the window does.
    """
    if not tcb.host.sysctl.profile.challenge:
        _reset(tcb, "RST in the window: RFC 793 asks for no more")
        return
    furthest = tcb.rcv_nxt
    for _, right in tcb.sacks if tcb.sack_ok else ():
        furthest = seq.later(furthest, right)
    if seg.seq not in (tcb.rcv_nxt, furthest) and not _rst_behind_fin(tcb, seg):
        tcb.host.dropped(
            tcb.label, "RST inexact", "", "in the window, but not the number expected next", "RFC 5961 3.2"
        )
        output.challenge_ack(tcb, "RST in the window, but not exact", "RFC 5961 3.2")
        return
    _reset(tcb, "RST with the exact number")


def _rst_behind_fin(tcb: Tcb, seg: Segment) -> bool:
    """Some peers do not count their own FIN when they reset (Linux tcp_reset_check)."""
    return tcb.state in _PEER_CLOSED and seg.seq == seq.add(tcb.rcv_nxt, -1)


def _reset(tcb: Tcb, why: str) -> None:
    error = errno.ECONNRESET
    if tcb.state is State.CLOSE_WAIT:
        error = errno.EPIPE  # the peer had closed already (tcp_reset)
    elif tcb.state is State.SYN_RECV and tcb.request is None:
        tcb.host.counters["TcpAttemptFails"] += 1  # of a simultaneous open
    machine.destroy(tcb, Cause.RST, f"{errno.errorcode[error]}: {why}", REF, error)


def _handshake_done(tcb: Tcb, seg: Segment) -> bool:
    """Step 5 in SYN_RECV: the ACK of our SYN."""
    if seq.before(seg.ack, tcb.snd_una) or seq.after(seg.ack, tcb.snd_nxt):
        tcb.host.reply_rst(seg, tcb.raddr, "the ACK is not of our SYN,ACK", REF)
        return False
    syn = tcb.rtx[0] if tcb.rtx and tcb.rtx[0].syn else None
    if syn is not None:
        recovery.handshake_over(tcb, syn)
        syn_sent.first_sample(tcb, syn, seg)
        tcb.rtx.pop(0)
        tcb.retransmits = 0
        tcb.retrans_stamp = -1
        tcb.snd_una = seq.add(tcb.iss, 1)
        if tcb.segs_out:  # our own SYN, of a simultaneous open: Linux counts it, and counts it as delivered twice
            tcb.bytes_acked = 1
            tcb.delivered += 1
        timers.arm_rto(tcb)
    offered = seg.window << tcb.snd_wscale  # even that of a SYN,ACK, which nobody scaled (tcp_rcv_state_process)
    if offered != tcb.snd_wnd:
        tcb.snd_wnd = offered
        negotiate.window_grew(tcb, seg.window if seg.flags & SYN else offered)
    tcb.snd_wl1 = seg.seq
    tcb.rcv_tstamp = tcb.host.now
    machine.enter(tcb, Cause.ACK_OF_SYN, "the ACK of our SYN,ACK came: both sides are ready", REF)
    syn_sent.established(tcb)
    if syn is not None and tcb.segs_out:  # of a simultaneous open Linux does not say that anything came
        tcb.lrcvtime = -_AGES
    if seg.flags & SYN:  # simultaneous open: the peer's SYN,ACK repeats its SYN, and wants an answer
        tcb.host.counters["TcpExtTCPDelivered"] += 1
        data.seen_before(tcb, tcb.irs, tcb.rcv_nxt)
        tcb.pending |= delack.NOW
    return True


def _early_handshake_done(tcb: Tcb, seg: Segment) -> bool:
    """Step 5 of a connection that Fast Open made early: data, and even our FIN, may be out before the third step."""
    synchronizing = tcb.state is State.SYN_RECV
    if synchronizing and (seq.before(seg.ack, tcb.snd_una) or seq.after(seg.ack, tcb.snd_nxt)):
        tcb.host.reply_rst(seg, tcb.raddr, "the ACK is not of our SYN,ACK", REF)
        return False
    if not ack.process(tcb, seg):
        return False
    assert tcb.request is not None
    tcb.request.complete(seg)
    if synchronizing:
        machine.enter(tcb, Cause.ACK_OF_SYN, "the ACK of our SYN,ACK came: both sides are ready", REF)
        syn_sent.opened(tcb)
    return True


def _our_fin_acked(tcb: Tcb) -> bool:
    """Step 5, closing states. False when the connection is over."""
    if tcb.state is FIN_WAIT_1:
        machine.enter(tcb, Cause.ACK_OF_FIN, "our FIN is acknowledged", REF)
        machine.wake(tcb)
    elif tcb.state is State.CLOSING:
        timewait.start(tcb, Cause.ACK_OF_FIN, "our FIN is acknowledged; theirs came before")
        return False
    elif tcb.state is State.LAST_ACK:
        machine.destroy(tcb, Cause.ACK_OF_FIN, "our FIN is acknowledged: both directions are closed", REF)
        return False
    return True
