"""What leaves next: as much of the send queue's first sk_buff as may go at once (Linux tcp_write_xmit).

Linux hands several segments to the device as one (TSO), and waits a little when it could send few of them now and more
with the next ACK. Here they leave one by one, but they are the same ones, at the same time, with PSH at the same place.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from tcplab.tcp import seq, sndbuf, tso
from tcplab.tcp.tcb import LOSS, RECOVERY, Tcb
from tcplab.units import MS, US, Nanos, Seq

_RECENT: Final[Nanos] = 1 * MS
_MAX_DEFERRED: Final = 3  # Linux tcp_max_tso_deferred_mss
DEFERS: Final = ("TSO", "TSO cwnd", "TSO window")
"""Reasons that end with the next ACK: nothing in particular, cwnd or the window would allow no more anyway."""


Burst: TypeAlias = tuple[int, bool, str]
"""So many octets from snd_nxt on, in segments of `mss`, and perhaps the FIN; or what holds them back."""


def plan(tcb: Tcb, mss: int, more: bool = False, force: bool = False, once: bool = False, probe: bool = False) -> Burst:
    """The next burst. `more`: as if corked; `force`: neither Nagle nor a cork counts; `once`: it is the only one, so it
    does not wait for company; `probe`: nor does cwnd count.
    """
    first = tcb.snd_nxt
    quota = tcb.cwnd - (len(tcb.rtx) - tcb.sacked_out - tcb.lost_out + tcb.retrans_out)  # in_flight
    if quota <= 0:
        if not probe:
            return 0, False, "cwnd"
        quota = 1
    elif quota > tcb.cwnd >> 1:
        quota = tcb.cwnd >> 1 or 1
    most = tso.most(tcb, mss)
    if quota > most:
        quota = most
    data_end = (tcb.snd_base + len(tcb.sndq)) & seq.MASK
    end = sndbuf.head_end(tcb, quota * mss) if len(tcb.skbs) > 1 else data_end
    size = (end - first) & seq.MASK
    last = end == data_end
    fin = last and tcb.fin_queued
    room = tcb.snd_wnd - ((first - tcb.snd_una) & seq.MASK)
    if size <= mss:
        if size + fin > room:
            return 0, False, "window"
        if size < mss and last and not fin and not force:  # to one in the middle of the queue nothing is added
            held = _waits(tcb, more)
            if held:
                return 0, False, held
        return size, fin, ""
    if room < mss:
        return 0, False, "window"
    if not once and tcb.host.now - tcb.wstamp <= _RECENT and (held := _defer(tcb, mss, size, room, most, end)):
        return 0, False, held
    limit = _split_point(tcb, mss, size, room, quota, last, bool(not force and _waits(tcb, more)))
    return (size, fin, "") if limit >= size else (limit, False, "")


def _waits(tcb: Tcb, more: bool) -> str:
    """Why a part of a segment would wait (tcp_nagle_check)."""
    if tcb.cork or more:
        return "cork"
    if tcb.nodelay or not tcb.rtx:
        return ""
    if not tcb.host.sysctl.profile.minshall:
        return "Nagle"
    small = seq.after(tcb.snd_sml, tcb.snd_una) and not seq.after(tcb.snd_sml, tcb.snd_nxt)
    return "Nagle" if small else ""  # RFC 9293 3.7.4, Minshall's variant


def _split_point(tcb: Tcb, mss: int, size: int, room: int, quota: int, last: bool, waits: bool) -> int:
    """How many octets of it: whole segments, unless its end may go too (tcp_mss_split_point)."""
    whole = mss * quota
    if whole <= room and not last:
        return whole
    needed = min(size, room)
    if whole <= needed:
        return whole
    return needed - needed % mss if waits else needed


def _defer(tcb: Tcb, mss: int, size: int, room: int, most: int, end: Seq) -> str:
    """Something was just sent, so an ACK will come soon: does more leave at once then (tcp_tso_should_defer)?"""
    if tcb.ca_state == RECOVERY or tcb.ca_state == LOSS or not tcb.rtx:
        return ""
    if not tcb.host.sysctl.profile.tso_defer:
        return ""
    by_cwnd = (tcb.cwnd - tcb.in_flight) * mss
    limit = min(room, by_cwnd)
    last = end == tcb.data_end
    if limit >= most * mss or (not last and limit >= size):
        return ""
    divisor = tcb.host.sysctl.tcp_tso_win_divisor
    if limit >= min(tcb.snd_wnd, tcb.cwnd * mss) // divisor if divisor else limit > _MAX_DEFERRED * mss:
        return ""
    srtt = tcb.srtt * US >> 3
    if tcb.rtx[0].sent + srtt - tcb.host.now > min(srtt >> 1, _RECENT):
        return ""  # the ACK would come too late
    if by_cwnd < room:
        if by_cwnd <= size:
            return "TSO cwnd"
    elif room <= size:
        return "TSO window"
    if (last and tcb.fin_queued) or (tcb.eor and end in tcb.eor):
        return ""
    return "TSO"
