"""Segment arrives in SYN-SENT: RFC 9293 section 3.10.7.3, and what every connection does when it opens."""

from __future__ import annotations

import errno

from tcplab.api.states import Cause
from tcplab.tcp import (
    autotune,
    cwnd,
    delack,
    ecn,
    fastopen,
    machine,
    mtu_probe,
    negotiate,
    output,
    rcvbuf,
    recovery,
    rtt,
    seq,
    sndbuf,
    timers,
    tso,
)
from tcplab.tcp.tcb import RTO, SentSeg, Tcb
from tcplab.units import MS, SEC, Nanos
from tcplab.wire.tcp import ACK, RST, SYN, Segment

REF = "RFC 9293 3.10.7.3"
SYN_AGAIN: Nanos = 8 * MS
"""Linux TCP_TIMEOUT_MIN, two ticks: a peer that is reset in between may answer the next SYN."""


def segment_arrives(tcb: Tcb, seg: Segment) -> None:
    """The steps of RFC 9293 section 3.10.7.3: ACK, RST, SYN."""
    host = tcb.host
    flags = seg.flags
    if flags & ACK:
        if not seq.after(seg.ack, tcb.iss) or seq.after(seg.ack, tcb.snd_nxt):
            if tcb.retransmits == 0:
                timers.arm(tcb, RTO, host.now + SYN_AGAIN, "the peer speaks of an older connection: try again soon")
            if not flags & RST:
                host.reply_rst(seg, tcb.raddr, "the ACK is not of our SYN", REF)
            host.dropped(tcb.label, "bad ack", "", "it acknowledges something else than our SYN", REF)
            return
        if flags & RST:
            host.counters["TcpAttemptFails"] += 1
            why = "ECONNREFUSED: RST answers our SYN"
            machine.destroy(tcb, Cause.RST, why, REF, errno.ECONNREFUSED)
            return
    elif flags & RST:
        host.dropped(tcb.label, "RST without ACK", "", "it does not prove that it saw our SYN", REF)
        return
    if not flags & SYN:
        host.dropped(tcb.label, "no SYN", "", "in SYN_SENT only SYN or RST count", REF)
        return
    if flags & ACK:
        _syn_ack(tcb, seg)
    else:
        _simultaneous_open(tcb, seg)


def _take_syn(tcb: Tcb, seg: Segment) -> None:
    """What every SYN of the peer sets: IRS, the window, the options."""
    tcb.irs = seg.seq
    tcb.rcv_nxt = tcb.rcv_wup = seq.add(seg.seq, 1)
    tcb.snd_wnd = tcb.max_window = seg.window  # the window of a SYN is never scaled (RFC 7323 2.2)
    negotiate.apply(tcb, negotiate.Offer(seg, tcb.host.sysctl))
    tcb.snd_wl1 = seg.seq


def _syn_ack(tcb: Tcb, seg: Segment) -> None:
    mss = tcb.mss
    _take_syn(tcb, seg)
    ecn.take_syn_ack(tcb, seg)
    syn = tcb.rtx.pop(0)  # Fast Open's data may stand behind it
    tcb.tsorted.pop(syn, None)
    tcb.snd_una = seg.ack
    tcb.bytes_acked = 1  # Linux counts all sequence space
    recovery.handshake_over(tcb, syn)
    tcb.retransmits = 0
    first_sample(tcb, syn, seg)
    tcb.retrans_stamp = -1
    timers.stop(tcb, RTO)
    tcb.rcv_tstamp = tcb.host.now
    machine.enter(tcb, Cause.SYN_ACK, "SYN,ACK received: it acknowledges our SYN", REF)
    if tcb.attempt is not None:
        fastopen.answered(tcb, seg)
    established(tcb)
    if not seg.window and not tcb.cc.controls:  # only a window would have told how much a segment holds by now
        tcb.pacing_rate = tso.pacing_rate(tcb, mss)
    tcb.host.counters["TcpExtTCPDelivered"] += 1 + tcb.syn_data_acked  # which tcp_ack() counts as two
    output.push(tcb, "data written before the connection was open")
    if tcb.snd_nxt != tcb.snd_una and not tcb.pending:
        return
    if tcb.pingpong or tcb.write_pending:
        delack.third_step_waits(tcb)
    else:
        output.send_ack(tcb, "the third step: acknowledge the peer's SYN", "RFC 9293 3.5")


def first_sample(tcb: Tcb, syn: SentSeg, seg: Segment) -> None:
    """What the handshake tells of the round trip: of a SYN that was repeated only a timestamp can tell."""
    if not syn.ever:
        rtt.sample(tcb, (tcb.host.now - syn.sent) // 1000)
    elif tcb.ts_ok and seg.ts is not None and seg.ts[1]:
        rtt.sample(tcb, max(rtt.from_timestamp(tcb, seg.ts[1]), 1))
    else:
        tcb.rto = 3 * SEC  # RFC 6298 5.7
        tcb.rttvar = tcb.mdev = tcb.mdev_max = 3_000_000
        tcb.backoff = 0
    first = (tcb.retrans_stamp // MS + tcb.ts_off) & seq.MASK
    spurious = tcb.ts_ok and seg.ts is not None and seg.ts[1] == first  # Linux tcp_try_undo_spurious_syn
    forgiven = 0 if tcb.host.sysctl.profile.small_start else 1
    lost = tcb.total_retrans > forgiven and not spurious
    tcb.cwnd = 1 if lost else cwnd.initial(tcb)  # RFC 5681 3.1, but Linux forgives one repeat (tcp_init_transfer)


def established(tcb: Tcb) -> None:
    """Our SYN is acknowledged, the peer's has come: data may flow (tcp_finish_connect)."""
    tcb.snd_sml = tcb.snd_una
    tcb.pushed_seq = tcb.snd_nxt
    tcb.lsndtime = tcb.lrcvtime = tcb.host.now
    tcb.delivered += 1  # the SYN
    tcb.cc.init(tcb)
    if not tcb.cc.controls:
        tcb.pacing_rate = tso.pacing_rate(tcb, tcb.mss)
    opened(tcb)


def init_transfer(tcb: Tcb) -> None:
    """Data may flow, with Fast Open before the handshake is over: buffers grow (tcp_init_transfer)."""
    mtu_probe.init(tcb)
    rcvbuf.opened(tcb)
    autotune.opened(tcb)
    sndbuf.expand(tcb)


def opened(tcb: Tcb) -> None:
    """The handshake is over, by whichever road: keepalive starts, a close() that waited is done."""
    if not tcb.space:
        init_transfer(tcb)
    if tcb.keepalive is not None:
        timers.arm_keepalive(tcb)
    if tcb.fin_later:
        tcb.fin_queued = True
        machine.enter(tcb, Cause.CLOSE, "the application closed its direction in SYN_RECV", "RFC 9293 3.10.4")
    machine.wake(tcb)


def _simultaneous_open(tcb: Tcb, seg: Segment) -> None:
    """Both sides called first: SYN,ACK with the same ISN (RFC 9293 3.5 Figure 7).

    Linux offers its window's scale again, and keeps to it, even if the peer's SYN had none.
    """
    scale = tcb.rcv_wscale
    _take_syn(tcb, seg)
    ecn.take_syn(tcb, seg)
    tcb.rcv_wscale = scale
    machine.enter(tcb, Cause.SYN, "SYN received in SYN_SENT: simultaneous open", REF)
    output.send_syn(tcb, "simultaneous open: our SYN again, with the ACK of theirs", "RFC 9293 3.5", with_ack=True)
    tcb.rtx[0].sent = tcb.host.now  # the round trip is that of the SYN,ACK (tcp_send_synack)
