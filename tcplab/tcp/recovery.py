"""Loss: what tells of it and what is done. RFC 5681 3.2, RFC 6582, RFC 6675; the rate of repair is RFC 6937 (PRR).

cwnd and ssthresh are the congestion controller's in `Open` and `Disorder`; during `Recovery` PRR sets cwnd.
"""

from __future__ import annotations

from tcplab.api.events import Noted
from tcplab.tcp import cc, ecn, mtu_probe, output, seq
from tcplab.tcp.sack import DUPTHRESH
from tcplab.tcp.tcb import CWR, DISORDER, LOSS, OPEN, RECOVERY, Tcb

FAST_REF = "RFC 5681 3.2"
SACK_REF = "RFC 6675 5"


def on_ack(
    tcb: Tcb, newly_acked: int, newly_sacked: int, delivered: int, duplicate: bool, advanced: bool, ece: bool = False
) -> None:
    """An ACK came: look for loss, enter or leave recovery, and repeat what is lost. Counts are segments.

    `delivered`: what Tcb.delivered was before it.
    """
    if tcb.ca_state == OPEN and not newly_sacked and not duplicate and not ece:
        return
    if not tcb.sack_ok:
        _emulate_sack(tcb, newly_acked, duplicate)
    if duplicate:
        tcb.dupacks += 1
    elif advanced:
        tcb.dupacks = 0
    if tcb.ca_state == LOSS:
        if not seq.before(tcb.snd_una, tcb.high_seq):
            _leave(tcb, "all that the RTO gave up is acknowledged")
        else:
            repeat_lost(tcb, "after the RTO: slow start lets it out", "RFC 5681 3.1")
        return
    if tcb.ca_state == RECOVERY and not seq.before(tcb.snd_una, tcb.high_seq):
        tcb.cwnd = tcb.ssthresh
        _leave(tcb, "all that was outstanding when the loss was seen is acknowledged")
        return
    if tcb.ca_state == CWR and seq.after(tcb.snd_una, tcb.high_seq):
        tcb.cwnd = tcb.ssthresh
        _leave(tcb, "the peer knows by CWR that we send less")
    newly_lost = _mark_lost(tcb, advanced)
    if tcb.ca_state == RECOVERY:
        _proportional_rate(tcb, tcb.delivered - delivered, advanced and not newly_lost)
        repeat_lost(tcb, "partial ACK: the next hole", "RFC 6582 3.2" if not tcb.sack_ok else SACK_REF)
    elif tcb.lost_out:
        if tcb.mtup is not None and mtu_probe.failed(tcb):
            return
        _enter_recovery(tcb, tcb.delivered - delivered)
    elif ece or tcb.ca_state == CWR:
        _reduce(tcb, delivered, advanced and not newly_lost)
    elif tcb.sacked_out:
        tcb.ca_state = DISORDER
    elif advanced:
        tcb.ca_state = OPEN


def _reduce(tcb: Tcb, delivered: int, clean_progress: bool) -> None:
    """A router marks what we send: less of it, as after a loss, but nothing is repeated (tcp_enter_cwr)."""
    if tcb.ca_state != CWR:
        _init_reduction(tcb, "ECE")
        cc.change_state(tcb, CWR)
        _note(tcb, f"CWR cwnd {tcb.prior_cwnd}>{tcb.ssthresh}", "ECE: a router marks what we send; ssthresh is set")
    _proportional_rate(tcb, tcb.delivered - delivered, clean_progress)


def _init_reduction(tcb: Tcb, why: str) -> None:
    tcb.high_seq = tcb.snd_nxt
    tcb.prior_cwnd = tcb.cwnd
    tcb.cwnd_cnt = 0
    tcb.prr_delivered = tcb.prr_out = 0
    tcb.ssthresh = tcb.cc.ssthresh(tcb, why)
    ecn.queue_cwr(tcb)


def _emulate_sack(tcb: Tcb, newly_acked: int, duplicate: bool) -> None:
    """Without SACK each duplicate ACK stands for one segment that arrived, of those that are not lost.

    tcp_add_reno_sack, tcp_limit_reno_sacked.
    """
    if duplicate:
        before = tcb.sacked_out
        tcb.sacked_out = min(before + 1, max(len(tcb.rtx) - max(tcb.lost_out, 1), 0))
        tcb.delivered += max(tcb.sacked_out - before, 0)
    elif newly_acked:
        left = max(tcb.sacked_out - (newly_acked - 1), 0) if tcb.ca_state != OPEN else 0
        tcb.sacked_out = min(left, len(tcb.rtx) - tcb.lost_out)


def _mark_lost(tcb: Tcb, advanced: bool) -> int:
    """A segment is lost when DUPTHRESH later ones arrived (RFC 6675 IsLost). How many were found now."""
    before = tcb.lost_out
    if not tcb.sack_ok:
        head_lost = tcb.sacked_out >= DUPTHRESH or (tcb.ca_state == RECOVERY and advanced)
        if head_lost and tcb.rtx and not tcb.rtx[0].lost:
            tcb.rtx[0].lost = True
            tcb.lost_out += 1
        return tcb.lost_out - before
    if tcb.sacked_out < DUPTHRESH:
        return 0
    above = 0
    for entry in reversed(tcb.rtx):
        if entry.sacked:
            above += 1
        elif above >= DUPTHRESH and not entry.lost:
            entry.lost = True
            tcb.lost_out += 1
    return tcb.lost_out - before


def _enter_recovery(tcb: Tcb, delivered: int) -> None:
    counters = tcb.host.counters
    counters["TcpExtTCPSackRecovery" if tcb.sack_ok else "TcpExtTCPRenoRecovery"] += 1
    if tcb.ca_state != CWR:
        _init_reduction(tcb, "loss")
    cc.change_state(tcb, RECOVERY)
    _proportional_rate(tcb, delivered, False)
    _note(tcb, f"recovery cwnd {tcb.prior_cwnd}>{tcb.ssthresh}", "loss seen by later arrivals: ssthresh is set")
    told = "SACKed above it" if tcb.sack_ok else "duplicate ACKs"
    repeat_lost(
        tcb, f"fast retransmit: {max(tcb.sacked_out, DUPTHRESH)} segments {told}", SACK_REF if tcb.sack_ok else FAST_REF
    )


def _proportional_rate(tcb: Tcb, delivered: int, clean_progress: bool) -> None:
    """RFC 6937: send in proportion to what arrives, so that cwnd ends at ssthresh (tcp_cwnd_reduction)."""
    if delivered <= 0:
        return
    delta = tcb.ssthresh - tcb.in_flight
    tcb.prr_delivered += delivered
    if delta < 0:
        count = -(-tcb.ssthresh * tcb.prr_delivered // tcb.prior_cwnd) - tcb.prr_out
    else:
        count = min(delta, max(tcb.prr_delivered - tcb.prr_out, delivered) + clean_progress)
    tcb.cwnd = max(tcb.in_flight + max(count, 0 if tcb.prr_out else 1), 1)


def repeat_lost(tcb: Tcb, why: str, ref: str) -> None:
    """Repeat lost segments, oldest first, as far as cwnd goes (tcp_xmit_retransmit_queue)."""
    if not tcb.lost_out:
        return
    counters = tcb.host.counters
    for entry in tcb.rtx:
        if tcb.in_flight >= tcb.cwnd:
            return
        if entry.lost and not entry.retrans:
            if not output.retransmit(tcb, entry, why, ref):
                return
            counters["TcpExtTCPSlowStartRetrans" if tcb.ca_state == LOSS else "TcpExtTCPFastRetrans"] += 1


def enter_loss(tcb: Tcb) -> None:
    """The RTO fired: all that is not SACKed counts as lost, one segment may go (RFC 5681 3.1, tcp_enter_loss)."""
    if tcb.ca_state != LOSS:
        flight = tcb.cwnd
        tcb.ssthresh = tcb.cc.ssthresh(tcb, "RTO")
        _note(tcb, f"cwnd {flight}>1", "RTO: ssthresh is half of what was in flight, cwnd one segment")
    cc.change_state(tcb, LOSS)
    ecn.queue_cwr(tcb)
    tcb.cwnd = 1
    tcb.cwnd_cnt = 0
    tcb.high_seq = tcb.snd_nxt
    if not tcb.sack_ok:
        tcb.sacked_out = 0
    tcb.lost_out = tcb.retrans_out = 0
    for entry in tcb.rtx:
        entry.retrans = False
        entry.lost = not entry.sacked
        tcb.lost_out += entry.lost


def _leave(tcb: Tcb, why: str) -> None:
    _note(tcb, f"{tcb.ca_state.lower()} over", f"{why}: cwnd {tcb.cwnd}")
    tcb.ca_state = OPEN
    tcb.dupacks = 0
    if not tcb.sack_ok:
        tcb.sacked_out = 0
    tcb.retrans_stamp = -1


def _note(tcb: Tcb, note: str, why: str) -> None:
    host = tcb.host
    if host.tracing:
        host.emit(Noted(host.now, host.name, tcb.label, host.frame, note, why, FAST_REF))
