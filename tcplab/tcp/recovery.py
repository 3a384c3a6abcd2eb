"""Loss recovery, Linux's state machine (tcp_fastretrans_alert): Open, Disorder, CWR, Recovery, Loss.

RFC 5681 3.2, RFC 6582 (NewReno), RFC 6675, RFC 8985 (RACK), RFC 5682 (F-RTO). What is lost `rack` says; how fast it is
repeated `castate` (PRR) and, after an RTO, the congestion controller; what was wrong `undo`.
"""

from __future__ import annotations

from typing import Final

from tcplab.tcp import castate, cc, ecn, mtu_probe, output, rack, retransmit, seq, shift, timers, undo
from tcplab.tcp.acked import (
    DATA_SACKED,
    DSACKING_ACK,
    ECE,
    LOST_RETRANS,
    NOT_DUP,
    ORIG_SACK_ACKED,
    REXMIT_LOST,
    REXMIT_NEW,
    SACK_RENEGING,
    SET_XMIT_TIMER,
    SND_UNA_ADVANCED,
    Acked,
)
from tcplab.tcp.tcb import CWR, DISORDER, INFINITE_SSTHRESH, LOSS, OPEN, RECOVERY, RTO, SentSeg, Tcb
from tcplab.units import MS, NEVER, US, Seq

FAST_REF: Final = "RFC 5681 3.2"
FRTO_REF: Final = "RFC 5682 3"
_RENEGING_MIN: Final = 10 * MS


def dupacks_of(acked: Acked) -> int:
    """Does the ACK count as a duplicate (tcp_ack)?"""
    return 0 if acked.flags & (SND_UNA_ADVANCED | NOT_DUP | DSACKING_ACK) else 1


def alert(tcb: Tcb, acked: Acked, prior_una: Seq, dupacks: int) -> None:
    """An ACK that is not just the next one: where does it leave us (tcp_fastretrans_alert)?"""
    if not tcb.rtx and tcb.sacked_out:
        tcb.sacked_out = 0
    if acked.flags & ECE:
        tcb.prior_ssthresh = 0
    if _check_sack_reneging(tcb, acked):
        return
    if tcb.ca_state == OPEN:
        tcb.retrans_stamp = -1
    elif not seq.before(tcb.snd_una, tcb.high_seq) and _all_arrived(tcb, acked):
        return
    if tcb.ca_state == RECOVERY:
        if _in_recovery(tcb, acked, prior_una, dupacks):
            acked.rexmit = REXMIT_LOST
        return
    if tcb.ca_state == LOSS:
        _process_loss(tcb, acked, dupacks)
        _identify_packet_loss(tcb, acked)
        if tcb.ca_state != OPEN and not acked.flags & LOST_RETRANS:
            return
    if not tcb.sack_ok:
        if acked.flags & SND_UNA_ADVANCED:
            tcb.sacked_out = 0
        add_reno_sack(tcb, dupacks)
    if tcb.ca_state == OPEN or tcb.ca_state == DISORDER:
        undo.try_dsack(tcb)
    _identify_packet_loss(tcb, acked)
    if not tcb.lost_out:
        _try_to_open(tcb, acked)
    elif tcb.mtup is None or (tcb.ca_state != OPEN and tcb.ca_state != DISORDER) or not mtu_probe.failed(tcb):
        enter_recovery(tcb, acked.flags & ECE != 0)
        acked.rexmit = REXMIT_LOST


def _all_arrived(tcb: Tcb, acked: Acked) -> bool:
    """All that was outstanding when the state began is acknowledged. True: nothing more to do now."""
    if tcb.ca_state == CWR:
        if tcb.snd_una != tcb.high_seq:  # one more, so that the peer has seen our CWR
            castate.end_reduction(tcb)
            cc.change_state(tcb, OPEN)
    elif tcb.ca_state == RECOVERY:
        if not tcb.sack_ok:
            tcb.sacked_out = 0
        if undo.try_recovery(tcb, acked):
            return True
        castate.end_reduction(tcb)
    return False


def _in_recovery(tcb: Tcb, acked: Acked, prior_una: Seq, dupacks: int) -> bool:
    """An ACK in Recovery. False: nothing is to be repeated."""
    if not acked.flags & SND_UNA_ADVANCED:
        if not tcb.sack_ok:
            add_reno_sack(tcb, dupacks)
    elif undo.try_partial(tcb, acked, prior_una):
        return False
    if undo.try_dsack(tcb):
        _try_to_open(tcb, acked)
    _identify_packet_loss(tcb, acked)
    if tcb.ca_state != RECOVERY:
        if not tcb.lost_out:
            return False
        enter_recovery(tcb, acked.flags & ECE != 0)  # taken back, and yet something is lost
    return True


def _process_loss(tcb: Tcb, acked: Acked, dupacks: int) -> None:
    """An ACK after an RTO: F-RTO finds out whether it was right (tcp_process_loss)."""
    recovered = not seq.before(tcb.snd_una, tcb.high_seq)
    advanced = acked.flags & SND_UNA_ADVANCED
    if (advanced or tcb.request is not None) and undo.try_loss(tcb, acked, by_frto=False):
        return
    if tcb.frto:
        if acked.flags & ORIG_SACK_ACKED and undo.try_loss(tcb, acked, by_frto=True):
            return
        if seq.after(tcb.snd_nxt, tcb.high_seq):
            if acked.flags & DATA_SACKED or dupacks:
                tcb.frto = False  # step 3.a: the loss was real
        elif advanced and not recovered:
            tcb.high_seq = tcb.snd_nxt
            if output.unsent(tcb) and tcb.snd_wnd > seq.diff(tcb.snd_nxt, tcb.snd_una):
                acked.rexmit = REXMIT_NEW  # step 2.b: what is answered to new data tells
                return
            tcb.frto = False
    if recovered:
        undo.try_recovery(tcb, acked)
        return
    if not tcb.sack_ok:
        if seq.after(tcb.snd_nxt, tcb.high_seq) and dupacks:
            add_reno_sack(tcb, dupacks)
        elif advanced:
            tcb.sacked_out = 0
    acked.rexmit = REXMIT_LOST


def _check_sack_reneging(tcb: Tcb, acked: Acked) -> bool:
    """The peer has SACKed what it now lacks. Maybe the next ACK clears that up: wait a little, then take all SACKs as
    void (tcp_check_sack_reneging).
    """
    if not acked.flags & SACK_RENEGING or not acked.flags & SND_UNA_ADVANCED:
        return False
    wait = max((tcb.srtt >> 4) * US, _RENEGING_MIN)
    why = "what was SACKed is not acknowledged: another ACK may clear that up"
    timers.arm_xmit(tcb, RTO, tcb.host.now + wait, why, "RFC 2018 8")
    acked.flags &= ~SET_XMIT_TIMER
    return True


def _identify_packet_loss(tcb: Tcb, acked: Acked) -> None:
    """tcp_identify_packet_loss."""
    if not tcb.rtx:
        return
    if not tcb.sack_ok:
        rack.newreno_mark_lost(tcb, acked.flags & SND_UNA_ADVANCED != 0)
        return
    if not tcb.host.sysctl.profile.rack:
        rack.dupthresh_mark_lost(tcb)
        return
    prior = tcb.retrans_out
    if rack.mark_lost(tcb):
        acked.flags &= ~SET_XMIT_TIMER
    if prior > tcb.retrans_out:
        acked.flags |= LOST_RETRANS


def _try_to_open(tcb: Tcb, acked: Acked) -> None:
    """tcp_try_to_open."""
    undo.clean_stamp(tcb)
    if acked.flags & ECE:
        castate.enter_cwr(tcb, "ECE")
    if tcb.ca_state != CWR:
        undo.try_keep_open(tcb)


# --- without SACK: each duplicate ACK stands for one segment that arrived ---------------------------------------------


def add_reno_sack(tcb: Tcb, dupacks: int) -> None:
    """tcp_add_reno_sack."""
    if not dupacks:
        return
    before = tcb.sacked_out
    tcb.sacked_out += dupacks
    _check_reno_reordering(tcb, 0)
    tcb.delivered += max(tcb.sacked_out - before, 0)


def remove_reno_sacks(tcb: Tcb, acked: int) -> None:
    """`acked` segments are acknowledged: one of them filled the hole, of the others we knew (tcp_remove_reno_sacks)."""
    if acked > 0:
        tcb.delivered += max(acked - tcb.sacked_out, 1)
        tcb.sacked_out = max(tcb.sacked_out - (acked - 1), 0)
    _check_reno_reordering(tcb, acked)


def limit_reno_sacked(tcb: Tcb) -> bool:
    """No more can have arrived than are out and not lost. True: it was too much (tcp_limit_reno_sacked)."""
    packets_out = len(tcb.rtx)
    holes = min(max(tcb.lost_out, 1), packets_out)
    if tcb.sack_ok or tcb.sacked_out + holes <= packets_out:
        return False
    tcb.sacked_out = packets_out - holes
    return True


def _check_reno_reordering(tcb: Tcb, more: int) -> None:
    """More duplicates than segments can have arrived: they were out of order (tcp_check_reno_reordering)."""
    if not limit_reno_sacked(tcb):
        return
    tcb.reordering = min(len(tcb.rtx) + more, tcb.host.sysctl.tcp_max_reordering)
    tcb.reord_seen += 1
    tcb.host.counters["TcpExtTCPRenoReorder"] += 1


# --- in and out -------------------------------------------------------------------------------------------------------


def enter_recovery(tcb: Tcb, ece: bool) -> None:
    """Something is lost: repeat it, and reduce (tcp_enter_recovery)."""
    undo.clean_stamp(tcb)
    tcb.host.counters["TcpExtTCPSackRecovery" if tcb.sack_ok else "TcpExtTCPRenoRecovery"] += 1
    tcb.prior_ssthresh = 0
    undo.init(tcb)
    if not castate.in_reduction(tcb):
        if not ece:
            tcb.prior_ssthresh = castate.current_ssthresh(tcb)
        castate.init_reduction(tcb, "loss")
    cc.change_state(tcb, RECOVERY)
    if tcb.cc.controls:
        castate.note(tcb, "Recovery", f"a loss was seen; what may be in flight {tcb.cc.name} says", FAST_REF)
        return
    castate.note(
        tcb, f"cwnd {tcb.prior_cwnd}>{tcb.ssthresh}", "Recovery: a loss was seen, cwnd shrinks to ssthresh", FAST_REF
    )


def reo_timeout(tcb: Tcb) -> None:
    """An overtaken segment had its time: now it is lost (tcp_rack_reo_timeout)."""
    lost, in_flight = tcb.lost, tcb.in_flight
    rack.detect_loss(tcb)
    if in_flight != tcb.in_flight:
        if tcb.ca_state != RECOVERY:
            enter_recovery(tcb, ece=False)
            castate.reduce(tcb, 1, tcb.lost - lost, 0)
        why = "RACK: later segments arrived, and the time for an overtaken one is over"
        retransmit.lost_ones(tcb, why, rack.REF)
    if tcb.expires[RTO] == NEVER:
        timers.arm_rto(tcb, tcb.rtx[0].sent)


def enter_loss(tcb: Tcb) -> None:
    """The RTO fired: what was sent a round trip ago counts as lost, and one segment may go (tcp_enter_loss)."""
    before_recovery = tcb.ca_state != RECOVERY and tcb.ca_state != LOSS
    disordered = tcb.ca_state == OPEN or tcb.ca_state == DISORDER
    _timeout_mark_lost(tcb)
    if disordered or not seq.after(tcb.high_seq, tcb.snd_una) or (tcb.ca_state == LOSS and not tcb.retransmits):
        old = tcb.cwnd
        tcb.prior_ssthresh = castate.current_ssthresh(tcb)
        tcb.prior_cwnd = tcb.cwnd
        tcb.ssthresh = tcb.cc.ssthresh(tcb, "RTO")
        undo.init(tcb)
        ssthresh = "" if tcb.cc.controls else f"ssthresh is {tcb.ssthresh}, "
        why = f"RTO: {ssthresh}cwnd one segment more than what is still in flight"
        castate.note(tcb, f"cwnd {old}>{tcb.in_flight + 1}", why, "RFC 5681 3.1")
    tcb.cwnd = tcb.in_flight + 1
    tcb.cwnd_cnt = 0
    tcb.cwnd_stamp = tcb.host.now
    reordering = tcb.host.sysctl.tcp_reordering
    if disordered and tcb.sacked_out >= reordering:  # it was overestimated, or recovery would have begun
        tcb.reordering = min(tcb.reordering, reordering)
    cc.change_state(tcb, LOSS)
    tcb.high_seq = tcb.snd_nxt
    tcb.tlp_high_seq = 0
    ecn.queue_cwr(tcb)
    tcb.frto = bool(tcb.host.sysctl.tcp_frto) and (before_recovery or tcb.retransmits > 0)
    if tcb.mtup is not None and tcb.mtup.size:  # what is outstanding is not what F-RTO counts on
        tcb.frto = False


def handshake_over(tcb: Tcb, syn: SentSeg) -> None:
    """`syn`, our SYN, is acknowledged: what its RTO did to the window is no news of the path (tcp_init_metrics)."""
    tcb.retrans_out -= syn.retrans
    tcb.lost_out -= syn.lost
    tcb.tsorted.pop(syn, None)
    if tcb.ca_state == LOSS:
        if tcb.sack_ok:  # without SACK the state holds until more is acknowledged (tcp_is_non_sack_preventing_reopen)
            cc.change_state(tcb, OPEN)
        tcb.ssthresh = INFINITE_SSTHRESH
        tcb.undo_marker = -1


def _timeout_mark_lost(tcb: Tcb) -> None:
    """If the first segment is SACKed the peer has reneged: forget all that it SACKed (tcp_timeout_mark_lost)."""
    reneged = bool(tcb.rtx) and tcb.rtx[0].sacked
    if reneged:
        tcb.host.counters["TcpExtTCPSACKReneging"] += 1
        tcb.sacked_out = 0
        tcb.sack_reneg = True
    elif not tcb.sack_ok:
        tcb.sacked_out = 0
    by_time = tcb.host.sysctl.profile.rack
    head_ends = shift.end_of(tcb, 0)
    for at, entry in enumerate(tcb.rtx):
        if reneged:
            entry.sacked = False
        elif by_time and at >= head_ends and rack.time_left(tcb, entry, 0) > 0:
            continue  # sent so late that it may well arrive
        rack.mark_skb_lost(tcb, entry)


def xmit(tcb: Tcb, acked: Acked) -> None:
    """cwnd is set: now send what recovery wants sent (tcp_xmit_recovery)."""
    if acked.rexmit == REXMIT_NEW:
        output.push(tcb, "F-RTO: the answer to new data tells whether the RTO was right", force=True)
        if seq.after(tcb.snd_nxt, tcb.high_seq):
            return
        tcb.frto = False
    retransmit.lost_ones(tcb, *_why(tcb, acked))


def _why(tcb: Tcb, acked: Acked) -> tuple[str, str]:
    if tcb.ca_state == LOSS:
        return "after the RTO: slow start lets it out", "RFC 5681 3.1"
    if not tcb.prr_out:
        told = "SACKed above it" if tcb.sack_ok else "duplicate ACKs"
        return f"fast retransmit: {tcb.sacked_out} segments {told}", _ref(tcb, FAST_REF)
    if acked.flags & SND_UNA_ADVANCED:
        return "partial ACK: the next hole", _ref(tcb, "RFC 6582 3.2")
    if not tcb.host.sysctl.profile.prr:
        return "it is lost too, and cwnd lets it out", rack.DUPTHRESH_REF
    return "it is lost too, and PRR lets it out", castate.REF


def _ref(tcb: Tcb, without_sack: str) -> str:
    """Whose rule told of the loss."""
    if not tcb.sack_ok:
        return without_sack
    return rack.REF if tcb.host.sysctl.profile.rack else rack.DUPTHRESH_REF
