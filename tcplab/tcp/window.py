"""The window we advertise: Linux tcp_select_window, __tcp_select_window and tcp_select_initial_window."""

from __future__ import annotations

from tcplab.tcp import seq
from tcplab.tcp.sysctl import Sysctl
from tcplab.tcp.tcb import NOMEM, Tcb

MAX_UNSCALED = 65535
MAX_SHIFT = 14  # RFC 7323 section 2.3


def space_of(buffer: int) -> int:
    """How much payload a receive buffer may hold: Linux sets half of it aside for its own overhead."""
    return buffer >> 1


def full_space(tcb: Tcb) -> int:
    """The most that may be offered: what the buffer holds, or TCP_WINDOW_CLAMP."""
    space = space_of(tcb.rcvbuf)
    return min(space, tcb.window_clamp) if tcb.window_clamp else space


def pick_wscale(sysctl: Sysctl, rcvbuf_locked: int = 0, clamp: int = 0) -> int:
    """The shift that lets 16 bits express the greatest buffer we may ever have (tcp_select_initial_window)."""
    space = space_of(rcvbuf_locked) if rcvbuf_locked else sysctl.tcp_rmem[2]
    space = min(space, clamp) if clamp else space
    return min(max(space.bit_length() - 16, 0), MAX_SHIFT)


def initial(rcvbuf: int, mss: int, clamp: int = 0) -> int:
    """The window of a SYN or SYN,ACK: whole segments of what the buffer holds, never above 65535."""
    space = space_of(rcvbuf)
    if clamp and clamp < space:
        space = clamp
    return min(max(space // mss * mss, min(space, mss)), MAX_UNSCALED)


def held(tcb: Tcb) -> int:
    """Octets of payload in the receive buffer, in order or not."""
    return len(tcb.rcvq) + (sum(len(octets) for _, octets, _ in tcb.ooo) if tcb.ooo else 0)


def offered(tcb: Tcb) -> int:
    """What is left of the window that was advertised last (tcp_receive_window)."""
    left = tcb.rcv_wnd - ((tcb.rcv_nxt - tcb.rcv_wup) & seq.MASK)
    return left if left > 0 else 0


def candidate(tcb: Tcb) -> int:
    """The window we would like to advertise now: silly windows avoided (RFC 9293 3.8.6.2.2)."""
    full = space = tcb.rcvbuf >> 1  # as space_of
    if tcb.window_clamp and tcb.window_clamp < full:
        full = tcb.window_clamp
    mss = tcb.rcv_mss if tcb.rcv_mss < full else full
    free = space - (held(tcb) if tcb.ooo else len(tcb.rcvq))
    if free < 0:
        free = 0
    if free < full >> 1 and (free < full >> 4 or free < mss):
        return 0
    if free > tcb.rcv_ssthresh:
        free = tcb.rcv_ssthresh
    if tcb.rcv_wscale:
        unit = 1 << tcb.rcv_wscale
        return (free + unit - 1) // unit * unit
    window = tcb.rcv_wnd
    if window <= free - mss or window > free:
        return free // mss * mss
    if mss == full and free > window + (full >> 1):
        return free
    return window


def select(tcb: Tcb) -> int:
    """Fix the window for a segment that leaves now; the field's value, scaled. It never shrinks (tcp_select_window)."""
    current = offered(tcb)
    if tcb.pending & NOMEM:
        current = new = 0
    else:
        new = candidate(tcb)
    shift = tcb.rcv_wscale
    if new < current:
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
