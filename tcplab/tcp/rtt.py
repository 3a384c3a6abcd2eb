"""Round-trip time and RTO: RFC 6298 as Linux computes it (tcp_rtt_estimator, tcp_set_rto), in whole microseconds."""

from __future__ import annotations

from tcplab.tcp import seq
from tcplab.tcp.minmax import Minmax
from tcplab.tcp.tcb import Tcb
from tcplab.units import MS, SEC, US


def sample(tcb: Tcb, rtt_us: int, newest_us: int = -1, maybe_delayed: bool = False) -> None:
    """Take one measurement of `rtt_us` microseconds into SRTT and RTTVAR, and set the RTO anew.

    `newest_us`: the round trip of the newest segment of several, which is the one that can be the least;
    `maybe_delayed`: perhaps the ACK waited at the peer.
    """
    if rtt_us < 1:
        rtt_us = 1
    least = newest_us if newest_us > 0 else rtt_us
    if not maybe_delayed or least <= tcb.rtt_min:
        _update_min(tcb, least)
    rto_min = tcb.host.sysctl.tcp_rto_min_us
    if tcb.srtt == 0:
        tcb.srtt = rtt_us << 3
        tcb.mdev = rtt_us << 1
        tcb.rttvar = tcb.mdev_max = max(tcb.mdev, rto_min)
        tcb.rtt_seq = tcb.snd_nxt
    elif tcb.host.sysctl.profile.rttvar_by_trip:
        _smooth(tcb, rtt_us, rto_min)
    else:
        _smooth_each(tcb, rtt_us, rto_min)
    set_rto(tcb)


def _update_min(tcb: Tcb, rtt_us: int) -> None:
    """The least round trip of the last tcp_min_rtt_wlen seconds (tcp_update_rtt_min).

    One that an ACK seems to have made longer does not get here: else a peer that delays all its ACKs would raise the
    estimate when the true one grows too old.
    """
    now = tcb.host.now
    if tcb.rtt_mins is None:
        tcb.rtt_mins = Minmax(now, rtt_us)
        tcb.rtt_min = rtt_us
    else:
        tcb.rtt_min = tcb.rtt_mins.running_min(tcb.host.sysctl.tcp_min_rtt_wlen * SEC, now, rtt_us)


def _smooth(tcb: Tcb, rtt_us: int, rto_min: int) -> None:
    error = rtt_us - (tcb.srtt >> 3)
    tcb.srtt += error  # srtt = 7/8 srtt + 1/8 new
    if error < 0:
        error = -error - (tcb.mdev >> 2)
        if error > 0:
            error >>= 3  # Linux: a fall of the RTT widens the variance slowly only
    else:
        error -= tcb.mdev >> 2
    tcb.mdev += error
    if tcb.mdev > tcb.mdev_max:
        tcb.mdev_max = tcb.mdev
        tcb.rttvar = max(tcb.rttvar, tcb.mdev_max)
    if (tcb.rtt_seq - tcb.snd_una) & seq.MASK >= seq.HALF:  # once a round trip the variance may fall
        if tcb.mdev_max < tcb.rttvar:
            tcb.rttvar -= (tcb.rttvar - tcb.mdev_max) >> 2
        tcb.rtt_seq = tcb.snd_nxt
        tcb.mdev_max = rto_min


def _smooth_each(tcb: Tcb, rtt_us: int, granularity: int) -> None:
    """RFC 6298 2.3: each sample counts, up or down. `rttvar` is four times RTTVAR, and not less than G."""
    error = rtt_us - (tcb.srtt >> 3)
    tcb.srtt += error  # srtt = 7/8 srtt + 1/8 new
    tcb.mdev += abs(error) - (tcb.mdev >> 2)
    tcb.rttvar = max(tcb.mdev, granularity)


def set_rto(tcb: Tcb) -> None:
    """RTO = SRTT + RTTVAR, where RTTVAR is at least tcp_rto_min; never above tcp_rto_max. Ends the backoff.

    The textbook has a least RTO as well (RFC 6298 2.4).
    """
    rto = ((tcb.srtt >> 3) + tcb.rttvar) * US
    sysctl = tcb.host.sysctl
    if rto < sysctl.profile.rto_least:
        rto = sysctl.profile.rto_least
    most = sysctl.tcp_rto_max_ms * MS
    tcb.rto = rto if rto < most else most
    tcb.backoff = 0


def from_timestamp(tcb: Tcb, echoed: int, least: int = 1) -> int:
    """RTT in microseconds from an echoed timestamp (1 ms clock), at least `least` ms; -1 when it makes no sense."""
    delta = ((tcb.host.now // MS + tcb.ts_off) - echoed) & seq.MASK
    return max(delta, least) * 1000 if delta < 1 << 21 else -1
