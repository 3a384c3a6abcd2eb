"""Segment arrives: RFC 9293 section 3.10.7, with RFC 5961, RFC 7323 and Linux's tcp_input.c where they go further.

The order of the tests is the RFC's: sequence number, RST, SYN, ACK, the data, the FIN. Before it stand the
timestamp test (PAWS) and the answer to segments without ACK.
"""

from __future__ import annotations

import errno

from tcplab.api.events import Noted
from tcplab.api.states import Cause, State
from tcplab.tcp import (
    ack,
    delack,
    fastopen,
    machine,
    negotiate,
    output,
    rcvbuf,
    reassembly,
    rtt,
    sack,
    seq,
    timers,
    timewait,
    window,
)
from tcplab.tcp.tcb import NOMEM, RTO, Tcb
from tcplab.units import MS, SEC, Nanos, Seq
from tcplab.wire.tcp import ACK, FIN, RST, SYN, Segment

REF = "RFC 9293 3.10.7.4"
SYN_SENT_REF = "RFC 9293 3.10.7.3"
_PAWS_24_DAYS = 24 * 24 * 3600 * SEC
SYN_AGAIN: Nanos = 8 * MS
"""Linux TCP_TIMEOUT_MIN, two ticks: a peer that is reset in between may answer the next SYN."""
_RECEIVES_DATA = (State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2)


def segment_arrives(tcb: Tcb, seg: Segment) -> None:
    """Run one segment through the connection; whatever it allows is sent before this returns."""
    tcb.segs_in += 1
    if seg.payload:
        tcb.data_segs_in += 1
    if tcb.state is State.SYN_SENT:
        _syn_sent(tcb, seg)
    else:
        _synchronized(tcb, seg)


# --- SYN-SENT ---------------------------------------------------------------------------------------------------------


def _syn_sent(tcb: Tcb, seg: Segment) -> None:
    host = tcb.host
    flags = seg.flags
    if flags & ACK:
        if not seq.after(seg.ack, tcb.iss) or seq.after(seg.ack, tcb.snd_nxt):
            if tcb.retransmits == 0:
                timers.arm(tcb, RTO, host.now + SYN_AGAIN, "the peer speaks of an older connection: try again soon")
            if not flags & RST:
                host.reply_rst(seg, tcb.raddr, "the ACK is not of our SYN", SYN_SENT_REF)
            host.dropped(tcb.label, "bad ack", "", "it acknowledges something else than our SYN", SYN_SENT_REF)
            return
        if flags & RST:
            host.counters["TcpAttemptFails"] += 1
            why = "ECONNREFUSED: RST answers our SYN"
            machine.destroy(tcb, Cause.RST, why, SYN_SENT_REF, errno.ECONNREFUSED)
            return
    elif flags & RST:
        host.dropped(tcb.label, "RST without ACK", "", "it does not prove that it saw our SYN", SYN_SENT_REF)
        return
    if not flags & SYN:
        host.dropped(tcb.label, "no SYN", "", "in SYN_SENT only SYN or RST count", SYN_SENT_REF)
        return
    if flags & ACK:
        _syn_ack(tcb, seg)
    else:
        _simultaneous_open(tcb, seg)


def _take_syn(tcb: Tcb, seg: Segment) -> None:
    """What every SYN of the peer sets: IRS, the window, the options."""
    tcb.irs = seg.seq
    tcb.rcv_nxt = tcb.rcv_wup = seq.add(seg.seq, 1)
    negotiate.apply(tcb, negotiate.Offer(seg, tcb.host.sysctl))
    tcb.snd_wnd = seg.window  # the window of a SYN is never scaled (RFC 7323 2.2)
    negotiate.window_grew(tcb, tcb.snd_wnd)
    tcb.snd_wl1 = seg.seq


def _syn_ack(tcb: Tcb, seg: Segment) -> None:
    _take_syn(tcb, seg)
    syn = tcb.rtx.pop(0)  # Fast Open's data may stand behind it
    tcb.snd_una = seg.ack
    tcb.bytes_acked = 1  # Linux counts all sequence space
    tcb.retrans_out = tcb.sacked_out = tcb.lost_out = 0
    tcb.retransmits = 0
    tcb.retrans_stamp = -1
    if not syn.ever:
        rtt.sample(tcb, (tcb.host.now - syn.sent) // 1000)
    elif seg.ts is not None and seg.ts[1]:
        rtt.sample(tcb, max(rtt.from_timestamp(tcb, seg.ts[1]), 1))
    else:
        tcb.rto = 3 * SEC  # RFC 6298 5.7: the SYN had to be repeated and there is no sample
        tcb.backoff = 0
    timers.stop(tcb, RTO)
    tcb.rcv_tstamp = tcb.host.now
    machine.enter(tcb, Cause.SYN_ACK, "SYN,ACK received: it acknowledges our SYN", SYN_SENT_REF)
    if tcb.attempt is not None:
        fastopen.answered(tcb, seg)
    _established(tcb)
    output.push(tcb, "data written before the connection was open")
    if tcb.snd_nxt != tcb.snd_una and not tcb.pending:
        return
    if tcb.pingpong or tcb.write_pending:
        delack.third_step_waits(tcb)
    else:
        output.send_ack(tcb, "the third step: acknowledge the peer's SYN", "RFC 9293 3.5")


def _established(tcb: Tcb) -> None:
    tcb.snd_sml = tcb.snd_una
    tcb.pushed_seq = tcb.snd_nxt
    tcb.lsndtime = tcb.lrcvtime = tcb.host.now
    tcb.delivered += 1  # the SYN
    _opened(tcb)


def _opened(tcb: Tcb) -> None:
    rcvbuf.opened(tcb)
    if tcb.keepalive is not None:
        timers.arm_keepalive(tcb)
    if tcb.fin_later:
        tcb.fin_queued = True
        machine.enter(tcb, Cause.CLOSE, "the application closed its direction in SYN_RECV", "RFC 9293 3.10.4")
    machine.wake(tcb)


def _simultaneous_open(tcb: Tcb, seg: Segment) -> None:
    """Both sides called first: SYN,ACK with the same ISN (RFC 9293 3.5 Figure 7)."""
    _take_syn(tcb, seg)
    machine.enter(tcb, Cause.SYN, "SYN received in SYN_SENT: simultaneous open", SYN_SENT_REF)
    output.send_syn(tcb, "simultaneous open: our SYN again, with the ACK of theirs", "RFC 9293 3.5", with_ack=True)


# --- synchronized states ----------------------------------------------------------------------------------------------


def _synchronized(tcb: Tcb, seg: Segment) -> None:
    if tcb.request is not None and not tcb.request.passes(seg):
        return
    if not seg.flags & (ACK | RST | SYN):
        tcb.host.dropped(tcb.label, "no ACK", "", "every segment after the SYN carries ACK", REF)
        return
    if not _acceptable(tcb, seg):
        return
    if tcb.request is not None:
        if not _early_handshake_done(tcb, seg):
            return
    elif tcb.state is State.SYN_RECV:
        if not _handshake_done(tcb, seg):
            return
    elif not ack.process(tcb, seg):
        return
    if tcb.ts_ok and seg.ts is not None and not seq.after(seg.seq, tcb.rcv_wup):
        _take_timestamp(tcb, seg.ts[0])
    if tcb.fin_queued and ack.fin_acked(tcb) and not _our_fin_acked(tcb):
        return
    if seg.payload or seg.flags & FIN:
        _data(tcb, seg)
        if tcb.over:
            return
    output.push(tcb, "the ACK made room")
    if tcb.pending:
        why = delack.check(tcb)
        if why:
            output.send_ack(tcb, why, delack.REF)
    if tcb.dead and tcb.state is State.FIN_WAIT_2:
        if tcb.linger2 < 0:
            tcb.host.counters["TcpExtTCPAbortOnData"] += 1
            tcb.host.reply_rst(seg, tcb.raddr, "TCP_LINGER2 < 0: nobody waits for the peer's FIN", "tcp(7) TCP_LINGER2")
        timewait.orphan_fin_wait_2(tcb)


def _take_timestamp(tcb: Tcb, value: int) -> None:
    """TS.Recent moves with what lies at the left edge of the window (RFC 7323 section 4.3)."""
    if not seq.before(value, tcb.ts_recent):
        tcb.ts_recent = value
        tcb.ts_recent_at = tcb.host.now


def _acceptable(tcb: Tcb, seg: Segment) -> bool:
    """Steps 0 to 4 (tcp_validate_incoming): PAWS, sequence, RST, SYN. False: the segment is dealt with."""
    flags = seg.flags
    if tcb.ts_ok and not flags & RST and _paws_reject(tcb, seg):
        tcb.host.counters["TcpExtPAWSEstab"] += 1
        _complain(tcb, seg, "old timestamp", "its timestamp is older than the last one: PAWS", "RFC 7323 5.3")
        return False
    length = len(seg.payload)
    if flags & (FIN | SYN):
        length += bool(flags & FIN) + bool(flags & SYN)
    is_next = seg.seq == tcb.rcv_nxt and (not length or length <= window.offered(tcb))
    if not is_next and not _in_window(tcb, seg, length):
        return False
    if flags & RST:
        _rst(tcb, seg)
        return False
    if flags & SYN and not _simultaneous_syn_ack(tcb, seg):
        _challenge_syn(tcb)
        return False
    if not flags & ACK:
        tcb.host.dropped(tcb.label, "no ACK", "", "every segment after the SYN carries ACK", REF)
        return False
    return True


def _in_window(tcb: Tcb, seg: Segment, length: int) -> bool:
    """Step 1, for a segment that is not simply the next one (tcp_sequence). False: it is dealt with."""
    flags = seg.flags
    right = seq.add(tcb.rcv_nxt, window.offered(tcb))
    end = seq.add(seg.seq, length)
    beyond = seq.after(end, right)
    outside = beyond and (seq.after(seg.seq, right) or not rcvbuf.taken_beyond(tcb, seg, right))
    if not seq.before(end, tcb.rcv_wup) and not outside:
        return True
    if flags & RST:
        tcb.host.dropped(tcb.label, "RST outside", "", "its number lies outside the window", "RFC 5961 3.2")
    elif flags & SYN:
        _challenge_syn(tcb)
    else:
        if beyond:
            tcb.host.counters["TcpExtBeyondWindow"] += 1
        where = "beyond the window" if beyond else "old data"
        _complain(tcb, seg, where, f"it lies {'beyond the right' if beyond else 'before the left'} edge", REF)
    return False


def _paws_reject(tcb: Tcb, seg: Segment) -> bool:
    """RFC 7323 section 5: a timestamp from the past, unless ours is more than 24 days old."""
    if seg.ts is None or not seq.before(seg.ts[0], tcb.ts_recent):
        return False
    if tcb.host.now - tcb.ts_recent_at > _PAWS_24_DAYS:
        return False
    # Linux tcp_disordered_ack: a pure ACK that was overtaken is harmless
    replay = seq.diff(tcb.ts_recent, seg.ts[0]) * MS <= tcb.rto
    pure = not seg.payload and not seg.flags & (FIN | SYN) and seg.seq == tcb.rcv_nxt and seg.ack == tcb.snd_una
    return not (pure and replay)


def _complain(tcb: Tcb, seg: Segment, reason: str, why: str, ref: str) -> None:
    """Answer an unacceptable segment with an ACK; empty ones at a limited rate (tcp_oow_rate_limited)."""
    host = tcb.host
    host.dropped(tcb.label, reason, "", why, ref)
    if not seg.payload and not seg.flags & SYN:
        if host.now - tcb.oow_at < host.sysctl.tcp_invalid_ratelimit * MS:
            host.counters["TcpExtTCPACKSkippedSeq"] += 1
            return
        tcb.oow_at = host.now
    end = seq.add(seg.seq, len(seg.payload) + bool(seg.flags & FIN))
    if end != seg.seq and seq.before(seg.seq, tcb.rcv_nxt):
        _seen_before(tcb, seg.seq, end)
    output.send_ack(tcb, f"ACK says what is expected instead: {why}", ref)


def _seen_before(tcb: Tcb, left: Seq, right: Seq) -> None:
    """Our ACK was lost or late: acknowledge at once for a while, and tell of the duplicate (tcp_send_dupack)."""
    tcb.host.counters["TcpExtDelayedACKLost"] += 1
    delack.enter_quickack(tcb)
    sack.duplicate(tcb, left, right, old=True)


def _challenge_syn(tcb: Tcb) -> None:
    counters = tcb.host.counters
    counters["TcpInErrs"] += 1
    counters["TcpExtTCPSYNChallenge"] += 1
    tcb.host.dropped(tcb.label, "SYN", "", "a SYN does not reset a connection any more", "RFC 5961 4.2")
    output.challenge_ack(tcb, f"SYN in {tcb.state.value}: if it was you, tell with a RST", "RFC 5961 4.2")


def _simultaneous_syn_ack(tcb: Tcb, seg: Segment) -> bool:
    """The peer's SYN,ACK of a simultaneous open."""
    return bool(
        tcb.state is State.SYN_RECV and seg.flags & ACK and seg.seq == tcb.irs and seg.ack == tcb.snd_nxt
    )  # fmt: skip


def _rst(tcb: Tcb, seg: Segment) -> None:
    """RFC 5961 section 3: only the exact number resets."""
    if seg.seq != tcb.rcv_nxt:
        tcb.host.dropped(
            tcb.label, "RST inexact", "", "in the window, but not the number expected next", "RFC 5961 3.2"
        )
        output.challenge_ack(tcb, "RST in the window, but not exact", "RFC 5961 3.2")
        return
    error = errno.ECONNRESET
    if tcb.state is State.CLOSE_WAIT:
        error = errno.EPIPE  # the peer had closed already (tcp_reset)
    elif tcb.state is State.SYN_RECV:
        error = errno.ECONNREFUSED
    machine.destroy(tcb, Cause.RST, f"{errno.errorcode[error]}: RST with the exact number", REF, error)


def _handshake_done(tcb: Tcb, seg: Segment) -> bool:
    """Step 5 in SYN_RECV: the ACK of our SYN."""
    if seq.before(seg.ack, tcb.snd_una) or seq.after(seg.ack, tcb.snd_nxt):
        tcb.host.reply_rst(seg, tcb.raddr, "the ACK is not of our SYN,ACK", REF)
        return False
    syn = tcb.rtx[0] if tcb.rtx and tcb.rtx[0].syn else None
    if syn is not None:
        if not syn.ever:
            rtt.sample(tcb, (tcb.host.now - syn.sent) // 1000)
        tcb.rtx.pop(0)
        tcb.retrans_out = 0
        tcb.retransmits = 0
        tcb.retrans_stamp = -1
        tcb.snd_una = seq.add(tcb.iss, 1)
        timers.arm_rto(tcb)
    tcb.snd_wnd = seg.window << (0 if seg.flags & SYN else tcb.snd_wscale)
    negotiate.window_grew(tcb, tcb.snd_wnd)
    tcb.snd_wl1 = seg.seq
    tcb.rcv_tstamp = tcb.host.now
    machine.enter(tcb, Cause.ACK_OF_SYN, "the ACK of our SYN,ACK came: both sides are ready", REF)
    _established(tcb)
    if seg.flags & SYN:  # simultaneous open: the peer's SYN,ACK repeats its SYN, and wants an answer
        sack.duplicate(tcb, tcb.irs, tcb.rcv_nxt, old=True)
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
        _opened(tcb)
    return True


def _our_fin_acked(tcb: Tcb) -> bool:
    """Step 5, closing states. False when the connection is over."""
    if tcb.state is State.FIN_WAIT_1:
        machine.enter(tcb, Cause.ACK_OF_FIN, "our FIN is acknowledged", REF)
        machine.wake(tcb)
    elif tcb.state is State.CLOSING:
        timewait.start(tcb, Cause.ACK_OF_FIN, "our FIN is acknowledged; theirs came before")
        return False
    elif tcb.state is State.LAST_ACK:
        machine.destroy(tcb, Cause.ACK_OF_FIN, "our FIN is acknowledged: both directions are closed", REF)
        return False
    return True


# --- data and FIN -----------------------------------------------------------------------------------------------------


def _data(tcb: Tcb, seg: Segment) -> None:
    """Steps 7 and 8 (tcp_data_queue): in order, out of order, or seen before."""
    if tcb.state not in _RECEIVES_DATA and not _before_the_fin(tcb, seg):
        return
    deaf = tcb.dead or (tcb.shut_rd and tcb.state is not State.ESTABLISHED)
    if deaf and seg.payload and seq.after(seq.add(seg.seq, len(seg.payload)), tcb.rcv_nxt):
        _nobody_reads(tcb, seg)
        return
    fin = seg.flags & FIN != 0
    end = seq.add(seg.seq, len(seg.payload) + fin)
    is_next = seg.seq == tcb.rcv_nxt
    if not is_next and not seq.after(end, tcb.rcv_nxt):
        tcb.host.dropped(tcb.label, "duplicate", "", "all of it was received before", REF)
        _seen_before(tcb, seg.seq, end)
        tcb.pending |= delack.NOW
    elif not is_next and seq.after(seg.seq, tcb.rcv_nxt):
        _out_of_order(tcb, seg, fin)
    elif _has_room(tcb, seg):
        _in_order(tcb, seg, fin)


def _before_the_fin(tcb: Tcb, seg: Segment) -> bool:
    """The peer closed before: only what it repeats is answered. False: the segment is dealt with."""
    if not seq.before(seg.seq, tcb.rcv_nxt):
        tcb.host.dropped(tcb.label, "data after FIN", "", "the peer closed its direction before", REF)
        return False
    if seg.payload and seq.after(seq.add(seg.seq, len(seg.payload)), tcb.rcv_nxt):
        _nobody_reads(tcb, seg, errno.EPIPE if tcb.state is State.CLOSE_WAIT else errno.ECONNRESET)
        return False
    return True


def _has_room(tcb: Tcb, seg: Segment) -> bool:
    """May data in order be taken? A bare FIN always, and anything while nothing is unread."""
    host = tcb.host
    if seg.payload and not window.offered(tcb):
        why = "the window is shut: nothing was asked for"
        host.dropped(tcb.label, "zero window", "TcpExtTCPZeroWindowDrop", why, REF)
        delack.enter_quickack(tcb)
        tcb.pending |= delack.SCHED
        return False
    if rcvbuf.make_room(tcb):
        return True
    tcb.pending |= NOMEM | delack.NOW
    if not seg.payload or not tcb.rcvq:
        return True
    host.dropped(tcb.label, "rcvbuf full", "TcpExtTCPRcvQDrop", "nobody reads: the receive buffer is full", REF)
    return False


def _nobody_reads(tcb: Tcb, seg: Segment, error: int = errno.ECONNRESET) -> None:
    """Data for a socket that was closed, or shut down both ways, or behind the peer's own FIN: nobody can read it
    (RFC 9293 3.6.1, Linux TCPAbortOnData).
    """
    did = "closed the socket" if tcb.dead else "shut down both directions"
    after = "close()" if tcb.dead else "shutdown()"
    if not tcb.dead and not tcb.shut_rd:
        did, after = "read the end", "the FIN"
    tcb.host.counters["TcpExtTCPAbortOnData"] += 1
    tcb.host.reply_rst(seg, tcb.raddr, f"data came, but the application has {did}", "RFC 9293 3.6.1")
    machine.destroy(tcb, Cause.ABORT, f"data came after {after}: RST", "RFC 9293 3.6.1", error)


def _in_order(tcb: Tcb, seg: Segment, fin: bool) -> None:
    old = seq.diff(tcb.rcv_nxt, seg.seq) if seg.seq != tcb.rcv_nxt else 0
    payload = seg.payload[old:] if old else seg.payload
    if old:
        sack.duplicate(tcb, seg.seq, tcb.rcv_nxt, old=True)
    if payload:
        rcvbuf.queue(tcb, payload, rcvbuf.HEADERS + len(seg.raw_options))
        tcb.rcv_nxt = seq.add(tcb.rcv_nxt, len(payload))
        tcb.bytes_received += len(payload)
        delack.data_received(tcb, seg)
    if tcb.ooo:
        before = tcb.rcv_nxt
        twice = reassembly.twice(tcb)
        if twice is not None:
            sack.duplicate(tcb, *twice, old=True)
        fin = reassembly.advance(tcb) or fin
        reassembly.forget(tcb)
        tcb.bytes_received += seq.diff(tcb.rcv_nxt, before)
        tcb.pending |= delack.SCHED | delack.NOW  # a hole was filled: the peer wants to know (RFC 5681 4.2)
    if fin:
        _fin(tcb)
    if tcb.owner is not None and (payload or fin):
        tcb.owner.readable()


def _out_of_order(tcb: Tcb, seg: Segment, fin: bool) -> None:
    host = tcb.host
    if not rcvbuf.make_room(tcb):
        host.dropped(tcb.label, "rcvbuf full", "TcpExtTCPOFODrop", "nobody reads: the receive buffer is full", REF)
        return
    host.counters["TcpExtTCPOFOQueue"] += 1
    tcb.rcv_ooopack += 1
    twice = reassembly.insert(tcb, seg.seq, seg.payload, fin)
    if twice is not None:
        sack.duplicate(tcb, *twice, old=False)
    else:
        rcvbuf.wait(tcb, len(seg.payload))
    delack.measure(tcb, len(seg.payload), seg.flags)
    if tcb.sack_ok:
        rcvbuf.grow(tcb, len(seg.payload))
    reassembly.report(tcb, seg.seq, seq.add(seg.seq, len(seg.payload) + fin))
    tcb.pending |= delack.SCHED | delack.NOW
    if host.tracing:
        missing = seq.diff(seg.seq, tcb.rcv_nxt)
        why = f"{missing} octets before it are missing: it waits"
        host.emit(Noted(host.now, host.name, tcb.label, host.frame, f"ooo {len(seg.payload)}", why, REF))


def _fin(tcb: Tcb) -> None:
    """Step 8: the peer has said all that it has to say."""
    tcb.rcv_nxt = seq.add(tcb.rcv_nxt, 1)
    tcb.bytes_received += 1
    tcb.fin_rcvd = True
    tcb.pending |= delack.SCHED
    tcb.ooo.clear()
    tcb.sacks.clear()
    tcb.dsack = None  # tcp_fin: the peer has said all, nothing is left to report
    if tcb.state is State.FIN_WAIT_2:
        output.send_ack(tcb, "ACK of the peer's FIN", "RFC 9293 3.6")
        timewait.start(tcb, Cause.FIN, "FIN received: both directions are closed, wait 2MSL")
        return
    if tcb.state is State.FIN_WAIT_1:
        machine.enter(tcb, Cause.FIN, "FIN received while ours is on the way: simultaneous close", REF)
        output.send_ack(tcb, "ACK of the peer's FIN", "RFC 9293 3.6")
    else:
        tcb.pingpong = delack.PINGPONG  # what is left to say is ours: the ACK may ride on it
        machine.enter(tcb, Cause.FIN, "FIN received: the peer sends no more", REF)
    if tcb.owner is not None:
        tcb.owner.readable()
