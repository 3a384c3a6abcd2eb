"""How large Linux lets an sk_buff grow. Segments leave one by one here; what they are cut from counts for memory."""

from __future__ import annotations

from typing import Final

from tcplab.tcp import seq
from tcplab.tcp.tcb import LOSS, NO_PACING, RECOVERY, Tcb
from tcplab.units import MS, US

MAX_TCP_HEADER: Final = 256
_GSO_MAX: Final = 65536 - (MAX_TCP_HEADER + 1)
_MSS_DEFAULT: Final = 536
_MIN_HEADERS: Final = 68 - 40
_PACING_SHIFT: Final = 10
_RTT_LOG: Final = 9  # sysctl tcp_tso_rtt_log
_BITS: Final = 32
_RECENT: Final = 1 * MS
_MAX_DEFERRED: Final = 3


def goal(tcb: Tcb) -> int:
    """How many octets send() puts into one: whole segments, at most half of the peer's window (tcp_xmit_size_goal)."""
    half = tcb.max_window >> 1 if tcb.max_window > _MSS_DEFAULT else tcb.max_window
    most = min(max(half, _MIN_HEADERS), _GSO_MAX) if half else _GSO_MAX
    return max(most // tcb.mss, 1) * tcb.mss


def pacing_rate(tcb: Tcb) -> int:
    """Octets a second: twice cwnd in each round trip in slow start, 1.2 times later (tcp_update_pacing_rate)."""
    sysctl = tcb.host.sysctl
    percent = sysctl.tcp_pacing_ss_ratio if tcb.cwnd < tcb.ssthresh >> 1 else sysctl.tcp_pacing_ca_ratio
    rate = tcb.mss * (1_000_000 // 100 << 3) * percent * max(tcb.cwnd, len(tcb.rtx))
    return min(rate // tcb.srtt if tcb.srtt else rate, NO_PACING)


def segments(tcb: Tcb) -> int:
    """How many segments leave as one: a millisecond's, and half of cwnd (tcp_tso_segs, tcp_cwnd_test)."""
    return min(autosize(tcb), max(tcb.cwnd >> 1, 1))


def should_defer(tcb: Tcb, octets: int, last: bool) -> str:
    """Would more be one burst, and is the ACK near that lets it go? What is waited for; empty: send it now.

    `octets` of the sk_buff are unsent; `last`: it is the last one (tcp_tso_should_defer).
    """
    host = tcb.host
    if tcb.ca_state == RECOVERY or tcb.ca_state == LOSS or not tcb.rtx or host.now - tcb.wstamp > _RECENT:
        return ""
    window = seq.diff(tcb.snd_una, tcb.snd_nxt) + tcb.snd_wnd
    room = (tcb.cwnd - tcb.in_flight) * tcb.mss
    limit = min(window, room)
    if limit >= autosize(tcb) * tcb.mss or (not last and limit >= octets):
        return ""
    divisor = host.sysctl.tcp_tso_win_divisor
    enough = min(tcb.snd_wnd, tcb.cwnd * tcb.mss) // divisor if divisor else _MAX_DEFERRED * tcb.mss + 1
    if limit >= enough:
        return ""
    srtt = (tcb.srtt >> 3) * US
    if tcb.rtx[0].sent + srtt - host.now > min(srtt >> 1, _RECENT):
        return ""
    if room < window:
        if room <= octets:
            return "burst, cwnd"
    elif window <= octets:
        return "burst, window"
    ends = tcb.fin_queued or (bool(tcb.eor) and not seq.after(tcb.eor[0], seq.add(tcb.snd_nxt, octets)))
    return "" if ends else "burst"


def autosize(tcb: Tcb) -> int:
    """A millisecond's worth of segments, more if the path is short, at least tcp_min_tso_segs (tcp_tso_autosize)."""
    octets = tcb.pacing_rate >> _PACING_SHIFT
    near = tcb.rtt_min >> _RTT_LOG
    if tcb.rtt_min and near < _BITS:
        octets += _GSO_MAX >> near
    return max(min(octets, _GSO_MAX) // tcb.mss, tcb.host.sysctl.tcp_min_tso_segs)
