"""Pacing: segments leave at a rate, not as fast as cwnd allows (tcp_output.c's internal pacing).

A controller that asks for it says the rate (`Tcb.pacing_rate`). What leaves together takes, at that rate, a time; the
next may leave when it is over, which a timer of its own tells.
"""

from __future__ import annotations

from typing import Final

from tcplab.tcp import timers
from tcplab.tcp.tcb import NO_PACING, PACING, Tcb
from tcplab.units import NEVER, SEC, Nanos

REF: Final = "Linux tcp_pacing_check"
_NOT_PACED: Final = 10
"""So many segments of a connection leave as cwnd allows."""


def holds(tcb: Tcb) -> bool:
    """Is it too early for the next burst? Then the timer tells when it may leave (tcp_pacing_check)."""
    if tcb.wstamp <= tcb.host.now:
        return False
    if tcb.expires[PACING] == NEVER:
        why = f"pacing at {rate_text(tcb.pacing_rate)}: the next segment may leave then"
        timers.arm(tcb, PACING, tcb.wstamp, why, REF)
    return True


def sent(tcb: Tcb, prior: Nanos, octets: int) -> None:
    """`octets` of data leave now as one: how long does that take (tcp_update_skb_after_send)?

    `prior`: Tcb.wstamp before. What the last ones were late shortens it, by half at most.
    """
    rate = tcb.pacing_rate
    if 0 < rate < NO_PACING and tcb.data_segs_out >= _NOT_PACED:
        now = tcb.host.now
        begun = now if now > prior else prior
        takes = octets * SEC // rate
        tcb.wstamp = begun + takes - min(takes // 2, begun - prior)


def rate_text(octets: int) -> str:
    """A rate as people write it: `1.5 MB/s`, `40 kB/s`."""
    for scale, unit in ((10**9, "GB/s"), (10**6, "MB/s"), (10**3, "kB/s")):
        if octets >= scale:
            return f"{octets // scale}.{octets * 10 // scale % 10} {unit}"
    return f"{octets} B/s"
