"""The receive buffer is short of memory: what waits out of order is thrown away again (Linux tcp_prune_queue).

The peer must keep what it was told of by SACK (RFC 2018 section 8), and so sends it once more.
"""

from __future__ import annotations

from tcplab.api.events import Noted
from tcplab.tcp import seq
from tcplab.tcp.tcb import Tcb
from tcplab.units import Seq

REF = "Linux tcp_prune_ofo_queue"


def out_of_order(tcb: Tcb, first: Seq) -> None:
    """Drop from the end, an eighth of the buffer at a time, until there is room; but nothing before `first`, the
    segment that asks for it (tcp_prune_ofo_queue).
    """
    goal = tcb.rcvbuf >> 3
    dropped = 0
    while tcb.ooo and not seq.after(first, tcb.ooo[-1].seq):
        memory, tcb.ooo = tcb.ooo[-1].memory, tcb.ooo[:-1]
        tcb.rmem_alloc -= memory
        dropped += 1
        goal -= memory
        if not tcb.ooo or goal <= 0:
            if tcb.rmem_alloc <= tcb.rcvbuf:
                break
            goal = tcb.rcvbuf >> 3
    if dropped:
        host = tcb.host
        host.counters["TcpExtOfoPruned"] += 1
        tcb.sacks = ()
        tcb.dsack = None
        if host.tracing:
            why = "the receive buffer is short of memory: what waited is thrown away, and SACKed no more"
            host.emit(Noted(host.now, host.name, tcb.label, host.frame, f"ooo pruned {dropped}", why, REF))
