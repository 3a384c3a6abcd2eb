"""What an ACK changes: RFC 9293 3.10.7.4 step 5, Linux tcp_ack."""

from __future__ import annotations

from tcplab.api.states import State
from tcplab.tcp import (
    cwnd,
    ecn,
    negotiate,
    output,
    rack,
    rate,
    rcvbuf,
    recovery,
    rtxqueue,
    scoreboard,
    seq,
    sndbuf,
    timers,
    tlp,
)
from tcplab.tcp.acked import (
    CA_ALERT,
    DATA,
    DSACKING_ACK,
    ECE,
    MAYBE_DELAYED,
    NOT_DUP,
    SET_XMIT_TIMER,
    SND_UNA_ADVANCED,
    WIN_UPDATE,
    Acked,
)
from tcplab.tcp.rate_sample import Sample
from tcplab.tcp.seq import HALF, MASK
from tcplab.tcp.tagging import highest_sack
from tcplab.tcp.tcb import OPEN, PERSIST, Tcb
from tcplab.units import Seq
from tcplab.wire.tcp import ACK, FIN, PSH, SYN, Segment

REF = "RFC 9293 3.10.7.4"


def process(tcb: Tcb, seg: Segment) -> bool:
    """Take the ACK of `seg`. False: it acknowledges what we never sent; the whole segment goes (RFC 5961 section 5)."""
    host = tcb.host
    una, number = tcb.snd_una, seg.ack
    if number == una and not tcb.rtx and not seg.sack and not tcb.ecn and not tcb.tlp_high_seq:
        _says_nothing(tcb, seg)
        return True
    acked = Acked(0, seg.ts[1] if seg.ts is not None and tcb.ts_ok else 0)
    if number != una:
        if (number - una) & MASK > (tcb.snd_nxt - una) & MASK:
            if seq.before(number, una):
                return _old(tcb, seg, acked)
            _of_data_never_sent(tcb)
            return False
        acked.flags = SND_UNA_ADVANCED
        tcb.retransmits = 0
    sample = Sample(tcb.in_flight) if tcb.cc.controls else None
    prior_fack = highest_sack(tcb) if tcb.sack_ok else una
    had_sent, delivered, lost = bool(tcb.rtx), tcb.delivered, tcb.lost
    take_timestamp(tcb, seg)
    if seg.payload or seg.flags & (SYN | FIN):
        acked.flags |= DATA
    if _update_window(tcb, seg):
        acked.flags |= WIN_UPDATE
    if tcb.ecn and ecn.take_flags(tcb, seg):
        acked.flags |= ECE
    if number != una:
        tcb.bytes_acked += (number - una) & MASK
        tcb.snd_una = number
    if seg.sack and tcb.sack_ok:
        scoreboard.tag(tcb, number, seg.sack, una, acked)
        tcb.delivered += acked.sack_delivered
    tcb.soft_error = tcb.probes_out = 0
    tcb.rcv_tstamp = host.now
    if not had_sent:
        _nothing_outstanding(tcb, seg, acked)
        _newly_delivered(tcb, delivered, acked)
        return True
    if number != una:
        rtxqueue.clean(tcb, acked, prior_fack, una)
    elif acked.first_sackt >= 0:
        rtxqueue.update_rtt(tcb, acked, -1)
        tcb.cc.on_sample(tcb, 0, acked.ca_rtt)
    rack.update_reo_wnd(tcb, acked)
    if tcb.tlp_high_seq:
        tlp.on_ack(tcb, number, acked)
    if tcb.ca_state != OPEN or acked.flags & CA_ALERT or not acked.flags & NOT_DUP:  # tcp_ack_is_dubious
        _dubious(tcb, acked, una)
    if acked.flags & SET_XMIT_TIMER:
        tlp.set_xmit_timer(tcb)
    delivered = _newly_delivered(tcb, delivered, acked)
    rate.generate(tcb, acked, delivered, sample)
    if sample is None:
        cwnd.control(tcb, delivered, tcb.lost - lost, acked.flags)
    else:
        _control(tcb, sample, acked, delivered, tcb.lost - lost)
    if acked.rexmit and tcb.state is not State.SYN_SENT:
        recovery.xmit(tcb, acked)
    return True


def _of_data_never_sent(tcb: Tcb) -> None:
    tcb.host.dropped(tcb.label, "ack beyond", "", "it acknowledges what was never sent", "RFC 5961 5")
    if tcb.host.sysctl.profile.challenge:
        output.challenge_ack(tcb, "ACK of data never sent", "RFC 5961 5")
    else:
        output.send_ack(tcb, "ACK of data never sent: it says what was", "RFC 793 p. 72")


def _control(tcb: Tcb, sample: Sample, acked: Acked, delivered: int, newly_lost: int) -> None:
    """The controller does all itself (tcp_cong_control with cong_control)."""
    sample.acked_sacked, sample.losses, sample.rtt_us = delivered, newly_lost, acked.ca_rtt
    sample.is_ack_delayed = acked.flags & MAYBE_DELAYED != 0
    tcb.cc.control(tcb, sample)


def _says_nothing(tcb: Tcb, seg: Segment) -> None:
    """Nothing is outstanding that it could acknowledge: the way of all that a host receives while it sends nothing."""
    take_timestamp(tcb, seg)
    _update_window(tcb, seg)
    tcb.soft_error = 0
    tcb.probes_out = 0
    tcb.rcv_tstamp = tcb.host.now
    if tcb.sndq or tcb.fin_queued:
        _window_opened(tcb)


def _newly_delivered(tcb: Tcb, before: int, acked: Acked) -> int:
    """How many segments the ACK tells of that it is the first to tell of (tcp_newly_delivered)."""
    delivered = tcb.delivered - before
    if delivered:
        tcb.host.counters["TcpExtTCPDelivered"] += delivered
        if acked.flags & ECE:
            tcb.delivered_ce += delivered
            tcb.host.counters["TcpExtTCPDeliveredCE"] += delivered
    return delivered


def _dubious(tcb: Tcb, acked: Acked, prior_una: Seq) -> None:
    dupacks = recovery.dupacks_of(acked)
    if dupacks:
        tcb.dupacks += 1
    elif acked.flags & SND_UNA_ADVANCED:
        tcb.dupacks = 0
    recovery.alert(tcb, acked, prior_una, dupacks)


def _nothing_outstanding(tcb: Tcb, seg: Segment, acked: Acked) -> None:
    """A D-SACK may still take a reduction back; and the ACK may answer a window probe."""
    if acked.flags & DSACKING_ACK:
        recovery.alert(tcb, acked, tcb.snd_una, 0)
    _window_opened(tcb)
    if tcb.tlp_high_seq:
        tlp.on_ack(tcb, seg.ack, acked)


def take_timestamp(tcb: Tcb, seg: Segment) -> None:
    """TS.Recent moves with what lies at the left edge of the window (RFC 7323 section 4.3, tcp_replace_ts_recent)."""
    if seg.ts is None or not tcb.ts_ok or (tcb.rcv_wup - seg.seq) & MASK >= HALF:
        return
    value = seg.ts[0]
    if (value - tcb.ts_recent) & MASK < HALF:
        tcb.ts_recent = value
        tcb.ts_recent_at = tcb.host.now


def _old(tcb: Tcb, seg: Segment, acked: Acked) -> bool:
    """An ACK below snd_una: nothing new in it, but far below it may be a blind attacker's (RFC 5961 section 5.2).

    So is one of octets that were never sent, however near (Linux compares with bytes_acked as well).
    """
    far = seq.before(seg.ack, seq.add(tcb.snd_una, -min(tcb.max_window, tcb.bytes_acked)))
    if far and tcb.host.sysctl.profile.challenge:
        output.challenge_ack(tcb, "ACK older than any window or than our first octet", "RFC 5961 5.2")
        return False
    if seg.sack and tcb.sack_ok:  # what it SACKs may still be news
        scoreboard.tag(tcb, seg.ack, seg.sack, tcb.snd_una, acked)
        before = tcb.delivered
        recovery.alert(tcb, acked, tcb.snd_una, 0)
        _newly_delivered(tcb, before, acked)
        if acked.rexmit:
            recovery.xmit(tcb, acked)
    elif not seg.payload:
        tcb.host.dropped(tcb.label, "old ACK", "", "it acknowledges less than was acknowledged", REF)
    return True


def predicted(tcb: Tcb, seg: Segment) -> bool:
    """Is it the data that Linux foresaw? Its fast path takes it before it looks at the ACK (tcp_rcv_established)."""
    foreseen = tcb.state is State.ESTABLISHED and seg.payload and not seg.flags & ~(ACK | PSH) and not seg.sack
    same = seg.window << tcb.snd_wscale == tcb.snd_wnd and (seg.ts is not None) == tcb.ts_ok
    if not foreseen or not same or tcb.ooo or seg.seq != tcb.rcv_nxt or seq.after(seg.ack, tcb.snd_nxt):
        return False
    at_hand = -(tcb.rmem_alloc + sndbuf.used(tcb)) & rcvbuf.PAGE - 1  # of the last page of memory (sk_forward_alloc)
    return rcvbuf.truesize(len(seg.payload) + rcvbuf.HEADERS)[0] <= at_hand


def _update_window(tcb: Tcb, seg: Segment) -> bool:
    """Take the window of the newest segment only (SND.WL1 and SND.WL2); of equals the greater, or one that closes.

    True when it was taken, changed or not (tcp_ack_update_window).
    """
    offered = seg.window << tcb.snd_wscale
    if seg.ack == tcb.snd_una and offered == tcb.snd_wnd and offered and (tcb.snd_wl1 - seg.seq) & MASK < HALF:
        return False
    newer = (tcb.snd_wl1 - seg.seq) & MASK >= HALF
    if not newer and not may_update_window(tcb, seg):
        return False
    tcb.snd_wl1 = seg.seq
    if offered != tcb.snd_wnd:
        tcb.snd_wnd = offered
        if not tcb.rtx and output.unsent(tcb):  # it was shut: nothing left meanwhile
            cwnd.restart(tcb)
        negotiate.window_grew(tcb, offered)
    return True


def may_update_window(tcb: Tcb, seg: Segment) -> bool:
    """Is its window news? An old segment's is not, but one that is larger, or zero (tcp_may_update_window)."""
    if (tcb.snd_una - seg.ack) & MASK >= HALF or (tcb.snd_wl1 - seg.seq) & MASK >= HALF:
        return True
    return seg.seq == tcb.snd_wl1 and (seg.window << tcb.snd_wscale > tcb.snd_wnd or not seg.window)


def _window_opened(tcb: Tcb) -> None:
    """Nothing is outstanding: the ACK may answer a window probe. Is there room for the whole of the first sk_buff
    (tcp_ack_probe)?
    """
    if not output.unsent(tcb):
        return
    head = tcb.skbs[1] if len(tcb.skbs) > 1 else seq.add(tcb.data_end, tcb.fin_queued)
    if not seq.after(head, seq.add(tcb.snd_una, tcb.snd_wnd)):
        tcb.backoff = 0
        tcb.probes_since = -1
        timers.stop(tcb, PERSIST)
    else:
        timers.probe_again(tcb)


def fin_acked(tcb: Tcb) -> bool:
    """The peer has acknowledged our FIN."""
    return tcb.fin_queued and seq.after(tcb.snd_una, tcb.data_end)
