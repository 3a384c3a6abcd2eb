"""RACK, RFC 8985, as Linux has it (tcp_recovery.c): a segment is lost when one that was sent later has arrived.

Time decides, not a count: `reo_wnd` is how long an overtaken segment may still come. Without SACK the rules of NewReno
(RFC 6582) stand in.
"""

from __future__ import annotations

from typing import Final

from tcplab.tcp import seq, timers
from tcplab.tcp.acked import Acked
from tcplab.tcp.tcb import LOSS, RECOVERY, REO, SentSeg, Tcb
from tcplab.units import MS, US, Nanos, Seq

REF: Final = "RFC 8985 6.2"
DUPTHRESH_REF: Final = "RFC 6675 4"
RECOVERY_THRESH: Final = 16
"""So many recoveries a widened reo_wnd is kept."""
STATIC_REO_WND, NO_DUPTHRESH = 2, 4
"""Bits of tcp_recovery."""
TIMEOUT_MIN: Final[Nanos] = 2 * MS
"""Linux TCP_TIMEOUT_MIN_US."""
_NO_RTT: Final = 0xFFFFFFFF
_MOST_STEPS: Final = 255


def min_rtt(tcb: Tcb) -> int:
    """Microseconds; endless as long as none was measured (tcp_min_rtt)."""
    return tcb.rtt_min or _NO_RTT


def _newer(tcb: Tcb, end: Seq, sent: Nanos, order: int) -> bool:
    """Was the newest segment that arrived sent after this one (tcp_skb_sent_after)?

    Linux has the order of those of one microsecond from their numbers. Here an instant may hold a whole round trip's
    answers, repeats among them, so their order is remembered; the parts of one sk_buff have one.
    """
    if tcb.rack_sent != sent:
        return tcb.rack_sent > sent
    return tcb.rack_order > order or (tcb.rack_order == order and seq.after(tcb.rack_end, end))


def advance(tcb: Tcb, repeated: bool, end: Seq, sent: Nanos, order: int) -> None:
    """A segment arrived: is it the newest of those that did (6.2 step 2, tcp_rack_advance)?

    An ACK that comes sooner than any round trip after a repeat is the ACK of the original.
    """
    took = (tcb.host.now - sent) // US
    if repeated and took < min_rtt(tcb):
        return
    tcb.rack_advanced = True
    tcb.rack_rtt = took
    if tcb.rack_sent < sent or not _newer(tcb, end, sent, order):
        tcb.rack_sent, tcb.rack_end, tcb.rack_order = sent, end, order


def reo_wnd(tcb: Tcb) -> int:
    """How long to wait for an overtaken segment, microseconds: not at all while none ever was (tcp_rack_reo_wnd)."""
    if not tcb.reord_seen:
        if tcb.ca_state == RECOVERY or tcb.ca_state == LOSS:
            return 0
        if tcb.sacked_out >= tcb.reordering and not tcb.host.sysctl.tcp_recovery & NO_DUPTHRESH:
            return 0
    return min((min_rtt(tcb) >> 2) * tcb.reo_wnd_steps, tcb.srtt >> 3)


def time_left(tcb: Tcb, entry: SentSeg, wait: int) -> int:
    """Microseconds until `entry` counts as lost: a round trip after it was sent, and `wait` (tcp_rack_skb_timeout)."""
    return tcb.rack_rtt + wait - (tcb.host.now - entry.sent) // US


def mark_skb_lost(tcb: Tcb, entry: SentSeg) -> None:
    """`entry`, or its repeat, is lost (tcp_mark_skb_lost)."""
    if entry.sacked:
        return
    if not entry.lost:
        entry.lost = True
        tcb.lost_out += 1
        tcb.lost += 1
    elif entry.retrans:
        entry.retrans = False
        tcb.retrans_out -= 1
        tcb.lost += 1
        tcb.host.counters["TcpExtTCPLostRetransmit"] += 1


def detect_loss(tcb: Tcb) -> int:
    """Mark what is lost by now (6.2 step 5, tcp_rack_detect_loss).

    How many microseconds until the rest of what was overtaken is due; 0: nothing more.
    """
    wait = reo_wnd(tcb)
    longest = 0
    lost = []
    for entry in tcb.tsorted:
        if entry.lost and not entry.retrans:
            continue
        if not _newer(tcb, entry.end, entry.sent, entry.order):
            break
        left = time_left(tcb, entry, wait)
        if left <= 0:
            mark_skb_lost(tcb, entry)
            lost.append(entry)
        elif left > longest:
            longest = left
    for entry in lost:
        del tcb.tsorted[entry]
    return longest


def mark_lost(tcb: Tcb) -> bool:
    """Look for losses if an ACK told anything new. True: the reordering timer runs (tcp_rack_mark_lost)."""
    if not tcb.rack_advanced:
        return False
    tcb.rack_advanced = False
    left = detect_loss(tcb)
    if left:
        due = tcb.host.now + left * US + TIMEOUT_MIN
        timers.arm_xmit(tcb, REO, due, "a later segment arrived: this long an overtaken one may still come", REF)
    return left > 0


def update_reo_wnd(tcb: Tcb, acked: Acked) -> None:
    """A D-SACK tells that we did not wait enough: wait longer, for a while (6.2 step 4, tcp_rack_update_reo_wnd)."""
    if not acked.prior_delivered or tcb.host.sysctl.tcp_recovery & STATIC_REO_WND:
        return
    if acked.prior_delivered < tcb.rack_last_delivered:  # once a round trip is enough
        tcb.rack_dsack_seen = False
    if tcb.rack_dsack_seen:
        tcb.reo_wnd_steps = min(_MOST_STEPS, tcb.reo_wnd_steps + 1)
        tcb.rack_dsack_seen = False
        tcb.rack_last_delivered = tcb.delivered
        tcb.reo_wnd_persist = RECOVERY_THRESH
    elif not tcb.reo_wnd_persist:
        tcb.reo_wnd_steps = 1


def dupthresh_mark_lost(tcb: Tcb) -> None:
    """Without RACK: lost is what three SACKed segments lie above (RFC 6675 4, IsLost)."""
    above = tcb.sacked_out
    for entry in tcb.rtx:
        if above < tcb.reordering:
            return
        if entry.sacked:
            above -= 1
        elif not entry.lost:
            mark_skb_lost(tcb, entry)


def newreno_mark_lost(tcb: Tcb, advanced: bool) -> None:
    """Without SACK: three duplicate ACKs, or a partial ACK in recovery, tell that the first is lost (RFC 6582 3.2)."""
    before_recovery = tcb.ca_state not in (RECOVERY, LOSS)
    if (before_recovery and tcb.sacked_out >= tcb.reordering) or (tcb.ca_state == RECOVERY and advanced):
        if tcb.rtx[0].lost:
            return
        if len(tcb.rtx) > 1:
            tcb.rtx[1].starts = True
        mark_skb_lost(tcb, tcb.rtx[0])
