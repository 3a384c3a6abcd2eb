"""The window we advertise: Linux tcp_select_window, __tcp_select_window and tcp_select_initial_window."""

from __future__ import annotations

from tcplab.tcp import rcvbuf, seq
from tcplab.tcp.sysctl import Sysctl
from tcplab.tcp.tcb import NOMEM, Tcb

MAX_UNSCALED = 65535
RMEM_MAX = 4 << 20  # net.core.rmem_max, which a namespace cannot change
MAX_SHIFT = 14  # RFC 7323 section 2.3


def space_of(buffer: int) -> int:
    """How much payload a receive buffer is worth as long as nothing was received: half of it."""
    return buffer >> 1


def pick_wscale(sysctl: Sysctl, rcvbuf_locked: int = 0, clamp: int = 0) -> int:
    """The shift that lets 16 bits express the greatest buffer we may ever have (tcp_select_initial_window)."""
    space = space_of(rcvbuf_locked) if rcvbuf_locked else max(sysctl.tcp_rmem[2], RMEM_MAX)
    space = min(space, clamp) if clamp else space
    return min(max(space.bit_length() - 16, 0), MAX_SHIFT)


def initial(buffer: int, mss: int, clamp: int = 0) -> int:
    """The first window: whole segments of what the buffer holds. The field of a SYN never says more than 65535."""
    space = space_of(buffer)
    if clamp and clamp < space:
        space = clamp
    return max(space // mss * mss, min(space, mss))


def offered(tcb: Tcb) -> int:
    """What is left of the window that was advertised last (tcp_receive_window)."""
    left = tcb.rcv_wnd - ((tcb.rcv_nxt - tcb.rcv_wup) & seq.MASK)
    return left if left > 0 else 0


def candidate(tcb: Tcb) -> int:
    """The window we would like to advertise now: silly windows avoided (RFC 9293 3.8.6.2.2)."""
    ratio = tcb.scaling_ratio  # rcvbuf.full_space and free_space, in line: this runs for every segment
    full = tcb.rcvbuf * ratio >> rcvbuf.RATIO_SHIFT
    if full > tcb.clamp:
        full = tcb.clamp
    mss = tcb.rcv_mss if tcb.rcv_mss < full else full
    if mss <= 0:
        return 0
    free = (tcb.rcvbuf - tcb.rmem_alloc) * ratio >> rcvbuf.RATIO_SHIFT
    unit = 1 << tcb.rcv_wscale
    if free < full >> 1:
        tcb.quick = 0
        free = max(free, 0) // unit * unit
        if free < rcvbuf.window_of(tcb, tcb.rcvbuf) >> 4 or free < mss:
            return 0
    if free > tcb.rcv_ssthresh:
        free = tcb.rcv_ssthresh
    if tcb.rcv_wscale:
        return (free + unit - 1) // unit * unit
    window = tcb.rcv_wnd
    if window <= free - mss or window > free:
        return free // mss * mss
    if mss == full and free > window + (full >> 1):
        return free
    return window


def select(tcb: Tcb) -> int:
    """Fix the window for a segment that leaves now; the field's value, scaled. It never shrinks (tcp_select_window)."""
    current = tcb.rcv_wnd - ((tcb.rcv_nxt - tcb.rcv_wup) & seq.MASK)  # offered, in line
    if tcb.pending & NOMEM:
        current = new = 0
    else:
        new = candidate(tcb)
    shift = tcb.rcv_wscale
    if new < current:  # and not only below 0
        if new == 0:
            tcb.host.counters["TcpExtTCPWantZeroWindowAdv"] += 1
        unit = 1 << shift
        new = (current + unit - 1) // unit * unit
    old = tcb.rcv_wnd
    tcb.rcv_wnd = new
    tcb.rcv_wup = tcb.rcv_nxt
    field = new >> shift
    if field > MAX_UNSCALED:
        field = MAX_UNSCALED
    if field == 0:
        if old:
            tcb.host.counters["TcpExtTCPToZeroWindowAdv"] += 1
    elif old == 0:
        tcb.host.counters["TcpExtTCPFromZeroWindowAdv"] += 1
    return field
