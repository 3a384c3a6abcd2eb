"""The congestion state and the way down: PRR (RFC 6937; Linux tcp_cwnd_reduction, tcp_enter_cwr).

`Open` and `Disorder` leave cwnd to the congestion controller, so does `Loss`; in `CWR` and `Recovery` PRR sets it,
unless the controller controls all itself (`tcplab.tcp.cc.base`).
"""

from __future__ import annotations

from typing import Final

from tcplab.api.events import Noted
from tcplab.tcp import cc, ecn
from tcplab.tcp.acked import SND_UNA_ADVANCED
from tcplab.tcp.tcb import CWR, DISORDER, INFINITE_SSTHRESH, OPEN, RECOVERY, Tcb

REF: Final = "RFC 6937 3"


def in_reduction(tcb: Tcb) -> bool:
    """PRR sets cwnd (tcp_in_cwnd_reduction)."""
    return tcb.ca_state == RECOVERY or tcb.ca_state == CWR


def current_ssthresh(tcb: Tcb) -> int:
    """What ssthresh would have to be for cwnd to grow to where it is now (tcp_current_ssthresh)."""
    if in_reduction(tcb):
        return tcb.ssthresh
    return max(tcb.ssthresh, (tcb.cwnd >> 1) + (tcb.cwnd >> 2))


def init_reduction(tcb: Tcb, why: str) -> None:
    """A new ssthresh; from now on cwnd goes down to it, in proportion to what arrives (tcp_init_cwnd_reduction)."""
    tcb.high_seq = tcb.snd_nxt
    tcb.tlp_high_seq = 0
    tcb.cwnd_cnt = 0
    tcb.prior_cwnd = tcb.cwnd
    tcb.prr_delivered = tcb.prr_out = 0
    tcb.ssthresh = tcb.cc.ssthresh(tcb, why)
    ecn.queue_cwr(tcb)


def reduce(tcb: Tcb, newly_delivered: int, newly_lost: int, flags: int) -> None:
    """Let out what PRR allows for an ACK that tells of `newly_delivered` segments (tcp_cwnd_reduction)."""
    if newly_delivered <= 0 or not tcb.prior_cwnd:
        return
    if not tcb.host.sysctl.profile.prr:
        _halve_at_once(tcb, flags)
        return
    in_flight = tcb.in_flight
    delta = tcb.ssthresh - in_flight
    tcb.prr_delivered += newly_delivered
    if delta < 0:
        count = -(-tcb.ssthresh * tcb.prr_delivered // tcb.prior_cwnd) - tcb.prr_out
    else:
        count = max(tcb.prr_delivered - tcb.prr_out, newly_delivered)
        if flags & SND_UNA_ADVANCED and not newly_lost:
            count += 1
        count = min(delta, count)
    tcb.cwnd = in_flight + max(count, 0 if tcb.prr_out else 1)  # the first repeat always goes


def _halve_at_once(tcb: Tcb, flags: int) -> None:
    """RFC 6675 5: cwnd is ssthresh, and what arrived is not in flight any more.

    That is RFC 6582's window too: there each duplicate ACK inflates cwnd by one and what is outstanding stays, here
    cwnd stays and each takes one out of what is in flight. The first repeat, and that of a partial ACK, always go.
    """
    partial = flags & SND_UNA_ADVANCED and not tcb.sack_ok and tcb.lost_out > tcb.retrans_out
    tcb.cwnd = max(tcb.ssthresh, tcb.in_flight + 1) if partial or not tcb.prr_out else tcb.ssthresh


def end_reduction(tcb: Tcb) -> None:
    """cwnd is ssthresh now, unless the reduction was taken back (tcp_end_cwnd_reduction)."""
    if tcb.cc.controls:
        return
    kept = tcb.undo_marker >= 0 or not tcb.host.sysctl.profile.undo
    if tcb.ssthresh < INFINITE_SSTHRESH and (tcb.ca_state == CWR or kept):
        tcb.cwnd = tcb.ssthresh
        tcb.cwnd_stamp = tcb.host.now


def enter_cwr(tcb: Tcb, why: str) -> None:
    """Congestion is proven, not loss: reduce, and never take it back (tcp_enter_cwr)."""
    tcb.prior_ssthresh = 0
    if tcb.ca_state == OPEN or tcb.ca_state == DISORDER:
        tcb.undo_marker = -1
        init_reduction(tcb, why)
        cc.change_state(tcb, CWR)
        if tcb.cc.controls:
            note(tcb, "CWR", f"{why}: the path is congested; {tcb.cc.name} makes nothing of it", REF)
        else:
            shrinks = f"CWR cwnd {tcb.prior_cwnd}>{tcb.ssthresh}"
            note(tcb, shrinks, f"{why}: the path is congested; ssthresh is set", REF)


def note(tcb: Tcb, said: str, why: str, ref: str) -> None:
    """Tell of a decision about the window."""
    host = tcb.host
    if host.tracing:
        host.emit(Noted(host.now, host.name, tcb.label, host.frame, said, why, ref))
