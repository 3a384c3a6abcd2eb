"""Is the window used? Only then it may grow, and one that was not used for long shrinks (RFC 7661, RFC 2861).

Linux tcp_cwnd_validate, tcp_cwnd_application_limited, tcp_cwnd_restart.
"""

from __future__ import annotations

from typing import Final

from tcplab.tcp import castate, chrono, seq, tso
from tcplab.tcp.acked import DATA_ACKED, FORWARD_PROGRESS
from tcplab.tcp.tcb import INIT_CWND, OPEN, Tcb

REF: Final = "RFC 2861 3"
_LARGE: Final = 2190
_MIDDLE: Final = 1095


def initial(tcb: Tcb) -> int:
    """The initial window: ten segments (RFC 6928), or the book's two to four (RFC 5681 3.1)."""
    if not tcb.host.sysctl.profile.small_start:
        return INIT_CWND
    if tcb.mss > _LARGE:
        return 2
    return 3 if tcb.mss > _MIDDLE else 4


def limited(tcb: Tcb) -> bool:
    """Does cwnd limit what is in flight? In slow start it may be twice of what was sent (tcp_is_cwnd_limited)."""
    if tcb.cwnd_limited:
        return True
    return tcb.cwnd < tcb.ssthresh and tcb.cwnd < 2 * tcb.max_packets_out


def validate(tcb: Tcb, is_limited: bool) -> None:
    """Something was sent, or cwnd kept it from being sent: how well is the window used (tcp_cwnd_validate)?"""
    packets_out = len(tcb.rtx)
    if (
        is_limited or (tcb.snd_una - tcb.max_packets_seq) & seq.MASK < seq.HALF
        or (not tcb.cwnd_limited and packets_out > tcb.max_packets_out)
    ):  # fmt: skip
        tcb.cwnd_limited = is_limited
        tcb.max_packets_out = packets_out
        tcb.max_packets_seq = tcb.snd_nxt
    if tcb.cwnd_limited or limited(tcb):
        tcb.cwnd_used = 0
        tcb.cwnd_stamp = tcb.host.now
        return
    if packets_out > tcb.cwnd_used:
        tcb.cwnd_used = packets_out
    if (
        tcb.host.sysctl.tcp_slow_start_after_idle and tcb.host.now - tcb.cwnd_stamp >= tcb.rto and not tcb.cc.controls
    ):  # fmt: skip
        _application_limited(tcb)
    if tcb.nospace and not tcb.skbs:
        chrono.start(tcb, chrono.SNDBUF)


def _application_limited(tcb: Tcb) -> None:
    """For an RTO the window was larger than what the application sent: half of the difference goes."""
    if tcb.ca_state == OPEN and tcb.owner is not None and not tcb.nospace:
        used = max(tcb.cwnd_used, initial(tcb))
        if used < tcb.cwnd:
            tcb.ssthresh = castate.current_ssthresh(tcb)
            old, tcb.cwnd = tcb.cwnd, (tcb.cwnd + used) >> 1
            castate.note(tcb, f"cwnd {old}>{tcb.cwnd}", f"for an RTO no more than {used} segments were out", REF)
        tcb.cwnd_used = 0
    tcb.cwnd_stamp = tcb.host.now


def restart(tcb: Tcb) -> None:
    """Nothing was sent for longer than an RTO: cwnd halves for each of them (tcp_slow_start_after_idle_check)."""
    host = tcb.host
    idle = host.now - tcb.lsndtime
    if tcb.rtx or tcb.lsndtime < 0 or idle <= tcb.rto or not host.sysctl.tcp_slow_start_after_idle:
        return
    if tcb.cc.controls:
        return
    tcb.ssthresh = castate.current_ssthresh(tcb)
    cwnd = tcb.cwnd
    least = min(initial(tcb), cwnd)
    while (idle := idle - tcb.rto) > 0 and cwnd > least:
        cwnd >>= 1
    old, tcb.cwnd = tcb.cwnd, max(cwnd, least)
    tcb.cwnd_stamp = host.now
    tcb.cwnd_used = 0
    if tcb.cwnd != old:
        castate.note(tcb, f"cwnd {old}>{tcb.cwnd}", "nothing was sent for longer than the RTO", REF)


def control(tcb: Tcb, delivered: int, newly_lost: int, flags: int) -> None:
    """An ACK is worked on: PRR goes on, or the controller may let cwnd grow (tcp_cong_control)."""
    if tcb.ca_state != OPEN and castate.in_reduction(tcb):
        castate.reduce(tcb, delivered, newly_lost, flags)
    else:
        reordered = tcb.reordering > tcb.host.sysctl.tcp_reordering
        if flags & (FORWARD_PROGRESS if reordered else DATA_ACKED):  # tcp_may_raise_cwnd
            if tcb.cwnd_limited or limited(tcb):
                tcb.cc.on_ack(tcb, delivered)
            tcb.cwnd_stamp = tcb.host.now
    tcb.pacing_rate = tso.pacing_rate(tcb, tcb.mss)
