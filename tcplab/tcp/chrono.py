"""What a connection that has something to send spends its time on (Linux tcp_chrono_start, tcp_chrono_stop)."""

from __future__ import annotations

from typing import Final

from tcplab.tcp.tcb import Tcb
from tcplab.units import MS

IDLE, BUSY, RWND, SNDBUF = range(4)
"""Nothing to send; sending; the peer's window, or a send buffer that is too small, holds it back: each over the last.
"""
_TICK: Final = MS


def start(tcb: Tcb, kind: int) -> None:
    """`kind` begins, unless something of more weight is being measured."""
    if kind > tcb.chrono:
        _set(tcb, kind)


def stop(tcb: Tcb, kind: int) -> None:
    """`kind` is over."""
    if not tcb.rtx and not tcb.skbs:
        _set(tcb, IDLE)
    elif kind == tcb.chrono:
        _set(tcb, BUSY)


def _set(tcb: Tcb, kind: int) -> None:
    now = tcb.host.now // _TICK
    if tcb.chrono:
        spent = list(tcb.chronos)
        spent[tcb.chrono] += now - tcb.chrono_at
        tcb.chronos = (0, spent[BUSY], spent[RWND], spent[SNDBUF])
    tcb.chrono, tcb.chrono_at = kind, now


def times(tcb: Tcb) -> tuple[int, int, int]:
    """Microseconds: busy in all, of these held back by the peer's window, and by the send buffer."""
    spent = [part * 1_000 for part in tcb.chronos]
    if tcb.chrono:
        spent[tcb.chrono] += (tcb.host.now // _TICK - tcb.chrono_at) * 1_000
    return sum(spent), spent[RWND], spent[SNDBUF]
