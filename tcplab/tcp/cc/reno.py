"""Reno: slow start, congestion avoidance, halve at loss (RFC 5681 section 3.1; Linux tcp_cong.c)."""

from __future__ import annotations

from tcplab.tcp.tcb import Tcb


class Reno:
    """cwnd grows by one for each acknowledged segment below ssthresh, by one a round trip above it."""

    name = "reno"

    def ssthresh(self, tcb: Tcb, why: str) -> int:
        """Half of cwnd, at least 2, whatever told of the loss (tcp_reno_ssthresh)."""
        return max(tcb.cwnd >> 1, 2)

    def on_ack(self, tcb: Tcb, acked: int) -> None:
        """tcp_reno_cong_avoid."""
        if tcb.cwnd < tcb.ssthresh:
            grown = min(tcb.cwnd + acked, tcb.ssthresh)
            acked -= grown - tcb.cwnd
            tcb.cwnd = grown
        if acked > 0:
            tcb.cwnd_cnt += acked
            if tcb.cwnd_cnt >= tcb.cwnd:
                tcb.cwnd_cnt -= tcb.cwnd
                tcb.cwnd += 1
