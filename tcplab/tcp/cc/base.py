"""What a congestion controller is: it sets only cwnd and ssthresh, in segments, and is told why."""

from __future__ import annotations

from typing import Protocol

from tcplab.tcp.tcb import Tcb


class Controller(Protocol):
    """Loss detection and the rate during recovery live elsewhere (`tcplab.tcp.recovery`)."""

    name: str

    def ssthresh(self, tcb: Tcb, why: str) -> int:
        """The slow start threshold after `loss` or `RTO`."""
        ...

    def on_ack(self, tcb: Tcb, acked: int) -> None:
        """`acked` segments were acknowledged while cwnd was the limit: grow."""
        ...
