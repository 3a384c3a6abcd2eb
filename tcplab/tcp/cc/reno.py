"""Reno: slow start, congestion avoidance, halve at loss (RFC 5681 section 3.1; Linux tcp_cong.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tcplab.tcp.cc.base import Controller, additive, slow_start

if TYPE_CHECKING:
    from tcplab.tcp.tcb import Tcb


class Reno(Controller):
    """cwnd grows by one for each acknowledged segment below ssthresh, by one a round trip above it."""

    __slots__ = ()

    name = "reno"

    def ssthresh(self, tcb: Tcb, why: str) -> int:
        """Half of cwnd, at least 2, whatever told of the loss (tcp_reno_ssthresh).

        RFC 5681 equation 4: half of what is in flight, which is less when the application has little to say. What
        limited transmit let out beyond cwnd does not count.
        """
        flight = min(len(tcb.rtx), tcb.cwnd) if tcb.host.sysctl.profile.flight_size else tcb.cwnd
        return max(flight >> 1, 2)

    def on_ack(self, tcb: Tcb, acked: int) -> None:
        """tcp_reno_cong_avoid."""
        if tcb.cwnd < tcb.ssthresh:
            acked = slow_start(tcb, acked)
        if acked:
            additive(tcb, tcb.cwnd, acked)
