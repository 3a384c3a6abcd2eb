"""Searching for the path MTU without ICMP: RFC 4821 (Linux tcp_mtu_probe, tcp_mtup_init, tcp_mtu_probing).

Between what is known to get through (`low`) and what both ends take (`high`) lies the MTU. A segment of the size in
the middle is sent, followed by enough of the usual size that its loss shows at once. And when repeats stay unanswered
the path may swallow what is too large (a black hole): then `low` is lowered, and segments with it.
"""

from __future__ import annotations

from typing import Final

from tcplab.api.events import Noted
from tcplab.tcp import output, pmtu, resegment, seq
from tcplab.tcp.tcb import OPEN, Tcb
from tcplab.units import SEC, Nanos, Seq

REF: Final = "RFC 4821 7"
_CWND: Final = 11
"""Least cwnd: a lost probe must not cost more than itself."""
_SEARCHES: Final = 1
"""tcp_mtu_probing above it: every connection searches from its start."""


class Search:
    """Where one connection's search stands (icsk_mtup, tcp_sock.mtu_probe); packets, not payload."""

    __slots__ = ("begun", "enabled", "end", "first", "high", "low", "size")

    def __init__(self, low: int, high: int, enabled: bool, now: Nanos) -> None:
        self.low, self.high = low, high
        self.enabled = enabled
        self.begun = now
        self.size = 0
        """Of the probe on its way; 0: there is none."""
        self.first: Seq = 0
        self.end: Seq = 0


def init(tcb: Tcb) -> None:
    """A connection is being opened, or is open: what lies between the limits (tcp_mtup_init)."""
    sysctl = tcb.host.sysctl
    if not sysctl.tcp_mtu_probing:
        tcb.mtup = None
        return
    enabled = sysctl.tcp_mtu_probing > _SEARCHES
    low = pmtu.to_mtu(tcb, sysctl.tcp_base_mss)
    tcb.mtup = Search(low, tcb.mss_clamp + pmtu.HEADERS, enabled, tcb.host.now)


def probe(tcb: Tcb, why: str) -> str:
    """Send a probe if it is time for one. Not empty: it must wait for room in cwnd or window, and all data behind it.

    tcp_mtu_probe
    """
    search = tcb.mtup
    if search is None or search.size or tcb.ca_state != OPEN or tcb.cwnd < _CWND or tcb.sacks or tcb.dsack is not None:
        return ""
    size = pmtu.to_mss(tcb, (search.high + search.low) >> 1)
    needed = size + (tcb.reordering + 1) * tcb.mss
    if (
        size > pmtu.to_mss(tcb, search.high)
        or search.high - search.low < max(1, tcb.host.sysctl.tcp_probe_threshold)
    ):  # fmt: skip
        _look_again(tcb, search)
        return ""
    if seq.diff(tcb.data_end, tcb.snd_nxt) < needed or tcb.snd_wnd < needed:
        return ""
    flight = tcb.in_flight
    if seq.diff(tcb.snd_nxt, tcb.snd_una) + needed > tcb.snd_wnd or (flight and flight + 2 > tcb.cwnd):
        return "MTU probe"
    if flight + 2 > tcb.cwnd or any(seq.diff(end, tcb.snd_nxt) < size for end in tcb.eor):
        return ""
    search.first = tcb.snd_nxt
    told = f"probe of the path's MTU, between {search.low} and {search.high} octets: a packet of"
    output.push_probe(tcb, size, f"{why}; {told} {pmtu.to_mtu(tcb, size)}")
    tcb.cwnd -= 1  # it stands for two segments of the usual size
    search.size = pmtu.to_mtu(tcb, size)
    search.end = tcb.snd_nxt
    return ""


def _look_again(tcb: Tcb, search: Search) -> None:
    """The limits met; but paths change: after `tcp_probe_interval` they move apart (tcp_mtu_check_reprobe)."""
    host = tcb.host
    if host.now - search.begun >= host.sysctl.tcp_probe_interval * SEC:
        search.size = 0
        search.high = tcb.mss_clamp + pmtu.HEADERS
        search.low = pmtu.to_mtu(tcb, tcb.mss)
        search.begun = host.now


def acknowledged(tcb: Tcb) -> None:
    """SND.UNA moved: if the probe got through, segments are as large as it from now on (tcp_mtup_probe_success)."""
    search = tcb.mtup
    if search is None or not search.size or seq.after(search.end, tcb.snd_una):
        return
    host = tcb.host
    old = tcb.mss
    tcb.cwnd = max(1, tcb.cwnd * pmtu.to_mtu(tcb, old) // search.size)
    tcb.cwnd_cnt = 0
    tcb.ssthresh = max(tcb.ssthresh, (tcb.cwnd >> 1) + (tcb.cwnd >> 2))  # tcp_current_ssthresh
    search.low, search.size = search.size, 0
    pmtu.sync(tcb, tcb.pmtu)
    host.counters["TcpExtTCPMTUPSuccess"] += 1
    _note(tcb, f"mss {old}>{tcb.mss}", f"the probe of {search.low} octets got through; cwnd keeps its octets")


def failed(tcb: Tcb) -> bool:
    """Loss was seen, cwnd not reduced yet: is it just the probe? Then it was too large, and no more (..._failed)."""
    search = tcb.mtup
    if search is None or not search.size or tcb.snd_una != search.first:
        return False
    size = search.size
    search.high, search.size = size - 1, 0
    tcb.host.counters["TcpExtTCPMTUPFail"] += 1
    tcb.cwnd += 1
    _note(tcb, "MTU probe lost", f"packets of {size} octets do not get through: that is no congestion")
    resegment.simple_retransmit(tcb, f"the probe of {size} octets was too large: again, cut to fit")
    return True


def black_hole(tcb: Tcb) -> None:
    """As many repeats as `tcp_retries1` were not answered: perhaps the path swallows large packets without a word.

    tcp_mtu_probing
    """
    sysctl = tcb.host.sysctl
    if not sysctl.tcp_mtu_probing:
        return
    if tcb.mtup is None:
        init(tcb)
        pmtu.sync(tcb, tcb.pmtu)
    search = tcb.mtup
    assert search is not None
    old = tcb.mss
    if not search.enabled:
        search.enabled = True
        search.begun = tcb.host.now
    else:
        mss = min(sysctl.tcp_base_mss, pmtu.to_mss(tcb, search.low) >> 1)
        search.low = pmtu.to_mtu(tcb, max(mss, sysctl.tcp_mtu_probe_floor, sysctl.tcp_min_snd_mss))
    pmtu.sync(tcb, tcb.pmtu)
    if tcb.mss != old:
        _note(tcb, f"mss {old}>{tcb.mss}", "repeats stay unanswered: the path may swallow large packets")


def _note(tcb: Tcb, note: str, why: str) -> None:
    host = tcb.host
    if host.tracing:
        host.emit(Noted(host.now, host.name, tcb.label, host.frame, note, why, REF))
