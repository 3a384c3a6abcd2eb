"""How large Linux lets an sk_buff grow. Segments leave one by one here; what they are cut from counts for memory."""

from __future__ import annotations

from typing import Final

from tcplab.tcp.tcb import Tcb

MAX_TCP_HEADER: Final = 256
_GSO_MAX: Final = 65536 - (MAX_TCP_HEADER + 1)
_MSS_DEFAULT: Final = 536
_MIN_HEADERS: Final = 68 - 40
_PACING_SHIFT: Final = 10
_RTT_LOG: Final = 9  # sysctl tcp_tso_rtt_log
_BITS: Final = 32


def goal(tcb: Tcb, mss: int) -> int:
    """How many octets send() puts into one: whole segments of `mss`, what leaves now has no room for more, and at most
    half of the peer's window (tcp_xmit_size_goal).
    """
    half = tcb.max_window >> 1 if tcb.max_window > _MSS_DEFAULT else tcb.max_window
    most = min(max(half, _MIN_HEADERS), _GSO_MAX) if half else _GSO_MAX
    return max(most // mss, 1) * mss


def pacing_rate(tcb: Tcb, mss: int) -> int:
    """Octets a second: twice cwnd in each round trip in slow start, 1.2 times later (tcp_update_pacing_rate)."""
    sysctl = tcb.host.sysctl
    percent = sysctl.tcp_pacing_ss_ratio if tcb.cwnd < tcb.ssthresh >> 1 else sysctl.tcp_pacing_ca_ratio
    most = tcb.cwnd if tcb.cwnd > len(tcb.rtx) else len(tcb.rtx)
    rate = mss * (1_000_000 // 100 << 3) * percent * most
    if tcb.srtt:
        rate //= tcb.srtt
    return rate if rate < tcb.max_pacing_rate else tcb.max_pacing_rate


def most(tcb: Tcb, mss: int) -> int:
    """How many segments leave as one at most: a millisecond's, more if the peer is near (tcp_tso_autosize)."""
    octets = tcb.pacing_rate >> _PACING_SHIFT
    near = tcb.rtt_min >> _RTT_LOG
    if tcb.rtt_min and near < _BITS:
        octets += _GSO_MAX >> near
    segments = (octets if octets < _GSO_MAX else _GSO_MAX) // mss
    least = tcb.cc.min_tso_segs(tcb) if tcb.cc.controls else tcb.host.sysctl.tcp_min_tso_segs
    return segments if segments > least else least
