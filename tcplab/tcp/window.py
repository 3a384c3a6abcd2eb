"""The window we advertise: Linux tcp_select_window, __tcp_select_window and tcp_select_initial_window."""

from __future__ import annotations

from tcplab.tcp import seq
from tcplab.tcp.negotiate import TS_SPACE
from tcplab.tcp.sysctl import Sysctl
from tcplab.tcp.tcb import NOMEM, Tcb

MAX_UNSCALED = 65535


def space_of(buffer: int) -> int:
    """How much payload a receive buffer may hold: Linux sets half of it aside for its own overhead."""
    return buffer >> 1


def full_space(tcb: Tcb) -> int:
    """The most that may be offered: what the buffer holds, or TCP_WINDOW_CLAMP."""
    space = space_of(tcb.rcvbuf)
    return min(space, tcb.window_clamp) if tcb.window_clamp else space


def but_one(tcb: Tcb) -> int:
    """What a new connection offers at most, until the size of segments is known (tcp_init_buffer_space)."""
    full, mss = full_space(tcb), tcb.advmss - (TS_SPACE if tcb.ts_ok else 0)
    return max(full - mss, 2 * mss) if full > 2 * mss else full


def pick_wscale(sysctl: Sysctl, rcvbuf_locked: int = 0, clamp: int = 0) -> int:
    """The shift that lets 16 bits express the greatest buffer we may ever have (tcp_select_initial_window)."""
    space = space_of(rcvbuf_locked) if rcvbuf_locked else sysctl.tcp_rmem[2]
    space = min(space, clamp) if clamp else space
    shift = 0
    while space > MAX_UNSCALED and shift < 14:
        space >>= 1
        shift += 1
    return shift


def initial(rcvbuf: int, mss: int, clamp: int = 0) -> int:
    """The window of a SYN or SYN,ACK: whole segments of what the buffer holds, never above 65535."""
    space = min(space_of(rcvbuf), clamp or space_of(rcvbuf))
    return min(max(space // mss * mss, min(space, mss)), MAX_UNSCALED)


def held(tcb: Tcb) -> int:
    """Octets of payload in the receive buffer, in order or not."""
    return len(tcb.rcvq) + (sum(len(octets) for _, octets, _ in tcb.ooo) if tcb.ooo else 0)


def free_space(tcb: Tcb) -> int:
    """Octets that may still be offered: half the buffer is for payload, the other half is slack (as in Linux)."""
    return max(space_of(tcb.rcvbuf) - held(tcb), 0)


def offered(tcb: Tcb) -> int:
    """What is left of the window that was advertised last (tcp_receive_window)."""
    return max(tcb.rcv_wnd - ((tcb.rcv_nxt - tcb.rcv_wup) & seq.MASK), 0)


def candidate(tcb: Tcb) -> int:
    """The window we would like to advertise now: silly windows avoided (RFC 9293 3.8.6.2.2)."""
    full = full_space(tcb)
    mss = min(tcb.rcv_mss, full)
    free = free_space(tcb)
    if free < full >> 1 and (free < full >> 4 or free < mss):
        return 0
    free = min(free, tcb.rcv_ssthresh)
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
    counters = tcb.host.counters
    current = offered(tcb)
    if tcb.pending & NOMEM:
        current = new = 0
    else:
        new = candidate(tcb)
    if new < current:
        if new == 0:
            counters["TcpExtTCPWantZeroWindowAdv"] += 1
        unit = 1 << tcb.rcv_wscale
        new = (current + unit - 1) // unit * unit
    old = tcb.rcv_wnd
    tcb.rcv_wnd = new
    tcb.rcv_wup = tcb.rcv_nxt
    field = min(new, MAX_UNSCALED << tcb.rcv_wscale) >> tcb.rcv_wscale
    if field == 0:
        if old:
            counters["TcpExtTCPToZeroWindowAdv"] += 1
    elif old == 0:
        counters["TcpExtTCPFromZeroWindowAdv"] += 1
    return field
